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
  EXPECT_EQ(space.shard().restore(3'600'000'000'000), 100u);
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
  EXPECT_EQ(space.shard().restore(3'600'000'000'000), 1u);
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
  space.shard().restore(3'600'000'000'000);
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
    space.shard().restore(3'600'000'000'000);
    const uint64_t fresh = 1000 + uint64_t(round) * 100;
    for (uint64_t number = fresh; number < fresh + 20; number++)
      ASSERT_EQ(space.put(layout, number), 0);
    EXPECT_TRUE(space.readable(layout, fresh + 19, true));
  }
}

// Sequences of eight blocks in a churned pool, then pressure. Counts those that lost a block whose
// successor stayed: what follows a hole is dead weight.
struct Chains {
  uint64_t restored = 0, broken = 0, whole = 0;
};
Chains after_pressure(const char* policy, bool restart, uint64_t seed, uint32_t layers) {
  Space space(16, 256, policy);
  speckv_layout desc = small_layout(layers, SPECKV_PRESET_EXACT);
  desc.kv_heads = 8 / layers;  // blocks of one size
  const Layout& layout = space.layout(desc);
  uint64_t now_ns = 3'600'000'000'000, random = seed, number = 1u << 20;
  const auto bytes = block_of(layout, key_of(1));
  const auto put = [&](uint64_t id, uint64_t parent, uint32_t position) {
    shm::Submission submission{};
    submission.key = key_of(id);
    submission.position = position;
    if (parent) submission.parent = key_of(parent);
    bool existed;
    EXPECT_EQ(space.shard().put(submission, layout, layout.widths->current(), bytes,
                                now_ns += 1'000'000, &existed),
              0);
  };
  for (uint64_t id = 1; id < 1500; id++) {  // addresses no longer follow time
    put(id, 0, 64);
    for (uint64_t touch = 0; touch < 4; touch++) {
      random = mix64(random + touch + id);
      space.shard().touch_key(key_of(random % id + 1), layout, now_ns);
    }
  }
  std::vector<std::array<uint64_t, 8>> chains(30);
  for (auto& chain : chains)
    for (uint32_t i = 0; i < 8; i++) {
      put(chain[i] = number++, i ? chain[i - 1] : 0, i * 32);
    }
  Chains result;
  if (restart) {
    space.restart();
    result.restored = space.shard().restore(now_ns);
  }
  for (uint64_t i = 0; i < 380; i++) put((1u << 24) + i, 0, 64);
  for (const auto& chain : chains) {
    uint32_t there = 0, until_hole = 0;
    for (uint32_t i = 0; i < 8; i++) there += space.find(chain[i]);
    while (until_hole < 8 && space.find(chain[until_hole])) until_hole++;
    result.broken += there > until_hole;
    result.whole += there == 8;
  }
  return result;
}

TEST(Restart, ThePolicyHasItsMemoryBack) {
  for (const char* policy : {"continuation", "lru"})
    for (const uint64_t seed : {7u, 8u, 9u, 10u}) {
      const uint32_t layers = seed % 2 ? 4 : 1;  // with a record, and without
      const Chains before = after_pressure(policy, false, seed, layers);
      const Chains after = after_pressure(policy, true, seed, layers);
      EXPECT_GT(after.restored, 400u);
      if (policy == std::string("continuation")) {
        EXPECT_EQ(before.broken, 0u);
      }
      EXPECT_LE(after.broken, before.broken)
          << policy << " seed " << seed << ", " << layers << " layers";
      RecordProperty(
          std::string(policy) + std::to_string(seed),
          std::to_string(before.whole) + " whole, after a restart " + std::to_string(after.whole));
    }
}

TEST(Restart, ASmallerIndexKeepsWhatFitsAndWholeBeginningsOfSequences) {
  Space space(16, 256, "continuation");
  const Layout& layout = space.layout(4, SPECKV_PRESET_EXACT);
  for (uint64_t number = 0; number < 160; number++) {
    shm::Submission submission{};
    submission.key = key_of(number);
    submission.position = uint32_t(number % 8) * 32;
    if (number % 8) submission.parent = key_of(number - 1);
    bool existed;
    ASSERT_EQ(space.shard().put(submission, layout, layout.widths->current(),
                                block_of(layout, submission.key), number + 1, &existed),
              0);
  }
  space.blocks_max = 100;
  space.restart();
  EXPECT_EQ(space.shard().restore(3'600'000'000'000), 100u);
  EXPECT_EQ(space.shard().counters().not_restored, 60u);
  for (uint64_t number = 0; number < 160; number++)
    if (number % 8 && space.find(number)) {
      EXPECT_TRUE(space.find(number - 1)) << number;
    }
  EXPECT_TRUE(space.readable(layout, 159, true)) << "the newest";
}

// It was evicted while a reader named it, so its slots are whole still.
TEST(Restart, WhatWasRemovedDoesNotComeBackFromLimbo) {
  Space space(8);
  const Layout& layout = space.layout(1, SPECKV_PRESET_EXACT);
  ASSERT_EQ(space.put(layout, 1, 100), 0);
  shm::Entry entry;
  ASSERT_TRUE(space.find(1, &entry));
  shm::GuardSlot guards[shm::guard_slots]{};
  guards[0].names[0] = {entry.ref, entry.gen};
  guards[0].since_ns = 100;
  guards[0].slots_used = 1;
  space.shard().set_guards({guards});
  for (uint64_t number = 10; number < 2000 && space.find(1); number++)
    space.put(layout, number, 200);
  ASSERT_EQ(space.shard().counters().guarded, 1u);
  EXPECT_EQ(space.shard().remove(key_of(1), layout), -ENOENT);
  space.restart();
  space.shard().restore(3'600'000'000'000);
  EXPECT_FALSE(space.find(1));
}

}  // namespace
}  // namespace speckv
