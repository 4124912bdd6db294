// SPDX-License-Identifier: Apache-2.0
// ranking_test.cpp - the two policies to compare with do what their names say.
#include <gtest/gtest.h>

#include "chains.hpp"

namespace speckv::predict {
namespace {

using Names = std::vector<std::string>;

TEST(Lru, oldest_touch_goes_first) {
  Chains pool("lru", 3);
  for (const char* name : {"a", "b", "c"}) {
    pool.put(name);
    pool.wait_s(1);
  }
  pool.hit("a");
  pool.put("d");
  pool.put("e");
  EXPECT_EQ(pool.evicted(), (Names{"b", "c"}));
}

TEST(Lru, of_one_request_the_last_block_goes_first) {
  Chains pool("lru", 8);
  pool.ask("a", 4);
  pool.wait_s(1);
  pool.ask("b", 4);
  pool.wait_s(1);
  pool.ask("a", 4);
  pool.wait_s(1);
  pool.ask("c", 6);
  EXPECT_EQ(pool.evicted(), (Names{"b3", "b2", "b1", "b0", "a3", "a2"}));
}

TEST(Lru, a_cycle_larger_than_the_pool_never_hits) {
  Chains pool("lru", 100);
  uint32_t led = 0;
  for (uint32_t round = 0; round < 20; ++round) {
    for (uint32_t s = 0; s < 15; ++s, pool.wait_s(1))
      led += pool.ask("s" + std::to_string(s) + ".", 10);
  }
  EXPECT_EQ(led, 0u);
}

TEST(S3Fifo, what_is_used_once_passes_through_the_small_queue) {
  Chains pool("s3fifo", 20);
  for (uint32_t i = 0; i < 20; ++i) pool.put("hot" + std::to_string(i));
  for (uint32_t i = 0; i < 18; ++i) {
    pool.hit("hot" + std::to_string(i));
    pool.hit("hot" + std::to_string(i));
  }
  for (uint32_t i = 0; i < 100; ++i) pool.put("once" + std::to_string(i));
  uint32_t stayed = 0;
  for (uint32_t i = 0; i < 18; ++i) stayed += pool.has("hot" + std::to_string(i));
  EXPECT_EQ(stayed, 18u);
}

TEST(S3Fifo, a_remembered_key_enters_main) {
  Chains pool("s3fifo", 20);
  for (uint32_t i = 0; i < 21; ++i) pool.put(std::to_string(i));
  ASSERT_EQ(pool.evicted(), Names{"0"});
  pool.put("0");
  for (uint32_t i = 100; i < 160; ++i) pool.put(std::to_string(i));
  EXPECT_TRUE(pool.has("0"));
}

}  // namespace
}  // namespace speckv::predict
