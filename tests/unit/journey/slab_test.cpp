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
  EXPECT_FALSE(slabs_.can_allocate(4160));
  EXPECT_FALSE(slabs_.cheapest_slab_but(4160).empty());
  for (uint64_t offset : slots) slabs_.release(offset);
  EXPECT_TRUE(slabs_.can_allocate(4160));
  EXPECT_NE(slabs_.allocate(4160, 3), 0u);
}

TEST_F(SlabTest, ReleasingTwiceOrAForeignOffsetChangesNothing) {
  const uint64_t offset = slabs_.allocate(4160, 1);
  slabs_.release(offset);
  slabs_.release(offset);
  slabs_.release(offset + 64);
  slabs_.release(UINT64_MAX - 63);
  EXPECT_EQ(slabs_.live_bytes(), 0u);
  EXPECT_EQ(slabs_.owner_of(offset), no_owner);
}

}  // namespace
}  // namespace speckv
