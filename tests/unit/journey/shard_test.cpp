// SPDX-License-Identifier: Apache-2.0
// shard_test.cpp - put, dedupe, refusal, eviction, holds and limbo of one shard: what is published
// is whole, what is not can't be found, and full means evict, then -ENOSPC.
#include <atomic>
#include <thread>

#include "fixture.hpp"
#include "shm/atomics.hpp"

namespace speckv {
namespace {

TEST(Shard, ABlockIsReadableAfterPutInEveryPreset) {
  Space space(32);
  for (uint32_t layers : {1u, 5u})
    for (uint32_t preset : {SPECKV_PRESET_EXACT, SPECKV_PRESET_Q8, SPECKV_PRESET_LOSSLESS}) {
      const Layout& layout = space.layout(layers, preset);
      const uint64_t number = layers * 10 + preset;
      ASSERT_EQ(space.put(layout, number), 0);
      EXPECT_TRUE(space.readable(layout, number, preset != SPECKV_PRESET_Q8));
      EXPECT_EQ(space.put(layout, number), 1) << "the second put of a key finds it there";
    }
  EXPECT_EQ(space.shard().counters().blocks, 6u);
  EXPECT_EQ(space.shard().counters().segments_refused, 0u);
}

TEST(Shard, TheSameKeyUnderAnotherLayoutReplaces) {
  Space space(32);
  ASSERT_EQ(space.put(space.layout(2, SPECKV_PRESET_EXACT), 1), 0);
  ASSERT_EQ(space.put(space.layout(3, SPECKV_PRESET_EXACT), 1), 0);
  EXPECT_TRUE(space.readable(space.layout(3, SPECKV_PRESET_EXACT), 1, true));
  EXPECT_EQ(space.shard().counters().blocks, 1u);
}

TEST(Shard, APageWithInfinityIsStoredRawAndReadBackExactly) {
  Space space(32);
  const Layout& layout = space.layout(2, SPECKV_PRESET_Q8);
  shm::Submission submission{};
  submission.key = key_of(9);
  submission.position = 64;
  auto bytes = block_of(layout, submission.key);
  const uint16_t infinity = 0x7c00;
  std::memcpy(&bytes[100], &infinity, 2);
  bool existed;
  ASSERT_EQ(space.shard().put(submission, layout, layout.widths->current(), bytes, 1, &existed), 0);
  EXPECT_EQ(space.shard().counters().segments_refused, 1u);
  shm::Entry entry;
  ASSERT_TRUE(space.find(9, &entry));
  EXPECT_TRUE(space.readable(layout, 9, false));
}

// What near-lossless promises of every token is kept by storing the segment as q8, and counted.
TEST(Shard, ALoudTokenMakesItsSegmentQ8AndIsCounted) {
  Space space(32);
  const Layout& layout = space.layout(2, SPECKV_PRESET_NEAR_LOSSLESS);
  shm::Submission submission{};
  submission.key = key_of(9);
  submission.position = 64;
  auto bytes = block_of(layout, submission.key);
  const size_t row = size_t{2} * layout.desc.head_dim;
  for (size_t i = 0; i < row; i += 2) {  // token 5 of the first head's K in layer 1: 64 times
    std::byte* value = &bytes[layout.segment_raw_bytes + 5 * row + i];
    uint16_t bits;
    std::memcpy(&bits, value, 2);
    bits = uint16_t(bits + (6 << 10));
    std::memcpy(value, &bits, 2);
  }
  bool existed;
  ASSERT_EQ(space.shard().put(submission, layout, layout.widths->current(), bytes, 1, &existed), 0);
  EXPECT_EQ(space.shard().counters().segments_bounded, 1u);
  EXPECT_EQ(space.shard().counters().segments_refused, 0u);
  shm::Entry entry;
  ASSERT_TRUE(space.find(9, &entry));
  EXPECT_TRUE(space.readable(layout, 9, false));
  const auto* refs = reinterpret_cast<const shm::SegmentRef*>(
      space.pool() + entry.ref + sizeof(shm::SlotHeader) + sizeof(shm::RecordMeta));
  const uint32_t expected[] = {SPECKV_PRESET_NEAR_LOSSLESS, SPECKV_PRESET_Q8};
  for (size_t layer = 0; layer < 2; layer++) {
    const auto* header =
        reinterpret_cast<const shm::SlotHeader*>(space.pool() + refs[layer].offset);
    EXPECT_EQ(header->flags & shm::slot_preset_mask, expected[layer]) << layer;
  }

  ASSERT_EQ(space.put(layout, 10), 0);
  EXPECT_EQ(space.shard().counters().segments_bounded, 1u) << "tokens of one size are left alone";
}

// A head that a preset's codecs do not take is stored as q8, by that name.
TEST(Shard, AHeadOfAnotherSizeIsStoredUnderTheNameOfWhatStoresIt) {
  LayoutTable layouts;
  const auto stored = [&](uint32_t head_dim, uint32_t preset) {
    speckv_layout desc = small_layout(1, preset);
    desc.head_dim = head_dim;
    const auto made = layouts.add(desc, SPECKV_PRESET_TIGHT, "unit");
    EXPECT_TRUE(made.ok()) << made.status().text();
    return made.ok() ? made.value()->preset_id : 0;
  };
  for (const uint32_t dim : {24u, 288u}) {
    EXPECT_EQ(stored(dim, SPECKV_PRESET_NEAR_LOSSLESS), uint32_t(SPECKV_PRESET_Q8));
    EXPECT_EQ(stored(dim, SPECKV_PRESET_DAEMON), uint32_t(SPECKV_PRESET_Q8));
    EXPECT_EQ(stored(dim, SPECKV_PRESET_LOSSLESS), uint32_t(SPECKV_PRESET_EXACT));
    EXPECT_EQ(stored(dim, SPECKV_PRESET_EXACT), uint32_t(SPECKV_PRESET_EXACT));
  }
  EXPECT_EQ(stored(48, SPECKV_PRESET_TIGHT), uint32_t(SPECKV_PRESET_TIGHT));
}

TEST(Shard, ALosslessBlockIsSmallerAndOneOfNoiseIsStoredRaw) {
  Space space(32);
  const Layout& layout = space.layout(1, SPECKV_PRESET_LOSSLESS);
  const auto slot_of = [&](uint64_t number) {
    shm::Entry entry;
    EXPECT_TRUE(space.find(number, &entry));
    return reinterpret_cast<const shm::SlotHeader*>(space.pool() + entry.ref);
  };
  ASSERT_EQ(space.put(layout, 1), 0);
  EXPECT_EQ(slot_of(1)->flags & shm::slot_preset_mask, SPECKV_PRESET_LOSSLESS);
  EXPECT_EQ(slot_of(1)->payload_bytes, 4u * 3712);

  shm::Submission submission{};
  submission.key = key_of(2);
  submission.position = 64;
  auto bytes = block_of(layout, submission.key);
  for (size_t i = 0; i + 8 <= bytes.size(); i += 8) {
    const uint64_t noise = mix64(i);
    std::memcpy(&bytes[i], &noise, 8);
  }
  bool existed;
  ASSERT_EQ(space.shard().put(submission, layout, layout.widths->current(), bytes, 1, &existed), 0);
  EXPECT_EQ(space.shard().counters().segments_refused, 1u);
  EXPECT_EQ(slot_of(2)->flags & shm::slot_preset_mask, SPECKV_PRESET_EXACT);
  ASSERT_EQ(slot_of(2)->payload_bytes, bytes.size());
  EXPECT_EQ(std::memcmp(slot_of(2) + 1, bytes.data(), bytes.size()), 0);
}

TEST(Shard, ABlockThatMayOpenItsSequenceHasItsFirstPageInQ8) {
  constexpr uint32_t unknown = SPECKV_POSITION_UNKNOWN;
  const struct {
    uint32_t position;
    Key parent;
    bool first;
  } cases[] = {{0, Key{}, true},
               {0, key_of(7), true},
               {64, Key{}, false},
               {unknown, Key{}, true},
               {unknown, key_of(7), false}};
  Space space(32);
  const Layout& layout = space.layout(1, SPECKV_PRESET_COMPACT);
  ASSERT_GT(layout.stored_bytes[1], layout.stored_bytes[0]);
  uint64_t number = 0;
  for (const auto& each : cases) {
    shm::Submission submission{};
    submission.key = key_of(++number);
    submission.position = each.position;
    submission.parent = each.parent;
    bool existed;
    ASSERT_EQ(space.shard().put(submission, layout, layout.widths->current(),
                                block_of(layout, submission.key), 1, &existed),
              0);
    shm::Entry entry;
    ASSERT_TRUE(space.find(number, &entry));
    const auto* header = reinterpret_cast<const shm::SlotHeader*>(space.pool() + entry.ref);
    EXPECT_EQ(header->payload_bytes, layout.stored_bytes[each.first]) << number;
    EXPECT_EQ(bool(header->flags & shm::slot_first), each.first) << number;
  }
}

TEST(Shard, AFullPoolEvictsAndWhatItKeepsIsWhole) {
  for (const char* policy : {"lru", "s3fifo"}) {
    Space space(8, 64, policy);
    const Layout& layout =
        space.layout(4, SPECKV_PRESET_EXACT);  // 64 KiB a block: 8 units hold about 240
    for (uint64_t number = 0; number < 1000; number++)
      ASSERT_EQ(space.put(layout, number, number + 1), 0) << policy;
    EXPECT_GT(space.shard().counters().evicted, 700u);
    int found = 0;
    for (uint64_t number = 0; number < 1000; number++)
      if (space.find(number)) {
        found++;
        EXPECT_TRUE(space.readable(layout, number, true));
      }
    EXPECT_EQ(uint64_t(found), space.shard().counters().blocks.load());
    EXPECT_GT(found, 200);
  }
}

TEST(Shard, AnotherSlotSizeGetsRoomInAFullPool) {
  Space space(8);
  for (uint64_t number = 0; number < 400; number++)
    ASSERT_EQ(space.put(space.layout(4, SPECKV_PRESET_EXACT), number, number + 1), 0);
  for (uint64_t number = 1000; number < 1200; number++)
    ASSERT_EQ(space.put(space.layout(4, SPECKV_PRESET_Q8), number, number + 1), 0) << number;
  EXPECT_TRUE(space.readable(space.layout(4, SPECKV_PRESET_Q8), 1199, false));
}

TEST(Shard, HeldBlocksStayUntilTheHoldEnds) {
  Space space(8);
  const Layout& layout = space.layout(4, SPECKV_PRESET_EXACT);
  ASSERT_EQ(space.put(layout, 1), 0);
  shm::Submission hold{};
  hold.key = key_of(1);
  hold.hold = 77;
  hold.arg = 1'000'000;
  const Asker mine{1, 1000}, same_uid{2, 1000}, stranger{3, 1001};
  ASSERT_EQ(space.shard().hold(hold, layout, mine, 10), 0);
  for (uint64_t number = 100; number < 900; number++) space.put(layout, number, number);
  EXPECT_TRUE(space.readable(layout, 1, true));
  EXPECT_EQ(space.shard().remove(key_of(1), layout), -EBUSY);
  EXPECT_EQ(space.shard().adopt(77, stranger), -EBADF);
  EXPECT_EQ(space.shard().adopt(78, same_uid), -EBADF);
  EXPECT_EQ(space.shard().adopt(77, same_uid), 0);
  space.shard().session_ended(1);
  EXPECT_EQ(space.shard().unhold(77, mine), -EBADF);
  EXPECT_EQ(space.shard().unhold(77, same_uid), 0);
  for (uint64_t number = 1000; number < 1900; number++) space.put(layout, number, number);
  EXPECT_FALSE(space.find(1));
}

TEST(Shard, HoldsExpireAndAreBounded) {
  Space space(8);
  const Layout& layout = space.layout(1, SPECKV_PRESET_EXACT);
  shm::Submission hold{};
  hold.hold = 5;
  hold.arg = 1000;
  for (uint64_t number = 0; number < 9; number++) {
    ASSERT_EQ(space.put(layout, number), 0);
    hold.key = key_of(number);
    EXPECT_EQ(space.shard().hold(hold, layout, {1, 1}, 10), number < 8 ? 0 : -EDQUOT);
  }
  space.shard().tick(10 + 999);
  EXPECT_EQ(space.shard().counters().held_blocks, 8u);
  space.shard().tick(10 + 1000);
  EXPECT_EQ(space.shard().counters().held_blocks, 0u);
}

TEST(Shard, EverythingHeldMeansNoSpaceAndNothingIsLost) {
  Space space(4);
  const Layout& layout = space.layout(16, SPECKV_PRESET_EXACT);  // 256 KiB a block
  uint64_t stored = 0;
  for (; stored < 8; stored++) {
    ASSERT_EQ(space.put(layout, stored, stored + 1), 0);
    shm::Submission hold{};
    hold.key = key_of(stored);
    hold.hold = 9;
    hold.arg = 1'000'000'000;
    ASSERT_EQ(space.shard().hold(hold, layout, {1, 1}, 10), 0);
  }
  int last = 0;
  for (uint64_t number = 100; number < 140 && last == 0; number++)
    last = space.put(layout, number, number);
  for (uint64_t number = 0; number < 8; number++) EXPECT_TRUE(space.readable(layout, number, true));
}

TEST(Shard, AGuardedBlockIsNotReusedAtOnceAndAnOldGuardIsIgnored) {
  Space space(8);
  const Layout& layout = space.layout(1, SPECKV_PRESET_EXACT);
  ASSERT_EQ(space.put(layout, 1, 100), 0);
  shm::Entry entry;
  ASSERT_TRUE(space.find(1, &entry));
  shm::GuardSlot guards[shm::guard_slots]{};
  guards[3].names[0] = {1, 1};
  guards[3].names[shm::guard_names - 1] = {entry.ref, entry.gen};
  guards[3].since_ns = 100;
  guards[0].slots_used = 4;
  space.shard().set_guards({guards});
  for (uint64_t number = 10; number < 2000 && space.find(1); number++)
    space.put(layout, number, 200);
  ASSERT_FALSE(space.find(1));
  EXPECT_EQ(reinterpret_cast<shm::SlotHeader*>(space.pool() + entry.ref)->gen, entry.gen)
      << "reader may still decode";
  EXPECT_EQ(space.shard().counters().guarded, 1u);
  space.shard().tick(100 + shm::guard_ignored_after_ns);
  EXPECT_NE(reinterpret_cast<shm::SlotHeader*>(space.pool() + entry.ref)->gen, entry.gen);
}

// A turn's clock stands still while readers go on: their guards come from its future.
TEST(Shard, AGuardYoungerThanTheTurnIsAGuard) {
  Space space(8);
  const Layout& layout = space.layout(1, SPECKV_PRESET_EXACT);
  ASSERT_EQ(space.put(layout, 1, 100), 0);
  shm::Entry entry;
  ASSERT_TRUE(space.find(1, &entry));
  shm::GuardSlot guards[shm::guard_slots]{};
  guards[0].names[0] = {entry.ref, entry.gen};
  guards[0].since_ns = 201;
  guards[0].slots_used = 1;
  space.shard().set_guards({guards});
  for (uint64_t number = 10; number < 2000 && space.find(1); number++)
    space.put(layout, number, 200);
  ASSERT_FALSE(space.find(1));
  EXPECT_EQ(reinterpret_cast<shm::SlotHeader*>(space.pool() + entry.ref)->gen, entry.gen);
  EXPECT_EQ(space.shard().counters().guarded, 1u);
}

// Counts, not time: an eviction reads the guards that were ever taken, not all that there could be.
TEST(Shard, AnEvictionReadsOnlyGuardsThatWereTaken) {
  Space space(8, 256);
  const Layout& layout = space.layout(1, SPECKV_PRESET_EXACT);
  std::vector<std::vector<shm::GuardSlot>> sessions(256,
                                                    std::vector<shm::GuardSlot>(shm::guard_slots));
  std::vector<const shm::GuardSlot*> guards;
  for (auto& session : sessions) {
    session[0].slots_used = 2;
    guards.push_back(session.data());
  }
  space.shard().set_guards(guards);
  for (uint64_t number = 0; space.shard().counters().evicted < 100; number++)
    ASSERT_EQ(space.put(layout, number, number + 1), 0);
  const uint64_t evicted = space.shard().counters().evicted, read = space.shard().guards_read();
  EXPECT_EQ(read % (256 * 3), 0u) << "a word and two slots of each session";
  EXPECT_LE(read, evicted / 4 * 256 * 3) << "with many sessions one look serves several puts";
  sessions[0][0].slots_used = UINT32_MAX;  // a liar's word
  uint64_t looked = 0;
  for (uint64_t number = 1u << 20; looked == 0; number++) {
    ASSERT_EQ(space.put(layout, number, number), 0);
    looked = space.shard().guards_read() - read;
  }
  EXPECT_EQ(looked, 255u * 3 + 65);
}

#if !defined(__SANITIZE_THREAD__)  // the race is the point: a hostile client makes it
TEST(Shard, AnArenaThatItsOwnerRewritesDuringTheEncodeIsStoredWholeAllTheSame) {
  Space space(64);
  for (uint32_t preset : {SPECKV_PRESET_EXACT, SPECKV_PRESET_Q8, SPECKV_PRESET_NEAR_LOSSLESS,
                          SPECKV_PRESET_LOSSLESS}) {
    const Layout& layout = space.layout(4, preset);
    auto bytes = block_of(layout, key_of(1));
    std::atomic<bool> done{false};
    std::thread owner([&] {
      auto* words = reinterpret_cast<volatile uint64_t*>(bytes.data());
      for (uint64_t at = 0; !done.load(std::memory_order_relaxed); at++)
        words[mix64(at) % (bytes.size() / 8)] = mix64(at * 3) & 0x83ff83ff83ff83ffull;
    });
    for (uint64_t number = 0; number < 200; number++) {
      shm::Submission submission{};
      submission.key = key_of(preset * 1000 + number);
      submission.position = 64;
      bool existed;
      EXPECT_EQ(space.shard().put(submission, layout, layout.widths->current(), bytes, number + 1,
                                  &existed),
                0);
      EXPECT_TRUE(space.readable(layout, preset * 1000 + number, false));
    }
    done = true;
    owner.join();
  }
}
#endif

}  // namespace
}  // namespace speckv
