// SPDX-License-Identifier: Apache-2.0
// weights.cpp - see weights.hpp.
#include "weights.hpp"

#include <cerrno>
#include <cstring>

namespace speckv::llama {

bool weights_digest(const std::string& path, uint8_t ret_digest[SPECKV_DIGEST_BYTES],
                    std::string* ret_why) {
  const char* one = path.c_str();
  const int error = speckv_files_digest(&one, 1, ret_digest);
  if (error == 0) return true;
  *ret_why = path + ": " + std::strerror(-error);
  if (error == -ENOENT) *ret_why += ": it, or another file of the model that its name tells of";
  if (error == -EBADMSG) *ret_why += ": the files of the model contradict their names";
  return false;
}

}  // namespace speckv::llama
