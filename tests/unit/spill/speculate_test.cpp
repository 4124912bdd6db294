// SPDX-License-Identifier: Apache-2.0
// speculate_test.cpp - what nobody has asked for yet comes up from the tier below in time, is read
// or counted as wasted, takes the place of nothing that is more wanted, yields to whoever waits,
// and stops when it is wrong.
//
// How: chains of blocks in a shard of a small pool over a made-up disk; the clock is the test's.
#include "predict/source_gate.hpp"
#include "shard_fixture.hpp"

namespace speckv::test {
namespace {

using predict::Source;
constexpr uint64_t ms = 1'000'000, second = 1000 * ms;

class Guesses : public ::testing::Test {
 protected:
  Guesses() {
    shard.speculation_bytes_s = uint64_t{1} << 30;
    shard.start(false);
  }
  // Blocks first, first + 1, ...: each follows the one before it.
  void put_chain(uint64_t first, uint64_t count) {
    for (uint64_t i = 0; i < count; i++) {
      ASSERT_EQ(shard.put(first + i, 0, i ? first + i - 1 : 0), 0);
      shard.turns(4);
    }
  }
  // Nobody reads anything for so long.
  void pass(uint64_t ns) { shard.turns(int(ns / (50 * ms)) + 1, 50 * ms); }
  void hint(uint64_t number, uint64_t in_ns) {
    shard.shard().hint(key_of(number), *shard.layout, 0, shard.now_ns + in_ns);
  }
  void read(uint64_t number) {
    EXPECT_TRUE(shard.in_pool(number)) << number;
    shard.shard().touch_key(key_of(number), *shard.layout, shard.now_ns);
  }
  uint64_t in_pool(uint64_t first, uint64_t count) {
    uint64_t sum = 0;
    for (uint64_t i = 0; i < count; i++) sum += shard.in_pool(first + i);
    return sum;
  }
  const GuessCounters& of(Source source) {
    return shard.shard().counters().guesses[size_t(source)];
  }
  SpilledShard shard;
};

TEST_F(Guesses, ASessionThatSaidWhenItIsBackFindsItsChain) {
  put_chain(1, 8);
  shard.press(160);
  ASSERT_EQ(in_pool(1, 8), 0u);
  pass(10 * second);
  hint(8, 5 * second);
  pass(2 * second);
  EXPECT_EQ(in_pool(1, 8), 0u) << "not before its time";
  pass(3 * second);
  EXPECT_EQ(in_pool(1, 8), 8u);
  for (uint64_t i = 1; i <= 8; i++) {
    EXPECT_TRUE(shard.holds(i)) << i;
    read(i);
  }
  EXPECT_EQ(of(Source::hint).fetched, 8u);
  EXPECT_EQ(of(Source::hint).useful, 8u);
  EXPECT_EQ(of(Source::hint).wasted, 0u);
  EXPECT_EQ(of(Source::hint).bytes, shard.spill().promoted_bytes);
}

// What many sessions begin with, and a client that says it for each of its keys.
TEST_F(Guesses, AHintOfEachKeyMeansTheWholeChain) {
  put_chain(1, 8);
  shard.press(160);
  pass(10 * second);
  for (uint64_t i = 8; i >= 1; i--) hint(i, 2 * second);
  pass(2 * second);
  EXPECT_EQ(in_pool(1, 8), 8u);
}

TEST_F(Guesses, WithoutABudgetNothingIsGuessed) {
  shard.speculation_bytes_s = 0;
  shard.start(false);
  put_chain(1, 8);
  shard.press(160);
  pass(10 * second);
  hint(8, second);
  pass(5 * second);
  EXPECT_EQ(in_pool(1, 8), 0u);
  EXPECT_EQ(of(Source::hint).fetched, 0u);
}

TEST_F(Guesses, WhoReadsOnFindsTheNextBlocks) {
  put_chain(1, 40);
  for (int round = 0; round < 6; round++)
    for (uint64_t i = 1; i <= 40; i++) read(i);
  shard.press(200);
  ASSERT_EQ(in_pool(1, 40), 0u);
  pass(10 * second);
  ASSERT_EQ(shard.hold(1), 0);
  pass(second);
  EXPECT_GE(in_pool(2, 16), 16u) << "fetched behind the one that was asked for";
  EXPECT_EQ(of(Source::child).fetched, in_pool(2, 39));
  EXPECT_EQ(of(Source::child).useful, 0u);
  for (uint64_t i = 2; i <= 40; i++) {
    EXPECT_EQ(shard.hold(i), 0) << i;
    shard.turns(1);
  }
  EXPECT_EQ(of(Source::child).wasted, 0u);
  EXPECT_GE(of(Source::child).useful, 32u);
}

TEST_F(Guesses, WhatWasUsedAMomentAgoDoesNotGoForThem) {
  put_chain(1, 40);
  shard.press(200);
  pass(10 * second);
  const uint64_t evicted = shard.shard().counters().evicted;
  hint(40, 700 * ms);
  for (uint64_t until = shard.now_ns + second; shard.now_ns < until; shard.turn(10 * ms))
    for (uint64_t i = 1'000'000; i < 1'000'200; i++)
      if (shard.in_pool(i)) read(i);
  EXPECT_LT(of(Source::hint).fetched, 20u) << "no more than there is room for";
  EXPECT_GE(of(Source::hint).refused, 1u);
  EXPECT_EQ(shard.shard().counters().evicted, evicted);
  EXPECT_EQ(shard.put(500), 0) << "a put finds its room as ever";
}

TEST_F(Guesses, WhatIsNotWrittenBelowDoesNotGoForThem) {
  put_chain(1, 40);
  shard.press(200);
  shard.settle();
  shard.disk.write_error = -EIO;
  for (uint64_t i = 0; i < 130; i++) ASSERT_EQ(shard.put(2'000'000 + i), 0);
  pass(10 * second);
  const uint64_t evicted = shard.shard().counters().evicted;
  hint(40, 700 * ms);
  pass(5 * second);
  EXPECT_EQ(shard.shard().counters().evicted, evicted);
  EXPECT_LT(in_pool(1, 40), 20u) << "no more than there is room for";
}

TEST_F(Guesses, SomebodyWhoAsksMeanwhileCountsAsLate) {
  put_chain(1, 4);
  shard.press(160);
  pass(10 * second);
  shard.disk.stall_reads = true;
  hint(4, 100 * ms);
  shard.turns(3);
  ASSERT_EQ(of(Source::hint).fetched, 4u);
  EXPECT_EQ(shard.ask_hold(2), -EAGAIN);
  EXPECT_EQ(shard.ask_hold(2), -EAGAIN);
  EXPECT_EQ(shard.shard().fetch(key_of(3), *shard.layout, 0, UINT64_MAX, shard.now_ns).outcome,
            Fetch::on_its_way);
  EXPECT_EQ(of(Source::hint).late, 2u);
  shard.disk.stall_reads = false;
  shard.turns(5);
  std::vector<FetchEnd> ends;
  shard.shard().take_fetched(&ends);
  ASSERT_EQ(ends.size(), 1u);
  EXPECT_EQ(ends[0].key, key_of(3));
  EXPECT_EQ(ends[0].outcome, Fetch::ready);
  EXPECT_EQ(shard.hold(2), 0);
  EXPECT_EQ(of(Source::hint).useful, 2u) << "the two that were asked for";
  read(1);
  read(2);
  EXPECT_EQ(of(Source::hint).useful, 3u);
  EXPECT_EQ(of(Source::hint).fetched, 4u);
}

TEST_F(Guesses, APutOrARemovalMeanwhileWins) {
  put_chain(1, 4);
  shard.press(160);
  pass(10 * second);
  shard.disk.stall_reads = true;
  hint(4, 100 * ms);
  shard.turns(3);
  ASSERT_EQ(of(Source::hint).fetched, 4u);
  ASSERT_EQ(shard.put(2, 9), 0);
  shard.shard().remove(key_of(3), *shard.layout);
  shard.disk.stall_reads = false;
  EXPECT_EQ(shard.remove(3), 0);
  shard.turns(20);
  EXPECT_TRUE(shard.holds(2, 9));
  EXPECT_FALSE(shard.in_pool(3));
  EXPECT_TRUE(shard.holds(1));
  EXPECT_TRUE(shard.holds(4));
  EXPECT_EQ(of(Source::hint).wasted, 2u);
}

// Demands first: while some wait for a read, nothing is begun for nobody.
TEST_F(Guesses, TheyYieldToWhoeverWaits) {
  put_chain(1, 8);
  for (uint64_t i = 100; i < 160; i++) ASSERT_EQ(shard.put(i), 0);
  shard.press(200);
  pass(10 * second);
  shard.disk.stall_reads = true;
  for (uint64_t i = 100; i < 160; i++)
    EXPECT_EQ(shard.shard().fetch(key_of(i), *shard.layout, 0, UINT64_MAX, shard.now_ns).outcome,
              Fetch::on_its_way);
  hint(8, 100 * ms);
  shard.turns(20);
  EXPECT_EQ(of(Source::hint).fetched, 0u);
  shard.disk.stall_reads = false;
  pass(2 * second);
  EXPECT_EQ(in_pool(1, 8), 8u);
}

// Chains that are announced and never asked for: after a few hundred of their blocks have gone
// unread their source is off; puts, holds and reads go on.
TEST_F(Guesses, ASourceThatIsAlwaysWrongTurnsItselfOff) {
  SpilledShard wide(512);
  wide.speculation_bytes_s = uint64_t{1} << 30;
  wide.start(false);
  const GuessCounters& told = wide.shard().counters().guesses[size_t(Source::hint)];
  const auto hint_of = [&](uint64_t number) {
    wide.shard().hint(key_of(number), *wide.layout, 0, wide.now_ns + 600 * ms);
  };
  for (uint64_t chain = 0; chain < 60; chain++)
    for (uint64_t i = 0; i < 10; i++) {
      ASSERT_EQ(wide.put(1 + 10 * chain + i, 0, i ? 10 * chain + i : 0), 0);
      wide.turns(4);
    }
  uint64_t fresh = 1'000'000;
  for (uint64_t round = 0; round < 60 && told.off == 0; round++) {
    wide.turns(40, 50 * ms);
    for (uint64_t i = 0; i < 3; i++) hint_of(10 + 10 * ((3 * round + i) % 50));
    wide.turns(40, 50 * ms);
    for (uint64_t i = 0; i < 60; i++) {
      ASSERT_EQ(wide.put(fresh++), 0);
      wide.turns(4);
    }
  }
  EXPECT_EQ(told.off, 1u);
  EXPECT_EQ(told.times_off, 1u);
  EXPECT_EQ(told.off_useful, 0u);
  EXPECT_EQ(told.off_seen, predict::SourceGate::kWindow / 2);
  EXPECT_GE(told.wasted, predict::SourceGate::kWindow / 2);
  const uint64_t fetched = told.fetched;
  hint_of(100);
  wide.turns(100, 50 * ms);
  EXPECT_EQ(told.fetched, fetched) << "it is off";
  EXPECT_EQ(wide.put(fresh), 0);
  EXPECT_EQ(wide.hold(100), 0) << "demand goes on";
  EXPECT_TRUE(wide.holds(100));
}

// Of a chain of holds in a ring only the first is asked for; the ring says the rest.
TEST_F(Guesses, WhatIsAnnouncedIsReadBesideWhatIsWaitedFor) {
  put_chain(1, 8);
  shard.press(160);
  pass(10 * second);
  shard.disk.stall_reads = true;
  EXPECT_EQ(shard.ask_hold(1), -EAGAIN);
  for (uint64_t i = 2; i <= 6; i++) shard.shard().announce(key_of(i));
  shard.turns(3);
  EXPECT_EQ(of(Source::chain).fetched, 5u);
  shard.disk.stall_reads = false;
  for (uint64_t i = 1; i <= 6; i++) EXPECT_EQ(shard.hold(i), 0);
  EXPECT_EQ(of(Source::chain).useful, 5u);
}

TEST_F(Guesses, ADamagedImageIsNobodysBlock) {
  put_chain(1, 4);
  shard.press(160);
  pass(10 * second);
  shard.disk.damage_reads = true;
  hint(4, 100 * ms);
  pass(second);
  EXPECT_EQ(in_pool(1, 4), 0u);
  EXPECT_EQ(shard.spill().damaged, 4u);
  EXPECT_EQ(of(Source::hint).wasted, 4u);
}

// What a guess brought up and nobody read teaches the policy nothing of returns, and stands as if
// it were about to be used.
TEST_F(Guesses, ThePolicyIsToldThatNobodyAskedForIt) {
  shard.policy = "continuation";
  shard.start(false);
  put_chain(1, 8);
  shard.press(160);
  pass(10 * second);
  hint(8, 600 * ms);
  pass(second);
  ASSERT_EQ(in_pool(1, 8), 8u);
  shard.press(60);  // younger ones, used once: those go first
  EXPECT_EQ(in_pool(1, 8), 8u);
}

}  // namespace
}  // namespace speckv::test
