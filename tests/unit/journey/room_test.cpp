// SPDX-License-Identifier: Apache-2.0
// room_test.cpp - a put finds room whenever something that is not held could go, and else touches
// nothing; on the way nothing is allocated.
//
// How: pools are filled with blocks of one shape, then blocks of another are put; what is left, and
// how many went, is counted.
#include "../predict/allocations.hpp"
#include "engine/null.hpp"
#include "fixture.hpp"

namespace speckv {
namespace {

constexpr Asker me{1, 1000};

// What a test wants of a shape: heads x layers x preset.
class Rooms : public Space {
 public:
  using Space::Space;
  const Layout& shaped(uint32_t layers, uint32_t heads, uint32_t preset) {
    speckv_layout desc = small_layout(layers, preset);
    desc.kv_heads = heads;
    auto made = layouts_.add(desc, SPECKV_PRESET_Q8, "unit");
    EXPECT_TRUE(made.ok()) << made.status().text();
    return *made.value();
  }
  int hold(const Layout& layout, uint64_t number) {
    shm::Submission submission{};
    submission.key = key_of(number);
    submission.hold = 7;
    submission.arg = 1'000'000'000;
    return shard().hold(submission, layout, me, 10);
  }
  int put_chained(const Layout& layout, uint64_t number, uint64_t parent, uint32_t position) {
    if (bytes_.size() != layout.block_bytes) bytes_ = block_of(layout, key_of(1));
    shm::Submission submission{};
    submission.key = key_of(number);
    submission.position = position;
    if (position) submission.parent = key_of(parent);
    bool existed = false;
    return shard().put(submission, layout, layout.widths->current(), bytes_, ++now_ns_, &existed);
  }
  uint64_t evicted() { return shard().counters().evicted; }
  uint64_t found(uint64_t from, uint64_t to) {
    uint64_t count = 0;
    for (uint64_t number = from; number < to; number++) count += find(number);
    return count;
  }

 private:
  LayoutTable layouts_;
  std::vector<std::byte> bytes_;
  uint64_t now_ns_ = 1'000'000'000;
};

TEST(Room, APutThatCanNeverFitEvictsNothing) {
  Rooms space(8);
  const Layout& small = space.layout(4, SPECKV_PRESET_EXACT);
  for (uint64_t number = 0; number < 400; number++)
    ASSERT_EQ(space.put(small, number, number + 1), 0);
  const uint64_t evicted = space.evicted(), there = space.found(0, 400);
  for (const uint32_t layers : {8u, 128u}) {  // 16 MiB of slots beside their slabs' headers
    const Layout& giant = space.shaped(layers, layers == 8 ? 256 : 16, SPECKV_PRESET_EXACT);
    ASSERT_EQ(giant.block_bytes, 16u << 20);
    EXPECT_FALSE(fits_shard(giant, 8));
    EXPECT_TRUE(fits_shard(giant, 64));
    EXPECT_EQ(space.put(giant, 1000), -ENOSPC);
  }
  EXPECT_EQ(space.evicted(), evicted);
  EXPECT_EQ(space.found(0, 400), there);
}

// 64 KiB blocks, then 256 KiB, then 1 MiB, then 4 MiB, in sequences: each size must get in.
TEST(Room, APoolFullOfBlocksOfAnotherSizeAdmits) {
  for (const char* policy : {"continuation", "lru", "s3fifo"}) {
    Rooms space(64, 256, policy);
    const struct {
      uint32_t heads, blocks;
    } shapes[] = {{1, 2048}, {4, 512}, {16, 256}, {64, 48}, {4, 256}};
    uint64_t number = 0;
    for (const auto& shape : shapes) {
      const Layout& layout = space.shaped(8, shape.heads, SPECKV_PRESET_EXACT);
      for (uint32_t i = 0; i < shape.blocks; i++, number++)
        ASSERT_EQ(space.put_chained(layout, number, number - 1, i % 64 * 32), 0)
            << policy << ": block " << i << " of " << layout.block_bytes << " bytes";
      EXPECT_TRUE(space.find(number - 1));
    }
  }
}

TEST(Room, NoSpaceMeansThatEverythingIsHeldAndNothingElseWent) {
  Rooms space(8);
  const Layout& held = space.layout(64, SPECKV_PRESET_EXACT);  // 1 MiB
  uint64_t number = 0;
  for (; number < 8; number++) {
    ASSERT_EQ(space.put(held, number, number + 1), 0);
    ASSERT_EQ(space.hold(held, number), 0);
  }
  for (; space.evicted() == 0; number++) ASSERT_EQ(space.put(held, number, number + 1), 0);
  const uint64_t evicted = space.evicted(), blocks = space.shard().counters().blocks;
  const Layout& large = space.shaped(8, 64, SPECKV_PRESET_EXACT);  // 4 MiB in 512 KiB slots
  EXPECT_TRUE(fits_shard(large, 8));
  int result = 0;
  for (uint64_t i = 0; i < 20 && result == 0; i++) result = space.put(large, 1000 + i);
  EXPECT_EQ(result, -ENOSPC) << "8 of 14 MiB are held: two such blocks can never be there";
  EXPECT_EQ(space.evicted(), evicted);
  EXPECT_EQ(space.shard().counters().blocks, blocks);
  for (uint64_t i = 0; i < 8; i++) EXPECT_TRUE(space.readable(held, i, true));
  space.shard().session_ended(me.session_id);
  EXPECT_EQ(space.put(large, 1000), 0) << "and then there is room";
}

TEST(Room, LimboIsRoom) {
  Rooms space(8);
  const Layout& exact = space.layout(4, SPECKV_PRESET_EXACT);
  const Layout& q8 = space.layout(4, SPECKV_PRESET_Q8);
  for (uint64_t number = 0; number < 400; number++)
    ASSERT_EQ(space.put(exact, number, number + 1), 0);
  std::vector<shm::GuardSlot> guards(shm::guard_slots);
  uint32_t named = 0;
  shm::Entry entry;
  for (uint64_t number = 0; number < 400; number += 4) {
    if (named == 60 || !space.find(number, &entry)) continue;
    guards[named].names[0] = {entry.ref, entry.gen};
    guards[named++].since_ns = 1000;
  }
  guards[0].slots_used = shm::guard_slots;
  space.shard().set_guards({guards.data()});
  for (uint64_t number = 1000; number < 1200; number++)
    ASSERT_EQ(space.put(q8, number, number + 1), 0) << number;
}

// Two buckets of seven: whichever of the fourteen is not held can go.
TEST(Room, AnyOfTheFourteenThatFillAKeysBucketsCanGo) {
  for (uint32_t free = 0; free < 14; free++) {
    Rooms space(8, 2);
    const Layout& layout = space.layout(1, SPECKV_PRESET_EXACT);
    uint64_t number = 0;
    for (; space.evicted() == 0; number++) ASSERT_EQ(space.put(layout, number, number + 1), 0);
    std::vector<uint64_t> there;
    for (uint64_t i = 0; i < number; i++)
      if (space.find(i)) there.push_back(i);
    for (uint32_t i = 0, held = 0; i < there.size() && held < 8; i++)
      if (i != free % there.size()) held += space.hold(layout, there[i]) == 0;
    for (uint64_t i = 0; i < 40; i++) EXPECT_EQ(space.put(layout, 1000 + i), 0) << free;
  }
}

TEST(Room, APageThatIsRefusedGetsARawSlotInAFullPool) {
  Rooms space(8);
  const Layout& layout = space.layout(4, SPECKV_PRESET_Q8);
  for (uint64_t number = 0; number < 600; number++)
    ASSERT_EQ(space.put(layout, number, number + 1), 0);
  shm::Submission submission{};
  submission.key = key_of(5000);
  submission.position = 64;
  auto bytes = block_of(layout, submission.key);
  const uint16_t infinity = 0x7c00;
  for (uint32_t layer = 0; layer < 4; layer++)
    std::memcpy(&bytes[layer * layout.segment_raw_bytes + 100], &infinity, 2);
  bool existed;
  ASSERT_EQ(space.shard().put(submission, layout, layout.widths->current(), bytes, 9, &existed), 0);
  EXPECT_EQ(space.shard().counters().segments_refused, 4u);
  EXPECT_TRUE(space.readable(layout, 5000, false));
}

// Mixed sizes, holds, guards and removals under a seed: puts fail only while enough is held, and
// nothing on the way allocates.
TEST(Room, RandomUseNeverFailsWhileHalfIsFreeToGoAndNeverAllocates) {
  Rooms space(64, 256, "continuation");
  std::vector<const Layout*> layouts;
  for (const uint32_t heads : {1u, 3u, 16u})
    for (const uint32_t layers : {1u, 5u, 16u})
      for (const uint32_t preset : {SPECKV_PRESET_EXACT, SPECKV_PRESET_Q8})
        layouts.push_back(&space.shaped(layers, heads, preset));
  std::vector<std::vector<std::byte>> bytes;
  for (const Layout* layout : layouts) bytes.push_back(block_of(*layout, key_of(1)));
  std::vector<shm::GuardSlot> guards(shm::guard_slots);
  guards[0].slots_used = shm::guard_slots;
  space.shard().set_guards({guards.data()});
  uint64_t state = 11, failed = 0;
  const size_t allocations_before = predict::allocations();
  for (uint64_t step = 0; step < 20'000; step++) {
    state = mix64(state + 1);
    const size_t which = state % layouts.size();
    shm::Submission submission{};
    submission.key = key_of(state >> 40 & 0xfff);
    submission.parent = key_of((state >> 40 & 0xfff) - 1);
    submission.position = 32;
    submission.hold = state >> 20 & 7;
    submission.arg = 1'000'000'000;
    bool existed;
    if (state >> 8 & 7) {
      const int result =
          space.shard().put(submission, *layouts[which], layouts[which]->widths->current(),
                            bytes[which], step * 1000 + 1, &existed);
      failed += result == -ENOSPC;
    } else if (state >> 11 & 1) {
      (void)space.shard().hold(submission, *layouts[which], me, step * 1000);
    } else if (state >> 12 & 1) {
      (void)space.shard().unhold(submission.hold, me);
    } else {
      (void)space.shard().remove(submission.key, *layouts[which]);
    }
    shm::Entry entry;
    if (space.find(state >> 40 & 0xfff, &entry)) {
      guards[step % 64].names[0] = {entry.ref, entry.gen};
      guards[step % 64].since_ns = step * 1000;
    }
    if (step % 64 == 0) space.shard().tick(step * 1000);
  }
  EXPECT_EQ(predict::allocations(), allocations_before);
  EXPECT_EQ(failed, 0u);
}

// Both had a place when they began: fourteen in two buckets, twenty puts at once.
TEST(Room, PutsUnderWayThatWantTheSamePlaceInTheIndex) {
  Space space(16, 2);
  auto* engine = new NullEngine(1, 64);
  space.use(std::unique_ptr<Engine>(engine));
  const Layout& layout = space.layout(1, SPECKV_PRESET_EXACT);
  const std::vector<std::byte> bytes(layout.block_bytes);
  std::vector<Put*> puts;
  for (uint64_t number = 0; number < 20; number++) {
    shm::Submission submission{};
    submission.key = key_of(number);
    Put* put = nullptr;
    ASSERT_EQ(space.shard().take_up({submission, &layout, &layout.widths->current(), bytes, {}, {}},
                                    1, &put),
              0);
    ASSERT_TRUE(space.shard().start_next(*put, 1));
    puts.push_back(put);
  }
  engine->complete_all();
  std::vector<EncodeJob*> back;
  engine->reap(&back);
  Put* put = nullptr;
  for (EncodeJob* job : back) EXPECT_TRUE(space.shard().completed(job, 1, &put));
  for (Put* each : puts) {
    EXPECT_EQ(space.shard().finish(*each, 1), 0);
    space.shard().free_record(*each);
  }
  EXPECT_LE(space.shard().counters().blocks, 14u);
  EXPECT_GE(space.shard().counters().evicted, 6u);
}

}  // namespace
}  // namespace speckv
