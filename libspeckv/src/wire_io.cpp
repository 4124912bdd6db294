// SPDX-License-Identifier: Apache-2.0
#include "src/wire_io.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "src/clock.hpp"

namespace speckv::lib {
namespace {

// `struct ucred` is a GNU extension and the language mode is ISO: same layout, from unix(7).
struct PeerCredentials {
  int32_t pid;
  uint32_t uid;
  uint32_t gid;
};

int check_peer(int socket, const PeerCheck& check) {
  PeerCredentials peer{};
  socklen_t bytes = sizeof peer;
  if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) != 0) return -errno;
  return is_trusted(check, peer.uid, geteuid()) ? 0 : -EPERM;
}

int wait_readable(int socket, uint64_t until_ns) {
  for (;;) {
    const uint64_t now = until_ns ? now_ns() : 0;
    const uint64_t left_ms = until_ns > now ? (until_ns - now + 999'999) / 1'000'000 : 0;
    pollfd poll_fd{socket, POLLIN, 0};
    const int ready = poll(&poll_fd, 1, int(left_ms < 60'000 ? left_ms : 60'000));
    if (ready > 0) return 0;
    if (ready < 0 && errno != EINTR) return -errno;
    if (ready == 0 && (!until_ns || now_ns() >= until_ns)) return -EAGAIN;
  }
}

void take_fds(msghdr& message, Message* ret_message) {
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part; part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; i++) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(part) + i * sizeof fd, sizeof fd);
      if (ret_message->fds_count < fds_max) ret_message->fds[ret_message->fds_count++] = fd;
      else close(fd);
    }
  }
}

int check_message(const Message& message, int flags) {
  if (message.size < sizeof(wire::WireHeader) || (flags & MSG_TRUNC)) return -EPROTO;
  if (flags & MSG_CTRUNC) return -EMFILE;  // descriptors came that this process has no room for
  const wire::WireHeader& header = message.header();
  if (header.magic != wire::magic || header.major != wire::version_major) return -EPROTO;
  if (header.bytes != message.size) return -EPROTO;
  uint32_t least = sizeof(wire::WireHeader);
  switch (message.type()) {
    case wire::Type::welcome:
      least = sizeof(wire::Welcome);
      break;
    case wire::Type::layout_ok:
      least = sizeof(wire::LayoutReply);
      break;
    case wire::Type::error:
      least = sizeof(wire::Error);
      break;
    default:
      break;
  }
  if (message.size < least) return -EPROTO;
  if (message.type() != wire::Type::error) return 0;
  const int error = message.as<wire::Error>().error;
  return error > 0 && error < 4096 ? -error : -EPROTO;
}

}  // namespace

void Message::close_fds() {
  for (uint32_t i = 0; i < fds_count; i++) close(fds[i]);
  fds_count = 0;
}

wire::WireHeader wire_header(wire::Type type, uint32_t bytes) {
  return {wire::magic, uint16_t(type), 0, wire::version_major, wire::version_minor, bytes};
}

int dial(const char* socket_path, const PeerCheck& daemon, int* ret_socket) {
  const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -errno;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, socket_path, sizeof address.sun_path - 1);
  int result = connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 ? 0 : -errno;
  if (result == 0) result = check_peer(fd, daemon);
  if (result != 0) close(fd);
  else *ret_socket = fd;
  return result;
}

int send_message(int socket, const void* message, uint32_t bytes) {
  for (;;) {
    const ssize_t sent = send(socket, message, bytes, MSG_NOSIGNAL);
    if (sent == ssize_t(bytes)) return 0;
    if (sent >= 0) return -EPROTO;
    if (errno == EPIPE) return -ECONNRESET;
    if (errno != EINTR) return -errno;
  }
}

int receive_message(int socket, uint64_t until_ns, Message* ret_message) {
  ret_message->answered = false;
  const int ready = wait_readable(socket, until_ns);
  if (ready != 0) return ready;
  alignas(cmsghdr) char control[CMSG_SPACE(fds_max * sizeof(int))];
  iovec part{ret_message->bytes, sizeof ret_message->bytes};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ssize_t got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  // A daemon that left words of ours unread: what it said before it went comes after this error.
  if (got < 0 && errno == ECONNRESET)
    got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  if (got < 0) return errno == EINTR ? -EAGAIN : -errno;
  ret_message->answered = true;
  if (got == 0) return -ECONNRESET;
  ret_message->size = uint32_t(got);
  ret_message->fds_count = 0;
  take_fds(message, ret_message);
  const int result = check_message(*ret_message, message.msg_flags);
  if (result != 0) ret_message->close_fds();
  return result;
}

}  // namespace speckv::lib
