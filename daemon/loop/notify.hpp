// SPDX-License-Identifier: Apache-2.0
// notify.hpp - sd_notify(3) by hand: one datagram to systemd, with a descriptor or without; nothing
// when it is not there.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>

namespace speckv {

inline void notify(std::string_view state, int attached = -1) {
  const char* path = std::getenv("NOTIFY_SOCKET");
  if (!path || (path[0] != '/' && path[0] != '@')) return;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const int length = std::snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
  if (length <= 0 || size_t(length) >= sizeof address.sun_path) return;
  if (path[0] == '@') address.sun_path[0] = '\0';  // the abstract name space
  const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return;
  iovec part{const_cast<char*>(state.data()), state.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof attached)] = {};
  msghdr packet{};
  packet.msg_name = &address;
  packet.msg_namelen = socklen_t(offsetof(sockaddr_un, sun_path) + size_t(length));
  packet.msg_iov = &part;
  packet.msg_iovlen = 1;
  if (attached >= 0) {
    packet.msg_control = control;
    packet.msg_controllen = sizeof control;
    cmsghdr* rights = CMSG_FIRSTHDR(&packet);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof attached);
    std::memcpy(CMSG_DATA(rights), &attached, sizeof attached);
  }
  sendmsg(fd, &packet, MSG_NOSIGNAL);
  close(fd);
}

}  // namespace speckv
