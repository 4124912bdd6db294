// SPDX-License-Identifier: Apache-2.0
// weights.hpp - the digest of a GGUF model's weights, all files of it, with the reason in a
// sentence where there is none: the library's own, so that all engines say one digest of one model.
//
// Who calls it: servers and tools, for speckv_layout.weights_digest and tables. Reads the files;
// knows no llama.cpp. Never: guesses, when a file is missing. Threading: reentrant.
#pragma once

#include <cstdint>
#include <string>

#include "speckv/speckv.h"

namespace speckv::llama {

// path: of one of its files. Returns: false with one sentence.
[[nodiscard]] bool weights_digest(const std::string& path, uint8_t ret_digest[SPECKV_DIGEST_BYTES],
                                  std::string* ret_why);

}  // namespace speckv::llama
