// SPDX-License-Identifier: Apache-2.0
// slow_disk_test.cpp - a real daemon whose spill file stands still, or fails, under real clients:
// what lies there is a miss, what waits for it ends by its deadline, whatever else its client asks
// goes on, and it is used again when it answers. Needs root and FUSE.
#include "slow_disk.hpp"
#include "spill_daemon.hpp"
#include "src/clock.hpp"

namespace speckv::test {
namespace {

class SlowDiskTest : public SpillDaemon {
 protected:
  void SetUp() override {
    SpillDaemon::SetUp();
    std::filesystem::create_directory(folder_ + "/slow");
    disk_ = std::make_unique<SlowDisk>(folder_ + "/slow", folder_ + "/backing", 128u << 20);
    if (!disk_->mounted()) GTEST_SKIP() << "no FUSE mount here";
    spill_ = disk_->path();
  }
  void TearDown() override {
    if (disk_) disk_->go_on();
    client_.reset();
    daemon_.reset();
    disk_.reset();
    SpillDaemon::TearDown();
  }
  // `count` blocks that are on the disk alone, from 0 on.
  void spilled(uint64_t count) {
    put(0, 400);
    for (uint64_t i = 0; i < count; i++) ASSERT_FALSE(client().exists(number_, i)) << i;
  }
  int load(uint64_t number, uint64_t deadline_ns) {
    speckv_get_op op{};
    std::memcpy(op.key, key_of(number).bytes, sizeof op.key);
    op.buf = kv_->buf();
    const int loaded = speckv_load(client().get(), number_, &op, 1, deadline_ns);
    return loaded < 0 ? loaded : op.ret_result;
  }
  bool comes_back(uint64_t number) {
    for (int i = 0; i < 200; i++) {
      if (load(number, lib::now_ns() + 5 * second_ns) == 0) return kv_->wrong(number) == 0;
      usleep(200'000);
    }
    return false;
  }
  std::unique_ptr<SlowDisk> disk_;
};

TEST_F(SlowDiskTest, WhatItHasIsAMissAndLoadsEnd) {
  begin_spilled();
  spilled(20);
  disk_->stand_still();
  EXPECT_EQ(client().get(number_, 0, *kv_), -ENOENT);
  EXPECT_EQ(load(1, lib::now_ns() + second_ns / 20), -ETIMEDOUT);
  // Until its read is overdue a load waits, at most so long; afterwards it is refused at once.
  int result = 0;
  for (int i = 0; i < 100 && result != -EIO; i++)
    result = load(2 + uint64_t(i % 10), lib::now_ns() + second_ns);
  EXPECT_EQ(result, -EIO) << daemon().log();
  const auto key = keys_of(0, 1);
  int32_t tier = 0;
  EXPECT_EQ(speckv_locate(client().get(), number_, as_keys(key), 1, 20 * second_ns, &tier), 0);
  EXPECT_EQ(tier, -EIO) << "it lies there and cannot be read: whoever has it puts it again";
  ASSERT_EQ(client().put(number_, 5000, *kv_), 0) << "puts go on";
  disk_->go_on();
  for (uint64_t i = 0; i < 20; i++) EXPECT_TRUE(comes_back(i)) << i << daemon().log();
}

TEST_F(SlowDiskTest, ReadsThatFailAreMisses) {
  begin_spilled();
  spilled(10);
  disk_->fail_with(EIO);
  for (uint64_t i = 0; i < 5; i++) EXPECT_NE(load(i, lib::now_ns() + 5 * second_ns), 0) << i;
  disk_->fail_with(0);
  for (uint64_t i = 0; i < 10; i++) EXPECT_TRUE(comes_back(i)) << i << daemon().log();
}

TEST_F(SlowDiskTest, APrefetchIsOnItsWayUntilItIsReady) {
  begin_spilled();
  spilled(4);
  disk_->stand_still();
  speckv_prefetch_args args{};
  args.size = sizeof args;
  args.deadline_ns = SPECKV_NO_DEADLINE;
  args.budget_bytes = SPECKV_NO_BUDGET;
  const auto keys = keys_of(0, 2);
  uint64_t prefetch = 0;
  ASSERT_EQ(speckv_prefetch_begin(client().get(), number_, as_keys(keys), 2, &args, &prefetch), 2);
  speckv_outcome outcomes[2] = {};
  for (int i = 0; i < 4000 && outcomes[0].outcome != SPECKV_OUTCOME_ON_ITS_WAY; i++, usleep(200))
    speckv_prefetch_outcomes(client().get(), prefetch, outcomes, 2);
  EXPECT_EQ(outcomes[0].outcome, uint32_t(SPECKV_OUTCOME_ON_ITS_WAY));
  EXPECT_EQ(outcomes[0].error, 0);
  disk_->go_on();
  EXPECT_EQ(client().reap(1).size(), 1u);
  EXPECT_EQ(speckv_prefetch_outcomes(client().get(), prefetch, outcomes, 2), 2);
  EXPECT_EQ(speckv_prefetch_end(client().get(), prefetch), 0);
}

// A removal waits until the disk has its mark. What its client asks next does not.
TEST_F(SlowDiskTest, ARemovalThatWaitsLetsItsRingGoOn) {
  begin_spilled();
  spilled(4);
  disk_->stand_still();
  const auto keys = keys_of(0, 1);
  ASSERT_EQ(speckv_remove(client().get(), number_, as_keys(keys), 1, 77), 1);
  kv_->fill(9000);
  speckv_put_op op = Client::put_op(9000, *kv_);
  ASSERT_EQ(speckv_put(client().get(), number_, &op, 1), 1);
  const auto first = client().reap(1);
  ASSERT_EQ(first.size(), 1u);
  EXPECT_EQ(first[0].user_data, 9000u) << "the put is answered first";
  EXPECT_EQ(first[0].result, 0);
  disk_->go_on();
  const auto second = client().reap(1);
  ASSERT_EQ(second.size(), 1u) << daemon().log();
  EXPECT_EQ(second[0].user_data, 77u);
  EXPECT_EQ(second[0].result, 0);
}

// What is put after a removal was asked for is not removed by it.
TEST_F(SlowDiskTest, APutBehindARemovalOfItsKeyIsKept) {
  begin_spilled();
  spilled(4);
  disk_->stand_still();
  const auto keys = keys_of(0, 1);
  ASSERT_EQ(speckv_remove(client().get(), number_, as_keys(keys), 1, 77), 1);
  kv_->fill(0);
  speckv_put_op op = Client::put_op(0, *kv_);
  ASSERT_EQ(speckv_put(client().get(), number_, &op, 1), 1);
  usleep(200'000);
  disk_->go_on();
  EXPECT_EQ(client().reap(2).size(), 2u) << daemon().log();
  EXPECT_EQ(client().get(number_, 0, *kv_), 0);
  EXPECT_EQ(kv_->wrong(0), 0u);
}

}  // namespace
}  // namespace speckv::test
