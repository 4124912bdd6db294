// SPDX-License-Identifier: Apache-2.0
// slow_disk.cpp - see slow_disk.hpp. As much of the FUSE protocol as one file needs.
#include "slow_disk.hpp"

#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace speckv::test {
namespace {

constexpr uint64_t file_node = 2;
constexpr uint32_t transfer_max = 1 << 20;
constexpr int poll_ms = 20;

fuse_attr attributes(uint64_t node, uint64_t bytes) {
  fuse_attr attr{};
  attr.ino = node;
  attr.mode = node == file_node ? S_IFREG | 0600 : S_IFDIR | 0700;
  attr.nlink = 1;
  attr.blksize = 4096;
  attr.size = node == file_node ? bytes : 0;
  attr.blocks = attr.size / 512;
  return attr;
}

template <typename T>
const T& body(const std::vector<std::byte>& message) {
  return *reinterpret_cast<const T*>(message.data() + sizeof(fuse_in_header));
}

}  // namespace

SlowDisk::SlowDisk(const std::string& folder, const std::string& backing, uint64_t bytes)
    : folder_(folder), bytes_(bytes) {
  backing_ = open(backing.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  fuse_ = open("/dev/fuse", O_RDWR | O_CLOEXEC);
  if (backing_ < 0 || fuse_ < 0 || ftruncate(backing_, off_t(bytes)) != 0) return;
  const std::string options =
      "fd=" + std::to_string(fuse_) + ",rootmode=40000,user_id=0,group_id=0,allow_other";
  if (mount("slow-disk", folder.c_str(), "fuse", MS_NOSUID | MS_NODEV, options.c_str()) != 0)
    return;
  mounted_ = true;
  thread_ = std::thread([this] { serve(); });
}

SlowDisk::~SlowDisk() {
  go_on();
  if (mounted_) umount2(folder_.c_str(), MNT_DETACH);
  over_ = true;
  if (thread_.joinable()) thread_.join();
  if (fuse_ >= 0) close(fuse_);
  if (backing_ >= 0) close(backing_);
}

void SlowDisk::go_on() {
  still_ = false;
  std::vector<Message> held;
  {
    std::lock_guard lock(lock_);
    held.swap(held_);
  }
  for (const Message& message : held) answer(message);
}

size_t SlowDisk::waiting() {
  std::lock_guard lock(lock_);
  return held_.size();
}

void SlowDisk::serve() {
  std::vector<std::byte> buffer(transfer_max + 4096);
  while (!over_) {
    pollfd ready{fuse_, POLLIN, 0};
    if (poll(&ready, 1, poll_ms) <= 0) continue;
    const ssize_t got = read(fuse_, buffer.data(), buffer.size());
    if (got < 0 && errno == ENODEV) return;  // unmounted
    if (got < ssize_t(sizeof(fuse_in_header))) continue;
    Message message(buffer.begin(), buffer.begin() + got);
    const uint32_t opcode = reinterpret_cast<const fuse_in_header*>(message.data())->opcode;
    if (still_ && (opcode == FUSE_READ || opcode == FUSE_WRITE || opcode == FUSE_FSYNC)) {
      std::lock_guard lock(lock_);
      held_.push_back(std::move(message));
      continue;
    }
    answer(message);
  }
}

void SlowDisk::reply(uint64_t unique, int error, const void* data, size_t bytes) {
  fuse_out_header head{};
  head.len = uint32_t(sizeof head + (error ? 0 : bytes));
  head.error = error;
  head.unique = unique;
  iovec parts[2] = {{&head, sizeof head}, {const_cast<void*>(data), bytes}};
  [[maybe_unused]] const ssize_t ignored = writev(fuse_, parts, error || bytes == 0 ? 1 : 2);
}

void SlowDisk::answer_read(const Message& message, uint64_t unique) {
  const auto& wanted = body<fuse_read_in>(message);
  Message bytes(wanted.size);
  const ssize_t got = pread(backing_, bytes.data(), wanted.size, off_t(wanted.offset));
  reply(unique, got < 0 ? -errno : 0, bytes.data(), got < 0 ? 0 : size_t(got));
}

void SlowDisk::answer_write(const Message& message, uint64_t unique) {
  const auto& wanted = body<fuse_write_in>(message);
  const ssize_t put = pwrite(backing_, reinterpret_cast<const std::byte*>(&wanted + 1), wanted.size,
                             off_t(wanted.offset));
  fuse_write_out done{};
  done.size = put < 0 ? 0 : uint32_t(put);
  reply(unique, put < 0 ? -errno : 0, &done, sizeof done);
}

void SlowDisk::answer(const Message& message) {
  const auto& head = *reinterpret_cast<const fuse_in_header*>(message.data());
  const bool moves = head.opcode == FUSE_READ || head.opcode == FUSE_WRITE;
  if (moves && error_) return reply(head.unique, -error_);
  switch (head.opcode) {
    case FUSE_INIT: {
      fuse_init_out out{};
      out.major = FUSE_KERNEL_VERSION;
      out.minor = FUSE_KERNEL_MINOR_VERSION;
      out.max_readahead = transfer_max;
      out.flags = FUSE_BIG_WRITES | FUSE_MAX_PAGES;
      out.max_background = 64;
      out.max_write = transfer_max;
      out.max_pages = transfer_max / 4096;
      return reply(head.unique, 0, &out, sizeof out);
    }
    case FUSE_LOOKUP: {
      const char* name = reinterpret_cast<const char*>(&head + 1);
      if (std::strcmp(name, "disk") != 0) return reply(head.unique, -ENOENT);
      fuse_entry_out out{};
      out.nodeid = file_node;
      out.attr = attributes(file_node, bytes_);
      return reply(head.unique, 0, &out, sizeof out);
    }
    case FUSE_GETATTR:
    case FUSE_SETATTR: {
      fuse_attr_out out{};
      out.attr = attributes(head.nodeid, bytes_);
      return reply(head.unique, 0, &out, sizeof out);
    }
    case FUSE_OPEN:
    case FUSE_OPENDIR: {
      fuse_open_out out{};
      return reply(head.unique, 0, &out, sizeof out);
    }
    case FUSE_READ:
      return answer_read(message, head.unique);
    case FUSE_WRITE:
      return answer_write(message, head.unique);
    case FUSE_STATFS: {
      fuse_statfs_out out{};
      out.st.bsize = out.st.frsize = 4096;
      out.st.blocks = out.st.bfree = out.st.bavail = 1u << 30;
      return reply(head.unique, 0, &out, sizeof out);
    }
    case FUSE_FALLOCATE:
    case FUSE_FSYNC:
    case FUSE_FLUSH:
    case FUSE_RELEASE:
    case FUSE_RELEASEDIR:
      return reply(head.unique, 0);
    case FUSE_FORGET:
    case FUSE_BATCH_FORGET:
    case FUSE_INTERRUPT:  // nothing of it is taken back
      return;
    default:
      return reply(head.unique, -ENOSYS);
  }
}

}  // namespace speckv::test
