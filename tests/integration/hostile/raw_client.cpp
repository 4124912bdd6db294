// SPDX-License-Identifier: Apache-2.0
#include "raw_client.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <utility>

#include "shm/atomics.hpp"

namespace speckv::test {

namespace {
constexpr int patience_ms = 20'000;  // a machine that others load
constexpr uint64_t brim = 0xfffffffffffffffe;
}  // namespace

RawClient::RawClient(RawClient&& other) noexcept
    : socket_(std::exchange(other.socket_, -1)),
      welcome_(other.welcome_),
      fds_(std::exchange(other.fds_, {})),
      memory_(std::exchange(other.memory_, nullptr)),
      tails_(std::move(other.tails_)) {}

RawClient::~RawClient() {
  if (memory_) munmap(memory_, memory_bytes());
  for (const int fd : fds_) close(fd);
  hang_up();
}

void RawClient::hang_up() {
  if (socket_ >= 0) close(std::exchange(socket_, -1));
}

int RawClient::open(const std::string& socket_path, const char* space, uint64_t arena_bytes) {
  socket_ = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::snprintf(address.sun_path, sizeof address.sun_path, "%s", socket_path.c_str());
  if (connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return -errno;
  wire::Hello hello{};
  hello.header = {wire::magic,         uint16_t(wire::Type::hello), 0,
                  wire::version_major, wire::version_minor,         sizeof hello};
  std::snprintf(hello.namespace_name, sizeof hello.namespace_name, "%s", space);
  hello.arena_bytes = arena_bytes;
  if (send(socket_, &hello, sizeof hello, MSG_NOSIGNAL) < 0 && errno != EPIPE) return -errno;
  pollfd answer{socket_, POLLIN, 0};
  if (poll(&answer, 1, patience_ms) <= 0) return -ETIMEDOUT;
  alignas(8) char message[wire::message_bytes_max], control[1024];
  iovec part{message, sizeof message};
  msghdr packet{};
  packet.msg_iov = &part;
  packet.msg_iovlen = 1;
  packet.msg_control = control;
  packet.msg_controllen = sizeof control;
  ssize_t bytes = recvmsg(socket_, &packet, MSG_CMSG_CLOEXEC);
  if (bytes < 0 && errno == ECONNRESET) bytes = recvmsg(socket_, &packet, MSG_CMSG_CLOEXEC);
  if (bytes <= 0) return bytes < 0 ? -errno : -ECONNRESET;
  wire::Error error{};
  std::memcpy(&error, message, std::min(sizeof error, size_t(bytes)));
  if (error.header.type == uint16_t(wire::Type::error)) return -error.error;
  std::memcpy(&welcome_, message, sizeof welcome_);
  const cmsghdr* rights = CMSG_FIRSTHDR(&packet);
  if (!rights) return -EBADMSG;
  fds_.resize((rights->cmsg_len - CMSG_LEN(0)) / sizeof(int));
  std::memcpy(fds_.data(), CMSG_DATA(rights), fds_.size() * sizeof(int));
  tails_.assign(shards(), 0);
  return 0;
}

shm::ShardArea& RawClient::area(uint32_t shard) {
  if (!memory_)
    memory_ = static_cast<std::byte*>(
        mmap(nullptr, memory_bytes(), PROT_READ | PROT_WRITE, MAP_SHARED, memory_fd(), 0));
  return reinterpret_cast<shm::ShardArea*>(memory_ + shm::shards_offset)[shard];
}

void RawClient::submit(uint32_t shard, const shm::Submission& submission) {
  shm::ShardArea& shared = area(shard);
  shared.sq[tails_[shard] % shm::sq_entries] = submission;
  shm::store_release(shared.sq_tail.value, ++tails_[shard]);
  pollfd room{doorbell(shard), POLLOUT, 0};
  const uint64_t one = 1;
  if (poll(&room, 1, 0) == 1) [[maybe_unused]]
    const ssize_t rang = write(room.fd, &one, sizeof one);
}

bool RawClient::completed(uint32_t shard, uint32_t count) {
  for (int i = 0; i < patience_ms; i++) {
    if (shm::load_acquire(area(shard).cq_tail.value) >= count) return true;
    usleep(1000);
  }
  return false;
}

void fill(int event_fd) {
  uint64_t count = 0;
  pollfd some{event_fd, POLLIN, 0};
  if (poll(&some, 1, 0) == 1) [[maybe_unused]]
    const ssize_t got = read(event_fd, &count, sizeof count);
  pollfd room{event_fd, POLLOUT, 0};
  if (poll(&room, 1, 0) == 1) [[maybe_unused]]
    const ssize_t put = write(event_fd, &brim, sizeof brim);
}

void set_blocking(int fd, bool blocking) {
  const int flags = fcntl(fd, F_GETFL);
  fcntl(fd, F_SETFL, blocking ? flags & ~O_NONBLOCK : flags | O_NONBLOCK);
}

size_t descriptors(pid_t pid) {
  size_t count = 0;
  std::error_code ignored;
  const std::string folder = "/proc/" + std::to_string(pid) + "/fd";
  for ([[maybe_unused]] const auto& each : std::filesystem::directory_iterator(folder, ignored))
    count++;
  return count;
}

}  // namespace speckv::test
