// SPDX-License-Identifier: Apache-2.0
// lose_test.cpp - memory that goes takes the blocks that lay there, and nothing else: not the
// others, not room elsewhere, not the books of holds and limbo; and nothing is written there any
// more.
//
// How: the lost part of the pool is filled with zeros, as the guard of a mapping gives them.

#include <algorithm>
#include <set>

#include "fixture.hpp"

namespace speckv {
namespace {

constexpr uint64_t units = 16, blocks = 200;  // 64 KiB a block: 13 of the units

class Lose : public ::testing::Test {
 protected:
  Lose() : space_(units), layout_(space_.layout(4, SPECKV_PRESET_EXACT)) {
    for (uint64_t number = 0; number < blocks; number++) EXPECT_EQ(space_.put(layout_, number), 0);
  }
  // Unit 1 is the first that has slabs.
  void lose(uint64_t first_unit, uint64_t count) {
    std::memset(space_.pool() + first_unit * shm::unit_bytes, 0, count * shm::unit_bytes);
    space_.shard().lose(first_unit * shm::unit_bytes, count * shm::unit_bytes);
  }
  std::set<uint64_t> found() {
    std::set<uint64_t> all;
    for (uint64_t number = 0; number < blocks; number++)
      if (space_.find(number)) all.insert(number);
    return all;
  }
  bool is_zero(uint64_t first_unit, uint64_t count) {
    const std::byte* begin = space_.pool() + first_unit * shm::unit_bytes;
    return std::all_of(begin, begin + count * shm::unit_bytes,
                       [](std::byte each) { return each == std::byte{0}; });
  }

  Space space_;
  const Layout& layout_;
};

TEST_F(Lose, BlocksThereAreGoneAndTheOthersAreWhole) {
  lose(3, 1);
  const auto left = found();
  EXPECT_LT(left.size(), blocks);
  EXPECT_GT(left.size(), blocks - 60) << "a unit holds 31 blocks' segments at most";
  for (uint64_t number : left) EXPECT_TRUE(space_.readable(layout_, number, true)) << number;
  EXPECT_EQ(space_.shard().counters().lost.load(), blocks - left.size());
  EXPECT_EQ(space_.shard().counters().blocks.load(), left.size());
}

TEST_F(Lose, NothingIsWrittenThereAgain) {
  lose(2, 2);
  for (uint64_t round = 0; round < 3; round++)  // through eviction too
    for (uint64_t number = 0; number < 400; number++)
      ASSERT_EQ(space_.put(layout_, 1000 + 400 * round + number), 0) << number;
  EXPECT_TRUE(is_zero(2, 2));
  EXPECT_TRUE(space_.readable(layout_, 1000 + 400 * 2 + 399, true));
}

TEST_F(Lose, WhatIsLostTwiceIsLostOnce) {
  lose(4, 1);
  const auto left = found();
  const uint64_t lost = space_.shard().counters().lost.load();
  lose(4, 1);
  EXPECT_EQ(found(), left);
  EXPECT_EQ(space_.shard().counters().lost.load(), lost);
}

// A reader names it still when it is evicted, so it lies in limbo when its memory goes.
TEST_F(Lose, WhatWasEvictedIsNotLostAsWell) {
  shm::Entry entry;
  ASSERT_TRUE(space_.find(0, &entry));
  shm::GuardSlot guards[shm::guard_slots]{};
  guards[0].names[0] = {entry.ref, entry.gen};
  guards[0].since_ns = 1000;
  guards[0].slots_used = 1;
  space_.shard().set_guards({guards});
  const ShardCounters& counters = space_.shard().counters();
  for (uint64_t number = 1000; number < 3000 && space_.find(0); number++)
    ASSERT_EQ(space_.put(layout_, number, 1000), 0);
  ASSERT_GT(counters.guarded.load(), 0u);
  lose(0, units + 1);
  EXPECT_EQ(counters.puts - counters.evicted - counters.lost, 0u);
  EXPECT_EQ(counters.blocks.load(), 0u);
}

TEST_F(Lose, AllOfItMeansMissesAndNoRoom) {
  lose(0, units + 1);
  EXPECT_TRUE(found().empty());
  EXPECT_EQ(space_.put(layout_, 5000), -ENOSPC);
  EXPECT_EQ(space_.shard().remove(key_of(1), layout_), -ENOENT);
  space_.shard().tick(1'000'000'000);
  EXPECT_EQ(space_.shard().counters().blocks.load(), 0u);
  EXPECT_TRUE(is_zero(0, units + 1));
}

TEST_F(Lose, HoldsOfLostBlocksEndAndTheOthersStay) {
  const Asker mine{1, 1000};
  for (uint64_t number : {0, 190}) {  // in the first slab, and in a late one
    shm::Submission hold{};
    hold.key = key_of(number);
    hold.hold = 77;
    hold.arg = 1'000'000;
    ASSERT_EQ(space_.shard().hold(hold, layout_, mine, 10), 0);
  }
  lose(1, 1);
  ASSERT_FALSE(space_.find(0));
  ASSERT_TRUE(space_.find(190));
  space_.shard().tick(11);
  EXPECT_EQ(space_.shard().counters().held_blocks.load(), 1u);
  EXPECT_EQ(space_.shard().remove(key_of(190), layout_), -EBUSY);
  EXPECT_EQ(space_.shard().unhold(77, mine), 0);
  EXPECT_EQ(space_.shard().remove(key_of(190), layout_), 0);
  space_.shard().tick(12);
  EXPECT_EQ(space_.shard().counters().held_blocks.load(), 0u);
}

TEST_F(Lose, ARecordThatIsGoneDoesNotMisleadItsEviction) {
  shm::Entry entry;
  ASSERT_TRUE(space_.find(7, &entry));
  const uint64_t header = *reinterpret_cast<const uint64_t*>(space_.pool());
  std::memset(space_.pool() + entry.ref, 0, sizeof(shm::SlotHeader) + shm::record_payload_bytes(4));
  EXPECT_EQ(space_.shard().remove(key_of(7), layout_), 0);
  EXPECT_EQ(*reinterpret_cast<const uint64_t*>(space_.pool()), header)
      << "offset 0 of an empty record is the pool's header";
  const uint64_t free_before = space_.shard().counters().blocks.load();
  ASSERT_EQ(space_.put(layout_, 7), 0) << "its slots are free again";
  EXPECT_EQ(space_.shard().counters().blocks.load(), free_before + 1);
  EXPECT_TRUE(space_.readable(layout_, 7, true));
}

TEST_F(Lose, ARestartOverALostPartRestoresTheRest) {
  lose(3, 1);
  const auto left = found();
  space_.restart();
  EXPECT_EQ(space_.shard().restore(3'600'000'000'000), left.size());
  space_.shard().lose(3 * shm::unit_bytes, shm::unit_bytes);
  EXPECT_EQ(found(), left);
  for (uint64_t number = 0; number < 400; number++)
    ASSERT_EQ(space_.put(layout_, 1000 + number), 0);
  EXPECT_TRUE(is_zero(3, 1));
}

}  // namespace
}  // namespace speckv
