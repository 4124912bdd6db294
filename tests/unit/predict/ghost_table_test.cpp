// SPDX-License-Identifier: Apache-2.0
// ghost_table_test.cpp - remembers, forgets the oldest, and survives a wrapped clock.
#include "predict/ghost_table.hpp"

#include <gtest/gtest.h>

#include <random>

namespace speckv::predict {
namespace {

constexpr uint64_t kMs = 1'000'000;

TEST(GhostTable, gives_back_once) {
  GhostTable ghosts(64);
  ghosts.insert(0x123456789abcdef0, 100 * kMs, 3);
  uint64_t age_ns = 0;
  uint32_t visits = 0;
  EXPECT_FALSE(ghosts.take(0x923456789abcdef0, 130 * kMs, &age_ns, &visits));
  ASSERT_TRUE(ghosts.take(0x123456789abcdef0, 130 * kMs, &age_ns, &visits));
  EXPECT_EQ(age_ns, 30 * kMs);
  EXPECT_EQ(visits, 3u);
  EXPECT_FALSE(ghosts.take(0x123456789abcdef0, 130 * kMs, &age_ns, &visits));
}

TEST(GhostTable, the_same_key_again_replaces) {
  GhostTable ghosts(8);
  for (uint32_t i = 0; i < 100; ++i) ghosts.insert(0x7000000000000001, i * kMs, i);
  uint64_t age_ns = 0;
  uint32_t visits = 0;
  ASSERT_TRUE(ghosts.take(0x7000000000000001, 100 * kMs, &age_ns, &visits));
  EXPECT_EQ(age_ns, 1 * kMs);
  EXPECT_EQ(visits, GhostTable::kVisitsMax);
  EXPECT_FALSE(ghosts.take(0x7000000000000001, 100 * kMs, &age_ns, &visits));
}

TEST(GhostTable, a_full_bucket_forgets_its_oldest) {
  GhostTable ghosts(8);  // one bucket
  uint64_t age_ns = 0;
  uint32_t visits = 0;
  for (uint64_t i = 1; i <= 9; ++i) ghosts.insert(i << 40, (i == 4 ? 1 : 100 + i) * kMs, 0);
  for (uint64_t i = 1; i <= 9; ++i) {
    EXPECT_EQ(ghosts.take(i << 40, 200 * kMs, &age_ns, &visits), i != 4) << i;
  }
}

TEST(GhostTable, millisecond_counter_wraps) {
  GhostTable ghosts(8);
  const uint64_t wrap_ns = (uint64_t(1) << 32) * kMs;
  ghosts.insert(5ull << 40, wrap_ns - 10 * kMs, 1);
  uint64_t age_ns = 0;
  uint32_t visits = 0;
  ASSERT_TRUE(ghosts.take(5ull << 40, wrap_ns + 20 * kMs, &age_ns, &visits));
  EXPECT_EQ(age_ns, 30 * kMs);
}

TEST(GhostTable, keeps_most_of_what_it_is_sized_for) {
  constexpr uint32_t kKeys = 4096;
  GhostTable ghosts(kKeys);
  std::mt19937_64 random(3);
  std::vector<uint64_t> keys(kKeys);
  for (auto& key : keys) ghosts.insert(key = random(), 1 * kMs, 0);
  uint32_t found = 0;
  uint64_t age_ns = 0;
  uint32_t visits = 0;
  for (auto key : keys) found += ghosts.take(key, 2 * kMs, &age_ns, &visits);
  EXPECT_GT(found, kKeys * 8 / 10);
}

}  // namespace
}  // namespace speckv::predict
