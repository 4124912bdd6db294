// SPDX-License-Identifier: Apache-2.0
// near_test.cpp - near memory with a real daemon: blocks that are read often come there and read
// the same, a daemon that is killed leaves them in the pool, and a client that cannot read there
// never sees an entry that refers to it.
//
// How: what stands there is asked of the daemon as speckvctl asks; the old client is a socket that
// says hello without the feature, and looks through the index that it was given.
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <fcntl.h>

#include <atomic>
#include <cstdlib>
#include <string>
#include <thread>

#include "client.hpp"
#include "shm/index.hpp"
#include "shm/pool_format.hpp"
#include "shm/wire.hpp"

namespace speckv::test {
namespace {

// A connection that speaks the wire by itself.
class Wire {
 public:
  explicit Wire(const std::string& path) {
    socket_ = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    EXPECT_EQ(connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }
  ~Wire() {
    for (int fd : fds_) close(fd);
    close(socket_);
  }
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;

  static wire::WireHeader header(wire::Type type, size_t bytes) {
    return {wire::magic,         uint16_t(type),      0,
            wire::version_major, wire::version_minor, uint32_t(bytes)};
  }
  std::string status() {
    const std::string request = "status";
    std::string message(sizeof(wire::WireHeader), '\0');
    const wire::WireHeader head = header(wire::Type::control, sizeof head + request.size());
    std::memcpy(message.data(), &head, sizeof head);
    message += request;
    EXPECT_EQ(send(socket_, message.data(), message.size(), 0), ssize_t(message.size()));
    std::string text;
    for (bool more = true; more;) {
      std::vector<char> reply(wire::message_bytes_max);
      const ssize_t got = recv(socket_, reply.data(), reply.size(), 0);
      if (got <= ssize_t(sizeof head)) return "";
      more = reinterpret_cast<const wire::WireHeader*>(reply.data())->flags & wire::flag_more;
      text.append(reply.data() + sizeof head, size_t(got) - sizeof head);
    }
    return text;
  }
  wire::Welcome hello(uint64_t features) {
    wire::Hello hello{};
    hello.header = header(wire::Type::hello, sizeof hello);
    std::strcpy(hello.namespace_name, "default");
    hello.features = features;
    EXPECT_EQ(send(socket_, &hello, sizeof hello, 0), ssize_t(sizeof hello));
    wire::Welcome welcome{};
    iovec part{&welcome, sizeof welcome};
    alignas(cmsghdr) char control[CMSG_SPACE(80 * sizeof(int))];
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    EXPECT_EQ(recvmsg(socket_, &message, 0), ssize_t(sizeof welcome));
    EXPECT_EQ(welcome.header.type, uint16_t(wire::Type::welcome));
    for (cmsghdr* c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c))
      for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
        fds_.push_back(-1);
        std::memcpy(&fds_.back(), CMSG_DATA(c) + i * sizeof(int), sizeof(int));
      }
    return welcome;
  }
  const std::vector<int>& fds() const { return fds_; }

 private:
  int socket_ = -1;
  std::vector<int> fds_;
};

class NearMemory : public LibTest {
 protected:
  void begin_near(const char* pool_bytes = "64MiB") {
    DaemonOptions options;
    options.pool_bytes = pool_bytes;
    options.namespace_lines = "near_bytes = \"16MiB\"\n";
    begin(options);
    layout_ = small_layout();
    number_ = client().add_layout(layout_);
    kv_ = std::make_unique<Kv>(layout_, Arrangement::token_major);
  }
  void put(uint64_t first, uint64_t count) {
    for (uint64_t i = first; i < first + count; i++)
      ASSERT_EQ(client().put(number_, i, *kv_), 0) << i;
  }
  // Of the namespace's near memory; -1: there is none.
  int64_t near(const char* field) {
    const std::string text = Wire(daemon().socket_path()).status();
    const size_t object = text.find("\"near\":{");
    const size_t at = text.find(std::string("\"") + field + "\":", object);
    if (object == std::string::npos || at == std::string::npos) return -1;
    return std::atoll(text.c_str() + at + std::strlen(field) + 3);
  }
  // Reads them all until so many stand near. Returns: how many do, after 20 s.
  int64_t read_until_near(uint64_t blocks, int64_t wanted) {
    int64_t there = 0;
    for (int i = 0; i < 1000; i++) {
      for (uint64_t block = 0; block < blocks; block++)
        if (client().get(number_, block, *kv_) == 0) {
          EXPECT_EQ(kv_->wrong(block), 0u) << block;
        }
      there = near("blocks");
      if (there == wanted) return there;
      usleep(20'000);
    }
    return there;
  }
  bool reconnected(uint64_t before) {
    for (int i = 0; i < 4000; i++) {
      if (client().stats().reconnects > before) return true;
      client().get(number_, 987654, *kv_);
      usleep(5000);
    }
    return false;
  }
  static uint64_t near_refs(int index_fd, uint64_t bytes) {
    auto* file = static_cast<std::byte*>(mmap(nullptr, bytes, PROT_READ, MAP_SHARED, index_fd, 0));
    EXPECT_NE(file, MAP_FAILED);
    const auto* header = reinterpret_cast<const shm::IndexHeader*>(file);
    const auto* table = reinterpret_cast<const shm::Bucket*>(file + shm::index_header_bytes);
    uint64_t count = 0;
    for (uint64_t i = 0; i < uint64_t(header->shards) * header->buckets; i++)
      for (uint32_t slot = 0; slot < shm::bucket_entries; slot++)
        count += table[i].head.tags[slot] && shm::is_near(table[i].entries[slot].ref);
    munmap(file, bytes);
    return count;
  }

  speckv_layout layout_;
  uint32_t number_ = 0;
  std::unique_ptr<Kv> kv_;
};

TEST_F(NearMemory, WhatIsReadOftenComesThereAndReadsTheSame) {
  begin_near();
  put(0, 40);
  EXPECT_EQ(near("blocks"), 0);
  EXPECT_EQ(read_until_near(40, 40), 40) << daemon().log();
  EXPECT_EQ(read_until_near(40, 40), 40);
  EXPECT_EQ(client().stats().corrupt, 0u);
  EXPECT_GT(near("read_touches"), 0);
  Wire other(daemon().socket_path());
  const wire::Welcome welcome = other.hello(wire::feature_near);
  EXPECT_EQ(near_refs(other.fds()[wire::fd_index], welcome.index_bytes), 40u);
  ASSERT_EQ(other.fds().size(), wire::fd_doorbell + welcome.shards + 1);
  const int fd = other.fds().back();
  EXPECT_EQ(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
  EXPECT_EQ(mmap(nullptr, 4096, PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
}

TEST_F(NearMemory, ARemovedOrEvictedBlockIsGoneFromBoth) {
  begin_near("16MiB");
  put(0, 20);
  ASSERT_EQ(read_until_near(20, 20), 20) << daemon().log();
  const auto keys = keys_of(3, 1);
  ASSERT_EQ(speckv_remove(client().get(), number_, as_keys(keys), 1, 1), 1);
  ASSERT_EQ(client().reap(1).size(), 1u);
  EXPECT_EQ(client().get(number_, 3, *kv_), -ENOENT);
  put(3, 1);
  EXPECT_EQ(client().get(number_, 3, *kv_), 0);
  EXPECT_EQ(kv_->wrong(3), 0u);
  put(1000, 4000);  // many times what the pool holds
  for (uint64_t i = 0; i < 20; i++) EXPECT_EQ(client().get(number_, i, *kv_), -ENOENT) << i;
  EXPECT_EQ(near("blocks"), 0);
  EXPECT_EQ(client().stats().corrupt, 0u);
}

TEST_F(NearMemory, AKilledDaemonLeavesAllInThePool) {
  begin_near();
  put(0, 40);
  ASSERT_EQ(read_until_near(40, 40), 40) << daemon().log();
  daemon().kill();
  for (uint64_t i = 0; i < 40; i++) {
    ASSERT_EQ(client().get(number_, i, *kv_), 0) << "old maps go on";
    EXPECT_EQ(kv_->wrong(i), 0u);
  }
  const uint64_t before = client().stats().reconnects;
  ASSERT_TRUE(daemon().start()) << daemon().log();
  EXPECT_EQ(near("blocks"), 0);
  ASSERT_TRUE(reconnected(before));
  for (uint64_t i = 0; i < 40; i++) {
    ASSERT_EQ(client().get(number_, i, *kv_), 0) << i;
    EXPECT_EQ(kv_->wrong(i), 0u);
  }
  EXPECT_EQ(read_until_near(40, 40), 40) << daemon().log();
  EXPECT_EQ(client().stats().corrupt, 0u);
}

// It dies while blocks come and go.
TEST_F(NearMemory, KillsAtAnyMomentShowNoWrongByte) {
  begin_near("32MiB");
  for (int life = 0; life < 6; life++) {
    std::atomic<bool> done{false};
    std::thread reader([&] {
      Client other(daemon().socket_path());
      if (other.opened() != 0) return;
      const uint32_t number = other.add_layout(layout_);
      Kv kv(layout_, Arrangement::token_major);
      for (uint64_t i = 0; !done; i++)
        if (other.get(number, i % 60, kv) == 0) {
          ASSERT_EQ(kv.wrong(i % 60), 0u) << i % 60;
        }
      EXPECT_EQ(other.stats().corrupt, 0u);
    });
    for (uint64_t i = 0; i < 60; i++) client().put(number_, i, *kv_);
    for (int i = 0; i < 20 + 30 * life; i++) {
      client().put(number_, 1000 + uint64_t(i), *kv_);
      usleep(1000);
    }
    daemon().kill();
    usleep(20'000);
    done = true;
    reader.join();
    const uint64_t before = client().stats().reconnects;
    ASSERT_TRUE(daemon().start()) << daemon().log();
    ASSERT_TRUE(reconnected(before));
  }
  EXPECT_EQ(client().stats().corrupt, 0u);
}

TEST_F(NearMemory, AClientThatCannotReadItNeverSeesARefToIt) {
  begin_near();
  put(0, 40);
  ASSERT_EQ(read_until_near(40, 40), 40) << daemon().log();
  {
    Wire old(daemon().socket_path());
    const wire::Welcome welcome = old.hello(0);
    EXPECT_EQ(welcome.near_bytes, 0u);
    EXPECT_EQ(old.fds().size(), wire::fd_doorbell + welcome.shards);
    for (int i = 0; i < 20; i++) {
      EXPECT_EQ(near_refs(old.fds()[wire::fd_index], welcome.index_bytes), 0u) << i;
      for (uint64_t block = 0; block < 40; block++) {
        ASSERT_EQ(client().get(number_, block, *kv_), 0);
        EXPECT_EQ(kv_->wrong(block), 0u);
      }
      usleep(10'000);
    }
    EXPECT_EQ(near("blocks"), 0);
    EXPECT_EQ(near("blind_sessions"), 1);
  }
  EXPECT_EQ(read_until_near(40, 40), 40) << "it has gone";
  EXPECT_EQ(near("blind_sessions"), 0);
}

}  // namespace
}  // namespace speckv::test
