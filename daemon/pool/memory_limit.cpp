// SPDX-License-Identifier: Apache-2.0
// memory_limit.cpp - see memory_limit.hpp.
#include "pool/memory_limit.hpp"

#include <algorithm>
#include <fstream>

#include "pool/cgroups.hpp"

namespace speckv::pool {
namespace {

// Version 1 writes "no limit" as the largest multiple of a page.
constexpr uint64_t no_limit = uint64_t{1} << 62;

struct Files {
  const char* limit;
  const char* used;
  const char* cache;  // a line of memory.stat
};
constexpr Files version_1{"memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"};
constexpr Files version_2{"memory.max", "memory.current", "inactive_file"};

bool read_number(const std::string& path, uint64_t* ret_number) {
  std::ifstream file(path);
  return bool(file >> *ret_number);  // "max" is no number: no limit
}

uint64_t cache_bytes(const std::string& path, const std::string& name) {
  std::ifstream file(path);
  std::string word;
  uint64_t bytes = 0;
  while (file >> word >> bytes)
    if (word == name) return bytes;
  return 0;
}

void look_at(const std::string& folder, const Files& files, MemoryLimit* least) {
  uint64_t limit = 0, used = 0;
  if (!read_number(folder + "/" + files.limit, &limit) || limit >= no_limit) return;
  if (!read_number(folder + "/" + files.used, &used)) return;
  used -= std::min(used, cache_bytes(folder + "/memory.stat", files.cache));
  const uint64_t left = limit - std::min(limit, used);
  if (least->any && least->free_bytes <= left) return;
  *least = {true, limit, left, folder};
}

}  // namespace

MemoryLimit cgroup_memory_limit(const std::string& root) {
  MemoryLimit least;
  for (const CgroupFolder& folder : cgroup_folders(root, "memory"))
    look_at(folder.path, folder.second ? version_2 : version_1, &least);
  return least;
}

}  // namespace speckv::pool
