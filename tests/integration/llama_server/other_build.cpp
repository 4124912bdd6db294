// SPDX-License-Identifier: Apache-2.0
// other_build.cpp - for refusals_test.py: a program that opens a model as a llama-server does, and
// says that it is of another build than the one that libspeckv_llama_server.so is compiled against.
#include "llama.h"

int llama_build_number();
int llama_build_number() { return 10360; }

// Exit: 0 once the model was asked for, whether it is there or not.
int main() {
  llama_model_free(llama_model_load_from_file("none.gguf", llama_model_default_params()));
  return 0;
}
