// SPDX-License-Identifier: Apache-2.0
// damage_test.cpp - what stands on the disk is not what was written: bits flip, writes were torn by
// a loss of power. A miss and a counter, never other bytes; and the parsers take any bytes.
#include "shard_fixture.hpp"

namespace speckv::test {
namespace {

class SpillDamage : public ::testing::Test {
 protected:
  void spill_first(uint64_t count) {
    for (uint64_t i = 0; i < count; i++) ASSERT_EQ(shard.put(i), 0);
    shard.press(160);
  }
  spill::Page* page(uint64_t unit) {
    return reinterpret_cast<spill::Page*>(shard.disk.at((1 + unit) * spill::unit_bytes));
  }
  SpilledShard shard;
};

TEST_F(SpillDamage, AFlippedBitOfAnImageIsAMiss) {
  spill_first(8);
  const spill::TableEntry row = page(0)->entries[0];
  std::byte* image = shard.disk.at(spill::unit_bytes + uint64_t(row.at64) * spill::align_bytes);
  const uint64_t bytes = uint64_t(row.bytes64) * spill::align_bytes;
  uint64_t number = 0;
  while (!(key_of(number) == row.key)) ASSERT_LT(++number, 8u);
  for (const uint64_t at : {uint64_t(0), uint64_t(17), uint64_t(60), uint64_t(193), uint64_t(300),
                            bytes / 2, bytes - 1}) {
    SCOPED_TRACE(at);
    image[at] ^= std::byte{4};
    const uint64_t damaged = shard.spill().damaged;
    EXPECT_EQ(shard.hold(number), -ENOENT);
    EXPECT_EQ(shard.spill().damaged, damaged + 1);
    image[at] ^= std::byte{4};
    page(0)->entries[0].flags = 0;  // it was marked dead, as it should be
    page(0)->head.check = spill::page_check(*page(0));
    shard.restart(true);
    shard.settle();
  }
  EXPECT_EQ(shard.hold(number), 0);
  EXPECT_TRUE(shard.holds(number));
}

// The table of a parcel was torn: none of its blocks, all of the others'.
TEST_F(SpillDamage, ATornPageCountsForNothing) {
  spill_first(8);
  page(0)->entries[3].content ^= 1;
  shard.restart(true);
  shard.settle();
  EXPECT_EQ(shard.spill().scan_damaged, 1u);
  EXPECT_EQ(shard.hold(0), -ENOENT);
  EXPECT_GT(shard.spill().found, 50u);
  shard.restart(true);
  shard.settle();
  EXPECT_EQ(shard.spill().scan_damaged, 0u);  // it was wiped
}

// A page's write came before the images' although it was asked for later, and then the power went.
TEST_F(SpillDamage, ATableWithoutItsImagesIsAMiss) {
  spill_first(8);
  std::memset(shard.disk.at(spill::unit_bytes + 64 * 1024), 0, spill::unit_bytes - 64 * 1024);
  shard.restart(true);
  shard.settle();
  uint64_t misses = 0;
  for (uint64_t i = 0; i < 8; i++) misses += shard.hold(i) == -ENOENT;
  EXPECT_GE(misses, 7u);
  EXPECT_GE(shard.spill().damaged, 7u);
}

TEST_F(SpillDamage, AnotherFilesPageNeverCounts) {
  spill_first(8);
  page(0)->head.store_id++;
  page(0)->head.check = spill::page_check(*page(0));
  shard.restart(true);
  shard.settle();
  EXPECT_EQ(shard.hold(0), -ENOENT);
  EXPECT_EQ(shard.spill().scan_damaged, 0u);
}

// A page whose numbers lie, with a checksum that holds: nothing outside of the parcel is read.
TEST_F(SpillDamage, APageThatLiesIsNotBelieved) {
  spill_first(8);
  const spill::Page whole = *page(0);
  const auto lies = [&](auto&& change) {
    spill::Page lying = whole;
    change(lying);
    lying.head.check = spill::page_check(lying);
    spill::Page read;
    return !spill::read_page(std::as_bytes(std::span(&lying, 1)), 77, 0, 64, &read);
  };
  EXPECT_FALSE(lies([](spill::Page&) {}));
  EXPECT_TRUE(lies([](spill::Page& p) { p.head.units = 65; }));
  EXPECT_TRUE(lies([](spill::Page& p) { p.head.units = 0; }));
  EXPECT_TRUE(lies([](spill::Page& p) { p.head.entries = 64; }));
  EXPECT_TRUE(lies([](spill::Page& p) { p.head.pages = 17; }));
  EXPECT_TRUE(lies([](spill::Page& p) { p.head.page = p.head.pages; }));
  EXPECT_TRUE(lies([](spill::Page& p) { p.entries[1].at64 = UINT32_MAX; }));
  EXPECT_TRUE(lies([](spill::Page& p) { p.entries[1].bytes64 = UINT32_MAX; }));
  EXPECT_TRUE(lies([](spill::Page& p) { p.entries[1].at64 = 0; }));
  EXPECT_TRUE(lies([](spill::Page& p) { p.entries[1].bytes64 = 0; }));
}

// What is changed anywhere in an image is refused, or changes nothing that counts.
TEST_F(SpillDamage, AnImageWithAnyByteChangedIsRefused) {
  spill_first(1);
  const spill::TableEntry row = page(0)->entries[0];
  const uint64_t bytes = uint64_t(row.bytes64) * spill::align_bytes;
  std::vector<std::byte> image(bytes);
  std::memcpy(image.data(),
              shard.disk.at(spill::unit_bytes + uint64_t(row.at64) * spill::align_bytes), bytes);
  spill::Image read;
  ASSERT_TRUE(spill::read_image(image, row.key, &read) && spill::slots_hold(read));
  uint64_t state = 1, taken = 0;
  for (int i = 0; i < 3000; i++) {
    state = mix64(state + 1);
    const uint64_t at = i < 600 ? uint64_t(i) : state % bytes;
    const auto flip = std::byte(1 + (state >> 40) % 255);
    image[at] ^= flip;
    const bool whole = spill::read_image(image, row.key, &read) && spill::slots_hold(read);
    image[at] ^= flip;
    taken += whole;  // of its padding, of a slot's gen
    const uint64_t head = spill::image_head_bytes(2);
    const bool in_gen = at >= head && (at - head) % ((bytes - head) / 2) < 8;
    const bool in_padding = at >= sizeof(spill::ImageHead) + 8 && at < head;
    EXPECT_TRUE(!whole || in_gen || in_padding) << at;
  }
  EXPECT_GT(taken, 0u);
  for (const uint64_t size : {uint64_t(0), uint64_t(63), uint64_t(191), uint64_t(256), bytes - 64})
    EXPECT_FALSE(spill::read_image(std::span(image).first(size), row.key, &read));
}

}  // namespace
}  // namespace speckv::test
