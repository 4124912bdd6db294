// SPDX-License-Identifier: Apache-2.0
#include "src/peer.hpp"

#include <fcntl.h>
#include <pwd.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace speckv::lib {
namespace {

constexpr uint32_t overflow_default = 65534;         // Linux's DEFAULT_OVERFLOWUID
constexpr unsigned long long all_uids = 4294967295;  // as uid_map of the first namespace counts

uint32_t uid_of_speckv() {
  passwd entry;
  passwd* found = nullptr;
  char buffer[4096];
  const int error = getpwnam_r("speckv", &entry, buffer, sizeof buffer, &found);
  return error == 0 && found ? found->pw_uid : no_uid;
}

// Returns: how many bytes of the file were read; the text is terminated.
size_t read_text(const char* path, char* ret_text, size_t bytes) {
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  const ssize_t got = fd < 0 ? 0 : read(fd, ret_text, bytes - 1);
  if (fd >= 0) close(fd);
  ret_text[got > 0 ? got : 0] = 0;
  return got > 0 ? size_t(got) : 0;
}

// Without /proc nothing is known: then the usual number counts as unmapped.
uint32_t overflow_uid() {
  char text[256];
  unsigned long long inside = 0, outside = 0, count = 0;
  if (read_text("/proc/self/uid_map", text, sizeof text) &&
      std::sscanf(text, "%llu %llu %llu", &inside, &outside, &count) == 3 && count == all_uids)
    return no_uid;
  if (!read_text("/proc/sys/kernel/overflowuid", text, sizeof text)) return overflow_default;
  return uint32_t(std::strtoul(text, nullptr, 10));
}

}  // namespace

PeerCheck whom_to_trust(int32_t daemon_uid) {
  if (daemon_uid >= 0) return {daemon_uid, no_uid, no_uid};
  return {-1, uid_of_speckv(), overflow_uid()};
}

bool is_trusted(const PeerCheck& check, uint32_t peer_uid, uint32_t own_uid) {
  if (check.expected >= 0) return peer_uid == uint32_t(check.expected);
  if (peer_uid == no_uid || peer_uid == check.overflow_uid) return false;
  return peer_uid == 0 || peer_uid == own_uid || peer_uid == check.user_speckv;
}

}  // namespace speckv::lib
