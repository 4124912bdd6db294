// SPDX-License-Identifier: Apache-2.0
#include "server.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace speckv::device {

Server::Server(Backend& backend, const std::atomic<bool>* is_off_bus)
    : backend_(backend),
      device_(backend, memory_, is_off_bus),
      stop_event_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      worker_([this] { run_commands(); }) {}

Server::~Server() {
  stop();
  worker_.join();
}

void Server::stop() {
  is_stopping_ = true;
  const uint64_t one = 1;
  (void)!write(stop_event_.get(), &one, sizeof(one));
  wake();
}

void Server::wake() {
  {
    const std::lock_guard lock(wake_lock_);
    is_awake_ = true;
  }
  wake_.notify_one();
}

void Server::run_commands() {
  while (!is_stopping_) {
    {
      std::unique_lock lock(wake_lock_);
      wake_.wait(lock, [this] { return is_awake_; });
      is_awake_ = false;
    }
    bool is_busy = true;
    while (is_busy && !is_stopping_) {
      is_busy = backend_.work(memory_);
      while (const std::optional<uint8_t> vector = backend_.take_interrupt())
        device_.deliver(*vector);
    }
  }
}

void Server::serve(Descriptor connection) {
  std::vector<std::byte> bytes;
  std::vector<Descriptor> descriptors;
  while (!is_stopping_ && receive(connection.get(), &bytes, &descriptors)) {
    Message message;
    const int error = parse(bytes, &message);
    const Answer answer =
        error != 0 ? Answer(error) : device_.answer(message, std::move(descriptors));
    descriptors.clear();
    // a write may have been a doorbell; whoever has nothing to do goes back to sleep
    if (Command(message.header.command) == Command::region_write) wake();
    if (!message.wants_reply) continue;
    if (!send_all(connection.get(), answer.reply_to(message.header))) break;
  }
  device_.forget_client();
}

bool Server::receive(int connection, std::vector<std::byte>* ret_bytes,
                     std::vector<Descriptor>* ret_descriptors) {
  ret_descriptors->clear();
  ret_bytes->resize(header_bytes);
  if (!read_all(connection, *ret_bytes, ret_descriptors)) return false;
  const std::optional<Header> header = parse_header(*ret_bytes);
  if (!header) return false;
  ret_bytes->resize(header->size);
  return read_all(connection, std::span(*ret_bytes).subspan(header_bytes), ret_descriptors);
}

bool Server::read_all(int connection, std::span<std::byte> into,
                      std::vector<Descriptor>* ret_descriptors) {
  while (!into.empty()) {
    std::array<pollfd, 2> sources{{{connection, POLLIN, 0}, {stop_event_.get(), POLLIN, 0}}};
    if (poll(sources.data(), sources.size(), -1) < 0 && errno != EINTR) return false;
    if (is_stopping_) return false;
    iovec part{into.data(), into.size()};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(descriptors_max * sizeof(int))> control;
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const ssize_t got = recvmsg(connection, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (got <= 0) return false;
    bool is_cut = (message.msg_flags & MSG_CTRUNC) != 0;
    for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
      if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
      const size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      for (size_t i = 0; i < count; ++i) {
        int number;
        std::memcpy(&number, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
        ret_descriptors->emplace_back(number);
      }
    }
    is_cut |= ret_descriptors->size() > descriptors_max;
    if (is_cut) return false;
    into = into.subspan(size_t(got));
  }
  return true;
}

// A client that does not read its answers waits for nobody but itself: stop() ends that, too.
bool Server::send_all(int connection, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    std::array<pollfd, 2> sources{{{connection, POLLOUT, 0}, {stop_event_.get(), POLLIN, 0}}};
    if (poll(sources.data(), sources.size(), -1) < 0 && errno != EINTR) return false;
    if (is_stopping_) return false;
    const ssize_t sent = send(connection, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (sent <= 0) return false;
    bytes = bytes.subspan(size_t(sent));
  }
  return true;
}

int listen_at(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path)) {
    errno = ENAMETOOLONG;
    return -1;
  }
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  struct stat about {};
  if (lstat(path.c_str(), &about) == 0 && S_ISSOCK(about.st_mode)) unlink(path.c_str());
  Descriptor listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (listener.get() < 0) return -1;
  const auto* raw = reinterpret_cast<const sockaddr*>(&address);
  if (bind(listener.get(), raw, sizeof(address)) != 0 || listen(listener.get(), 1) != 0) return -1;
  return dup(listener.get());
}

}  // namespace speckv::device
