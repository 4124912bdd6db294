// SPDX-License-Identifier: Apache-2.0
// memory_limit.hpp - how much memory the control groups of this process still allow, versions 1
// and 2, every ancestor included.
//
// Past it there is no error to handle: the kernel kills. So whoever allocates for a pool or an
// arena asks first. Page cache that the kernel would drop counts as free, as it does in
// MemAvailable. Reads files of /proc and of the cgroup mounts; holds nothing. Not on the data path.
#pragma once

#include <cstdint>
#include <string>

namespace speckv::pool {

struct MemoryLimit {
  bool any = false;         // a group above this process has a limit
  uint64_t bytes = 0;       // of the group that leaves the least
  uint64_t free_bytes = 0;  // what it leaves now
  std::string group;        // its folder
};

// root: "", or a folder that has proc/self/cgroup, proc/self/mountinfo and the mounts, in tests.
MemoryLimit cgroup_memory_limit(const std::string& root = "");

}  // namespace speckv::pool
