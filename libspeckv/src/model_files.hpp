// SPDX-License-Identifier: Apache-2.0
// model_files.hpp - which files hold the weights of a model of which one file is named.
//
// GGUF: the header says how many files there are (split.count), names say which; safetensors: the
// name alone, or an index file that lists them. Never guesses: what cannot be told is an error.
// Reads files that anybody may have made; every length in them is bounded by the file's own.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace speckv::lib {

constexpr uint32_t model_files_max = 4096;             // of one model; public ones have up to 200
constexpr uint64_t model_index_bytes_max = 64u << 20;  // of model.safetensors.index.json

// Returns: 0 and the files, in order; -EBADMSG where a file's own words contradict its name or each
// other; or -errno of reading it. May throw std::bad_alloc.
int model_files(const std::string& path, std::vector<std::string>* ret_files);

// For tests and fuzzing: split.count of a GGUF file's bytes. Returns: 1 where it says nothing,
// 0 where this is no whole GGUF header.
uint32_t gguf_split_count(int fd);

}  // namespace speckv::lib
