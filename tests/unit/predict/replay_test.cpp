// SPDX-License-Identifier: Apache-2.0
// replay_test.cpp - the replay and the offline bound are right, and `continuation` keeps its goal.
//
// How: small traces counted by hand; an exhaustive search over all evictions bounds Belady on tiny
// random chains; then the goal of the design on our synthetic trace (its own seeds, no file
// needed).
#include "replay.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <map>
#include <random>
#include <set>

namespace speckv::bench {
namespace {

Trace make_trace(const std::vector<std::vector<uint32_t>>& chains) {
  Trace trace;
  for (const auto& chain : chains) {
    trace.requests.push_back({trace.requests.size() * 1'000'000'000, uint32_t(trace.blocks.size()),
                              uint32_t(chain.size())});
    for (uint32_t id : chain) {
      trace.blocks.push_back(id);
      trace.distinct = std::max(trace.distinct, id + 1);
    }
  }
  return trace;
}

ReplayResult run(std::string_view policy, const Trace& trace, uint32_t capacity) {
  const auto made = predict::make_policy(policy, capacity);
  return replay(*made, trace, capacity);
}

TEST(Replay, counts_leading_hits_without_block_0) {
  const Trace trace = make_trace({{0, 1, 2}, {0, 1, 3}, {0, 1, 2}, {0, 4, 2}});
  const ReplayResult result = run("lru", trace, 100);
  EXPECT_EQ(result.asked[0], 4u);
  EXPECT_EQ(result.asked[1], 4u);
  EXPECT_EQ(result.hits[0], 1u);  // request 1: block 1
  EXPECT_EQ(result.hits[1], 2u);  // request 2: 1, 2; request 3: 4 is new, so 2 does not lead
  EXPECT_EQ(result.inserted, 5u);
  EXPECT_EQ(result.evicted, 0u);
}

TEST(Replay, empty_requests_count_nothing) {
  const ReplayResult result = run("lru", make_trace({{}, {0}, {}, {0}}), 4);
  EXPECT_EQ(result.asked[0] + result.asked[1], 0u);
  EXPECT_EQ(result.percent(0), 0.0);
}

// The most leading hits any sequence of evictions can give, storing being optional.
uint64_t best_by_search(const Trace& trace, uint32_t capacity) {
  std::map<std::set<uint32_t>, uint64_t> best = {{{}, 0}};
  for (const auto& request : trace.requests) {
    const auto chain = trace.chain(request);
    std::map<std::set<uint32_t>, uint64_t> next;
    for (const auto& [kept, hits] : best) {
      uint64_t led = 0;
      while (led < chain.size() && kept.count(chain[led])) ++led;
      std::set<uint32_t> all = kept;
      all.insert(chain.begin(), chain.end());
      const std::vector<uint32_t> ids(all.begin(), all.end());
      for (uint32_t mask = 0; mask < 1u << ids.size(); ++mask) {
        if (uint32_t(__builtin_popcount(mask)) > capacity) continue;
        std::set<uint32_t> subset;
        for (uint32_t i = 0; i < ids.size(); ++i) {
          if (mask >> i & 1) subset.insert(ids[i]);
        }
        uint64_t& slot = next[subset];
        slot = std::max(slot, hits + led);
      }
    }
    best = std::move(next);
  }
  uint64_t most = 0;
  for (const auto& [kept, hits] : best) most = std::max(most, hits);
  return most;
}

TEST(Belady, no_sequence_of_evictions_is_better) {
  std::mt19937 random(11);
  for (uint32_t round = 0; round < 30; ++round) {
    std::vector<std::vector<uint32_t>> chains;
    for (uint32_t i = 0; i < 9; ++i) {
      const uint32_t session = random() % 3;  // ids 1, 2 of session 0; 3, 4 of 1; 5, 6 of 2
      chains.push_back({0, 1 + 2 * session, 2 + 2 * session});
      if (random() % 3 == 0) chains.back().pop_back();
    }
    const Trace trace = make_trace(chains);
    for (uint32_t capacity : {1u, 2u, 3u, 4u}) {
      // block 0 counts in the search and not in the replay: it leads in every request but the first
      const ReplayResult result = replay_belady(trace, capacity);
      const uint64_t found = best_by_search(trace, capacity);
      EXPECT_EQ(result.hits[0] + result.hits[1] + 8, found) << round << " at " << capacity;
    }
  }
}

TEST(Belady, bounds_every_policy) {
  SyntheticConfig config;
  config.requests = 3000;
  const Trace trace = synthetic_trace(config);
  for (uint32_t capacity : {500u, 2000u, 8000u}) {
    const ReplayResult bound = replay_belady(trace, capacity);
    for (std::string_view name : predict::policy_names()) {
      EXPECT_LE(run(name, trace, capacity).hits[1], bound.hits[1]) << name << " " << capacity;
    }
  }
}

TEST(Continuation, on_synthetic_sessions_at_least_lru_and_half_more_where_room_is_short) {
  for (uint64_t seed : {1, 2}) {
    SyntheticConfig config;
    config.seed = seed;
    const Trace trace = synthetic_trace(config);
    for (uint32_t capacity : {1000u, 5000u, 20'000u}) {
      const double lru = run("lru", trace, capacity).percent(1);
      const double ours = run("continuation", trace, capacity).percent(1);
      EXPECT_GE(ours, lru - 0.5) << "seed " << seed << " at " << capacity;
      if (capacity > 1000) continue;
      EXPECT_GE(ours, 1.5 * lru) << "seed " << seed << " at " << capacity;
    }
  }
}

TEST(Trace, synthetic_is_the_same_for_the_same_seed) {
  SyntheticConfig config;
  config.requests = 500;
  const Trace a = synthetic_trace(config), b = synthetic_trace(config);
  EXPECT_EQ(a.blocks, b.blocks);
  EXPECT_NE(a.name.find("synthetic"), std::string::npos);
  config.seed = 2;
  EXPECT_NE(synthetic_trace(config).blocks, a.blocks);
  for (size_t i = 1; i < a.requests.size(); ++i) {
    EXPECT_GE(a.requests[i].now_ns, a.requests[i - 1].now_ns);
  }
}

class TraceFile : public testing::Test {
 protected:
  void TearDown() override { std::remove(path_.c_str()); }
  bool load(const std::string& text) {
    std::ofstream(path_) << text;
    return load_trace(path_, &trace_, &error_);
  }
  std::string path_ = testing::TempDir() + "speckv_trace_" + std::to_string(getpid());
  Trace trace_;
  std::string error_;
};

TEST_F(TraceFile, reads_times_and_chains) {
  ASSERT_TRUE(
      load("{\"timestamp\": 27, \"input_length\": 9, \"hash_ids\": [7, 9000000000]}\n\n"
           "{\"hash_ids\":[7],\"timestamp\":3000.5}\n"))
      << error_;
  ASSERT_EQ(trace_.requests.size(), 2u);
  EXPECT_EQ(trace_.requests[0].now_ns, 27'000'000u);
  EXPECT_EQ(trace_.requests[1].now_ns, 3'000'500'000u);
  EXPECT_EQ(trace_.blocks, (std::vector<uint32_t>{0, 1, 0}));
  EXPECT_EQ(trace_.distinct, 2u);
}

TEST_F(TraceFile, says_which_line_is_wrong) {
  const std::string good = "{\"timestamp\": 1, \"hash_ids\": [1]}\n";
  for (const char* bad :
       {"{\"timestamp\": 1}", "{\"hash_ids\": [1]}", "{\"timestamp\": -1, \"hash_ids\": []}",
        "{\"timestamp\": 1, \"hash_ids\": [1", "{\"timestamp\": 1, \"hash_ids\": [x]}",
        "rubbish"}) {
    EXPECT_FALSE(load(good + bad)) << bad;
    EXPECT_NE(error_.find(":2: expected"), std::string::npos) << error_;
  }
  EXPECT_FALSE(load(""));
  EXPECT_FALSE(load_trace(path_ + ".none", &trace_, &error_));
  EXPECT_NE(error_.find("cannot open"), std::string::npos);
}

}  // namespace
}  // namespace speckv::bench
