// SPDX-License-Identifier: Apache-2.0
// digest_cache.hpp - digests of files, kept from one start of a program to the next.
//
// One small file a path in a folder of the user's own: $SPECKV_DIGEST_CACHE, else speckv/digests
// under $XDG_CACHE_HOME or ~/.cache. A record counts only for the very file that it was made of:
// path, device, inode, size, and times of change to the nanosecond. Whatever is wrong with folder
// or record is a miss: the file is then read. Called by digests.cpp.
#pragma once

#include <sys/stat.h>

#include <cstdint>

#include "speckv/layout.h"

namespace speckv::lib {

bool recall_digest(const char* path, const struct stat& file,
                   uint8_t ret_digest[SPECKV_DIGEST_BYTES]);
// A file that changed in the last seconds is not kept: it may change again within one tick of the
// clock that its times are made of.
void keep_digest(const char* path, const struct stat& file,
                 const uint8_t digest[SPECKV_DIGEST_BYTES]);

}  // namespace speckv::lib
