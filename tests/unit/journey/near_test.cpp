// SPDX-License-Identifier: Apache-2.0
// near_test.cpp - a block that is read often stands decoded in near memory, under its own key, and
// reads the same there as in the pool; whatever happens to it or to others on its way, its index
// entry refers to whole bytes, and near memory's books balance.
//
// How: a shard over plain memory; touches are given as a server gives them, jobs run inline, or in
// the null engine when something is to happen in between.
#include <algorithm>

#include "codec/segment.hpp"
#include "engine/null.hpp"
#include "fixture.hpp"
#include "shm/atomics.hpp"

namespace speckv {
namespace {

class NearTest : public ::testing::Test {
 protected:
  NearTest() : space_(32) { space_.use_near(8); }

  Shard& shard() { return space_.shard(); }
  const ShardCounters& counters() { return shard().counters(); }
  bool is_near(uint64_t number) {
    shm::Entry entry;
    return space_.find(number, &entry) && shm::is_near(entry.ref);
  }
  // A turn of the server, engine included.
  void turn(NullEngine* engine = nullptr) {
    now_ns_ += 1'000'000;
    shard().near_turn(now_ns_);
    for (;;) {
      while (shard().has_near_job() && shard().start_near_job()) collect();
      if (engine) engine->complete_all();
      if (!collect()) return;
    }
  }
  bool collect() {
    jobs_.clear();
    engine_->reap(&jobs_);
    Put* put = nullptr;
    for (EncodeJob* job : jobs_) EXPECT_TRUE(shard().completed(job, now_ns_, &put));
    return !jobs_.empty();
  }
  // So many reads of it, each told as one touch. Returns: whether it begins to come.
  bool read(const Layout& layout, uint64_t number, uint32_t times) {
    shm::Entry entry;
    if (!space_.find(number, &entry)) return false;
    bool began = false;
    for (uint32_t i = 0; i < times && !began; i++) {
      shard().near_turn(now_ns_);
      if (shard().touch(entry.block, ++now_ns_))
        began = shard().bring_near(entry.block, layout, layout.widths->current(), nullptr, now_ns_);
    }
    return began;
  }
  void put(const Layout& layout, uint64_t number) { ASSERT_EQ(space_.put(layout, number), 0); }
  void bring(const Layout& layout, uint64_t number) {
    ASSERT_TRUE(read(layout, number, 2));
    turn();
    ASSERT_TRUE(is_near(number));
  }
  // By an engine that completes when it is told to.
  void put_with(NullEngine& engine, const Layout& layout, uint64_t number) {
    shm::Submission submission{};
    submission.key = key_of(number);
    submission.position = 64;
    const auto bytes = block_of(layout, submission.key);
    Put* put = nullptr;
    ASSERT_EQ(
        shard().take_up({submission, &layout, &layout.widths->current(), bytes, nullptr, nullptr},
                        now_ns_, &put),
        0);
    while (!shard().is_over(*put)) {
      while (shard().has_job_to_start(*put) && shard().start_next(*put, now_ns_)) {
      }
      engine.complete_all();
      collect();
    }
    ASSERT_EQ(shard().finish(*put, now_ns_), 0);
    shard().free_record(*put);
  }
  uint64_t near_live() { return shard().near()->slabs.live_bytes(); }
  // All that can be free is: guards are gone, nothing is under way.
  void quiet() {
    now_ns_ += 3'000'000'000;
    turn();
    shard().tick(now_ns_);
    EXPECT_EQ(near_live(), counters().near_bytes.load());
    EXPECT_EQ(counters().near_limbo.load(), 0u);
    EXPECT_EQ(counters().near_under_way.load(), 0u);
    EXPECT_EQ(counters().near_brought - counters().near_evicted, counters().near_blocks.load());
  }
  void use(std::unique_ptr<Engine> engine) {
    engine_ = engine.get();
    space_.use(std::move(engine));
  }
  NullEngine& use_null_engine() {
    auto engine = std::make_unique<NullEngine>();
    NullEngine& used = *engine;
    use(std::move(engine));
    return used;
  }
  void SetUp() override { use(make_cpu_engine()); }

  Space space_;
  Engine* engine_ = nullptr;
  std::vector<EncodeJob*> jobs_;
  uint64_t now_ns_ = 1;
};

// Of a block that the pool has in any preset: what a client would decode there, before it is near.
std::vector<std::byte> decoded(Space& space, const Layout& layout, uint64_t number) {
  shm::Entry entry;
  EXPECT_TRUE(space.find(number, &entry));
  const auto* refs = reinterpret_cast<const shm::SegmentRef*>(
      reinterpret_cast<const std::byte*>(space.slot(entry.ref) + 1) + sizeof(shm::RecordMeta));
  const auto& tables = layout.widths->current().tables;
  std::vector<std::byte> bytes(layout.block_bytes);
  for (uint32_t layer = 0; layer < layout.desc.layers; layer++) {
    const bool record = entry.flags & shm::entry_record;
    const shm::SlotHeader* header = space.slot(record ? refs[layer].offset : entry.ref);
    codec::Preset preset;
    EXPECT_TRUE(codec::preset_for(layout.desc, header->flags & shm::slot_preset_mask, &preset));
    std::byte* to = bytes.data() + layer * layout.segment_raw_bytes;
    const ptrdiff_t token = 2 * layout.desc.head_dim, head = token * layout.desc.block_tokens;
    const codec::SegmentOut out{{to, token, head, 2},
                                {to + layout.segment_raw_bytes / 2, token, head, 2}};
    const uint64_t sum = codec::decode_segment(
        layout.desc, preset, layer, header->flags & shm::slot_first,
        {reinterpret_cast<const std::byte*>(header + 1), header->payload_bytes}, out, false,
        tables ? tables->data() : nullptr);
    EXPECT_EQ(shm::slot_checksum(*header, sum), header->checksum) << "layer " << layer;
  }
  return bytes;
}

TEST_F(NearTest, ABlockThatIsReadOftenReadsTheSameInEveryPreset) {
  for (uint32_t layers : {1u, 5u})
    for (uint32_t preset : {SPECKV_PRESET_EXACT, SPECKV_PRESET_LOSSLESS, SPECKV_PRESET_Q8,
                            SPECKV_PRESET_NEAR_LOSSLESS, SPECKV_PRESET_COMPACT}) {
      const Layout& layout = space_.layout(layers, preset);
      const uint64_t number = layers * 100 + preset;
      ASSERT_EQ(space_.put(layout, number, 1, preset % 2 ? 0 : 64), 0);
      const std::vector<std::byte> before = decoded(space_, layout, number);
      EXPECT_FALSE(read(layout, number, 1)) << "one reading says nothing";
      EXPECT_FALSE(is_near(number));
      ASSERT_TRUE(read(layout, number, 1));
      turn();
      ASSERT_TRUE(is_near(number)) << "layers " << layers << " preset " << preset;
      EXPECT_EQ(decoded(space_, layout, number), before);
      shm::Entry entry;
      space_.find(number, &entry);
      EXPECT_TRUE(entry.key == key_of(number));
      EXPECT_EQ(entry.fingerprint, layout.widths->current().fingerprint);
      if (layers == 1)
        EXPECT_EQ(space_.slot(entry.ref)->flags & shm::slot_preset_mask, SPECKV_PRESET_EXACT);
    }
  EXPECT_EQ(counters().near_blocks.load(), 10u);
  quiet();
}

TEST_F(NearTest, ABlockWithSideBytesStaysInThePool) {
  for (const uint32_t bytes : {1u, 5000u, (1u << 20) + 77}) {
    speckv_layout desc = small_layout(2, SPECKV_PRESET_Q8);
    desc.side_bytes = bytes;
    const Layout& layout = space_.layout(desc);
    put(layout, bytes);
    EXPECT_FALSE(read(layout, bytes, 9));
    turn();
    EXPECT_FALSE(is_near(bytes));
    EXPECT_TRUE(space_.readable(layout, bytes, false)) << bytes;
  }
}

TEST_F(NearTest, AHoldOfItKeepsWhatThePoolHas) {
  const Layout& layout = space_.layout(3, SPECKV_PRESET_Q8);
  put(layout, 1);
  shm::Entry pool;
  space_.find(1, &pool);
  bring(layout, 1);
  shm::Submission submission{};
  submission.key = key_of(1);
  submission.hold = 7;
  submission.arg = 1'000'000'000;
  ASSERT_EQ(shard().hold(submission, layout, {1, 1}, now_ns_), 0);
  EXPECT_EQ(shard().remove(key_of(1), layout), -EBUSY);
  space_.gate.close();
  turn();
  shm::Entry again;
  ASSERT_TRUE(space_.find(1, &again));
  EXPECT_EQ(again.ref, pool.ref);
  EXPECT_EQ(again.gen, pool.gen);
  EXPECT_EQ(shard().unhold(7, {1, 1}), 0);
  EXPECT_EQ(shard().remove(key_of(1), layout), 0);
  space_.gate.open();
  quiet();
}

TEST_F(NearTest, TheLeastReadGoesForWhatIsReadMore) {
  const Layout& layout = space_.layout(8, SPECKV_PRESET_EXACT);  // 128 KiB a block
  const uint64_t blocks = 160;                                   // 20 MiB for 16
  for (uint64_t number = 0; number < blocks; number++) put(layout, number);
  for (uint64_t number = 0; number < blocks; number++) {
    read(layout, number, 2);
    turn();
  }
  const uint64_t there = counters().near_blocks;
  EXPECT_GT(there, 60u);
  EXPECT_LT(there, blocks);
  EXPECT_GT(counters().near_refused.load(), 0u) << "who is read as often is no reason to go";
  uint64_t away = 0, first_there = 0;
  while (is_near(away)) away++;
  while (!is_near(first_there)) first_there++;
  read(layout, away, 8);
  turn();
  EXPECT_TRUE(is_near(away));
  EXPECT_FALSE(is_near(first_there)) << "the one that was read longest ago";
  EXPECT_LE(counters().near_blocks.load(), there);
  for (uint64_t number = 0; number < blocks; number++)
    EXPECT_TRUE(space_.readable(layout, number, true)) << number;
  quiet();
}

TEST_F(NearTest, ACopyThatAReaderNamesStaysUntilItIsNoLongerNamed) {
  const Layout& layout = space_.layout(3, SPECKV_PRESET_Q8);
  put(layout, 1);
  bring(layout, 1);
  shm::Entry near;
  space_.find(1, &near);
  std::vector<shm::GuardSlot> guards(shm::guard_slots);
  guards[0].slots_used = 4;
  guards[3].names[0] = {near.ref, near.gen};
  guards[3].since_ns = now_ns_;
  shard().set_guards({guards.data()});
  shm::Entry pool;
  space_.gate.close();
  turn();
  ASSERT_TRUE(space_.find(1, &pool));
  EXPECT_FALSE(shm::is_near(pool.ref));
  shard().tick(now_ns_);
  EXPECT_EQ(space_.slot(near.ref)->gen, near.gen) << "its reader is not overtaken";
  EXPECT_EQ(counters().near_limbo.load(), 1u);
  guards[3].names[0] = {};
  shard().tick(now_ns_);
  EXPECT_EQ(space_.slot(near.ref)->gen, near.gen | 1);
  EXPECT_EQ(near_live(), 0u);
  space_.gate.open();
  quiet();
}

TEST_F(NearTest, AGuardOfNobodyOrOfNowhereIsNoMatter) {
  const Layout& layout = space_.layout(3, SPECKV_PRESET_Q8);
  put(layout, 1);
  bring(layout, 1);
  std::vector<shm::GuardSlot> guards(shm::guard_slots);
  guards[0].slots_used = 1;
  guards[0].since_ns = now_ns_ + 100'000'000;
  const std::vector<uint64_t> refs{shm::ref_near | 63, shm::ref_near - 64, UINT64_MAX,
                                   shm::ref_near * 2 + 4096, shm::ref_near + 10 * shm::unit_bytes};
  for (const uint64_t ref : refs) {
    for (shm::GuardName& name : guards[0].names) name = {ref, 2};
    shard().set_guards({guards.data()});
    space_.gate.close();
    turn();
    shard().tick(now_ns_);
    EXPECT_EQ(near_live(), 0u) << ref;
    space_.gate.open();
    turn();
    bring(layout, 1);
  }
  quiet();
}

TEST_F(NearTest, WhatLeavesThePoolLeavesNear) {
  const Layout& layout = space_.layout(4, SPECKV_PRESET_EXACT);
  for (uint64_t number = 0; number < 3; number++) {
    put(layout, number);
    bring(layout, number);
  }
  EXPECT_EQ(shard().remove(key_of(0), layout), 0);
  EXPECT_FALSE(space_.find(0));
  EXPECT_EQ(near_live(), counters().near_bytes.load()) << "of a removed block nothing waits";
  for (uint64_t number = 1000; number < 2000; number++)  // more than the pool holds
    put(layout, number);
  EXPECT_FALSE(space_.find(1));
  EXPECT_FALSE(space_.find(2));
  EXPECT_EQ(counters().near_blocks.load(), 0u);
  quiet();
  EXPECT_EQ(near_live(), 0u);
}

TEST_F(NearTest, ABlockThatIsEvictedWhileItIsDecodedIsNotPublished) {
  NullEngine& engine = use_null_engine();
  const Layout& layout = space_.layout(4, SPECKV_PRESET_EXACT);
  put_with(engine, layout, 1);
  ASSERT_TRUE(read(layout, 1, 2));
  now_ns_++;
  ASSERT_TRUE(shard().start_near_job());
  ASSERT_TRUE(shard().start_near_job());
  EXPECT_EQ(shard().remove(key_of(1), layout), 0);
  EXPECT_GT(near_live(), 0u) << "the engine may still write there";
  turn(&engine);
  EXPECT_FALSE(space_.find(1));
  EXPECT_EQ(near_live(), 0u);
  EXPECT_EQ(counters().near_failed.load(), 1u);
  // The same key anew, while an older one is decoded.
  put_with(engine, layout, 1);
  ASSERT_TRUE(read(layout, 1, 2));
  ASSERT_TRUE(shard().start_near_job());
  EXPECT_EQ(shard().remove(key_of(1), layout), 0);
  put_with(engine, layout, 1);
  turn(&engine);
  EXPECT_FALSE(is_near(1));
  EXPECT_TRUE(space_.readable(layout, 1, true));
  quiet();
}

TEST_F(NearTest, AnEngineThatFailsOrIsFullCostsNothingButTheCopy) {
  NullEngine& engine = use_null_engine();
  const Layout& layout = space_.layout(4, SPECKV_PRESET_EXACT);
  put_with(engine, layout, 1);
  engine.faults.full = 255;
  ASSERT_TRUE(read(layout, 1, 2));
  for (int i = 0; i < 4; i++) turn(&engine);
  EXPECT_TRUE(space_.readable(layout, 1, true));
  engine.faults = {};
  engine.faults.failed = 256;
  turn(&engine);
  EXPECT_FALSE(is_near(1));
  EXPECT_EQ(near_live(), 0u);
  engine.faults = {};
  ASSERT_TRUE(read(layout, 1, 1)) << "another time it may go well";
  turn(&engine);
  EXPECT_TRUE(is_near(1));
  EXPECT_TRUE(space_.readable(layout, 1, true));
  quiet();
}

TEST_F(NearTest, WhileASessionCannotReadItNothingRefersThere) {
  const Layout& layout = space_.layout(4, SPECKV_PRESET_Q8);
  for (uint64_t number = 0; number < 8; number++) {
    put(layout, number);
    bring(layout, number);
  }
  put(layout, 9);
  ASSERT_TRUE(read(layout, 9, 2)) << "one is on its way";
  space_.gate.close();
  EXPECT_FALSE(space_.gate.is_closed(1)) << "the shard has not looked yet";
  turn();
  EXPECT_TRUE(space_.gate.is_closed(1));
  for (uint64_t number = 0; number < 10; number++) EXPECT_FALSE(is_near(number)) << number;
  EXPECT_FALSE(read(layout, 3, 9));
  EXPECT_TRUE(space_.gate.is_closed(1));
  space_.gate.open();
  turn();
  bring(layout, 3);
  EXPECT_FALSE(space_.gate.is_closed(1));
  quiet();
}

TEST_F(NearTest, AfterARestartAllIsInThePool) {
  const Layout& layout = space_.layout(4, SPECKV_PRESET_EXACT);
  for (uint64_t number = 0; number < 8; number++) {
    put(layout, number);
    bring(layout, number);
  }
  use(make_cpu_engine());
  EXPECT_EQ(shard().restore(now_ns_), 8u);
  for (uint64_t number = 0; number < 8; number++) {
    EXPECT_FALSE(is_near(number));
    EXPECT_TRUE(space_.readable(layout, number, true)) << number;
    bring(layout, number);
    EXPECT_TRUE(space_.readable(layout, number, true)) << number;
  }
  quiet();
}

TEST_F(NearTest, ADamagedBlockIsNotCopiedAndNotTriedAgain) {
  const Layout& layout = space_.layout(4, SPECKV_PRESET_EXACT);
  put(layout, 1);
  shm::Entry entry;
  space_.find(1, &entry);
  const auto* refs = reinterpret_cast<const shm::SegmentRef*>(
      space_.pool() + entry.ref + sizeof(shm::SlotHeader) + sizeof(shm::RecordMeta));
  space_.pool()[refs[2].offset + 500] ^= std::byte{4};
  ASSERT_TRUE(read(layout, 1, 2));
  turn();
  EXPECT_FALSE(is_near(1));
  EXPECT_EQ(counters().near_failed.load(), 1u);
  EXPECT_FALSE(read(layout, 1, 20));
  quiet();
}

TEST_F(NearTest, MemoryOfThePoolThatGoesTakesTheCopiesToo) {
  const Layout& layout = space_.layout(4, SPECKV_PRESET_EXACT);
  for (uint64_t number = 0; number < 8; number++) {
    put(layout, number);
    bring(layout, number);
  }
  put(layout, 8);
  ASSERT_TRUE(read(layout, 8, 2));
  std::memset(space_.pool() + shm::unit_bytes, 0, 4 * shm::unit_bytes);
  shard().lose(shm::unit_bytes, 4 * shm::unit_bytes);
  for (uint64_t number = 0; number < 9; number++) EXPECT_FALSE(space_.find(number)) << number;
  turn();
  quiet();
  EXPECT_EQ(near_live(), 0u);
}

// Slabs of one size fill near memory; a block of another size gets one, and no more goes than that.
TEST_F(NearTest, AnotherSizeGetsASlab) {
  const Layout& one = space_.layout(8, SPECKV_PRESET_EXACT);
  speckv_layout desc = small_layout(2, SPECKV_PRESET_EXACT);
  desc.head_dim = 128;
  LayoutTable table;
  auto made = table.add(desc, SPECKV_PRESET_Q8, "other");
  ASSERT_TRUE(made.ok());
  const Layout& other = *made.value();
  for (uint64_t number = 0; number < 120; number++) {
    put(one, number);
    read(one, number, 2);
    turn();
  }
  const uint64_t full = counters().near_blocks;
  put(other, 500);
  for (int i = 0; i < 12 && !is_near(500); i++) {
    read(other, 500, 4);
    turn();
  }
  EXPECT_TRUE(is_near(500));
  EXPECT_TRUE(space_.readable(other, 500, true));
  EXPECT_GT(counters().near_blocks.load(), full / 2);
  quiet();
}

TEST_F(NearTest, ABlockThatDoesNotFitIsNotTriedAgain) {
  space_.use_near(2);
  use(make_cpu_engine());
  const Layout& layout = space_.layout(200, SPECKV_PRESET_Q8);  // 3.2 MiB decoded
  put(layout, 1);
  EXPECT_FALSE(read(layout, 1, 20));
  EXPECT_EQ(counters().near_failed.load(), 1u);
  quiet();
}

}  // namespace
}  // namespace speckv
