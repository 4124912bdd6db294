// SPDX-License-Identifier: Apache-2.0
// spill_daemon_test.cpp - a real daemon with a real spill file: more blocks than the pool has room
// for are all read back, byte for byte; after kill -9 in the middle of it, too; what was removed is
// gone; and a file that is not its own is left alone.
//
// Blocks that the daemon says it evicted before they were written may be missing, no others.
#include <unistd.h>

#include <cctype>
#include <filesystem>
#include <fstream>

#include "client.hpp"

namespace speckv::test {
namespace {

class SpillDaemon : public LibTest {
 protected:
  void SetUp() override {
    char name[] = "/var/tmp/speckv-spilled-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    folder_ = name;
  }
  void TearDown() override {
    client_.reset();
    daemon_.reset();
    std::filesystem::remove_all(folder_);
  }
  std::string spill_path() const { return folder_ + "/spill"; }
  // A pool of 16 MiB, a tier of 128 MiB below it.
  void begin_spilled() {
    DaemonOptions options;
    options.pool_bytes = "16MiB";
    options.data_threads = 1;
    options.namespace_lines = "spill_path = \"" + spill_path() + "\"\nspill_bytes = \"128MiB\"\n" +
                              "spill_entries = 4096\n";
    begin(options);
    layout_ = small_layout(4);
    layout_.head_dim = 96;
    number_ = client().add_layout(layout_);
    kv_ = std::make_unique<Kv>(layout_, Arrangement::token_major);
  }
  void put(uint64_t first, uint64_t count) {
    for (uint64_t i = first; i < first + count; i++) {
      ASSERT_EQ(client().put(number_, i, *kv_), 0) << i;
      if (i % 8 == 7) usleep(2000);  // a storm would outrun any disk
    }
  }
  // Held one by one and read. Returns: how many were there; wrong ones fail the test.
  uint64_t read_back(uint64_t first, uint64_t count) {
    uint64_t found = 0;
    for (uint64_t i = first; i < first + count; i++) {
      uint64_t held = 0;
      uint8_t hit = 0;
      const auto keys = keys_of(i, 1);
      const int leading = speckv_hold(client().get(), number_, as_keys(keys), 1, 20 * second_ns,
                                      20 * second_ns, &hit, &held);
      EXPECT_GE(leading, 0) << i << ": " << leading << daemon().log();
      if (leading != 1) continue;
      found++;
      EXPECT_EQ(client().get(number_, i, *kv_), 0) << i;
      EXPECT_EQ(kv_->wrong(i), 0u) << i;
      EXPECT_EQ(speckv_unhold(client().get(), held), 0);
    }
    return found;
  }
  bool reconnected(uint64_t before) {
    for (int i = 0; i < 4000; i++) {
      if (client().stats().reconnects > before) return true;
      client().get(number_, 987654, *kv_);
      usleep(5000);
    }
    return false;
  }

  std::string folder_;
  speckv_layout layout_;
  uint32_t number_ = 0;
  std::unique_ptr<Kv> kv_;
};

// 600 blocks of 96 KiB: 57 MiB in a pool of 16.
TEST_F(SpillDaemon, WhatDoesNotFitThePoolIsReadBack) {
  begin_spilled();
  put(0, 600);
  uint64_t in_pool = 0;
  for (uint64_t i = 0; i < 600; i++) in_pool += client().exists(number_, i);
  EXPECT_LT(in_pool, 200u);
  EXPECT_EQ(read_back(0, 600), 600u) << daemon().log();
  EXPECT_EQ(client().get(number_, 5000, *kv_), -ENOENT);
  EXPECT_EQ(read_back(5000, 1), 0u);
}

TEST_F(SpillDaemon, KillsLoseNothingThatWasSpilled) {
  begin_spilled();
  put(0, 300);
  ASSERT_EQ(read_back(0, 300), 300u) << daemon().log();
  for (uint64_t round = 0; round < 4; round++) {
    put(1000 * (round + 1), 60);  // the kill comes while some of these go down
    daemon().kill();
    ASSERT_TRUE(daemon().start()) << daemon().log();
    ASSERT_TRUE(reconnected(round)) << daemon().log();
    EXPECT_EQ(read_back(0, 300), 300u) << "round " << round << daemon().log();
  }
}

TEST_F(SpillDaemon, WhatWasRemovedStaysRemoved) {
  begin_spilled();
  put(0, 400);
  for (uint64_t i = 0; i < 40; i++) {
    const auto keys = keys_of(i, 1);
    ASSERT_EQ(speckv_remove(client().get(), number_, as_keys(keys), 1, i), 1);
    const auto done = client().reap(1);
    ASSERT_EQ(done.size(), 1u);
    EXPECT_EQ(done[0].result, 0) << i << daemon().log();
  }
  EXPECT_EQ(read_back(0, 40), 0u);
  daemon().kill();
  ASSERT_TRUE(daemon().start()) << daemon().log();
  ASSERT_TRUE(reconnected(0)) << daemon().log();
  EXPECT_EQ(read_back(0, 40), 0u);
  EXPECT_EQ(read_back(40, 360), 360u) << daemon().log();
}

TEST_F(SpillDaemon, AnotherFileEndsTheStartAndIsLeftAlone) {
  { std::ofstream(spill_path()) << "something of somebody"; }
  DaemonOptions options;
  options.namespace_lines = "spill_path = \"" + spill_path() + "\"\nspill_bytes = \"128MiB\"\n";
  DaemonProcess daemon(options);
  EXPECT_FALSE(daemon.start());
  EXPECT_NE(daemon.log().find("holds something else"), std::string::npos) << daemon.log();
  EXPECT_EQ(std::filesystem::file_size(spill_path()), 21u);
}

}  // namespace
}  // namespace speckv::test
