// SPDX-License-Identifier: Apache-2.0
// weights.hpp - the digest of a GGUF model's weights: of all files of it, in order, where it is
// split ("name-00001-of-00004.gguf"); the first file of a split model may hold no weights at all.
//
// Who calls it: servers and tools, for speckv_layout.weights_digest and tables. Reads the files;
// knows no llama.cpp. Never: guesses, when a file is missing. Threading: reentrant.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "speckv/speckv.h"

namespace speckv::llama {

// Returns: the files of the model that `path` names, in order; path alone when it is not split.
// llama.cpp takes a split model by these names only.
std::vector<std::string> model_files(const std::string& path);

// One file: speckv_file_digest(). Several: a digest over theirs. Returns: false with one sentence.
[[nodiscard]] bool weights_digest(const std::string& path, uint8_t ret_digest[SPECKV_DIGEST_BYTES],
                                  std::string* ret_why);

}  // namespace speckv::llama
