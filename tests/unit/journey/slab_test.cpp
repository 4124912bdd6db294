// SPDX-License-Identifier: Apache-2.0
// slab_test.cpp - slots never overlap, come back, waste little, and a slab of another size can be
// had when one is empty.
#include <map>
#include <set>

#include "fixture.hpp"
#include "pool/slab_pool.hpp"

namespace speckv {
namespace {

class SlabTest : public ::testing::Test {
 protected:
  static constexpr uint64_t units = 64;
  SlabTest() : memory_((units + 1) * shm::unit_bytes), slabs_(memory_.data(), 1, units, 0) {}
  std::vector<std::byte> memory_;
  SlabPool slabs_;
};

TEST_F(SlabTest, SlotsOfMixedSizesNeverOverlapUnderRandomUse) {
  const uint32_t sizes[] = {128, 4160, 12352, 49216, 262208, 1048640};
  std::map<uint64_t, uint32_t> live;  // offset -> bytes
  uint64_t state = 7;
  for (int step = 0; step < 20'000; step++) {
    state = mix64(state + 1);
    if (state % 3 && live.size() < 4000) {
      const uint32_t bytes = sizes[(state >> 8) % 6];
      const uint64_t offset = slabs_.allocate(bytes, 1);
      if (!offset) continue;
      ASSERT_EQ(offset % 64, 0u);
      ASSERT_LE(offset + bytes, memory_.size());
      const auto next = live.lower_bound(offset);
      if (next != live.end()) {
        ASSERT_LE(offset + bytes, next->first);
      }
      if (next != live.begin()) {
        ASSERT_LE(std::prev(next)->first + std::prev(next)->second, offset);
      }
      live[offset] = bytes;
    } else if (!live.empty()) {
      auto victim = live.lower_bound(state % memory_.size());
      if (victim == live.end()) victim = live.begin();
      slabs_.release(victim->first);
      live.erase(victim);
    }
  }
  uint64_t bytes = 0;
  for (const auto& [offset, size] : live) bytes += size;
  EXPECT_EQ(slabs_.live_bytes(), bytes);
}

TEST_F(SlabTest, WasteStaysBelowTwoPercentForEverySegmentSizeOfRealModels) {
  // payloads: head_dim 64..128, 3..8 heads, 16..64 tokens, raw and the presets' ratios
  for (uint32_t raw : {12288u, 24576u, 49152u, 65536u, 131072u, 262144u})
    for (uint32_t ratio_percent : {100u, 194u, 206u, 320u, 400u, 492u}) {
      const uint64_t bytes =
          513 * shm::unit_bytes;  // 1 GiB: a pool this size can afford slabs of 32 units
      void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
      SlabPool slabs(static_cast<std::byte*>(memory), 1, 512, 0);
      ASSERT_NE(slabs.allocate(shm::slot_bytes_for(raw * 100 / ratio_percent), 1), 0u);
      EXPECT_LE(slabs.waste(), 0.02) << raw << " / " << ratio_percent;
      munmap(memory, bytes);
    }
}

TEST_F(SlabTest, AnEmptySlabGivesItsUnitsToAnotherSize) {
  std::vector<uint64_t> slots;
  while (const uint64_t offset = slabs_.allocate(1048640, 3)) slots.push_back(offset);
  EXPECT_EQ(slabs_.allocate(4160, 3), 0u);
  const SlotNeed small{4160, 600};
  EXPECT_FALSE(slabs_.reserve({&small, 1}));
  for (uint64_t offset : slots) slabs_.release(offset);
  EXPECT_TRUE(slabs_.reserve({&small, 1}));
  EXPECT_GE(slabs_.free_slots(4160), 600u);
  EXPECT_NE(slabs_.allocate(4160, 3), 0u);
}

TEST_F(SlabTest, ClaimsAreMarksUntilTheyAreCarriedOut) {
  std::vector<uint64_t> slots;
  while (const uint64_t offset = slabs_.allocate(1048640, 3)) slots.push_back(offset);
  const SlotNeed small{4160, 1};
  EXPECT_FALSE(slabs_.claim(4160, slots, {&small, 1})) << "everything is pinned";
  for (uint64_t offset : slots) slabs_.unpin(offset);
  const double waste = slabs_.waste();
  ASSERT_TRUE(slabs_.claim(4160, slots, {&small, 1}));
  EXPECT_TRUE(slabs_.could_have(small));
  slabs_.forget_claims();
  EXPECT_FALSE(slabs_.could_have(small));
  EXPECT_EQ(slabs_.waste(), waste);
  ASSERT_TRUE(slabs_.claim(4160, slots, {&small, 1}));
  uint64_t visited = 0;
  slabs_.for_each_claimed([&](uint32_t owner) {
    EXPECT_EQ(owner, 3u);
    visited++;
  });
  EXPECT_GT(visited, 0u);
  slabs_.forget_claims();
  while (const uint32_t owner = slabs_.evictable_owner(1048640) == 3 ? 3 : 0) {
    ASSERT_EQ(owner, 3u);
    slabs_.release(slots.back());
    slots.pop_back();
  }
  EXPECT_EQ(slabs_.live_bytes(), 0u);
}

// Steps, not time: what a put makes these tables look at must not grow with the pool.
TEST(SlabSteps, APutLooksAtAsMuchInFourTebibytesAsInFourGibibytes) {
  const auto steps_of = [](uint64_t gib) {
    const uint64_t units = gib * 512, bytes = (units + 1) * shm::unit_bytes;
    auto* pool = static_cast<std::byte*>(mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    EXPECT_NE(pool, MAP_FAILED);
    madvise(pool, bytes, MADV_NOHUGEPAGE);
    SlabPool slabs(pool, 1, units, 0);
    std::vector<uint64_t> live;
    constexpr uint32_t slot_bytes = 64u << 20;  // few slots, so that little memory is touched
    const uint32_t most = 512;
    while (live.size() < most) live.push_back(slabs.allocate(slot_bytes - 8192, 1));
    const uint64_t before = slabs.steps();
    uint64_t state = 5;
    for (int i = 0; i < 10'000; i++) {
      state = mix64(state + 1);
      uint64_t& slot = live[state % live.size()];
      slabs.release(slot);
      slot = slabs.allocate(slot_bytes - 8192, 1);
      EXPECT_NE(slot, 0u);
      (void)slabs.waste();
    }
    const uint64_t steps = slabs.steps() - before;
    munmap(pool, bytes);
    return steps;
  };
  const uint64_t small = steps_of(64), large = steps_of(4096);
  EXPECT_LE(large, small + small / 2) << small << " steps at 64 GiB";
  EXPECT_LE(large, 20'000u) << "two a put";
}

TEST_F(SlabTest, ASlotReleasedTwiceOrAForeignOffsetEndsTheDaemon) {
  const uint64_t offset = slabs_.allocate(4160, 1);
  slabs_.unpin(offset);
  EXPECT_DEATH(slabs_.unpin(offset), "twice");
  slabs_.release(offset);
  EXPECT_DEATH(slabs_.release(offset), "free");
  EXPECT_DEATH(slabs_.release(offset + 64), "no slot");
  EXPECT_DEATH(slabs_.release(UINT64_MAX - 63), "no slot");
  EXPECT_EQ(slabs_.live_bytes(), 0u);
  EXPECT_EQ(slabs_.owner_of(offset), no_owner);
}

}  // namespace
}  // namespace speckv
