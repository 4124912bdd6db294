// SPDX-License-Identifier: Apache-2.0
// cgroups.hpp - where the control groups above this process say what they allow, versions 1 and 2.
//
// For memory_limit.cpp and loop/cores.cpp, which know the files in these folders. Reads /proc.
#pragma once

#include <string>
#include <vector>

namespace speckv::pool {

struct CgroupFolder {
  std::string path;
  bool second = false;  // of version 2
};

// Of this controller: this process's own group, then each ancestor. root: as in memory_limit.hpp.
std::vector<CgroupFolder> cgroup_folders(const std::string& root, const std::string& controller);

}  // namespace speckv::pool
