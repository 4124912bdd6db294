// SPDX-License-Identifier: GPL-2.0
/*
 * kunit_check.c - command validation inside the kernel: for every call a good argument passes, and
 * every single byte that is not an input must be 0.
 */
#include <kunit/test.h>

#include "check.h"
#include "kunit_suites.h"

#define DEVICE_BYTES (1ULL << 30)

/* Any byte from the end of the inputs on may not be set. */
#define EXPECT_ZERO_FROM(test, good, member, verdict)                        \
  do {                                                                       \
    typeof(good) copy_ = good;                                               \
    size_t at_;                                                              \
    KUNIT_EXPECT_EQ(test, verdict(&copy_), 0);                               \
    for (at_ = offsetof(typeof(good), member); at_ < sizeof(copy_); at_++) { \
      copy_ = good;                                                          \
      ((u8*)&copy_)[at_] = 0x80;                                             \
      KUNIT_EXPECT_EQ_MSG(test, verdict(&copy_), -EINVAL, "byte %zu", at_);  \
    }                                                                        \
  } while (0)

static int check_alloc(const struct speckv_alloc* alloc) {
  return speckv_check_alloc(alloc, DEVICE_BYTES);
}

static int check_poison(const struct speckv_poison* poison) {
  return speckv_check_poison(poison, DEVICE_BYTES);
}

static void info_arguments(struct kunit* test) {
  struct speckv_info good = {};

  EXPECT_ZERO_FROM(test, good, flags, speckv_check_info);
}

static void alloc_arguments(struct kunit* test) {
  struct speckv_alloc good = {.bytes = SPECKV_GRANULE_BYTES}, bad = good;

  EXPECT_ZERO_FROM(test, good, handle, check_alloc);
  bad.bytes = 0;
  KUNIT_EXPECT_EQ(test, check_alloc(&bad), -EINVAL);
  bad.bytes = SPECKV_GRANULE_BYTES + 1;
  KUNIT_EXPECT_EQ(test, check_alloc(&bad), -EINVAL);
  bad.bytes = DEVICE_BYTES + SPECKV_GRANULE_BYTES;
  KUNIT_EXPECT_EQ(test, check_alloc(&bad), -EINVAL);
  bad.bytes = -SPECKV_GRANULE_BYTES;
  KUNIT_EXPECT_EQ(test, check_alloc(&bad), -EINVAL);
  bad = good;
  bad.flags = 2;
  KUNIT_EXPECT_EQ(test, check_alloc(&bad), -EINVAL);
  bad = good;
  bad.timeout_ms = SPECKV_TIMEOUT_MS_MAX + 1;
  KUNIT_EXPECT_EQ(test, check_alloc(&bad), -EINVAL);
}

static void free_arguments(struct kunit* test) {
  struct speckv_free good = {.handle = 1}, bad = good;

  EXPECT_ZERO_FROM(test, good, flags, speckv_check_free);
  bad.flags = 1;
  KUNIT_EXPECT_EQ(test, speckv_check_free(&bad), -EINVAL);
}

static void export_arguments(struct kunit* test) {
  struct speckv_export good = {.flags = SPECKV_EXPORT_NEW, .fd = -1}, bad;
  const u32 verbs[] = {0, SPECKV_EXPORT_NEW | SPECKV_EXPORT_ADD, 0x80,
                       SPECKV_EXPORT_ADD | SPECKV_EXPORT_WRITE};
  u32 i;

  EXPECT_ZERO_FROM(test, good, pad, speckv_check_export);
  for (i = 0; i < ARRAY_SIZE(verbs); i++) {
    bad = good;
    bad.flags = verbs[i];
    KUNIT_EXPECT_EQ_MSG(test, speckv_check_export(&bad), -EINVAL, "flags %#x", verbs[i]);
  }
  bad = good;
  bad.fd = 3;
  KUNIT_EXPECT_EQ(test, speckv_check_export(&bad), -EINVAL);
  bad = good;
  bad.count = SPECKV_CALL_MAX + 1;
  bad.handles = 1;
  KUNIT_EXPECT_EQ(test, speckv_check_export(&bad), -EINVAL);
}

static void stat_arguments(struct kunit* test) {
  struct speckv_stat good = {.fd = -1}, bad = {.fd = -2};

  EXPECT_ZERO_FROM(test, good, held_bytes, speckv_check_stat);
  KUNIT_EXPECT_EQ(test, speckv_check_stat(&bad), -EINVAL);
}

static void list_arguments(struct kunit* test) {
  struct speckv_list good = {.count = 1, .entries = 4096}, bad = good;

  EXPECT_ZERO_FROM(test, good, reserved, speckv_check_list);
  bad.count = 0;
  KUNIT_EXPECT_EQ(test, speckv_check_list(&bad), -EINVAL);
  bad.count = SPECKV_CALL_MAX + 1;
  KUNIT_EXPECT_EQ(test, speckv_check_list(&bad), -EINVAL);
}

static void poison_arguments(struct kunit* test) {
  struct speckv_poison good = {.flags = SPECKV_POISON_MARK, .bytes = 1}, bad = good;

  EXPECT_ZERO_FROM(test, good, reserved, check_poison);
  bad.offset = DEVICE_BYTES;
  KUNIT_EXPECT_EQ(test, check_poison(&bad), -EINVAL);
  bad.offset = DEVICE_BYTES - 1;
  KUNIT_EXPECT_EQ(test, check_poison(&bad), 0);
  bad.bytes = 2;
  KUNIT_EXPECT_EQ(test, check_poison(&bad), -EINVAL);
  bad.bytes = U64_MAX;
  KUNIT_EXPECT_EQ(test, check_poison(&bad), -EINVAL);
}

static struct kunit_case cases[] = {KUNIT_CASE(info_arguments),   KUNIT_CASE(alloc_arguments),
                                    KUNIT_CASE(free_arguments),   KUNIT_CASE(export_arguments),
                                    KUNIT_CASE(stat_arguments),   KUNIT_CASE(list_arguments),
                                    KUNIT_CASE(poison_arguments), {}};

struct kunit_suite speckv_check_suite = {
    .name = "speckv_check",
    .test_cases = cases,
};
