// SPDX-License-Identifier: Apache-2.0
// restart_test.cpp - a daemon that ends at any instruction: published blocks come back, torn ones
// never do, gens never repeat.
#include "fixture.hpp"

namespace speckv {
namespace {

TEST(Restart, PublishedBlocksComeBackWhole) {
  Space space(16);
  const Layout& many = space.layout(5, SPECKV_PRESET_Q8);
  const Layout& single = space.layout(1, SPECKV_PRESET_EXACT);
  for (uint64_t number = 0; number < 50; number++) {
    ASSERT_EQ(space.put(many, number), 0);
    ASSERT_EQ(space.put(single, 1000 + number), 0);
  }
  space.restart();
  EXPECT_FALSE(space.find(1)) << "a fresh index is empty until restore()";
  EXPECT_EQ(space.shard().restore(), 100u);
  for (uint64_t number = 0; number < 50; number++) {
    EXPECT_TRUE(space.readable(many, number, false));
    EXPECT_TRUE(space.readable(single, 1000 + number, true));
  }
  ASSERT_EQ(space.put(many, 999), 0);
  EXPECT_TRUE(space.readable(many, 999, false));
}

TEST(Restart, ABlockWithATornOrForeignSegmentIsForgottenAndItsSlotsAreFreed) {
  Space space(16);
  const Layout& layout = space.layout(3, SPECKV_PRESET_EXACT);
  for (uint64_t number = 0; number < 3; number++) ASSERT_EQ(space.put(layout, number), 0);
  shm::Entry entry;
  ASSERT_TRUE(space.find(0, &entry));
  auto* refs = reinterpret_cast<shm::SegmentRef*>(
      space.pool() + entry.ref + sizeof(shm::SlotHeader) + sizeof(shm::RecordMeta));
  reinterpret_cast<shm::SlotHeader*>(space.pool() + refs[1].offset)->gen |=
      1;  // killed while rewriting it
  ASSERT_TRUE(space.find(1, &entry));
  auto* meta =
      reinterpret_cast<shm::RecordMeta*>(space.pool() + entry.ref + sizeof(shm::SlotHeader));
  meta->position ^= 1;  // the record's own checksum no longer holds
  space.restart();
  EXPECT_EQ(space.shard().restore(), 1u);
  EXPECT_FALSE(space.find(0));
  EXPECT_FALSE(space.find(1));
  EXPECT_TRUE(space.readable(layout, 2, true));
}

TEST(Restart, GensGoOnAboveAllThatWereEverGiven) {
  Space space(16);
  const Layout& layout = space.layout(1, SPECKV_PRESET_EXACT);
  ASSERT_EQ(space.put(layout, 1), 0);
  shm::Entry before, after;
  ASSERT_TRUE(space.find(1, &before));
  space.restart();
  space.shard().restore();
  ASSERT_EQ(space.put(layout, 2), 0);
  ASSERT_TRUE(space.find(2, &after));
  EXPECT_GE(after.gen, before.gen + shm::gen_reserve - 2);
}

TEST(Restart, RandomBytesInThePoolRestoreNothingAndHurtNothing) {
  Space space(8);
  uint64_t state = 3;
  for (int round = 0; round < 20; round++) {
    const Layout& layout = space.layout(3, SPECKV_PRESET_EXACT);
    for (uint64_t number = 0; number < 20; number++) space.put(layout, number);
    for (int i = 0; i < 20'000; i++) {
      state = mix64(state + 1);
      const uint64_t at = shm::unit_bytes + state % (2 * shm::unit_bytes);
      space.pool()[at] = std::byte(state >> 40);
    }
    space.restart();
    space.shard().restore();
    const uint64_t fresh = 1000 + uint64_t(round) * 100;
    for (uint64_t number = fresh; number < fresh + 20; number++)
      ASSERT_EQ(space.put(layout, number), 0);
    EXPECT_TRUE(space.readable(layout, fresh + 19, true));
  }
}

}  // namespace
}  // namespace speckv
