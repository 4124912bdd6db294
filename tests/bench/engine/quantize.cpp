// SPDX-License-Identifier: Apache-2.0
// Converts one GGUF model file to another weight type with the engine's own converter.
// Usage: speckv-quantize IN OUT q4_0|f16. Called by ./setup alone, once per model; never by
// speckv.
#include "llama.h"

#include <cstdio>
#include <cstring>

namespace {

void only_errors(ggml_log_level level, const char* text, void*) {
  if (level == GGML_LOG_LEVEL_ERROR) std::fputs(text, stderr);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: speckv-quantize IN OUT q4_0|f16\n");
    return 2;
  }
  llama_model_quantize_params params = llama_model_quantize_default_params();
  if (std::strcmp(argv[3], "q4_0") == 0) {
    params.ftype = LLAMA_FTYPE_MOSTLY_Q4_0;
  } else if (std::strcmp(argv[3], "f16") == 0) {
    params.ftype = LLAMA_FTYPE_MOSTLY_F16;
  } else {
    std::fprintf(stderr, "speckv-quantize: weight type '%s' unknown, expected q4_0 or f16\n",
                 argv[3]);
    return 2;
  }
  params.allow_requantize = true;  // the model ships as Q4_1
  params.nthread = 2;
  llama_log_set(only_errors, nullptr);
  llama_backend_init();
  const uint32_t failed = llama_model_quantize(argv[1], argv[2], &params);
  llama_backend_free();
  if (failed != 0) std::fprintf(stderr, "speckv-quantize: converting '%s' failed\n", argv[1]);
  return failed == 0 ? 0 : 1;
}
