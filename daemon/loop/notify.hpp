// SPDX-License-Identifier: Apache-2.0
// notify.hpp - sd_notify(3) by hand: one datagram to systemd, nothing when it is not there.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace speckv {

inline void notify(std::string_view state) {
  const char* path = std::getenv("NOTIFY_SOCKET");
  if (!path || (path[0] != '/' && path[0] != '@')) return;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const int length = std::snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
  if (length <= 0 || size_t(length) >= sizeof address.sun_path) return;
  if (path[0] == '@') address.sun_path[0] = '\0';  // the abstract name space
  const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return;
  sendto(fd, state.data(), state.size(), MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&address),
         socklen_t(offsetof(sockaddr_un, sun_path) + size_t(length)));
  close(fd);
}

}  // namespace speckv
