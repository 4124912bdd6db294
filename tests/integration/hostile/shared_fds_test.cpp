// SPDX-License-Identifier: Apache-2.0
// shared_fds_test.cpp - nothing that a client does to the descriptors it shares with the daemon
// stops anybody else or leaves anything behind.
//
// How: a raw client arranges each of them as badly as it can, a client of the library puts blocks
// beside it, and the daemon still ends by SIGTERM. What a session had is looked for in the kernel:
// blocks of its memory's file, and maps and descriptors of the daemon.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <functional>
#include <thread>

#include "client.hpp"
#include "raw_client.hpp"
#include "shm/atomics.hpp"

namespace {

using namespace speckv;
using namespace speckv::test;

constexpr uint64_t mib = 1 << 20;

bool soon(const std::function<bool()>& happened) {
  for (int i = 0; i < 20'000 && !happened(); i++) usleep(1000);
  return happened();
}

shm::Submission nothing_to_do() {
  shm::Submission submission{};
  submission.op = uint8_t(shm::Op::unhold);
  submission.hold = 5;
  return submission;
}

size_t session_maps(pid_t pid) {
  std::ifstream maps("/proc/" + std::to_string(pid) + "/maps");
  size_t count = 0;
  for (std::string line; std::getline(maps, line);)
    count += line.find("memfd:speckv:session") != std::string::npos;
  return count;
}

class SharedFds : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(daemon_.start()) << daemon_.log(); }
  // Its own uid may stop it with SIGTERM, however many hang on its descriptors.
  void TearDown() override {
    const pid_t pid = daemon_.pid();
    ::kill(pid, SIGTERM);
    siginfo_t ended{};
    EXPECT_TRUE(soon([&] {
      return waitid(P_PID, id_t(pid), &ended, WEXITED | WNOHANG | WNOWAIT) == 0 && ended.si_pid;
    })) << "SIGTERM does not end it";
  }
  RawClient attacker(uint64_t arena_bytes = mib) {
    RawClient client;
    EXPECT_EQ(client.open(daemon_.socket_path(), "default", arena_bytes), 0) << daemon_.log();
    return client;
  }
  void victim_is_served() {
    Client client(daemon_.socket_path());
    ASSERT_EQ(client.opened(), 0);
    const speckv_layout layout = small_layout();
    const uint32_t number = client.add_layout(layout);
    Kv kv(layout, Arrangement::token_major);
    for (uint64_t i = 0; i < 32; i++) ASSERT_EQ(client.put(number, victims_next_++, kv), 0);
  }

  DaemonProcess daemon_{DaemonOptions{}};
  uint64_t victims_next_ = 1;
};

TEST_F(SharedFds, AFullEventFdThatBlocks) {
  RawClient client = attacker();
  set_blocking(client.event_fd(), true);
  fill(client.event_fd());
  for (uint32_t i = 1; i <= 3; i++)
    for (uint32_t shard = 0; shard < client.shards(); shard++) {
      client.submit(shard, nothing_to_do());
      ASSERT_TRUE(client.completed(shard, i)) << "shard " << shard << " stands still";
    }
  victim_is_served();
}

// Between a look at the flag and the write the flag changes: looking does not help.
TEST_F(SharedFds, AnEventFdWhoseFlagFlickers) {
  RawClient client = attacker();
  std::atomic<bool> over{false};
  fill(client.event_fd());
  std::thread flicker([&] {
    for (bool blocking = true; !over; blocking = !blocking)
      set_blocking(client.event_fd(), blocking);
  });
  for (uint32_t i = 1; i <= 2000; i++) {
    client.submit(0, nothing_to_do());
    shm::store_release(client.area(0).cq_head.value, i - 1);
    if (!client.completed(0, i)) {
      ADD_FAILURE() << "stands still after " << i;
      break;
    }
  }
  over = true;
  flicker.join();
  victim_is_served();
}

TEST_F(SharedFds, FullDoorbellsAtHangUp) {
  for (int round = 0; round < 4; round++) {
    std::vector<RawClient> clients;
    for (int i = 0; i < 40; i++) clients.push_back(attacker(64 << 10));
    std::atomic<bool> over{false};
    std::thread filler([&] {
      while (!over)
        for (RawClient& client : clients)
          for (uint32_t shard = 0; shard < client.shards(); shard++) fill(client.doorbell(shard));
    });
    for (RawClient& client : clients) client.hang_up();
    victim_is_served();
    over = true;
    filler.join();
  }
  EXPECT_TRUE(soon([&] { return session_maps(daemon_.pid()) == 0; }));
}

TEST_F(SharedFds, AStolenDoorbellLeavesNothingBehind) {
  attacker();  // whatever a first session makes for good
  EXPECT_TRUE(soon([&] { return session_maps(daemon_.pid()) == 0; }));
  const size_t before = descriptors(daemon_.pid());
  for (int i = 0; i < 60; i++) {
    RawClient client = attacker(64 << 10);
    std::atomic<bool> over{false};
    for (uint32_t shard = 0; shard < client.shards(); shard++)
      set_blocking(client.doorbell(shard), false);
    std::thread thief([&] {
      uint64_t count = 0;
      while (!over)
        for (uint32_t shard = 0; shard < client.shards(); shard++)
          [[maybe_unused]] const ssize_t got = read(client.doorbell(shard), &count, sizeof count);
    });
    client.submit(0, nothing_to_do());
    client.hang_up();
    usleep(5000);
    over = true;
    thief.join();
  }
  EXPECT_TRUE(soon([&] { return session_maps(daemon_.pid()) == 0; }))
      << session_maps(daemon_.pid()) << " sessions are still mapped";
  EXPECT_TRUE(soon([&] { return descriptors(daemon_.pid()) <= before; }))
      << before << " descriptors before, " << descriptors(daemon_.pid()) << " now";
  victim_is_served();
}

TEST_F(SharedFds, MemoryGoesBackThoughItsDescriptorIsKept) {
  std::vector<RawClient> kept;
  for (int i = 0; i < 8; i++) {
    kept.push_back(attacker(64 * mib));
    kept.back().hang_up();
  }
  for (RawClient& client : kept)
    EXPECT_TRUE(soon([&] {
      struct stat file {};
      return fstat(client.memory_fd(), &file) == 0 && file.st_blocks == 0;
    })) << "the pages of an ended session are still there";
  victim_is_served();
}

// Flags, owners, locks, leases, sizes and seals of each descriptor: refused, or nobody else's
// trouble.
TEST_F(SharedFds, WhateverIsSetOnThem) {
  RawClient client = attacker();
  std::vector<int> all{client.memory_fd(), client.pool_fd(), client.index_fd(), client.event_fd()};
  for (uint32_t shard = 0; shard < client.shards(); shard++) all.push_back(client.doorbell(shard));
  for (const int fd : all) {
    fcntl(fd, F_SETFL, O_ASYNC | O_APPEND);
    fcntl(fd, F_SETOWN, daemon_.pid());
    fcntl(fd, F_SETSIG, SIGKILL);
    fcntl(fd, F_SETLEASE, F_RDLCK);
    flock(fd, LOCK_EX | LOCK_NB);
    struct flock whole {};
    whole.l_type = F_WRLCK;
    fcntl(fd, F_OFD_SETLK, &whole);
  }
  for (const int fd : {client.memory_fd(), client.pool_fd(), client.index_fd()}) {
    EXPECT_NE(ftruncate(fd, 0), 0);
    EXPECT_NE(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
  }
  for (const int fd : {client.pool_fd(), client.index_fd()})
    EXPECT_NE(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), 0);
  client.submit(0, nothing_to_do());
  EXPECT_TRUE(client.completed(0, 1));
  victim_is_served();
  daemon_.kill();  // and the locks are nobody's trouble at the next start either
  ASSERT_TRUE(daemon_.start()) << daemon_.log();
  victim_is_served();
}

// Its own memory's pages taken away under the daemon's hands: they read as zeros.
TEST_F(SharedFds, HolesInItsMemory) {
  RawClient client = attacker();
  EXPECT_EQ(fallocate(client.memory_fd(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
                      off_t(client.memory_bytes())),
            0);
  client.submit(0, nothing_to_do());
  victim_is_served();
}

}  // namespace
