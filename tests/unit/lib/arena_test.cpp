// SPDX-License-Identifier: Apache-2.0
// Proves that the arena never gives a chunk twice, finds every run that is there, and goes on where
// it left off. How: a plain array of flags says the same at each of many random steps.
#include "src/arena.hpp"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace speckv::lib {
namespace {

bool has_run(const std::vector<bool>& taken, uint32_t count) {
  uint32_t run = 0;
  for (const bool bit : taken) {
    run = bit ? 0 : run + 1;
    if (run == count) return true;
  }
  return false;
}

TEST(Arena, AgainstAPlainArray) {
  for (const uint32_t chunks : {1u, 16u, 63u, 64u, 65u, 500u}) {
    const unsigned seed = std::random_device{}();
    std::mt19937 random(seed);
    Arena arena;
    ASSERT_EQ(arena.reset(chunks), 0);
    std::vector<bool> taken(chunks, false);
    std::vector<std::pair<uint32_t, uint32_t>> runs;
    for (int step = 0; step < 5000; step++) {
      if (random() % 2 && !runs.empty()) {
        const size_t which = random() % runs.size();
        const auto [first, count] = runs[which];
        runs[which] = runs.back();
        runs.pop_back();
        arena.give(first, count);
        for (uint32_t i = 0; i < count; i++) taken[first + i] = false;
        continue;
      }
      const uint32_t count = 1 + random() % (1 + std::min(chunks, 90u));
      const uint32_t first = arena.take(count);
      ASSERT_EQ(first != Arena::no_chunk, has_run(taken, count)) << "seed " << seed;
      if (first == Arena::no_chunk) continue;
      ASSERT_LE(first + count, chunks);
      for (uint32_t i = 0; i < count; i++) {
        ASSERT_FALSE(taken[first + i]) << "seed " << seed;
        taken[first + i] = true;
      }
      runs.emplace_back(first, count);
    }
    const auto used = uint32_t(std::count(taken.begin(), taken.end(), true));
    EXPECT_EQ(arena.chunks_free(), chunks - used);
  }
}

TEST(Arena, NextFit) {
  Arena arena;
  ASSERT_EQ(arena.reset(8), 0);
  EXPECT_EQ(arena.take(2), 0u);
  arena.give(0, 2);
  EXPECT_EQ(arena.take(2), 2u);  // not the one just given back
  EXPECT_EQ(arena.take(4), 4u);
  EXPECT_EQ(arena.take(2), 0u);
  EXPECT_EQ(arena.take(1), Arena::no_chunk);
  EXPECT_EQ(arena.take(0), Arena::no_chunk);
  EXPECT_EQ(arena.take(9), Arena::no_chunk);
}

}  // namespace
}  // namespace speckv::lib
