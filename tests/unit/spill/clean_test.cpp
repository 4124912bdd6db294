// SPDX-License-Identifier: Apache-2.0
// clean_test.cpp - the ring comes round: what was read since it was written goes round once more,
// what nobody asked for goes; what is removed meanwhile stays removed; writes are limited and made
// durable in time.
#include "shard_fixture.hpp"

namespace speckv::test {
namespace {

constexpr uint64_t second_ns = 1'000'000'000;

class Clean : public ::testing::Test {
 protected:
  // Blocks 0 to 7 are on the disk alone.
  void begin() {
    for (uint64_t i = 0; i < 8; i++) ASSERT_EQ(shard.put(i), 0);
    shard.press(160);
    for (uint64_t i = 0; i < 8; i++) ASSERT_TRUE(shard.spilled(i) && !shard.in_pool(i)) << i;
  }
  void read(uint64_t number) {
    ASSERT_EQ(shard.hold(number), 0);
    shard.turns(20, 20'000'000);  // the hold ends
  }
  // So many blocks that the ring of 24 units comes round, about 12 blocks a unit.
  void come_round() {
    for (int i = 0; i < 12; i++) shard.press(40);
  }
  SpilledShard shard{24};
};

TEST_F(Clean, WhatWasReadGoesRoundOnceMore) {
  begin();
  for (const uint64_t number : {1, 3, 5}) read(number);
  come_round();
  EXPECT_GT(shard.spill().reclaimed, 40u);
  EXPECT_GE(shard.spill().copied, 3u);
  EXPECT_LT(shard.spill().copied_bytes, shard.spill().demoted_bytes);
  for (const uint64_t number : {1, 3, 5}) {
    EXPECT_EQ(shard.hold(number), 0) << number;
    EXPECT_TRUE(shard.holds(number)) << number;
  }
}

// Whenever the removal comes: before, while and after it is copied.
TEST_F(Clean, WhatIsRemovedMeanwhileStaysRemoved) {
  for (int pressed = 0; pressed < 12; pressed++) {
    SpilledShard fresh(24);
    for (uint64_t i = 0; i < 8; i++) ASSERT_EQ(fresh.put(i), 0);
    fresh.press(160);
    ASSERT_EQ(fresh.hold(3), 0);
    fresh.turns(20, 20'000'000);
    for (int i = 0; i < pressed; i++) fresh.press(20);
    const int removed = fresh.remove(3);
    EXPECT_TRUE(removed == 0 || removed == -ENOENT) << removed;
    for (int i = 0; i < 3; i++) fresh.press(20);
    EXPECT_EQ(fresh.hold(3), -ENOENT) << pressed;
    fresh.restart(true);
    fresh.settle();
    EXPECT_EQ(fresh.hold(3), -ENOENT) << pressed;
  }
}

TEST_F(Clean, AKillWhileItCopiesLosesNothingThatCounted) {
  for (int pressed = 0; pressed < 12; pressed++) {
    SpilledShard fresh(24);
    for (uint64_t i = 0; i < 8; i++) ASSERT_EQ(fresh.put(i), 0);
    fresh.press(160);
    ASSERT_EQ(fresh.hold(3), 0);
    fresh.turns(20, 20'000'000);
    for (int i = 0; i < pressed; i++) fresh.press(20);
    ASSERT_TRUE(fresh.spilled(3) || fresh.in_pool(3)) << pressed;
    fresh.restart();
    fresh.settle();
    EXPECT_EQ(fresh.hold(3), 0) << pressed;
    EXPECT_TRUE(fresh.holds(3)) << pressed;
  }
}

// What does not fit into a second's bytes is not written, and that is counted.
TEST_F(Clean, WritesAreLimited) {
  shard.write_bytes_s = 1 << 20;
  shard.start(false);
  for (int i = 0; i < 8; i++) shard.press(40);  // 1.3 s
  EXPECT_LE(shard.spill().demoted_bytes, uint64_t(4 << 20));
  EXPECT_GT(shard.spill().demoted_bytes, 0u);
  EXPECT_GT(shard.spill().not_written, 100u);
}

TEST_F(Clean, WhatWasWrittenIsDurableWithinASecond) {
  begin();
  shard.turns(50, second_ns / 10);
  const uint64_t syncs = shard.disk.syncs;
  EXPECT_GT(syncs, 0u);
  shard.turns(50, second_ns / 10);
  EXPECT_EQ(shard.disk.syncs, syncs) << "nothing was written since";
}

// Of a block whose place was wiped a moment ago, too: a loss of power might bring the old page
// back.
TEST_F(Clean, ARemovalIsAnsweredWhenItIsDurable) {
  begin();
  const uint64_t syncs = shard.disk.syncs;
  EXPECT_EQ(shard.remove(3), 0);
  EXPECT_GT(shard.disk.syncs, syncs);
  const uint64_t before = shard.disk.syncs;
  EXPECT_EQ(shard.remove(9999), -ENOENT);
  EXPECT_EQ(shard.disk.syncs, before) << "everything is durable already";
}

// A page that cannot be wiped holds up the removals of its own blocks, and no others.
TEST_F(Clean, AStrayPageHoldsUpItsOwnKeysOnly) {
  begin();
  shard.settle();
  ASSERT_EQ(shard.put(60), 0);
  shard.disk.bad_from = 0;  // the table of the next parcel, wherever it is
  shard.disk.bad_to = shard.disk.size();
  ASSERT_EQ(shard.shard().demote(key_of(60), *shard.layout), 0);
  shard.turns(200);
  ASSERT_GT(shard.spill().parcels_failed, 0u);
  uint64_t unit = 0;  // where it was: nothing is written there any more
  while (shard.disk.failed_at != (1 + unit) * spill::unit_bytes) ASSERT_LT(++unit, 24u);
  shard.disk.bad_from = (1 + unit) * spill::unit_bytes;
  shard.disk.bad_to = shard.disk.bad_from + 1;
  shard.turns(100, second_ns / 10);
  // The page is tried again and again, which opens the breaker, and a probe closes it.
  for (int i = 0; i < 100 && shard.io().write_breaker; i++) shard.turns(1, second_ns / 100);
  EXPECT_EQ(shard.remove(3), 0) << "another block's";
  EXPECT_EQ(shard.remove(60), -EIO) << "it may stand there";
  shard.disk.bad_to = 0;
  shard.turns(100, second_ns / 10);
  EXPECT_EQ(shard.remove(60), -ENOENT) << "it was wiped";
}

}  // namespace
}  // namespace speckv::test
