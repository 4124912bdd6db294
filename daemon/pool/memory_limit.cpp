// SPDX-License-Identifier: Apache-2.0
// memory_limit.cpp - see memory_limit.hpp.
#include "pool/memory_limit.hpp"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <sstream>
#include <vector>

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

struct Mount {
  bool second = false;  // of version 2
  std::string root, point;
};

bool has_word(const std::string& list, const std::string& word) {
  return ("," + list + ",").find("," + word + ",") != std::string::npos;
}

// mountinfo writes a space in a path as \040, and so on.
std::string unescaped(const std::string& text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); i++) {
    unsigned code = 0;
    const char* digits = text.data() + i + 1;
    if (text[i] == '\\' && i + 3 < text.size() &&
        std::from_chars(digits, digits + 3, code, 8).ptr == digits + 3 && code < 256) {
      plain += char(code);
      i += 3;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

std::vector<Mount> memory_mounts(const std::string& path) {
  std::vector<Mount> mounts;
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line)) {
    std::istringstream words(line);
    std::string id, parent, device, root, point, word, type, source, options;
    words >> id >> parent >> device >> root >> point;
    while (words >> word && word != "-") {
    }
    words >> type >> source >> options;
    if (type == "cgroup2" || (type == "cgroup" && has_word(options, "memory")))
      mounts.push_back({type == "cgroup2", unescaped(root), unescaped(point)});
  }
  return mounts;
}

// Group of this process in the memory hierarchy of this version, "" when there is none.
std::string group_of(const std::string& path, bool version_two) {
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line)) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    if (version_two ? controllers.empty() : has_word(controllers, "memory"))
      return line.substr(second + 1);
  }
  return "";
}

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
  for (const Mount& mount : memory_mounts(root + "/proc/self/mountinfo")) {
    const std::string group = group_of(root + "/proc/self/cgroup", mount.second);
    if (group.empty()) continue;
    // In a container the mount shows a part of the tree: the group's path begins with its root.
    std::string below = group;
    if (mount.root != "/" && below.rfind(mount.root, 0) == 0) below.erase(0, mount.root.size());
    const Files& files = mount.second ? version_2 : version_1;
    for (;;) {
      while (!below.empty() && below.back() == '/') below.pop_back();
      look_at(root + mount.point + below, files, &least);
      if (below.empty()) break;
      below.erase(below.rfind('/') == std::string::npos ? 0 : below.rfind('/'));
    }
  }
  return least;
}

}  // namespace speckv::pool
