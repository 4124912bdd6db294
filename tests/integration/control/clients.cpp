// SPDX-License-Identifier: Apache-2.0
#include "clients.hpp"

#include <grp.h>
#include <poll.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

#include "shm/layout_math.hpp"

namespace speckv::test {

namespace {
constexpr int wait_ms = 20'000;

wire::WireHeader header_of(wire::Type type, size_t bytes) {
  return {wire::magic,         uint16_t(type),      0,
          wire::version_major, wire::version_minor, uint32_t(bytes)};
}
}  // namespace

Wire::Wire(const std::string& path) : fd_(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  connected_ = connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
}

Wire::~Wire() {
  if (fd_ >= 0) close(fd_);
}

bool Wire::send(const void* message, size_t bytes) {
  return ::send(fd_, message, bytes, MSG_NOSIGNAL) == ssize_t(bytes);
}

int Wire::receive() {
  error_ = 0;
  text_.clear();
  bytes_.resize(wire::message_bytes_max);
  pollfd ready{fd_, POLLIN, 0};
  if (poll(&ready, 1, wait_ms) != 1) return 0;
  alignas(cmsghdr) char control[CMSG_SPACE(128 * sizeof(int))];
  iovec part{bytes_.data(), bytes_.size()};
  msghdr packet{};
  packet.msg_iov = &part;
  packet.msg_iovlen = 1;
  packet.msg_control = control;
  packet.msg_controllen = sizeof control;
  const ssize_t got = recvmsg(fd_, &packet, MSG_CMSG_CLOEXEC);
  bytes_.resize(got > 0 ? size_t(got) : 0);
  if (got < ssize_t(sizeof(wire::WireHeader))) return 0;
  for (cmsghdr* c = CMSG_FIRSTHDR(&packet); c; c = CMSG_NXTHDR(&packet, c))
    for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
      close(fd);
    }
  wire::WireHeader header;
  std::memcpy(&header, bytes_.data(), sizeof header);
  if (wire::Type(header.type) == wire::Type::error) {
    wire::Error error;
    std::memcpy(&error, bytes_.data(), sizeof error);
    error_ = error.error;
    text_ = error.text;
  }
  return header.type;
}

int Wire::hello(const std::string& space, uint64_t arena_bytes) {
  wire::Hello hello{};
  hello.header = header_of(wire::Type::hello, sizeof hello);
  std::memcpy(hello.namespace_name, space.c_str(),
              std::min(space.size(), sizeof hello.namespace_name - 1));
  hello.arena_bytes = arena_bytes;
  send(&hello, sizeof hello);
  const int type = receive();
  if (wire::Type(type) != wire::Type::welcome) return error_ ? error_ : -1;
  wire::Welcome welcome;
  std::memcpy(&welcome, bytes_.data(), sizeof welcome);
  session_id_ = welcome.session_id;
  return 0;
}

int Wire::layout(const speckv_layout& layout) {
  wire::LayoutRequest request{};
  request.header = header_of(wire::Type::layout, sizeof request);
  request.layout = layout;
  send(&request, sizeof request);
  if (wire::Type(receive()) == wire::Type::layout_ok) return 0;
  return error_ ? error_ : -1;
}

speckv_layout layout_number(uint64_t n) {
  speckv_layout layout{};
  layout.size = sizeof layout;
  layout.dtype = SPECKV_DTYPE_BF16;
  layout.layers = 2;
  layout.kv_heads = 2;
  layout.head_dim = 64;
  layout.page_tokens = 16;
  layout.block_tokens = 16;
  layout.preset = SPECKV_PRESET_EXACT;
  layout.world = 1;
  std::memcpy(layout.weights_digest, &n, sizeof n);
  return layout;
}

bool Wire::ask(const std::string& question) {
  std::string message(sizeof(wire::WireHeader), '\0');
  message += question;
  const wire::WireHeader header = header_of(wire::Type::control, message.size());
  std::memcpy(message.data(), &header, sizeof header);
  return send(message.data(), message.size());
}

std::string Wire::answer() {
  std::string answer;
  while (wire::Type(receive()) == wire::Type::reply) {
    answer.append(reinterpret_cast<const char*>(bytes_.data()) + sizeof(wire::WireHeader),
                  bytes_.size() - sizeof(wire::WireHeader));
    wire::WireHeader got;
    std::memcpy(&got, bytes_.data(), sizeof got);
    if (!(got.flags & wire::flag_more)) break;
  }
  return answer;
}

nlohmann::json status_of(const std::string& path) {
  Wire asker(path);
  if (!asker.ask("status")) return nullptr;
  return nlohmann::json::parse(asker.answer(), nullptr, false);
}

bool status_becomes(const std::string& path, const std::string& field, uint64_t value) {
  for (int i = 0; i < 2000; i++) {
    const nlohmann::json status = status_of(path);
    if (status.is_object()) {
      const nlohmann::json& space = status["namespaces"][0];
      const nlohmann::json& daemon = status["daemon"];
      const nlohmann::json& from = space.contains(field) ? space : daemon;
      if (from[field].get<uint64_t>() == value) return true;
    }
    usleep(10'000);
  }
  return false;
}

int as_uid(uid_t uid, const std::vector<gid_t>& groups, const std::function<bool()>& work) {
  const pid_t child = fork();
  if (child == 0) {
    const bool ready =
        setgroups(groups.size(), groups.data()) == 0 && setgid(uid) == 0 && setuid(uid) == 0;
    bool well = false;
    try {
      well = ready && work();
    } catch (...) {
    }
    _exit(well ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace speckv::test
