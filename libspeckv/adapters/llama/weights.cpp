// SPDX-License-Identifier: Apache-2.0
// weights.cpp - see weights.hpp.
#include "weights.hpp"

#include <algorithm>
#include <cstdio>
#include <cstring>

namespace speckv::llama {

namespace {

// "-00002-of-00004.gguf": what llama_split_path() puts after the prefix.
constexpr size_t kSuffixChars = 20;

bool split_numbers(const std::string& path, int* ret_number, int* ret_count) {
  if (path.size() <= kSuffixChars) return false;
  const std::string suffix = path.substr(path.size() - kSuffixChars);
  int end = 0;
  return std::sscanf(suffix.c_str(), "-%5d-of-%5d.gguf%n", ret_number, ret_count, &end) == 2 &&
         end == int(kSuffixChars) && *ret_number >= 1 && *ret_number <= *ret_count;
}

}  // namespace

std::vector<std::string> model_files(const std::string& path) {
  int number = 0, count = 0;
  if (!split_numbers(path, &number, &count) || count == 1) return {path};
  std::vector<std::string> files;
  for (int i = 1; i <= count; ++i) {
    char suffix[32];
    std::snprintf(suffix, sizeof suffix, "-%05d-of-%05d.gguf", i, count);
    files.push_back(path.substr(0, path.size() - kSuffixChars) + suffix);
  }
  return files;
}

bool weights_digest(const std::string& path, uint8_t ret_digest[SPECKV_DIGEST_BYTES],
                    std::string* ret_why) {
  const std::vector<std::string> files = model_files(path);
  std::vector<uint8_t> digests(files.size() * SPECKV_DIGEST_BYTES);
  for (size_t i = 0; i < files.size(); ++i) {
    const int error = speckv_file_digest(files[i].c_str(), &digests[i * SPECKV_DIGEST_BYTES]);
    if (error == 0) continue;
    *ret_why = files[i] + ": " + std::strerror(-error);
    if (files.size() > 1) *ret_why += "; the model has " + std::to_string(files.size()) + " files";
    return false;
  }
  if (files.size() == 1) return std::copy(digests.begin(), digests.end(), ret_digest), true;
  // a key is the SHA-256 over its salt, tagged: here the digests, and their number as its token
  const auto count = int32_t(files.size());
  const int error =
      speckv_key_chain(nullptr, digests.data(), digests.size(), &count, 1, ret_digest);
  if (error != 0) *ret_why = std::string("speckv_key_chain: ") + std::strerror(-error);
  return error == 0;
}

}  // namespace speckv::llama
