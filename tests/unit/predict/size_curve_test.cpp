// SPDX-License-Identifier: Apache-2.0
// size_curve_test.cpp - what the small pools without bytes say of larger and smaller pools, against
// pools of these sizes that the whole trace is replayed through.
//
// How: the same requests go to both; the truth is replay.hpp's, leading hits with block 0. Traces
// are our own generators' (a file's: rows size/* of `make bench`).
#include "predict/size_curve.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "allocations.hpp"
#include "replay.hpp"
#include "sessions.hpp"
#include "size_feed.hpp"

namespace speckv::predict {
namespace {

using bench::SizeFeed;
using bench::Trace;

constexpr uint32_t kBlockBytes = 1000;
constexpr double kPointsMax = 2;

SizeCurveOptions options_of(std::string_view policy, uint32_t pool_blocks, uint32_t samples) {
  SizeCurveOptions options;
  options.policy = policy;
  options.pool_bytes = uint64_t{pool_blocks} * kBlockBytes;
  options.samples = samples;
  options.half_life = 0;  // as the replay counts
  return options;
}

double percent(const SizeCurve::Count& count) {
  return count.uses > 0 ? 100 * count.hits / count.uses : 0;
}

double truth(std::string_view policy, const Trace& trace, double blocks) {
  const auto capacity = uint32_t(std::lround(blocks));
  const auto made = make_policy(policy, capacity);
  return bench::replay(*made, trace, capacity).percent_of_all();
}

Trace agents(uint64_t seed) {
  bench::SyntheticSessions config;
  config.seed = seed;
  config.sessions = 300;
  return bench::synthetic_sessions(config).flat();
}

class SizeCurveOf : public testing::TestWithParam<std::string_view> {};

TEST_P(SizeCurveOf, EveryKeyAgreesWithReplay) {
  const Trace trace = agents(1);
  const uint32_t pool = trace.distinct / 10;
  SizeCurve curve(options_of(GetParam(), pool, 4 * pool));
  SizeFeed(trace, kBlockBytes).play(&curve);
  EXPECT_EQ(curve.one_in(), 1u);
  for (uint32_t model = 0; model < kSizeSteps.size(); model++)
    EXPECT_NEAR(percent(curve.count(model)), truth(GetParam(), trace, pool * kSizeSteps[model]),
                kPointsMax)
        << GetParam() << ", pool x " << kSizeSteps[model];
}

TEST_P(SizeCurveOf, ASampleOfTheKeysAgreesWithReplay) {
  for (uint64_t seed : {2, 3}) {
    const Trace trace = agents(seed);
    const uint32_t pool = trace.distinct / 10;
    SizeCurve curve(options_of(GetParam(), pool, pool / 3));
    SizeFeed(trace, kBlockBytes).play(&curve);
    EXPECT_GE(curve.one_in(), 2u);
    for (uint32_t model = 0; model < kSizeSteps.size(); model++)
      EXPECT_NEAR(percent(curve.count(model)), truth(GetParam(), trace, pool * kSizeSteps[model]),
                  kPointsMax)
          << GetParam() << ", seed " << seed << ", 1 in " << curve.one_in() << ", pool x "
          << kSizeSteps[model];
  }
}

INSTANTIATE_TEST_SUITE_P(Policies, SizeCurveOf, testing::ValuesIn(policy_names()),
                         [](const auto& test) { return std::string(test.param); });

TEST(SizeCurve, ATierBelowIsOneModelMore) {
  const Trace trace = agents(4);
  const uint32_t pool = trace.distinct / 40;
  SizeCurveOptions options = options_of("continuation", pool, pool);
  SizeCurve without(options);
  EXPECT_EQ(without.count(kSizeModels - 1).uses, 0u);
  options.bytes_below = 15 * options.pool_bytes;  // beyond what a model is let grow to
  SizeCurve curve(options);
  SizeFeed(trace, kBlockBytes).play(&curve);
  EXPECT_NEAR(percent(curve.count(kSizeModels - 1)), truth("continuation", trace, 16.0 * pool), 4);
}

TEST(SizeCurve, AllocatesNothingAfterConstruction) {
  const Trace trace = agents(5);
  SizeCurve curve(options_of("continuation", trace.distinct / 10, 64));
  SizeFeed feed(trace, kBlockBytes);
  const size_t before = allocations();
  feed.play(&curve);
  EXPECT_EQ(allocations(), before);
  EXPECT_GE(curve.one_in(), 16u);
}

void ask(SizeCurve* curve, const BlockUse& use) {
  if (curve->asked(use.key_hash)) curve->use(use);
}

TEST(SizeCurve, OldCountsWeighLess) {
  SizeCurveOptions options = options_of("lru", 1000, 1000);
  options.half_life = 100;
  SizeCurve curve(options);
  BlockUse use{1, 0, 0, 0, kBlockBytes, 0};
  for (uint32_t i = 0; i < 1000; i++) ask(&curve, use);  // hits, but the first
  EXPECT_GT(percent(curve.count(2)), 99);
  for (uint32_t i = 0; i < 200; i++) use.key_hash += 7919, ask(&curve, use);  // misses
  EXPECT_LT(percent(curve.count(2)), 30);
}

TEST(SizeCurve, AKeyThatWasRemovedIsAMissEverywhere) {
  SizeCurve curve(options_of("lru", 100, 100));
  BlockUse use;
  use.key_hash = 12345;
  use.stored_bytes = kBlockBytes;
  ask(&curve, use);
  curve.forget(use.key_hash);
  ask(&curve, use);
  ask(&curve, use);
  for (uint32_t model = 0; model < kSizeSteps.size(); model++) {
    EXPECT_EQ(curve.count(model).uses, 3u);
    EXPECT_EQ(curve.count(model).hits, 1u);
  }
}

TEST(SizeCurve, ABlockLargerThanAModelIsItsMissAndPushesNothingOut) {
  SizeCurve curve(options_of("lru", 10, 100));
  BlockUse small{1, 0, 0, 0, kBlockBytes, 0}, large{2, 0, 0, 0, 7 * kBlockBytes, 0};
  for (const BlockUse& use : {small, large, small, large}) ask(&curve, use);
  EXPECT_EQ(curve.count(0).hits, 1u);  // half a pool is 5 blocks: `large` never fits
  EXPECT_EQ(curve.count(2).hits, 2u);
}

// Any order of uses and removals at any rate: the tables agree with themselves (sanitizers and the
// policies' own asserts look on), and no model counts more than was asked.
TEST(SizeCurve, AnyOrderOfUsesAndRemovals) {
  for (std::string_view policy : policy_names()) {
    SizeCurve curve(options_of(policy, 1000, 40));
    uint64_t random = 88172645463325252ull;
    for (uint32_t step = 0; step < 60'000; step++) {
      random ^= random << 13, random ^= random >> 7, random ^= random << 17;
      BlockUse use;
      use.key_hash = (random >> 8) % 5000 * 0x9E3779B97F4A7C15ull;
      use.now_ns = step * 1'000'000ull;
      use.stored_bytes = 1 + uint32_t(random >> 40) % 5000;
      if (random % 16 == 0) curve.forget(use.key_hash);
      else ask(&curve, use);
    }
    for (uint32_t model = 0; model < kSizeSteps.size(); model++)
      EXPECT_LE(curve.count(model).hits, curve.count(model).uses);
    EXPECT_LE(curve.count(0).hits, curve.count(kSizeSteps.size() - 1).hits + 50) << policy;
  }
}

TEST(SizeCurve, ItsMemoryIsTheSameForEveryPool) {
  const uint64_t small = SizeCurve::memory_bytes(options_of("lru", 1000, 2048));
  EXPECT_EQ(small, SizeCurve::memory_bytes(options_of("lru", 100'000'000, 2048)));
  EXPECT_LT(small, 8u << 20);
}

}  // namespace
}  // namespace speckv::predict
