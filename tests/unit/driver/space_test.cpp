// SPDX-License-Identifier: Apache-2.0
// space_test.cpp - the driver's granule tables: every state change by itself, then long random runs
// against a model that knows only states, with all internal rules checked after every step; 10^6
// steps against an oracle that looks for runs granule by granule; and what an allocation costs with
// 10^5 extents, counted in tree nodes.
extern "C" {
#include "space.h"
}

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

namespace {

class Space {
 public:
  explicit Space(u32 granules) { EXPECT_EQ(speckv_space_init(&space_, granules), 0); }
  ~Space() { speckv_space_destroy(&space_); }
  Space(const Space&) = delete;
  Space& operator=(const Space&) = delete;

  speckv_space* get() { return &space_; }
  void clean_all() {
    for (u32 g; (g = speckv_space_next_dirty(&space_)) != SPECKV_NO_GRANULE;)
      speckv_space_cleaned(&space_, g);
  }
  u32 count(speckv_granule_state state) const { return space_.counts[state]; }
  bool sound() const { return speckv_space_is_sound(&space_); }

 private:
  speckv_space space_{};
};

TEST(space, refuses_sizes_that_cannot_be) {
  speckv_space space;
  EXPECT_EQ(speckv_space_init(&space, 0), -EINVAL);
  EXPECT_EQ(speckv_space_init(&space, (1U << 31) + 1), -EINVAL);
}

TEST(space, begins_dirty_and_can_all_be_taken_once_clean) {
  for (u32 granules : {1U, 2U, 3U, 7U, 64U, 100U, 513U}) {
    Space space(granules);
    u32 first = 0;
    EXPECT_EQ(speckv_space_take(space.get(), 1, &first), -EAGAIN);
    space.clean_all();
    ASSERT_TRUE(space.sound());
    for (u32 i = 0; i < granules; ++i) ASSERT_EQ(speckv_space_take(space.get(), 1, &first), 0);
    EXPECT_EQ(speckv_space_take(space.get(), 1, &first), -ENOSPC);
    ASSERT_TRUE(space.sound());
    speckv_space_give(space.get(), 0, granules);
    EXPECT_EQ(speckv_space_take(space.get(), 1, &first), -EAGAIN);
    space.clean_all();
    EXPECT_EQ(space.count(SPECKV_GRANULE_FREE), granules);
    ASSERT_TRUE(space.sound());
  }
}

TEST(space, joins_neighbours_again) {
  Space space(256);
  u32 first = 0;
  space.clean_all();
  for (int i = 0; i < 256; ++i) ASSERT_EQ(speckv_space_take(space.get(), 1, &first), 0);
  speckv_space_give(space.get(), 0, 256);
  space.clean_all();
  EXPECT_EQ(speckv_space_take(space.get(), 256, &first), 0);
  EXPECT_EQ(first, 0U);
}

TEST(space, wastes_nothing_on_odd_sizes) {
  Space space(1024);
  u32 first = 0, taken = 0;
  space.clean_all();
  while (speckv_space_take(space.get(), 5, &first) == 0) taken += 5;
  while (speckv_space_take(space.get(), 1, &first) == 0) taken += 1;
  EXPECT_EQ(taken, 1024U);
}

// 96, 192 and 768 GiB cards are no powers of two, and a region is often lent out as one extent.
TEST(space, a_run_that_is_there_is_found) {
  for (u32 granules : {384U, 512U, 1000U, 1024U}) {
    Space space(granules);
    u32 first = 0, one = 0;
    space.clean_all();
    for (u32 count : {granules, granules - 1, granules * 3 / 4, granules / 2 + 1}) {
      ASSERT_EQ(speckv_space_take(space.get(), count, &first), 0) << granules << " " << count;
      EXPECT_EQ(first, 0U);
      speckv_space_give(space.get(), 0, count);
      space.clean_all();
    }
    ASSERT_EQ(speckv_space_take(space.get(), 1, &one), 0);
    EXPECT_EQ(speckv_space_longest(space.get()), granules - 1);
    EXPECT_EQ(speckv_space_take(space.get(), granules - 1, &first), 0);
    EXPECT_EQ(first, 1U);
    EXPECT_TRUE(space.sound());
  }
}

TEST(space, a_place_can_be_asked_for) {
  Space space(100);
  u32 first = 0;
  EXPECT_EQ(speckv_space_take_at(space.get(), 0, 100), -EAGAIN);
  space.clean_all();
  EXPECT_EQ(speckv_space_take_at(space.get(), 0, 0), -EINVAL);
  EXPECT_EQ(speckv_space_take_at(space.get(), 100, 1), -EINVAL);
  EXPECT_EQ(speckv_space_take_at(space.get(), 99, 2), -EINVAL);
  EXPECT_EQ(speckv_space_take_at(space.get(), 1, ~0U), -EINVAL);
  EXPECT_EQ(speckv_space_take_at(space.get(), 40, 20), 0);
  EXPECT_EQ(speckv_space_take_at(space.get(), 59, 2), -ENOSPC);
  EXPECT_EQ(speckv_space_take_at(space.get(), 60, 40), 0);
  EXPECT_EQ(speckv_space_longest(space.get()), 40U);
  ASSERT_TRUE(space.sound());
  speckv_space_give(space.get(), 40, 2);
  const u32 pinned = speckv_space_next_dirty(space.get());
  EXPECT_EQ(speckv_space_take_at(space.get(), 0, 42), -EAGAIN);
  speckv_space_postpone(space.get(), pinned);
  EXPECT_EQ(speckv_space_take_at(space.get(), 0, 42), -ENOSPC);
  EXPECT_EQ(speckv_space_take(space.get(), 40, &first), 0);
  EXPECT_EQ(first, 0U);
}

// What any search finds: the first run of that many FREE granules, looked for one by one.
u32 run_by_walking(const speckv_space& space, u32 count) {
  u32 run = 0;
  for (u32 granule = 0; granule < space.granules; ++granule) {
    run = space.table[granule].state == SPECKV_GRANULE_FREE ? run + 1 : 0;
    if (run == count) return granule + 1 - count;
  }
  return SPECKV_NO_GRANULE;
}

// One step of the oracle's run: takes up to a quarter of the region, gives, cleans, and now and
// then a pin. Returns: whether take and the walk agree.
bool agrees_with_the_walk(Space& space, std::vector<std::pair<u32, u32>>& used,
                          std::mt19937& random, u64* refused) {
  speckv_space* const table = space.get();
  if (!used.empty() && random() % 2) {
    std::swap(used[random() % used.size()], used.back());
    speckv_space_give(table, used.back().first, used.back().second);
    used.pop_back();
    if (random() % 64 == 0) speckv_space_postpone(table, speckv_space_next_dirty(table));
    else space.clean_all();
    return true;
  }
  u32 first = SPECKV_NO_GRANULE;
  const u32 count = 1 + static_cast<u32>(random() % (table->granules / 4));
  const u32 walked = run_by_walking(*table, count);
  const bool taken = speckv_space_take(table, count, &first) == 0;
  *refused += !taken;
  if (taken) used.emplace_back(first, count);
  return first == walked;
}

TEST(space, a_million_steps_agree_with_a_walk_over_the_granules) {
  u64 refused = 0;
  for (u32 granules : {384U, 512U, 1000U, 1024U}) {
    std::mt19937 random(granules);
    Space space(granules);
    std::vector<std::pair<u32, u32>> used;
    space.clean_all();
    for (int step = 0; step < 250000; ++step) {
      ASSERT_TRUE(agrees_with_the_walk(space, used, random, &refused))
          << granules << " granules, step " << step;
      const bool sound = step % 25000 != 0 || space.sound();
      ASSERT_TRUE(sound) << granules << " granules, step " << step;
    }
  }
  std::printf("10^6 steps, %llu asks refused, each rightly\n", refused);
}

TEST(space, zero_and_too_many_are_refused) {
  Space space(8);
  u32 first = 0;
  space.clean_all();
  EXPECT_EQ(speckv_space_take(space.get(), 0, &first), -EINVAL);
  EXPECT_EQ(speckv_space_take(space.get(), 9, &first), -ENOSPC);
  EXPECT_EQ(speckv_space_take(space.get(), ~0U, &first), -ENOSPC);
}

TEST(space, what_is_pinned_is_no_reason_to_wait) {
  Space space(1);
  u32 first = 0;
  space.clean_all();
  ASSERT_EQ(speckv_space_take(space.get(), 1, &first), 0);
  speckv_space_give(space.get(), 0, 1);
  EXPECT_EQ(speckv_space_take(space.get(), 1, &first), -EAGAIN);
  EXPECT_EQ(speckv_space_next_dirty(space.get()), 0U);
  speckv_space_postpone(space.get(), 0);
  EXPECT_EQ(space.get()->pinned, 1U);
  EXPECT_EQ(speckv_space_take(space.get(), 1, &first), -ENOSPC);
  ASSERT_TRUE(space.sound());
  space.clean_all();
  EXPECT_EQ(space.get()->pinned, 0U);
  EXPECT_EQ(speckv_space_take(space.get(), 1, &first), 0);
}

TEST(space, poison_in_each_state_is_never_free_again) {
  for (int state = 0; state < 5; ++state) {
    Space space(16);
    u32 first = 0;
    if (state != 0) space.clean_all();
    if (state >= 2) {
      ASSERT_EQ(speckv_space_take(space.get(), 16, &first), 0);
    }
    if (state >= 3) speckv_space_give(space.get(), 0, 16);
    u32 bad = 5;
    if (state >= 3) bad = speckv_space_next_dirty(space.get());
    if (state == 4) speckv_space_postpone(space.get(), bad);
    EXPECT_TRUE(speckv_space_poison(space.get(), bad));
    EXPECT_FALSE(speckv_space_poison(space.get(), bad));
    ASSERT_TRUE(space.sound()) << "state " << state;
    if (state == 2) speckv_space_give(space.get(), 0, 16);
    if (state == 3) speckv_space_cleaned(space.get(), bad);
    space.clean_all();
    ASSERT_TRUE(space.sound()) << "state " << state;
    EXPECT_EQ(space.count(SPECKV_GRANULE_LOST), 1U);
    EXPECT_EQ(space.count(SPECKV_GRANULE_FREE), 15U);
    while (speckv_space_take(space.get(), 1, &first) == 0) EXPECT_NE(first, bad);
  }
}

struct Extent {
  u32 first, count;
};

// One random step on the space and on the model; the model is only a set of runs in use.
void random_step(Space& space, std::vector<Extent>& used, std::mt19937& random) {
  const u32 granules = space.get()->granules;
  switch (random() % 8) {
    case 0:
    case 1:
    case 2: {
      Extent run{0, 1 + static_cast<u32>(random() % 9)};
      if (speckv_space_take(space.get(), run.count, &run.first) != 0) return;
      for (const Extent& other : used)
        ASSERT_TRUE(run.first + run.count <= other.first || other.first + other.count <= run.first);
      for (u32 g = run.first; g < run.first + run.count; ++g)
        ASSERT_FALSE(speckv_space_is_poisoned(space.get(), g));
      used.push_back(run);
      return;
    }
    case 3:
    case 4: {
      if (used.empty()) return;
      std::swap(used[random() % used.size()], used.back());
      speckv_space_give(space.get(), used.back().first, used.back().count);
      used.pop_back();
      return;
    }
    case 5:
    case 6: {
      const u32 granule = speckv_space_next_dirty(space.get());
      if (granule == SPECKV_NO_GRANULE) return;
      if (random() % 4 == 0) speckv_space_poison(space.get(), granule);
      if (random() % 3 == 0) speckv_space_postpone(space.get(), granule);
      else speckv_space_cleaned(space.get(), granule);
      return;
    }
    default:
      if (random() % 16 == 0) speckv_space_poison(space.get(), random() % granules);
  }
}

TEST(space, random_runs_keep_every_rule) {
  for (unsigned seed = 1; seed <= 60; ++seed) {
    std::mt19937 random(seed);
    Space space(1 + random() % 300);
    std::vector<Extent> used;
    for (int step = 0; step < 2000; ++step) {
      random_step(space, used, random);
      ASSERT_TRUE(space.sound()) << "seed " << seed << " step " << step;
    }
    u32 in_use = 0;
    for (const Extent& run : used) in_use += run.count;
    ASSERT_EQ(in_use, space.count(SPECKV_GRANULE_USED)) << "seed " << seed;
  }
}

// Tree nodes set per granule: of one extent returned, zeroed and joined again, and one of another
// size taken, in a region where `extents` extents of 1 to 8 granules are in use in random order.
struct Cost {
  double mean;
  double worst;
};

Cost cost_at(u32 extents) {
  std::mt19937 random(extents);
  Space space(12 * extents);
  std::vector<Extent> used(extents);
  space.clean_all();
  for (Extent& one : used) {
    one.count = 1 + random() % 8;
    EXPECT_EQ(speckv_space_take(space.get(), one.count, &one.first), 0);
  }
  std::shuffle(used.begin(), used.end(), random);
  const u64 before = space.get()->node_updates;
  Cost cost{0, 0};
  u64 granules = 0;
  for (int turn = 0; turn < 100000; ++turn) {
    const u64 start = space.get()->node_updates;
    Extent& one = used[random() % extents];
    const u32 returned = one.count;
    speckv_space_give(space.get(), one.first, one.count);
    space.clean_all();
    one.count = 1 + random() % 8;
    EXPECT_EQ(speckv_space_take(space.get(), one.count, &one.first), 0);
    const u64 nodes = space.get()->node_updates - start;
    cost.worst = std::max(cost.worst, static_cast<double>(nodes) / (returned + one.count));
    granules += returned + one.count;
  }
  cost.mean =
      static_cast<double>(space.get()->node_updates - before) / static_cast<double>(granules);
  return cost;
}

TEST(space, cost_grows_no_faster_than_the_logarithm) {
  for (u32 extents : {1000U, 10000U, 100000U}) {
    const Cost cost = cost_at(extents);
    const double orders = std::log2(12.0 * extents);
    std::printf("%u extents: %.2f tree nodes a granule on average, %.1f at worst; log2 = %.1f\n",
                extents, cost.mean, cost.worst, orders);
    EXPECT_LE(cost.worst, 2 * orders);
  }
}

}  // namespace
