// SPDX-License-Identifier: Apache-2.0
// contract_test.cpp - what policy.hpp promises, for every policy of the registry.
//
// How: hand-made corners, then 200,000 random calls against a plain model of who is resident and
// pinned (seed printed); operator new counts, so that "no allocation" is a measurement.
#include <gtest/gtest.h>

#include <random>

#include "allocations.hpp"
#include "chains.hpp"

namespace speckv::predict {
namespace {

class Contract : public testing::TestWithParam<std::string_view> {};
INSTANTIATE_TEST_SUITE_P(All, Contract,
                         testing::ValuesIn(policy_names().begin(), policy_names().end()),
                         [](const auto& made) { return std::string(made.param); });

TEST(Registry, names_make_policies_and_nothing_else_does) {
  EXPECT_EQ(policy_names().front(), "continuation");
  for (std::string_view name : policy_names()) {
    const auto policy = make_policy(name, 8);
    ASSERT_NE(policy, nullptr) << name;
    EXPECT_EQ(policy->name(), name);
    EXPECT_EQ(make_policy(name, 0), nullptr);
    EXPECT_EQ(make_policy(name, kCapacityMax + 1), nullptr);
  }
  EXPECT_EQ(make_policy("LRU", 8), nullptr);
  EXPECT_EQ(make_policy("", 8), nullptr);
}

TEST_P(Contract, nothing_resident_nothing_to_evict) {
  const auto policy = make_policy(GetParam(), 4);
  uint32_t block = 7;
  EXPECT_FALSE(policy->victim(0, {}, &block));
  EXPECT_EQ(block, 7u) << "out-parameters are set only on success";
}

TEST_P(Contract, one_block_pool) {
  Chains pool(GetParam(), 1);
  EXPECT_TRUE(pool.put("a"));
  EXPECT_TRUE(pool.put("b"));
  EXPECT_TRUE(pool.has("b"));
  pool.pin("b", true);
  EXPECT_FALSE(pool.put("c"));
  pool.pin("b", false);
  EXPECT_TRUE(pool.put("c"));
}

TEST_P(Contract, all_pinned_but_one) {
  constexpr uint32_t kBlocks = 64;
  for (uint32_t free_one = 0; free_one < kBlocks; ++free_one) {
    Chains pool(GetParam(), kBlocks);
    pool.ask("x", kBlocks / 2);  // a chain: in it, all but the last are inner blocks
    for (uint32_t i = kBlocks / 2; i < kBlocks; ++i) pool.put("x" + std::to_string(i));
    for (uint32_t i = 0; i < kBlocks; i += 3) pool.hit("x" + std::to_string(i));
    for (uint32_t i = 0; i < kBlocks; ++i) pool.pin("x" + std::to_string(i), i != free_one);
    ASSERT_TRUE(pool.put("new")) << free_one;
    EXPECT_EQ(pool.evicted(), std::vector<std::string>{"x" + std::to_string(free_one)});
    pool.pin("new", true);
    EXPECT_FALSE(pool.put("more"));
  }
}

TEST_P(Contract, late_touches_and_double_removals_are_ignored) {
  const auto policy = make_policy(GetParam(), 4);
  policy->on_hit(2, 5);
  policy->on_remove(2);
  EXPECT_EQ(policy->resident(), 0u);
  policy->on_insert(2, {});
  policy->on_remove(2);
  policy->on_remove(2);
  policy->on_hit(2, 9);
  EXPECT_EQ(policy->resident(), 0u);
  uint32_t block = 0;
  EXPECT_FALSE(policy->victim(9, {}, &block));
}

TEST_P(Contract, time_may_stand_still_or_run_backwards) {
  Chains pool(GetParam(), 16);
  for (uint32_t i = 0; i < 200; ++i) {
    pool.now_ns = i % 3 == 0 ? 1'000'000'000 : 5;
    EXPECT_TRUE(pool.put(std::to_string(i), i % 4 ? std::to_string(i - 1) : ""));
    if (i % 5 == 0) pool.hit(std::to_string(i));
  }
  EXPECT_EQ(pool.policy().resident(), 16u);
}

TEST_P(Contract, random_calls_against_a_plain_model) {
  constexpr uint32_t kCapacity = 97;
  const uint64_t seed = 20261124;
  RecordProperty("seed", std::to_string(seed));
  std::mt19937_64 random(seed);
  const auto policy = make_policy(GetParam(), kCapacity);
  std::vector<uint8_t> resident(kCapacity, 0), pinned(kCapacity, 0);
  uint32_t count = 0;
  uint64_t now_ns = 0;
  const size_t allocations_before = allocations();
  for (uint32_t i = 0; i < 200'000; ++i) {
    now_ns += random() % 50'000'000;
    const uint32_t block = uint32_t(random() % kCapacity);
    const uint32_t what = uint32_t(random() % 16);
    if (what < 5) {
      policy->on_hit(block, now_ns);
    } else if (what < 6) {
      policy->on_remove(block);
      count -= resident[block];
      resident[block] = pinned[block] = 0;
    } else if (what < 8) {
      pinned[block] = resident[block] && random() % 4 != 0;
    } else if (what < 12 && !resident[block]) {
      BlockFacts facts;
      facts.key_hash = random() % 300 * 0x9E3779B97F4A7C15ull;
      facts.now_ns = now_ns;
      // any number: resident, gone, itself, or none
      facts.parent = what < 11 ? uint32_t(random() % kCapacity) : kParentAway;
      policy->on_insert(block, facts);
      resident[block] = 1;
      ++count;
    } else if (what >= 12) {
      uint32_t victim = kNoBlock;
      const bool found = policy->victim(now_ns, pinned, &victim);
      bool any = false;
      for (uint32_t b = 0; b < kCapacity; ++b) any = any || (resident[b] && !pinned[b]);
      ASSERT_EQ(found, any) << "call " << i << " seed " << seed;
      if (!found) continue;
      ASSERT_TRUE(victim < kCapacity && resident[victim] && !pinned[victim])
          << "call " << i << " seed " << seed;
      if (random() % 2) continue;  // a proposal need not be taken
      policy->on_remove(victim);
      resident[victim] = 0;
      --count;
    }
    ASSERT_EQ(policy->resident(), count) << "call " << i << " seed " << seed;
  }
  EXPECT_EQ(allocations(), allocations_before) << "no allocation after construction";
}

TEST_P(Contract, same_calls_same_victims) {
  Chains a(GetParam(), 32), b(GetParam(), 32);
  for (Chains* pool : {&a, &b}) {
    for (uint32_t i = 0; i < 500; ++i) {
      pool->wait_s(0.7);
      pool->ask("s" + std::to_string(i * 7 % 11) + ".", 1 + i % 6);
    }
  }
  EXPECT_EQ(a.evicted(), b.evicted());
  EXPECT_GT(a.evicted().size(), 100u);
}

}  // namespace
}  // namespace speckv::predict
