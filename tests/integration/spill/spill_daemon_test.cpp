// SPDX-License-Identifier: Apache-2.0
// spill_daemon_test.cpp - a real daemon with a real spill file: more blocks than the pool has room
// for are all read back, byte for byte; after kill -9 in the middle of it, too; what was removed is
// gone; and a file that is not its own is left alone.
//
// Blocks that the daemon says it evicted before they were written may be missing, no others.
#include <fstream>

#include "spill_daemon.hpp"

namespace speckv::test {
namespace {

// 600 blocks of 96 KiB: 57 MiB in a pool of 16.
TEST_F(SpillDaemon, WhatDoesNotFitThePoolIsReadBack) {
  begin_spilled();
  put(0, 600);
  uint64_t in_pool = 0;
  for (uint64_t i = 0; i < 600; i++) in_pool += client().exists(number_, i);
  EXPECT_LT(in_pool, 200u);
  read_what_was_spilled(0, 600);
  EXPECT_EQ(client().get(number_, 5000, *kv_), -ENOENT);
  EXPECT_EQ(read_back(5000, 1), 0u);
}

// Side bytes go down, come up and outlive the daemon with their KV: 300 blocks of 210 KiB.
TEST_F(SpillDaemon, SideBytesAreOneWithTheirBlock) {
  begin_spilled();
  layout_.side_bytes = 120'001;
  number_ = client().add_layout(layout_);
  kv_ = std::make_unique<Kv>(layout_, Arrangement::token_major);
  put(0, 300);
  read_what_was_spilled(0, 300);
  const uint64_t found = read_back(0, 200);
  daemon().kill();
  ASSERT_TRUE(daemon().start()) << daemon().log();
  ASSERT_TRUE(reconnected(0)) << daemon().log();
  EXPECT_EQ(read_back(0, 200), found) << daemon().log();
}

TEST_F(SpillDaemon, KillsLoseNothingThatWasSpilled) {
  begin_spilled();
  put(0, 300);
  uint64_t found = read_what_was_spilled(0, 300), lost = 0;
  for (uint64_t round = 0; round < 4; round++) {
    put(1000 * (round + 1), 60);  // the kill comes while some of these go down
    lost += unwritten();
    daemon().kill();
    ASSERT_TRUE(daemon().start()) << daemon().log();
    ASSERT_TRUE(reconnected(round)) << daemon().log();
    const uint64_t again = read_back(0, 300);
    EXPECT_GE(again + lost + unwritten(), found) << "round " << round << daemon().log();
    found = again;
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
  const uint64_t found = read_what_was_spilled(40, 360);
  daemon().kill();
  ASSERT_TRUE(daemon().start()) << daemon().log();
  ASSERT_TRUE(reconnected(0)) << daemon().log();
  EXPECT_EQ(read_back(0, 40), 0u);
  EXPECT_EQ(read_back(40, 360), found) << daemon().log();
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
