// SPDX-License-Identifier: Apache-2.0
// standard_fds.hpp - what a program of ours does first thing in main(): descriptors 0, 1 and 2 are
// there.
//
// Who starts a program with one of them closed makes the next file that it opens take the number:
// an index, and every line on standard error would land in it.
#pragma once

#include <fcntl.h>
#include <unistd.h>

namespace speckv {

// Returns: false when one is closed and /dev/null cannot be opened in its place.
inline bool open_standard_fds() {
  for (;;) {  // open() takes the lowest number that is free
    const int fd = open("/dev/null", O_RDWR);
    if (fd < 0) return false;
    if (fd <= 2) continue;
    close(fd);
    return true;
  }
}

}  // namespace speckv
