// SPDX-License-Identifier: Apache-2.0
// tier_folder.hpp - where tests lay the file of a tier below the pool. For tests that start a real
// daemon and expect every block back.
//
// The daemon gives a read one second; a disk that other work keeps busy may need more, and then a
// miss is the right answer, and the test would say what the machine does beside it. So the file
// lies in memory where memory can be read around the page cache (tmpfs, Linux 6.6 and later), else
// in /var/tmp. SPECKV_TEST_DISK names a folder of a real disk instead. What a slow disk does has
// tests of its own (spill/slow_disk_test.cpp).
#pragma once

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <string>

namespace speckv::test {

// Makes a folder of its own, `speckv-NAME-` and six letters. Returns: "" when it could not be made.
inline std::string make_tier_folder(const std::string& name) {
  const auto made_in = [&](const std::string& parent) {
    std::string folder = parent + "/speckv-" + name + "-XXXXXX";
    return mkdtemp(folder.data()) ? folder : std::string();
  };
  if (const char* disk = getenv("SPECKV_TEST_DISK")) return made_in(disk);
  const std::string folder = made_in("/dev/shm");
  if (folder.empty()) return made_in("/var/tmp");
  const std::string tried = folder + "/direct";
  const int fd = open(tried.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_DIRECT, 0600);
  if (fd >= 0) close(fd);
  unlink(tried.c_str());
  if (fd >= 0) return folder;
  rmdir(folder.c_str());
  return made_in("/var/tmp");
}

}  // namespace speckv::test
