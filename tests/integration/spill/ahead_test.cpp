// SPDX-License-Identifier: Apache-2.0
// ahead_test.cpp - asking ahead where there is a tier below: prefetches bring blocks up and say so,
// loads wait for them, a budget clips, an end cancels, a demoted block leaves the pool and comes
// back. All with a real daemon and a real file; every byte that is read is compared.
#include "spill_daemon.hpp"
#include "src/clock.hpp"

namespace speckv::test {
namespace {

class Ahead : public SpillDaemon {
 protected:
  // The first `count` keys of 600 that the pool has not.
  std::vector<KeyBytes> spilled(unsigned count, const std::string& lines = "",
                                const std::string& session_lines = "") {
    begin_spilled(lines, session_lines);
    put(0, 600);
    std::vector<KeyBytes> keys;
    for (uint64_t i = 0; i < 600 && keys.size() < count; i++)
      if (!client().exists(number_, i)) {
        keys.push_back(key_of(i));
        numbers_.push_back(i);
      }
    EXPECT_EQ(keys.size(), count);
    return keys;
  }
  static speckv_prefetch_args args() {
    speckv_prefetch_args args{};
    args.size = sizeof args;
    args.deadline_ns = SPECKV_NO_DEADLINE;
    args.budget_bytes = SPECKV_NO_BUDGET;
    args.user_data = 5;
    return args;
  }
  int begin_prefetch(const std::vector<KeyBytes>& keys, const speckv_prefetch_args& args) {
    return speckv_prefetch_begin(client().get(), number_, as_keys(keys), unsigned(keys.size()),
                                 &args, &prefetch_);
  }
  std::vector<speckv_outcome> outcomes(size_t count) {
    std::vector<speckv_outcome> all(count);
    leading_ =
        speckv_prefetch_outcomes(client().get(), prefetch_, all.data(), unsigned(all.size()));
    return all;
  }
  int load(const std::vector<KeyBytes>& keys, uint64_t deadline_ns) {
    ops_.assign(keys.size(), {});
    buffers_.clear();
    for (size_t i = 0; i < keys.size(); i++) {
      buffers_.push_back(std::make_unique<Kv>(layout_, Arrangement::token_major));
      std::memcpy(ops_[i].key, keys[i].bytes, sizeof ops_[i].key);
      ops_[i].buf = buffers_[i]->buf();
    }
    return speckv_load(client().get(), number_, ops_.data(), unsigned(ops_.size()), deadline_ns);
  }

  int locate(const std::vector<KeyBytes>& keys, uint64_t timeout_ns) {
    tiers_.assign(keys.size(), 99);
    return speckv_locate(client().get(), number_, as_keys(keys), unsigned(keys.size()), timeout_ns,
                         tiers_.data());
  }

  std::vector<int32_t> tiers_;
  std::vector<uint64_t> numbers_;  // of spilled()
  uint64_t prefetch_ = 0;
  int leading_ = 0;
  std::vector<speckv_get_op> ops_;
  std::vector<std::unique_ptr<Kv>> buffers_;
};

TEST_F(Ahead, APrefetchBringsBlocksUp) {
  const std::vector<KeyBytes> keys = spilled(20);
  ASSERT_EQ(begin_prefetch(keys, args()), 20);
  const auto done = client().reap(1);
  ASSERT_EQ(done.size(), 1u) << daemon().log();
  EXPECT_EQ(done[0].user_data, 5u);
  EXPECT_EQ(done[0].result, 0);
  const auto all = outcomes(20);
  EXPECT_EQ(leading_, 20);
  for (size_t i = 0; i < 20; i++) {
    EXPECT_EQ(all[i].outcome, uint32_t(SPECKV_OUTCOME_READY)) << i << ": " << all[i].error;
    EXPECT_EQ(client().get(number_, numbers_[i], *kv_), 0) << i << ": read without a wait";
    EXPECT_EQ(kv_->wrong(numbers_[i]), 0u) << i;
  }
  EXPECT_EQ(speckv_prefetch_end(client().get(), prefetch_), 0);
}

TEST_F(Ahead, ALoadWaitsForWhatComesUp) {
  std::vector<KeyBytes> keys = spilled(24);
  const std::vector<KeyBytes> early(keys.begin() + 20, keys.end());
  EXPECT_EQ(load(early, lib::now_ns() - 1), 0) << "a deadline that has passed: nothing is asked";
  for (const speckv_get_op& op : ops_) EXPECT_EQ(op.ret_result, -ENOENT);
  keys.resize(20);
  keys.push_back(key_of(100'000));  // nobody's
  EXPECT_EQ(load(keys, lib::now_ns() + 20 * second_ns), 20) << daemon().log();
  for (size_t i = 0; i < 20; i++) EXPECT_EQ(buffers_[i]->wrong(numbers_[i]), 0u) << i;
  EXPECT_EQ(ops_[20].ret_result, -ENOENT);
}

// More than the tier reads at once: a load waits its turn.
TEST_F(Ahead, ALoadOfMoreThanIsReadAtOnce) {
  const std::vector<KeyBytes> keys = spilled(80);
  EXPECT_EQ(load(keys, lib::now_ns() + 20 * second_ns), 80) << daemon().log();
  for (size_t i = 0; i < 80; i++) {
    ASSERT_EQ(ops_[i].ret_result, 0) << i;
    EXPECT_EQ(buffers_[i]->wrong(numbers_[i]), 0u) << i;
  }
}

TEST_F(Ahead, ALoadEndsByItsDeadlineWhileTheDaemonSleeps) {
  const std::vector<KeyBytes> keys = spilled(4);
  daemon().pause();
  EXPECT_EQ(load(keys, lib::now_ns() + second_ns / 5), 0);
  EXPECT_EQ(ops_[0].ret_result, -ETIMEDOUT) << "the first that cannot be read ends the run";
  daemon().resume();
  EXPECT_EQ(load(keys, lib::now_ns() + 20 * second_ns), 4) << daemon().log();
  for (size_t i = 0; i < 4; i++) EXPECT_EQ(buffers_[i]->wrong(numbers_[i]), 0u) << i;
}

TEST_F(Ahead, ABudgetClips) {
  const std::vector<KeyBytes> keys = spilled(12);
  speckv_prefetch_args small = args();
  small.budget_bytes = 4 * speckv_block_bytes(&layout_);  // each takes a little more, or less
  EXPECT_GE(begin_prefetch(keys, small), 1);
  ASSERT_EQ(client().reap(1).size(), 1u);
  size_t ready = 0, clipped = 0;
  for (const speckv_outcome& each : outcomes(12)) {
    ready += each.outcome == SPECKV_OUTCOME_READY;
    clipped += each.outcome == SPECKV_OUTCOME_CLIPPED && each.error == -ENOSPC;
  }
  EXPECT_EQ(ready + clipped, 12u);
  EXPECT_GE(ready, 2u);
  EXPECT_GE(clipped, 6u);
  EXPECT_EQ(size_t(leading_), ready) << "the leading ones come first";
  EXPECT_EQ(speckv_prefetch_end(client().get(), prefetch_), 0);
}

// Each shard has a part of a budget; the part of one that is smaller than a byte a shard clips,
// too.
TEST_F(Ahead, ABudgetOfAByteClipsInEachShard) {
  data_threads_ = 2;
  const std::vector<KeyBytes> keys = spilled(12);
  speckv_prefetch_args small = args();
  small.budget_bytes = 1;
  EXPECT_EQ(begin_prefetch(keys, small), 12);
  ASSERT_EQ(client().reap(1).size(), 1u);
  for (const speckv_outcome& each : outcomes(12)) {
    EXPECT_EQ(each.outcome, uint32_t(SPECKV_OUTCOME_CLIPPED));
    EXPECT_EQ(each.error, -ENOSPC);
  }
  EXPECT_EQ(speckv_prefetch_end(client().get(), prefetch_), 0);
}

TEST_F(Ahead, LocateSaysWhereBlocksAreAndFetchesNone) {
  data_threads_ = 2;
  std::vector<KeyBytes> keys = spilled(20);
  const uint64_t last = 599;
  ASSERT_TRUE(client().exists(number_, last));
  keys.insert(keys.begin(), key_of(last));
  keys.push_back(key_of(100'000));  // nobody's
  keys.push_back(keys[1]);
  EXPECT_EQ(locate(keys, 20 * second_ns), 21) << daemon().log();
  EXPECT_EQ(tiers_[0], SPECKV_TIER_POOL);
  for (size_t i = 1; i <= 20; i++) EXPECT_EQ(tiers_[i], SPECKV_TIER_BELOW) << i;
  EXPECT_EQ(tiers_[21], -ENOENT);
  EXPECT_EQ(tiers_[22], SPECKV_TIER_BELOW) << "what lies behind the first that is nowhere";
  for (size_t i = 0; i < 20; i++) EXPECT_FALSE(client().exists(number_, numbers_[i])) << i;
  EXPECT_EQ(speckv_wait(client().get(), 0), -ENOTCONN) << "nothing is left under way";
  ASSERT_EQ(speckv_remove(client().get(), number_, &as_keys(keys)[1], 1, 0), 1);
  ASSERT_EQ(client().reap(1)[0].result, 0);
  EXPECT_EQ(locate({keys[1]}, 20 * second_ns), 0);
  EXPECT_EQ(tiers_[0], -ENOENT) << "what was removed is nowhere";
}

TEST_F(Ahead, LocateOfManyKeysGoesInGroups) {
  begin_spilled();
  put(0, 600);
  const auto keys = keys_of(0, 600);
  EXPECT_GE(locate(keys, 20 * second_ns) + int(unwritten()), 600);
  EXPECT_EQ(tiers_[599], SPECKV_TIER_POOL);
  size_t below = 0;
  for (const int32_t tier : tiers_) below += tier == SPECKV_TIER_BELOW;
  EXPECT_GT(below, 300u);
}

TEST_F(Ahead, LocateEndsByItsTimeWhileTheDaemonSleeps) {
  std::vector<KeyBytes> keys = spilled(4);
  keys.insert(keys.begin(), key_of(599));
  daemon().pause();
  EXPECT_EQ(locate(keys, second_ns / 10), 1) << "the pool's own are found without it";
  for (size_t i = 1; i < 5; i++) EXPECT_EQ(tiers_[i], -ETIMEDOUT) << i;
  daemon().resume();
  EXPECT_EQ(locate(keys, 20 * second_ns), 5) << daemon().log();
}

TEST_F(Ahead, BadArgumentsOfLocateHaveTheirErrno) {
  begin_spilled();
  const auto keys = keys_of(0, 2);
  speckv_session* session = client().get();
  int32_t tiers[2] = {99, 99};
  EXPECT_EQ(speckv_locate(session, number_, as_keys(keys), 0, 0, tiers), -ENODATA);
  EXPECT_EQ(speckv_locate(session, number_, as_keys(keys), SPECKV_BATCH_MAX + 1, 0, tiers), -E2BIG);
  EXPECT_EQ(speckv_locate(session, number_, as_keys(keys), 2, 0, nullptr), -EINVAL);
  EXPECT_EQ(speckv_locate(session, number_ + 1, as_keys(keys), 2, 0, tiers), -EBADF);
  EXPECT_EQ(tiers[1], -EBADF) << "each is told";
  EXPECT_EQ(speckv_locate(session, number_, as_keys(keys), 2, 0, tiers), 0);
  EXPECT_EQ(tiers[0], -ETIMEDOUT) << "a time of 0 asks nobody who would have to answer";
}

TEST_F(Ahead, AnEndCancelsAndHurtsNobody) {
  const std::vector<KeyBytes> keys = spilled(60);
  for (int round = 0; round < 10; round++) {
    ASSERT_GE(begin_prefetch(keys, args()), 0);
    ASSERT_EQ(speckv_prefetch_end(client().get(), prefetch_), 0);
    const auto done = client().reap(1);
    ASSERT_EQ(done.size(), 1u) << round;
    EXPECT_TRUE(done[0].result == -ECANCELED || done[0].result == 0) << done[0].result;
  }
  EXPECT_EQ(load(keys, lib::now_ns() + 20 * second_ns), 60) << daemon().log();
  for (size_t i = 0; i < 60; i++) EXPECT_EQ(buffers_[i]->wrong(numbers_[i]), 0u) << i;
}

TEST_F(Ahead, ADaemonThatIsKilledMeanwhileIsAMiss) {
  const std::vector<KeyBytes> keys = spilled(40);
  ASSERT_GE(begin_prefetch(keys, args()), 0);
  daemon().kill();
  EXPECT_LT(load(keys, lib::now_ns() + second_ns / 2), 40);
  speckv_prefetch_end(client().get(), prefetch_);
  ASSERT_TRUE(daemon().start()) << daemon().log();
  ASSERT_TRUE(reconnected(0)) << daemon().log();
  int found = 0;
  for (int i = 0; i < 100 && found < 40; i++) found = load(keys, lib::now_ns() + 20 * second_ns);
  EXPECT_EQ(found, 40) << daemon().log();
  for (size_t i = 0; i < 40; i++) EXPECT_EQ(buffers_[i]->wrong(numbers_[i]), 0u) << i;
}

TEST_F(Ahead, ADemotedBlockLeavesThePoolAndComesBack) {
  begin_spilled();
  put(0, 50);
  const auto keys = keys_of(0, 10);
  size_t there = 10;
  // asked once they are written, asked again they go
  for (int i = 0; i < 4000 && there > 0; i++) {
    ASSERT_EQ(speckv_demote(client().get(), number_, as_keys(keys), 10, 0), 10);
    for (const speckv_completion& each : client().reap(10)) EXPECT_EQ(each.result, 0);
    there = 0;
    for (uint64_t number = 0; number < 10; number++) there += client().exists(number_, number);
    if (there > 0) usleep(5000);
  }
  EXPECT_EQ(there, 0u) << "they lie in the tier below alone";
  EXPECT_EQ(read_back(0, 50), 50u) << daemon().log();
}

// Bytes a second are the namespace's: its prefetches are refused, loads are not.
TEST_F(Ahead, APrefetchBeyondItsBytesASecondIsRefused) {
  const std::vector<KeyBytes> keys = spilled(6, "prefetch_bytes_s = 0\n");
  EXPECT_EQ(begin_prefetch(keys, args()), 6);
  ASSERT_EQ(client().reap(1).size(), 1u);
  for (const speckv_outcome& each : outcomes(6)) {
    EXPECT_EQ(each.outcome, uint32_t(SPECKV_OUTCOME_REJECTED));
    EXPECT_EQ(each.error, -EDQUOT);
  }
  EXPECT_EQ(speckv_prefetch_end(client().get(), prefetch_), 0);
  EXPECT_EQ(load(keys, lib::now_ns() + 20 * second_ns), 6) << daemon().log();
}

// All share 1 MiB a second; of these the namespace is guaranteed as much as a block.
TEST_F(Ahead, WhatAllShareIsALimitToo) {
  const std::vector<KeyBytes> keys = spilled(30, "", "prefetch_bytes_s = \"1MiB\"\n");
  EXPECT_EQ(begin_prefetch(keys, args()), 30);
  ASSERT_EQ(client().reap(1).size(), 1u);
  size_t ready = 0, refused = 0;
  for (const speckv_outcome& each : outcomes(30)) {
    ready += each.outcome == SPECKV_OUTCOME_READY;
    refused += each.outcome == SPECKV_OUTCOME_REJECTED && each.error == -EDQUOT;
  }
  EXPECT_EQ(ready + refused, 30u);
  EXPECT_GE(ready, 5u);
  EXPECT_GE(refused, 1u) << "30 blocks are 2.8 MiB";
  EXPECT_EQ(speckv_prefetch_end(client().get(), prefetch_), 0);
}

// Nothing is read for it: what lies below is asked for first.
TEST_F(Ahead, ABlockThatLiesBelowIsNotRetained) {
  const std::vector<KeyBytes> keys = spilled(2);
  int32_t results[2] = {99, 99};
  uint64_t retained = 0;
  EXPECT_EQ(speckv_retain(client().get(), number_, as_keys(keys), 2, second_ns, 20 * second_ns,
                          results, &retained),
            -ENOENT);
  EXPECT_EQ(results[0], -ENOENT);
  ASSERT_EQ(load(keys, lib::now_ns() + 20 * second_ns), 2) << daemon().log();
  EXPECT_EQ(speckv_retain(client().get(), number_, as_keys(keys), 2, second_ns, 20 * second_ns,
                          results, &retained),
            2);
  EXPECT_EQ(speckv_retain_end(client().get(), retained), 0);
}

}  // namespace
}  // namespace speckv::test
