// SPDX-License-Identifier: Apache-2.0
// cgroups.cpp - see cgroups.hpp.
#include "pool/cgroups.hpp"

#include <charconv>
#include <fstream>
#include <sstream>

namespace speckv::pool {
namespace {

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

std::vector<Mount> mounts_of(const std::string& path, const std::string& controller) {
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
    if (type == "cgroup2" || (type == "cgroup" && has_word(options, controller)))
      mounts.push_back({type == "cgroup2", unescaped(root), unescaped(point)});
  }
  return mounts;
}

// Group of this process in the hierarchy of this version, "" when there is none.
std::string group_of(const std::string& path, const std::string& controller, bool version_two) {
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line)) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    if (version_two ? controllers.empty() : has_word(controllers, controller))
      return line.substr(second + 1);
  }
  return "";
}

}  // namespace

std::vector<CgroupFolder> cgroup_folders(const std::string& root, const std::string& controller) {
  std::vector<CgroupFolder> folders;
  for (const Mount& mount : mounts_of(root + "/proc/self/mountinfo", controller)) {
    const std::string group = group_of(root + "/proc/self/cgroup", controller, mount.second);
    if (group.empty()) continue;
    // In a container the mount shows a part of the tree: the group's path begins with its root.
    std::string below = group;
    if (mount.root != "/" && below.rfind(mount.root, 0) == 0) below.erase(0, mount.root.size());
    for (;;) {
      while (!below.empty() && below.back() == '/') below.pop_back();
      folders.push_back({root + mount.point + below, mount.second});
      if (below.empty()) break;
      below.erase(below.rfind('/') == std::string::npos ? 0 : below.rfind('/'));
    }
  }
  return folders;
}

}  // namespace speckv::pool
