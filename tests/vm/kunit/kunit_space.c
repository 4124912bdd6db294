// SPDX-License-Identifier: GPL-2.0
/*
 * kunit_space.c - the extent allocator inside the kernel: takes and gives, joins, poison in every
 * state, random runs with the rules checked throughout, and what 100,000 extents cost in steps.
 */
#include <kunit/test.h>
#include <linux/prandom.h>

#include "kunit_suites.h"
#include "space.h"

#define SEED 20261124

static struct speckv_space space_;

/* Everything dirty becomes free. */
static void clean_all(struct speckv_space* space) {
  u32 granule;

  for (;;) {
    granule = speckv_space_next_dirty(space);
    if (granule == SPECKV_NO_GRANULE) return;
    speckv_space_cleaned(space, granule);
  }
}

static struct speckv_space* clean_space(struct kunit* test, u32 granules) {
  KUNIT_ASSERT_EQ(test, speckv_space_init(&space_, granules), 0);
  clean_all(&space_);
  return &space_;
}

static void space_exit(struct kunit* test) { speckv_space_destroy(&space_); }

static void refuses_impossible_sizes(struct kunit* test) {
  KUNIT_EXPECT_EQ(test, speckv_space_init(&space_, 0), -EINVAL);
  KUNIT_EXPECT_EQ(test, speckv_space_init(&space_, U32_MAX), -EINVAL);
}

static void begins_dirty(struct kunit* test) {
  u32 first;

  KUNIT_ASSERT_EQ(test, speckv_space_init(&space_, 64), 0);
  KUNIT_EXPECT_EQ(test, speckv_space_take(&space_, 1, &first), -EAGAIN);
  clean_all(&space_);
  KUNIT_EXPECT_EQ(test, speckv_space_take(&space_, 64, &first), 0);
  KUNIT_EXPECT_EQ(test, speckv_space_take(&space_, 1, &first), -ENOSPC);
  KUNIT_EXPECT_TRUE(test, speckv_space_is_sound(&space_));
}

static void joins_neighbours(struct kunit* test) {
  struct speckv_space* space = clean_space(test, 96);
  u32 first, i;

  for (i = 0; i < 96; i++) KUNIT_ASSERT_EQ(test, speckv_space_take(space, 1, &first), 0);
  for (i = 0; i < 96; i++) speckv_space_give(space, (i * 37) % 96, 1);
  clean_all(space);
  KUNIT_EXPECT_EQ(test, speckv_space_take(space, 96, &first), 0);
  KUNIT_EXPECT_TRUE(test, speckv_space_is_sound(space));
}

static void refuses_zero_and_too_many(struct kunit* test) {
  struct speckv_space* space = clean_space(test, 16);
  u32 first;

  KUNIT_EXPECT_EQ(test, speckv_space_take(space, 0, &first), -EINVAL);
  KUNIT_EXPECT_EQ(test, speckv_space_take(space, 17, &first), -ENOSPC);
  KUNIT_EXPECT_EQ(test, speckv_space_take(space, U32_MAX, &first), -ENOSPC);
}

static void poison_is_never_free_again(struct kunit* test) {
  struct speckv_space* space = clean_space(test, 32);
  u32 first, used, i;

  KUNIT_ASSERT_EQ(test, speckv_space_take(space, 8, &used), 0);
  KUNIT_EXPECT_TRUE(test, speckv_space_poison(space, used + 3)); /* USED */
  KUNIT_EXPECT_FALSE(test, speckv_space_poison(space, used + 3));
  KUNIT_EXPECT_TRUE(test, speckv_space_poison(space, 31)); /* FREE */
  speckv_space_give(space, used, 8);
  KUNIT_EXPECT_TRUE(test, speckv_space_poison(space, used)); /* DIRTY */
  i = speckv_space_next_dirty(space);
  KUNIT_EXPECT_TRUE(test, speckv_space_poison(space, i)); /* CLEANING */
  speckv_space_cleaned(space, i);
  clean_all(space);
  KUNIT_EXPECT_EQ(test, space->counts[SPECKV_GRANULE_LOST], 4);
  for (i = 0; i < 28; i++) KUNIT_EXPECT_EQ(test, speckv_space_take(space, 1, &first), 0);
  KUNIT_EXPECT_EQ(test, speckv_space_take(space, 1, &first), -ENOSPC);
  KUNIT_EXPECT_TRUE(test, speckv_space_is_sound(space));
}

static void a_pin_is_no_reason_to_wait(struct kunit* test) {
  struct speckv_space* space = clean_space(test, 2);
  u32 first, granule;

  KUNIT_ASSERT_EQ(test, speckv_space_take(space, 2, &first), 0);
  speckv_space_give(space, first, 1);
  granule = speckv_space_next_dirty(space);
  speckv_space_postpone(space, granule);
  KUNIT_EXPECT_EQ(test, speckv_space_take(space, 1, &first), -ENOSPC);
  speckv_space_give(space, granule ^ 1, 1);
  KUNIT_EXPECT_EQ(test, speckv_space_take(space, 1, &first), -EAGAIN);
}

static void random_runs_keep_every_rule(struct kunit* test) {
  enum { EXTENTS = 64, GRANULES = 1000 };
  struct speckv_space* space = clean_space(test, GRANULES);
  u32 first[EXTENTS] = {0}, count[EXTENTS] = {0};
  struct rnd_state random;
  u32 turn, which;

  prandom_seed_state(&random, SEED);
  kunit_info(test, "seed %d\n", SEED);
  for (turn = 0; turn < 20000; turn++) {
    which = prandom_u32_state(&random) % EXTENTS;
    if (count[which]) {
      speckv_space_give(space, first[which], count[which]);
      count[which] = 0;
    } else {
      u32 want = 1 + prandom_u32_state(&random) % 40;

      if (!speckv_space_take(space, want, &first[which])) count[which] = want;
    }
    if (prandom_u32_state(&random) % 4 == 0) clean_all(space);
    if (turn % 100 == 0) KUNIT_ASSERT_TRUE(test, speckv_space_is_sound(space));
  }
}

/* What one extent's way out and back may cost at most: every granule walks up the tree. */
static void cost_is_logarithmic(struct kunit* test) {
  enum { EXTENTS = 100000, GRANULES = 4 * EXTENTS };
  struct speckv_space* space = clean_space(test, GRANULES);
  u32* first = kvcalloc(EXTENTS, sizeof(*first), GFP_KERNEL);
  u64 before, worst = 0, total = 0;
  struct rnd_state random;
  u32 i, turn;

  KUNIT_ASSERT_NOT_NULL(test, first);
  for (i = 0; i < EXTENTS; i++)
    if (speckv_space_take(space, 3, &first[i])) break;
  KUNIT_EXPECT_EQ(test, i, EXTENTS);
  prandom_seed_state(&random, SEED);
  for (turn = 0; i == EXTENTS && turn < 20000; turn++) {
    u32 which = prandom_u32_state(&random) % EXTENTS;

    before = space->node_updates;
    speckv_space_give(space, first[which], 3);
    clean_all(space);
    KUNIT_EXPECT_EQ(test, speckv_space_take(space, 3, &first[which]), 0);
    total += space->node_updates - before;
    worst = max(worst, space->node_updates - before);
  }
  kvfree(first);
  kunit_info(test, "%d extents: %llu.%02llu tree nodes a turn, %llu at worst\n", EXTENTS,
             total / 20000, total % 20000 / 200, worst);
  /* 3 granules in and out, each at most once up log2(GRANULES) + 1 nodes. */
  KUNIT_EXPECT_LE(test, worst, 6ULL * (ilog2(GRANULES) + 1));
}

static struct kunit_case cases[] = {KUNIT_CASE(refuses_impossible_sizes),
                                    KUNIT_CASE(begins_dirty),
                                    KUNIT_CASE(joins_neighbours),
                                    KUNIT_CASE(refuses_zero_and_too_many),
                                    KUNIT_CASE(poison_is_never_free_again),
                                    KUNIT_CASE(a_pin_is_no_reason_to_wait),
                                    KUNIT_CASE(random_runs_keep_every_rule),
                                    KUNIT_CASE(cost_is_logarithmic),
                                    {}};

struct kunit_suite speckv_space_suite = {
    .name = "speckv_space",
    .exit = space_exit,
    .test_cases = cases,
};
