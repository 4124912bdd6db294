// SPDX-License-Identifier: Apache-2.0
// check_test.cpp - well-formedness of ioctl arguments: good ones pass; a bit set anywhere outside
// of the inputs is refused, for every bit of every structure; inputs at and past each of their
// limits.
extern "C" {
#include "check.h"
}

#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <vector>

namespace {

constexpr u64 kDeviceBytes = 64 * SPECKV_GRANULE_BYTES;

struct Field {
  size_t offset, bytes;
};

#define FIELD(type, name) \
  Field { offsetof(type, name), sizeof(type::name) }

// Sets each bit outside of `inputs` in turn; all must be refused.
template <typename T>
void expect_the_rest_is_zero(const T& good, std::vector<Field> inputs,
                             const std::function<int(const T*)>& check) {
  ASSERT_EQ(check(&good), 0);
  for (size_t byte = 0; byte < sizeof(T); ++byte) {
    bool is_input = false;
    for (const Field& field : inputs)
      is_input |= byte >= field.offset && byte < field.offset + field.bytes;
    if (is_input) continue;
    for (int bit = 0; bit < 8; ++bit) {
      T bad = good;
      reinterpret_cast<unsigned char*>(&bad)[byte] ^= static_cast<unsigned char>(1 << bit);
      EXPECT_EQ(check(&bad), -EINVAL) << "byte " << byte << " bit " << bit;
    }
  }
}

int check_alloc(const speckv_alloc* arg) { return speckv_check_alloc(arg, kDeviceBytes); }
int check_poison(const speckv_poison* arg) { return speckv_check_poison(arg, kDeviceBytes); }

TEST(check, info) { expect_the_rest_is_zero<speckv_info>({}, {}, speckv_check_info); }

TEST(check, alloc) {
  speckv_alloc good{};
  good.bytes = SPECKV_GRANULE_BYTES;
  expect_the_rest_is_zero<speckv_alloc>(
      good,
      {FIELD(speckv_alloc, bytes), FIELD(speckv_alloc, cookie), FIELD(speckv_alloc, timeout_ms),
       Field{offsetof(speckv_alloc, flags), 1}},
      check_alloc);
  for (u32 flags = 0; flags < 256; ++flags) {
    good.flags = flags;
    EXPECT_EQ(check_alloc(&good), flags <= SPECKV_ALLOC_AT ? 0 : -EINVAL) << flags;
  }
  for (u64 offset : {u64{1}, u64{4096}, kDeviceBytes, ~u64{0} - SPECKV_GRANULE_BYTES + 1}) {
    good.flags = SPECKV_ALLOC_AT;
    good.offset = offset;
    EXPECT_EQ(check_alloc(&good), -EINVAL) << offset;
  }
  good.offset = kDeviceBytes - SPECKV_GRANULE_BYTES;
  EXPECT_EQ(check_alloc(&good), 0);
  good.flags = 0;
  good.offset = 0;
  for (u64 bytes : {u64{0}, u64{1}, SPECKV_GRANULE_BYTES - 1, SPECKV_GRANULE_BYTES + 4096,
                    kDeviceBytes + SPECKV_GRANULE_BYTES, u64{1} << 63, ~u64{0},
                    ~u64{0} - SPECKV_GRANULE_BYTES + 1}) {
    good.bytes = bytes;
    EXPECT_EQ(check_alloc(&good), -EINVAL) << bytes;
  }
  good.bytes = kDeviceBytes;
  good.cookie = ~u64{0};
  good.timeout_ms = SPECKV_TIMEOUT_MS_MAX;
  EXPECT_EQ(check_alloc(&good), 0);
  good.timeout_ms++;
  EXPECT_EQ(check_alloc(&good), -EINVAL);
}

TEST(check, free_takes_any_handle) {
  speckv_free good{};
  good.handle = ~u64{0};
  expect_the_rest_is_zero<speckv_free>(good, {FIELD(speckv_free, handle)}, speckv_check_free);
}

TEST(check, export_verbs_and_counts) {
  speckv_export good{};
  good.flags = SPECKV_EXPORT_NEW;
  good.fd = -1;
  good.handles = 4096;
  good.count = SPECKV_CALL_MAX;
  expect_the_rest_is_zero<speckv_export>(
      good,
      {FIELD(speckv_export, flags), FIELD(speckv_export, fd), FIELD(speckv_export, handles),
       FIELD(speckv_export, count)},
      speckv_check_export);
  // All 32 flag bits with each other's company: exactly these four words are right.
  for (u32 flags = 0; flags < 64; ++flags) {
    speckv_export arg = good;
    arg.flags = flags;
    arg.fd = flags & SPECKV_EXPORT_NEW ? -1 : 3;
    const bool right = flags == SPECKV_EXPORT_NEW || flags == SPECKV_EXPORT_ADD ||
                       flags == SPECKV_EXPORT_DROP ||
                       flags == (SPECKV_EXPORT_NEW | SPECKV_EXPORT_WRITE);
    EXPECT_EQ(speckv_check_export(&arg), right ? 0 : -EINVAL) << flags;
    arg.fd = flags & SPECKV_EXPORT_NEW ? 3 : -1;
    EXPECT_EQ(speckv_check_export(&arg), -EINVAL) << flags;
  }
  good.count = SPECKV_CALL_MAX + 1;
  EXPECT_EQ(speckv_check_export(&good), -EINVAL);
  good.count = 0;
  EXPECT_EQ(speckv_check_export(&good), -EINVAL);
  good.handles = 0;
  EXPECT_EQ(speckv_check_export(&good), 0);
  good.flags = SPECKV_EXPORT_ADD;
  good.fd = 3;
  EXPECT_EQ(speckv_check_export(&good), -EINVAL);
}

TEST(check, stat) {
  speckv_stat good{};
  good.fd = -1;
  expect_the_rest_is_zero<speckv_stat>(good, {FIELD(speckv_stat, fd)}, speckv_check_stat);
  good.fd = 1000;
  EXPECT_EQ(speckv_check_stat(&good), 0);
  good.fd = -2;
  EXPECT_EQ(speckv_check_stat(&good), -EINVAL);
}

TEST(check, list) {
  speckv_list good{};
  good.count = SPECKV_CALL_MAX;
  good.entries = 4096;
  expect_the_rest_is_zero<speckv_list>(
      good,
      {FIELD(speckv_list, count), FIELD(speckv_list, entries), FIELD(speckv_list, start_offset)},
      speckv_check_list);
  good.count++;
  EXPECT_EQ(speckv_check_list(&good), -EINVAL);
  good.count = 0;
  EXPECT_EQ(speckv_check_list(&good), -EINVAL);
}

TEST(check, poison) {
  speckv_poison list{}, mark{};
  list.flags = SPECKV_POISON_LIST;
  list.count = 1;
  list.entries = 4096;
  expect_the_rest_is_zero<speckv_poison>(
      list,
      {FIELD(speckv_poison, flags), FIELD(speckv_poison, count), FIELD(speckv_poison, offset),
       FIELD(speckv_poison, entries)},
      check_poison);
  mark.flags = SPECKV_POISON_MARK;
  mark.bytes = 1;
  expect_the_rest_is_zero<speckv_poison>(
      mark,
      {FIELD(speckv_poison, flags), FIELD(speckv_poison, offset), FIELD(speckv_poison, bytes)},
      check_poison);
  mark.offset = kDeviceBytes - 1;
  EXPECT_EQ(check_poison(&mark), 0);
  mark.bytes = 2;
  EXPECT_EQ(check_poison(&mark), -EINVAL);
  mark.bytes = ~u64{0};
  EXPECT_EQ(check_poison(&mark), -EINVAL);
  mark = {};
  mark.flags = SPECKV_POISON_LIST | SPECKV_POISON_MARK;
  EXPECT_EQ(check_poison(&mark), -EINVAL);
}

// The structures are ABI: 64-bit members aligned alike for 32-bit callers, sizes for ever.
static_assert(sizeof(speckv_info) == 80 && offsetof(speckv_info, reserved) == 48);
static_assert(sizeof(speckv_alloc) == 56 && offsetof(speckv_alloc, handle) == 24);
static_assert(sizeof(speckv_free) == 32);
static_assert(sizeof(speckv_export) == 40 && offsetof(speckv_export, handles) == 8);
static_assert(sizeof(speckv_stat) == 136 && offsetof(speckv_stat, free_bytes) == 56);
static_assert(sizeof(speckv_extent_entry) == 40);
static_assert(sizeof(speckv_list) == 40);
static_assert(sizeof(speckv_poison) == 48);

}  // namespace
