// SPDX-License-Identifier: Apache-2.0
// tiers_test.cpp - the replay through two tiers counts right, and speculation keeps its promises.
//
// How: two sessions in a pool that holds one of them, counted by hand; then sessions of our own
// making (no file needed) with an engine that makes requests queue, and with a prefetcher that is
// always wrong.
#include "tiers.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>

#include "arms.hpp"
#include "evict_arms.hpp"

namespace speckv::bench {
namespace {

constexpr uint64_t kS = 1'000'000'000;

// Two sessions of four blocks that speak in turn, a minute apart, twice each.
SessionTrace two_sessions() {
  SessionTrace trace;
  trace.distinct = 8;
  trace.block_tokens = 1024;
  for (uint32_t s = 0; s < 2; ++s) {
    trace.sessions.push_back({s * 60 * kS, 2 * s, 2});
    for (uint32_t turn = 0; turn < 2; ++turn) {
      trace.requests.push_back({turn * 120 * kS, kS, uint32_t(trace.blocks.size()), 4});
      for (uint32_t p = 0; p < 4; ++p) trace.blocks.push_back(4 * s + p);
    }
  }
  return trace;
}

TierConfig small_tiers() {
  TierConfig config;
  config.pool_policy = "lru";
  config.pool_blocks = 4;
  config.spill_blocks = 8;
  config.block_bytes = kS / 10;  // a tenth of a second at 1 GB/s
  config.link_gb_s = 1;
  return config;
}

TEST(Tiers, a_request_stalls_for_what_lies_below) {
  const TierResult result = replay_tiers(two_sessions(), small_tiers(), nullptr);
  EXPECT_EQ(result.requests, 4u);
  EXPECT_EQ(result.stalled, 2u);
  EXPECT_EQ(result.demanded, 8u);
  EXPECT_NEAR(result.stall_s, 0.8, 1e-6);
  EXPECT_EQ(result.spill_hits, 8u);
  EXPECT_NEAR(result.slot_busy_s, 4.8, 1e-6);
  EXPECT_NEAR(result.end_s, 181.4, 1e-6) << "only its own stall moves a session's answer";
}

TEST(Tiers, who_knows_the_future_stalls_nobody) {
  const SessionTrace trace = two_sessions();
  PerfectArm arm(trace, 30);
  const TierResult result = replay_tiers(trace, small_tiers(), &arm);
  EXPECT_EQ(result.stall_s, 0);
  EXPECT_EQ(result.fetched, 8u);
  EXPECT_EQ(result.useful, 8u);
  EXPECT_EQ(result.wasted, 0u);
}

TEST(Tiers, a_link_is_finite_for_those_who_know_too) {
  const SessionTrace trace = two_sessions();
  PerfectArm arm(trace, 0.25);  // two and a half blocks' time
  const TierResult result = replay_tiers(trace, small_tiers(), &arm);
  EXPECT_NEAR(result.stall_s, 2 * 0.15, 1e-6);
  EXPECT_EQ(result.late, 2u);
}

TEST(Tiers, without_room_below_what_is_evicted_is_gone) {
  TierConfig config = small_tiers();
  config.spill_blocks = 1;
  const TierResult result = replay_tiers(two_sessions(), config, nullptr);
  EXPECT_LT(result.spill_hits, 8u);
  EXPECT_GT(result.dropped, 0u);
}

TEST(Tiers, requests_queue_where_slots_are_few) {
  SessionTrace trace = two_sessions();
  trace.sessions[1].start_ns = 0;  // both speak at once
  TierConfig config = small_tiers();
  config.pool_blocks = 8;
  config.engine_slots = 1;
  const TierResult result = replay_tiers(trace, config, nullptr);
  // the second waits for the first, at first; its later request is moved back by as much
  EXPECT_NEAR(result.queue_s, 1, 1e-6);
}

TierConfig tenth_and_four(const SessionTrace& trace) {
  TierConfig config;
  config.pool_blocks = trace.distinct / 10;
  config.spill_blocks = trace.distinct * 4 / 10;
  config.block_bytes = uint64_t(trace.block_tokens) * 131'072;
  return config;
}

TEST(Speculation, hides_a_part_of_the_tier_where_requests_queue_and_harms_nobody_where_not) {
  for (uint64_t seed : {1, 2}) {
    SyntheticSessions made;
    made.seed = seed;
    const SessionTrace trace = synthetic_sessions(made);
    for (uint32_t slots : {0u, 2u}) {
      TierConfig config = tenth_and_four(trace);
      config.engine_slots = slots;
      const TierResult none = replay_tiers(trace, config, nullptr);
      SpeculatorArm arm(trace, config, {});
      const TierResult ours = replay_tiers(trace, config, &arm);
      ASSERT_GT(none.stall_s, 1) << "else this shows nothing";
      EXPECT_GE(ours.useful_share(), 0.7) << "seed " << seed << " slots " << slots;
      EXPECT_LE(ours.stall_s, (slots ? 0.9 : 1.1) * none.stall_s)
          << "seed " << seed << " slots " << slots;
    }
  }
}

TEST(Speculation, a_prefetcher_that_is_always_wrong_costs_at_most_three_per_cent) {
  SyntheticSessions made;
  made.sessions = 200;
  made.never_again = true;
  const SessionTrace trace = synthetic_sessions(made);
  TierConfig config = tenth_and_four(trace);
  config.engine_slots = 4;
  const TierResult off = replay_tiers(trace, config, nullptr);
  WrongArm wrong(trace, true);
  const TierResult on = replay_tiers(trace, config, &wrong);
  EXPECT_GT(on.wasted, 100u);
  EXPECT_GE(wrong.gate().times_off, 1u) << "and says so";
  EXPECT_GE(off.slot_busy_s / on.slot_busy_s, 0.97);
  WrongArm ungated(trace, false);
  EXPECT_GT(replay_tiers(trace, config, &ungated).wasted, 4 * on.wasted);
}

TEST(EvictArms, who_knows_the_future_keeps_more) {
  const SessionTrace trace = synthetic_sessions({});
  TierConfig config = tenth_and_four(trace);
  config.pool_policy = "lru";
  const TierResult lru = replay_tiers(trace, config, nullptr);
  config.make_pool_policy = [&](uint32_t capacity) { return make_belady(trace, capacity); };
  EXPECT_LT(replay_tiers(trace, config, nullptr).stall_s, lru.stall_s);
}

class SessionsFile : public testing::Test {
 protected:
  void TearDown() override { std::remove(path_.c_str()); }
  bool load(const std::string& text, uint32_t block_tokens) {
    std::ofstream(path_) << text;
    SessionOptions options;
    options.block_tokens = block_tokens;
    return load_sessions(path_, options, &trace_, &error_);
  }
  std::string path_ = testing::TempDir() + "speckv_sessions_" + std::to_string(getpid());
  SessionTrace trace_;
  std::string error_;
};

TEST_F(SessionsFile, joins_blocks_under_their_parents) {
  ASSERT_TRUE(
      load("{\"requests\":[{\"t\":0,\"from\":0,\"keep\":0,\"new\":[[0,5]],\"api\":2},"
           "{\"t\":9.5,\"from\":1,\"keep\":4,\"new\":[[7,2]]},"
           "{\"t\":12,\"from\":2,\"keep\":1,\"new\":[[9,1],[2,2]]}]}\n",
           128))
      << error_;
  ASSERT_EQ(trace_.requests.size(), 3u);
  // 01 23 (4) | 01 23 78 | 09 23: the last 23 has another prefix
  EXPECT_EQ(trace_.blocks, (std::vector<uint32_t>{0, 1, 0, 1, 2, 3, 4}));
  EXPECT_EQ(trace_.distinct, 5u);
  EXPECT_EQ(trace_.requests[0].api_ns, 2 * kS);
  EXPECT_EQ(trace_.requests[1].at_ns, 9'500'000'000u);
  EXPECT_TRUE(holds_sessions(path_));
}

TEST_F(SessionsFile, says_which_line_is_wrong) {
  const std::string good = "{\"requests\":[{\"t\":0,\"from\":0,\"keep\":0,\"new\":[[0,5]]}]}\n";
  for (const char* bad : {"rubbish", "{\"requests\":3}", "{\"requests\":[{\"t\":0}]}",
                          "{\"requests\":[{\"t\":0,\"from\":1,\"keep\":0,\"new\":[]}]}"}) {
    EXPECT_FALSE(load(good + bad, 64)) << bad;
    EXPECT_NE(error_.find(":2: expected"), std::string::npos) << error_;
  }
  EXPECT_FALSE(load(good, 100));
  EXPECT_NE(error_.find("a multiple of 64"), std::string::npos) << error_;
}

}  // namespace
}  // namespace speckv::bench
