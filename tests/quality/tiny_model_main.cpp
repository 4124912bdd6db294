// SPDX-License-Identifier: Apache-2.0
// tiny_model_main.cpp - speckv-tiny-model NAME TOKENIZER.gguf OUT.gguf: one of tiny_model.hpp's, to
// try speckv-calibrate and speckv-quality on by hand.
#include <cstdio>
#include <exception>

#include "tiny_model.hpp"

int main(int count, char** words) {
  try {
    if (count != 4) {
      std::fprintf(stderr, "usage: speckv-tiny-model NAME TOKENIZER.gguf OUT.gguf\n");
      return 2;
    }
    speckv::quality::write_tiny_model(speckv::quality::tiny_model(words[1]), words[2], words[3]);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "speckv-tiny-model: %s\n", error.what());
    return 1;
  }
}
