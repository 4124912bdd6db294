// SPDX-License-Identifier: Apache-2.0
// shard_test.cpp - a block goes down, and comes back as it was; what is put, removed or evicted
// meanwhile; what a new daemon finds, after a kill and after a loss of power.
#include "shard_fixture.hpp"

namespace speckv::test {
namespace {

class Spill : public ::testing::Test {
 protected:
  // The first `count` blocks are out of the pool, and were written.
  void spill_first(uint64_t count) {
    for (uint64_t i = 0; i < count; i++) ASSERT_EQ(shard.put(i), 0);
    shard.press(160);
    for (uint64_t i = 0; i < count; i++) {
      ASSERT_FALSE(shard.in_pool(i)) << i;
      ASSERT_TRUE(shard.spilled(i)) << i;
    }
  }
  SpilledShard shard;
};

TEST_F(Spill, WhatIsEvictedWasWrittenAndComesBackAsItWas) {
  spill_first(8);
  EXPECT_EQ(shard.spill().not_written, 0u);
  for (uint64_t i = 0; i < 8; i++) {
    EXPECT_EQ(shard.ask_hold(i), -EAGAIN);
    EXPECT_EQ(shard.hold(i), 0);
    EXPECT_TRUE(shard.holds(i));
  }
  EXPECT_EQ(shard.spill().promoted, 8u);
  EXPECT_EQ(shard.hold(999), -ENOENT);
}

TEST_F(Spill, ABlockThatCameBackIsNotWrittenAgain) {
  spill_first(4);
  ASSERT_EQ(shard.hold(2), 0);
  shard.turns(20, 20'000'000);  // the hold has ended
  shard.settle();
  shard.press(160);
  shard.settle();
  ASSERT_FALSE(shard.in_pool(2));
  uint64_t blocks = 0;
  for (uint64_t i = 0; i < 4; i++) blocks += shard.spilled(i);
  for (uint64_t i = 0; i < 320; i++) blocks += shard.spilled(1'000'000 + i);
  EXPECT_EQ(shard.spill().demoted, blocks);
  EXPECT_EQ(shard.hold(2), 0);
  EXPECT_TRUE(shard.holds(2));
}

TEST_F(Spill, BlocksOfOneLayerToo) {
  SpilledShard single(64, 1);
  ASSERT_EQ(single.put(5), 0);
  single.press(300);
  ASSERT_FALSE(single.in_pool(5));
  EXPECT_EQ(single.hold(5), 0);
  EXPECT_TRUE(single.holds(5));
}

// Slots of three sizes: the slabs are full while a quarter of the pool's bytes is in no slot.
TEST_F(Spill, WhatIsEvictedWasWrittenWhereSlabsHaveHolesToo) {
  SpilledShard holes(64, 2, 1'000'000);
  holes.demote_ahead_bytes = 2 << 20;
  holes.start(false);
  for (uint64_t i = 0; i < 3; i++) ASSERT_EQ(holes.put(i), 0);
  holes.press(60);
  EXPECT_GT(holes.shard().counters().evicted, 40u);
  EXPECT_EQ(holes.spill().not_written, 0u);
  for (uint64_t i = 0; i < 3; i++) {
    EXPECT_EQ(holes.hold(i), 0);
    EXPECT_TRUE(holes.holds(i));
  }
}

TEST_F(Spill, AFetchSaysWhatItWillTakeAndTellsItsEndOnce) {
  spill_first(2);
  const Key key = key_of(1);
  EXPECT_EQ(shard.shard().fetch(key, *shard.layout, 0, 1000, shard.now_ns).outcome, Fetch::clipped);
  EXPECT_EQ(shard.shard().fetch(key, *shard.layout, 1, UINT64_MAX, shard.now_ns).outcome,
            Fetch::rejected);
  const FetchReply reply = shard.shard().fetch(key, *shard.layout, 0, UINT64_MAX, shard.now_ns);
  EXPECT_EQ(reply.outcome, Fetch::on_its_way);
  EXPECT_GT(reply.bytes, shard.layout->block_bytes);
  EXPECT_EQ(shard.shard().fetch(key, *shard.layout, 0, UINT64_MAX, shard.now_ns).outcome,
            Fetch::on_its_way);
  shard.turns(3);
  std::vector<FetchEnd> ends;
  shard.shard().take_fetched(&ends);
  ASSERT_EQ(ends.size(), 1u);
  EXPECT_EQ(ends[0].outcome, Fetch::ready);
  EXPECT_TRUE(shard.holds(1));
  EXPECT_EQ(shard.shard().fetch(key, *shard.layout, 0, 0, shard.now_ns).outcome, Fetch::ready);
  EXPECT_EQ(shard.shard().fetch(key_of(999), *shard.layout, 0, 0, shard.now_ns).outcome,
            Fetch::missing);
}

// More are asked for than the store reads at once: they wait in their order, and what nobody wants
// any more is not begun.
TEST_F(Spill, FetchesWaitForTheirTurn) {
  constexpr uint64_t count = spill_reads_max + 10;
  spill_first(count);
  shard.disk.stall_reads = true;
  for (uint64_t i = 0; i < count; i++)
    EXPECT_EQ(shard.shard().fetch(key_of(i), *shard.layout, 0, UINT64_MAX, shard.now_ns).outcome,
              Fetch::on_its_way)
        << i;
  shard.turns(3);
  shard.shard().cancel_fetch(key_of(count - 3));
  shard.disk.stall_reads = false;
  std::vector<FetchEnd> ends;
  for (int i = 0; i < 200; i++) {
    shard.turn();
    shard.shard().take_fetched(&ends);
  }
  EXPECT_EQ(ends.size(), count - 1);
  for (const FetchEnd& end : ends) EXPECT_EQ(end.outcome, Fetch::ready);
  EXPECT_FALSE(shard.in_pool(count - 3));
  EXPECT_TRUE(shard.holds(count - 1));
}

TEST_F(Spill, ADemotionOnAClientsWord) {
  ASSERT_EQ(shard.put(1), 0);
  const auto demote = [&] { return shard.shard().demote(key_of(1), *shard.layout); };
  EXPECT_EQ(demote(), 0);
  EXPECT_TRUE(shard.in_pool(1));  // its write has begun
  shard.settle();
  EXPECT_EQ(demote(), 0);
  EXPECT_FALSE(shard.in_pool(1));
  EXPECT_EQ(demote(), 0);
  EXPECT_EQ(shard.hold(1), 0);
  EXPECT_TRUE(shard.holds(1));
  EXPECT_EQ(demote(), -EBUSY);
  EXPECT_EQ(shard.shard().demote(key_of(99), *shard.layout), -ENOENT);
}

// It left the pool while it was written: who asks is told when it stands below, not before.
TEST_F(Spill, ADemotionIsAnsweredWhenItsWriteHasEnded) {
  const auto demote = [&] { return shard.shard().demote(key_of(1), *shard.layout); };
  shard.disk.stall_writes = true;
  ASSERT_EQ(shard.put(1), 0);
  ASSERT_EQ(demote(), 0);
  for (uint64_t number = 2; shard.in_pool(1); number++) ASSERT_EQ(shard.put(number), 0);
  EXPECT_EQ(demote(), -EAGAIN);
  shard.disk.stall_writes = false;
  shard.settle();
  EXPECT_EQ(demote(), 0);
  shard.restart();
  shard.settle();
  EXPECT_EQ(shard.hold(1), 0);
  EXPECT_TRUE(shard.holds(1));
}

// A parcel takes whole units of the ring, however little is in it.
TEST_F(Spill, AParcelWaitsForMoreBlocksUntilOneOfThemIsWanted) {
  shard.press(160);
  shard.settle();
  const auto parcels = [&] { return shard.spill().parcels.load(); };
  uint64_t before = parcels();
  ASSERT_GT(before, 0u);
  for (int i = 0; i < 10; i++) {
    shard.press(1);
    shard.turns(40, 5'000'000);
  }
  EXPECT_GT(parcels(), before);
  EXPECT_LE(parcels() - before, 4u) << "a block each 200 ms";
  shard.settle();
  before = parcels();
  ASSERT_EQ(shard.put(7), 0);
  ASSERT_EQ(shard.shard().demote(key_of(7), *shard.layout), 0);
  shard.turns(30, 5'000'000);
  EXPECT_EQ(parcels(), before + 1) << "somebody waits for it";
}

// Nobody is told that a block goes down which does not.
TEST_F(Spill, ADemotionThatCannotBeWrittenIsAnError) {
  shard.disk.write_error = -EIO;
  int result = 0;
  for (uint64_t number = 1; number < 60 && result == 0; number++) {
    ASSERT_EQ(shard.put(number), 0);
    result = shard.shard().demote(key_of(number), *shard.layout);
    shard.turns(30);
  }
  EXPECT_EQ(result, -EIO);
  shard.disk.write_error = 0;
  shard.settle();
  ASSERT_EQ(shard.put(99), 0);
  EXPECT_EQ(shard.shard().demote(key_of(99), *shard.layout), 0);
}

// ---- its key is put, removed, evicted meanwhile ------------------------------------------------

TEST_F(Spill, APutWhileItComesUpDecides) {
  spill_first(2);
  ASSERT_EQ(shard.ask_hold(1), -EAGAIN);
  ASSERT_EQ(shard.put(1, 5), 0);
  EXPECT_EQ(shard.hold(1), 0);
  EXPECT_TRUE(shard.holds(1, 5));
  shard.turns(20, 20'000'000);
  shard.press(160);
  ASSERT_FALSE(shard.in_pool(1));
  EXPECT_EQ(shard.hold(1), 0);
  EXPECT_TRUE(shard.holds(1, 5));
}

TEST_F(Spill, ARemovalWhileItComesUpWins) {
  spill_first(2);
  ASSERT_EQ(shard.ask_hold(1), -EAGAIN);
  EXPECT_EQ(shard.remove(1), 0);
  EXPECT_EQ(shard.hold(1), -ENOENT);
  shard.settle();
  EXPECT_FALSE(shard.in_pool(1));
  EXPECT_EQ(shard.remove(1), -ENOENT);
}

// In each state of the parcel that its image is in: it is filled, written, and its table is.
TEST_F(Spill, ARemovalWhileItGoesDownWins) {
  for (int turns = 0; turns < 8; turns++) {
    SpilledShard fresh;
    for (uint64_t i = 0; i < 100; i++) ASSERT_EQ(fresh.put(i), 0);
    fresh.turn(5'000'000);
    ASSERT_TRUE(fresh.spilled(0));
    fresh.shard().tick(fresh.now_ns);
    for (int i = 0; i < turns; i++) fresh.turn(i == 0 ? 200'000'000 : 1000);
    EXPECT_EQ(fresh.remove(0), 0) << turns;
    fresh.settle();
    EXPECT_EQ(fresh.hold(0), -ENOENT) << turns;
    fresh.restart(true);
    fresh.settle();
    EXPECT_EQ(fresh.hold(0), -ENOENT) << "after " << turns << " turns and a restart";
    EXPECT_EQ(fresh.hold(1), 0) << turns;
  }
}

TEST_F(Spill, ANewVersionWhileTheOldOneGoesDownWins) {
  for (int turns = 0; turns < 8; turns++) {
    SpilledShard fresh;
    for (uint64_t i = 0; i < 100; i++) ASSERT_EQ(fresh.put(i), 0);
    fresh.turn(5'000'000);
    for (int i = 0; i < turns; i++) fresh.turn(i == 0 ? 200'000'000 : 1000);
    ASSERT_EQ(fresh.shard().remove(key_of(0), *fresh.layout) % 11, 0);  // 0 or -EAGAIN
    fresh.turns(3);
    ASSERT_EQ(fresh.put(0, 9), 0);
    fresh.press(160);
    ASSERT_FALSE(fresh.in_pool(0));
    EXPECT_EQ(fresh.hold(0), 0) << turns;
    EXPECT_TRUE(fresh.holds(0, 9)) << turns;
  }
}

// ---- a new daemon ------------------------------------------------------------------------------

TEST_F(Spill, WhatWasWrittenSurvivesAKillAndALossOfPower) {
  spill_first(8);
  for (const bool power : {false, true}) {
    shard.restart(power);
    shard.settle();
    EXPECT_FALSE(shard.shard().spill()->scanning());
    for (uint64_t i = 0; i < 8; i++) {
      EXPECT_EQ(shard.hold(i), 0) << i << " power " << power;
      EXPECT_TRUE(shard.holds(i)) << i;
    }
  }
}

TEST_F(Spill, WhatWasRemovedDoesNotComeBack) {
  spill_first(8);
  EXPECT_EQ(shard.remove(3), 0);
  EXPECT_EQ(shard.remove(3), -ENOENT);
  shard.restart(true);
  shard.settle();
  EXPECT_EQ(shard.hold(3), -ENOENT);
  EXPECT_EQ(shard.hold(4), 0);
  EXPECT_TRUE(shard.holds(4));
}

// The pool has the newer version, and the old one is marked when the scan finds it.
TEST_F(Spill, WhatWasReplacedDoesNotComeBack) {
  spill_first(8);
  ASSERT_EQ(shard.put(3, 1), 0);
  shard.restart();  // no mark was written yet
  shard.settle();
  EXPECT_TRUE(shard.holds(3, 1));
  shard.restart(true);
  shard.settle();
  EXPECT_EQ(shard.hold(3), -ENOENT);
}

// Its client is gone before it was answered: it answers for no later removal.
TEST_F(Spill, ARemovalThatNobodyAsksAboutIsForgottenByAPut) {
  spill_first(2);
  EXPECT_EQ(shard.shard().remove(key_of(1), *shard.layout), -EAGAIN);
  shard.turns(10);
  ASSERT_EQ(shard.put(1, 9), 0);
  EXPECT_EQ(shard.remove(1), 0);
  EXPECT_FALSE(shard.in_pool(1));
}

// The version before is marked dead first: a restart would find it.
TEST_F(Spill, ARemovalWaitsForTheMarksOfOlderVersions) {
  spill_first(4);
  ASSERT_EQ(shard.put(3, 1), 0);
  EXPECT_EQ(shard.shard().remove(key_of(3), *shard.layout), -EAGAIN);
  EXPECT_EQ(shard.remove(3), 0);
  shard.restart(true);
  shard.settle();
  EXPECT_EQ(shard.hold(3), -ENOENT);
}

// A removal that is asked for while the scan runs is answered when all has been seen.
TEST_F(Spill, ARemovalWaitsForTheScan) {
  spill_first(8);
  shard.restart(true);
  EXPECT_EQ(shard.shard().remove(key_of(3), *shard.layout), -EAGAIN);
  EXPECT_EQ(shard.remove(3), 0);
  EXPECT_FALSE(shard.shard().spill()->scanning());
  shard.restart(true);
  shard.settle();
  EXPECT_EQ(shard.hold(3), -ENOENT);
}

// The ring goes round: what is overwritten is forgotten, and no page of it is believed later.
TEST_F(Spill, TheRingGoesRound) {
  SpilledShard small(16);
  for (uint64_t round = 0; round < 4; round++) {
    for (uint64_t i = 0; i < 8; i++) ASSERT_GE(small.put(i + 10 * round), 0);
    small.press(300);
    EXPECT_GT(small.spill().reclaimed, 0u);
    small.restart(round & 1);
    small.settle();
    for (uint64_t i = 0; i < 8; i++) {
      const int result = small.hold(i + 10 * round);
      EXPECT_TRUE(result == 0 || result == -ENOENT) << result;
      if (result == 0) {
        EXPECT_TRUE(small.holds(i + 10 * round));
      }
    }
    EXPECT_EQ(small.spill().damaged, 0u);
    small.turns(20, 20'000'000);
  }
}

TEST_F(Spill, AMapThatIsTooSmallDropsWholeParcelsForGood) {
  spill_first(8);
  shard.entries_max = 70;
  shard.restart(true);
  shard.settle();
  EXPECT_GT(shard.spill().scan_dropped, 0u);
  const uint64_t kept = shard.spill().found;
  shard.entries_max = 4096;
  shard.restart(true);
  shard.settle();
  EXPECT_LE(shard.spill().found, kept);  // what was dropped does not come back
}

}  // namespace
}  // namespace speckv::test
