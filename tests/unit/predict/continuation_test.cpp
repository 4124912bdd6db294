// SPDX-License-Identifier: Apache-2.0
// continuation_test.cpp - the three rules at the head of continuation.cpp, and what they gain.
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "chains.hpp"

namespace speckv::predict {
namespace {

std::string session(uint32_t s) { return "s" + std::to_string(s) + "."; }

TEST(Continuation, only_leaves_go) {
  for (std::string_view name : {"continuation", "s3fifo"}) {
    Chains pool(name, 50);
    std::mt19937 random(1);
    for (uint32_t i = 0; i < 3000; ++i) {
      pool.wait_s(double(random() % 1000) / 250);
      pool.ask(session(random() % 40), 1 + random() % 9);
    }
    EXPECT_GT(pool.evicted().size(), 1000u);
    if (name == "continuation") {
      EXPECT_EQ(pool.evicted_parents(), 0u);
    } else {
      EXPECT_GT(pool.evicted_parents(), 0u);  // so that the line above can fail
    }
  }
}

TEST(Continuation, a_chain_is_eaten_from_its_end) {
  Chains pool("continuation", 10);
  pool.ask("a", 10);
  pool.wait_s(5);
  for (uint32_t i = 0; i < 9; ++i) {
    pool.put("b" + std::to_string(i), i > 0 ? "b" + std::to_string(i - 1) : "");
    EXPECT_EQ(pool.leading("a"), 9 - i);
  }
}

TEST(Continuation, an_inner_block_outlives_its_age) {
  // the first block is touched only by the first request; its child keeps it
  Chains pool("continuation", 4);
  pool.put("root");
  pool.wait_s(1);
  pool.put("child", "root");
  for (uint32_t i = 0; i < 20; ++i) {
    pool.wait_s(1);
    pool.hit("child");
    pool.put("other" + std::to_string(i));
  }
  EXPECT_TRUE(pool.has("root"));
  EXPECT_TRUE(pool.has("child"));
}

TEST(Continuation, a_block_whose_parent_is_elsewhere_is_like_any_other) {
  // after a restart, or where the parent is another shard's, blocks come without their parents
  Chains pool("continuation", 3);
  pool.put("a");
  pool.put("b");
  pool.wait_s(1);
  pool.put("stray", "never seen");
  pool.put("c");
  EXPECT_TRUE(pool.has("stray"));
}

TEST(Continuation, without_parents_the_deeper_of_two_alike_goes_first) {
  const auto policy = make_policy("continuation", 4);
  for (uint32_t block = 0; block < 4; ++block) {
    BlockFacts facts;
    facts.key_hash = block;
    facts.parent = kParentAway;
    facts.position = block == 2 ? 9 : block;
    policy->on_insert(block, facts);
  }
  uint32_t victim = kNoBlock;
  ASSERT_TRUE(policy->victim(1'000'000'000, {}, &victim));
  EXPECT_EQ(victim, 2u);
}

TEST(Continuation, a_reused_slot_is_nobodys_parent) {
  Chains pool("continuation", 3);
  pool.put("parent");
  pool.put("child", "parent");
  const uint32_t slot = pool.slot("parent");
  pool.remove("parent");
  pool.put("stranger");
  ASSERT_EQ(pool.slot("stranger"), slot);
  pool.put("heir", "stranger");
  pool.remove("child");  // must not count as the stranger's child
  pool.wait_s(1);
  pool.put("x");
  pool.put("y");
  EXPECT_EQ(pool.evicted(), std::vector<std::string>{"heir"});
  EXPECT_TRUE(pool.has("stranger"));
}

TEST(Continuation, keeps_a_part_of_a_cycle_larger_than_the_pool) {
  // 15 sessions of 10 blocks in turn, room for 100: LRU hits nothing (ranking_test), the optimum is
  // about 2/3 of all
  Chains pool("continuation", 100);
  uint32_t led = 0, asked = 0;
  for (uint32_t round = 0; round < 60; ++round) {
    for (uint32_t s = 0; s < 15; ++s, pool.wait_s(1)) {
      const uint32_t n = pool.ask(session(s), 10);
      if (round < 20) continue;
      led += n;
      asked += 10;
    }
  }
  EXPECT_GT(double(led) / asked, 0.4);
}

TEST(Continuation, what_came_back_is_kept_longer) {
  // a few sessions speak each minute for ever, many others only once
  Chains pool("continuation", 200);
  uint32_t once = 0, led = 0, asked = 0;
  for (uint32_t minute = 0; minute < 120; ++minute) {
    for (uint32_t s = 0; s < 10; ++s, pool.wait_s(6)) {
      const uint32_t n = pool.ask(session(s), 10);
      led += minute < 60 ? 0 : n;
      asked += minute < 60 ? 0 : 10;
      for (uint32_t i = 0; i < 3; ++i) pool.ask("once" + std::to_string(once++) + ".", 10);
    }
  }
  EXPECT_GT(double(led) / asked, 0.9);
}

TEST(Continuation, what_its_session_left_behind_goes_before_what_it_will_ask_for) {
  // Each turn a session says something, takes it back, and says something else: two blocks alike in
  // age, depth and use, and only the second is asked for again, once, a turn later. There is no
  // place for all of two turns. A policy that cannot tell them apart has 0.6 of those that count.
  Chains pool("continuation", 74);
  uint32_t found = 0, asked = 0;
  for (uint32_t turn = 0; turn < 400; ++turn) {
    for (uint32_t s = 0; s < 20; ++s) {
      const std::string root = session(s), kept = root + "kept" + std::to_string(turn);
      const std::string before = root + "kept" + std::to_string(turn - 1);
      pool.put(root);
      if (turn >= 100) {
        found += pool.has(before);
        ++asked;
      }
      pool.put(before, root);  // computed anew where it is gone
      pool.put(root + "taken back" + std::to_string(turn), root);
      pool.put(kept, root);
    }
    pool.wait_s(20);
  }
  EXPECT_GT(double(found) / asked, 0.75);
}

TEST(Continuation, a_block_that_nobody_asked_for_teaches_nothing) {
  const auto policy = make_policy("continuation", 4);
  BlockFacts facts;
  facts.key_hash = 0x123456789ABCDEF;
  facts.now_ns = 1'000'000'000;
  policy->on_insert(0, facts);
  policy->on_remove(0);
  for (int i = 0; i < 3; ++i) {  // fetched and dropped again
    facts.now_ns += 1'000'000'000;
    facts.speculative = true;
    policy->on_insert(0, facts);
    EXPECT_EQ(policy->resident(), 1u);
    policy->on_remove(0);
  }
  policy->on_insert(1, facts);
  policy->on_hit(1, facts.now_ns + 1);
  uint32_t block = kNoBlock;
  EXPECT_TRUE(policy->victim(facts.now_ns + 2, {}, &block));
  EXPECT_EQ(block, 1u);
}

TEST(Continuation, without_chains_and_with_little_time_it_is_no_worse_than_lru) {
  // independent blocks, popularity ~ 1/rank, 64 calls at the same time
  auto hits_of = [](std::string_view name) {
    Chains pool(name, 100);
    std::mt19937 random(7);
    std::uniform_real_distribution<double> uniform;
    uint32_t hits = 0;
    for (uint32_t i = 0; i < 40'000; ++i) {
      const auto rank = uint32_t(std::exp(uniform(random) * std::log(2000.0)));
      hits += pool.ask("z" + std::to_string(rank) + ".", 1);
      if (i % 64 == 0) pool.wait_s(0.01);
    }
    return hits;
  };
  EXPECT_GE(hits_of("continuation"), hits_of("lru"));
}

}  // namespace
}  // namespace speckv::predict
