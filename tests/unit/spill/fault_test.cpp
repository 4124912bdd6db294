// SPDX-License-Identifier: Apache-2.0
// fault_test.cpp - a disk that fails, stalls, comes back short, or comes back late: nobody waits
// for it longer than its deadline, nothing wrong comes of it, and it is used again when it answers.
#include "shard_fixture.hpp"

namespace speckv::test {
namespace {

constexpr uint64_t second_ns = 1'000'000'000;

class SpillFault : public ::testing::Test {
 protected:
  void spill_first(uint64_t count) {
    for (uint64_t i = 0; i < count; i++) ASSERT_EQ(shard.put(i), 0);
    shard.press(160);
    for (uint64_t i = 0; i < count; i++) ASSERT_TRUE(shard.spilled(i) && !shard.in_pool(i)) << i;
  }
  // Turns of the clock alone.
  void pass(uint64_t seconds) { shard.turns(int(seconds * 20), second_ns / 20); }
  SpilledShard shard;
};

TEST_F(SpillFault, ReadsThatFailAreMissesAndOpenTheBreaker) {
  spill_first(8);
  shard.disk.read_error = -EIO;
  for (uint64_t i = 0; i < 3; i++) EXPECT_EQ(shard.hold(i), -ENOENT);
  EXPECT_EQ(shard.io().read_breaker, 1u);
  const uint64_t reads = shard.disk.reads;
  EXPECT_EQ(shard.ask_hold(5), -ENOENT);  // at once
  EXPECT_EQ(shard.disk.reads, reads);
  pass(3);
  EXPECT_EQ(shard.io().read_breaker, 1u);  // the probes failed
  EXPECT_GT(shard.disk.reads, reads);
  EXPECT_LE(shard.disk.reads, reads + 4);
  shard.disk.read_error = 0;
  pass(20);
  EXPECT_EQ(shard.io().read_breaker, 0u);
  for (uint64_t i = 0; i < 8; i++) {
    EXPECT_EQ(shard.hold(i), 0);
    EXPECT_TRUE(shard.holds(i));
  }
}

TEST_F(SpillFault, AStalledReadEndsByItsDeadlineAndKeepsItsBuffer) {
  spill_first(8);
  shard.disk.stall_reads = true;
  const uint64_t since = shard.now_ns;
  EXPECT_EQ(shard.hold(1), -ENOENT);
  EXPECT_LE(shard.now_ns - since, spill_read_ns_max + second_ns / 10);
  EXPECT_EQ(shard.io().stuck, 1u);
  EXPECT_EQ(shard.ask_hold(2), -ENOENT);
  pass(10);
  EXPECT_EQ(shard.disk.under_way() >= 1, true);
  EXPECT_GT(shard.disk.cancels, 1u);  // asked for again and again
  shard.disk.stall_reads = false;
  pass(40);
  EXPECT_EQ(shard.io().stuck, 0u);
  EXPECT_EQ(shard.hold(1), 0);
  EXPECT_TRUE(shard.holds(1));
}

// An Io that is full takes nothing now: nothing is stuck by that, and all goes on when it takes
// some.
TEST_F(SpillFault, WhatIoRefusesIsAskedForAgain) {
  spill_first(8);
  shard.disk.refuse = true;
  EXPECT_EQ(shard.ask_hold(1), -EAGAIN);
  pass(10);
  EXPECT_EQ(shard.io().stuck, 0u);
  EXPECT_EQ(shard.io().overdue, 0u);
  shard.disk.refuse = false;
  EXPECT_EQ(shard.hold(1), 0);
  EXPECT_TRUE(shard.holds(1));
}

TEST_F(SpillFault, ShortReadsAndWritesGoOn) {
  shard.disk.short_by = 3;
  spill_first(8);
  for (uint64_t i = 0; i < 8; i++) {
    EXPECT_EQ(shard.hold(i), 0);
    EXPECT_TRUE(shard.holds(i));
  }
  EXPECT_EQ(shard.io().read_errors + shard.io().write_errors, 0u);
}

// Puts go on; what they push out is counted, and nothing is promised that is not there.
TEST_F(SpillFault, WritesThatFailCostNoPut) {
  for (const int error : {-ENOSPC, -EIO, -EROFS, -ENODEV}) {
    SpilledShard fresh;
    fresh.disk.write_error = error;
    for (uint64_t i = 0; i < 8; i++) ASSERT_EQ(fresh.put(i), 0);
    fresh.press(160);
    EXPECT_EQ(fresh.io().write_breaker, 1u) << error;
    EXPECT_GT(fresh.spill().parcels_failed, 0u);
    EXPECT_GT(fresh.spill().not_written, 0u);
    EXPECT_EQ(fresh.hold(0), -ENOENT);
    fresh.disk.write_error = 0;
    fresh.turns(400, second_ns / 10);
    EXPECT_EQ(fresh.io().write_breaker, 0u);
    for (uint64_t i = 0; i < 8; i++) ASSERT_EQ(fresh.put(i), 0);
    fresh.press(160);
    EXPECT_EQ(fresh.hold(1), 0);
    EXPECT_TRUE(fresh.holds(1));
  }
}

// A write that comes back after its time must not land in what was written since: nothing is.
TEST_F(SpillFault, NothingIsWrittenWhileAWriteIsStuck) {
  spill_first(8);
  shard.disk.stall_writes = true;
  shard.press(40);
  pass(8);
  EXPECT_GE(shard.io().stuck, 1u);
  const size_t under_way = shard.disk.under_way();
  shard.press(40);
  pass(30);
  EXPECT_LE(shard.disk.under_way(), under_way + 1);  // the breaker's read probe at most
  EXPECT_EQ(shard.hold(3), 0);                       // reads go on
  shard.disk.stall_writes = false;
  pass(60);
  EXPECT_EQ(shard.io().stuck, 0u);
  shard.turns(20, 20'000'000);
  shard.press(160);
  for (uint64_t i = 0; i < 8; i++) {
    EXPECT_EQ(shard.hold(i), 0) << i;
    EXPECT_TRUE(shard.holds(i));
  }
}

TEST_F(SpillFault, ARemovalThatCannotBeMarkedIsAnError) {
  spill_first(8);
  shard.disk.stall_writes = true;
  EXPECT_EQ(shard.remove(3), -EIO);
  EXPECT_EQ(shard.hold(3), -ENOENT);  // gone, in this life
  shard.disk.stall_writes = false;
  pass(60);
  shard.restart(true);
  shard.settle();
  EXPECT_EQ(shard.hold(3), -ENOENT);  // and marked when it could be
}

// The scan goes on when the disk does, and no removal is answered before.
TEST_F(SpillFault, AScanWaitsForItsDisk) {
  spill_first(8);
  shard.restart(true);
  shard.disk.read_error = -EIO;
  pass(3);
  EXPECT_TRUE(shard.shard().spill()->scanning());
  EXPECT_EQ(shard.hold(3), -ENOENT);
  shard.disk.read_error = 0;
  pass(60);
  EXPECT_FALSE(shard.shard().spill()->scanning());
  EXPECT_EQ(shard.put(1), 0);
}

// A daemon that stops with operations under way leaves their memory to the kernel.
TEST_F(SpillFault, AnEndWithOperationsUnderWay) {
  spill_first(8);
  shard.disk.stall_reads = true;
  EXPECT_EQ(shard.ask_hold(1), -EAGAIN);
  shard.turn();
  EXPECT_FALSE(shard.shard().spill_quiet());
}

}  // namespace
}  // namespace speckv::test
