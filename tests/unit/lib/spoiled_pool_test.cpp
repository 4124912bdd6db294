// SPDX-License-Identifier: Apache-2.0
// Proves that no stored byte, whoever wrote it, makes the reader believe a wrong block or leave its
// map: each field of entry, record, segment header and payload is spoiled in turn, and all bytes at
// random. How: a pool and index in plain memory with one block of three layers; the pool lies at
// the end of a map, before a page that may not be touched.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstring>
#include <functional>
#include <random>

#include "codec/segment.hpp"
#include "src/handle.hpp"
#include "src/read_block.hpp"

namespace speckv::lib {
namespace {

constexpr uint64_t pool_bytes = shm::unit_bytes + 65536;
constexpr uint64_t record_offset = shm::unit_bytes;
constexpr uint32_t layers = 3;

class SpoiledPool : public ::testing::Test {
 protected:
  void SetUp() override {
    const uint64_t map_bytes = shm::unit_bytes * 2 + 4096;
    map_ = static_cast<std::byte*>(mmap(nullptr, map_bytes, PROT_READ | PROT_WRITE,
                                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    pool_ = map_ + map_bytes - 4096 - pool_bytes;
    mprotect(map_ + map_bytes - 4096, 4096, PROT_NONE);
    session_.resize(shm::shards_offset + sizeof(shm::ShardArea));
    index_.resize(shm::index_file_bytes(1, 4));
    auto& header = *reinterpret_cast<shm::IndexHeader*>(index_.data());
    header.shards = 1, header.buckets = 4;
    connection_.pool = {pool_, pool_bytes};
    connection_.session = {session_.data(), session_.size()};
    connection_.shards = 1;
    make_layout();
    for (uint32_t layer = 0; layer < layers; layer++) make_segment(layer);
    make_record();
    make_entry();
  }
  void TearDown() override { munmap(map_, shm::unit_bytes * 2 + 4096); }

  void make_layout() {
    speckv_layout& layout = info_.layout;
    layout.size = sizeof layout, layout.dtype = SPECKV_DTYPE_F16, layout.layers = layers;
    layout.kv_heads = 2, layout.head_dim = 16, layout.block_tokens = 16, layout.page_tokens = 16;
    layout.world = 1, layout.preset = SPECKV_PRESET_EXACT;
    widths_.fingerprint = 0x1234567890abcdef;
    info_.segment_bytes = shm::raw_segment_bytes(layout);
    info_.half_bytes = shm::half_segment_bytes(layout);
    info_.segments = shm::stored_segments(layout);
    for (uint32_t preset : {SPECKV_PRESET_EXACT, SPECKV_PRESET_Q8}) {
      codec::Preset codecs;
      ASSERT_TRUE(codec::preset_for(layout, preset, &codecs));
      for (int first : {0, 1})
        ASSERT_TRUE(codec::plan_segment(layout, codecs, first, &info_.stored[preset][first]));
    }
    values_.resize(layers * info_.segment_bytes / 2);
    for (size_t i = 0; i < values_.size(); i++) values_[i] = uint16_t(mix64(i) & 0x3bff);
  }
  uint64_t segment_offset(uint32_t layer) const { return record_offset + 4096 * (layer + 1); }
  shm::SlotHeader& slot(uint64_t offset) {
    return *reinterpret_cast<shm::SlotHeader*>(pool_ + offset);
  }
  std::vector<speckv_view> views_of(uint16_t* values) const {
    std::vector<speckv_view> views;
    for (uint32_t i = 0; i < 2 * layers; i++)
      views.push_back({values + i * info_.half_bytes / 2, 32, 512, 2});
    return views;
  }
  void make_segment(uint32_t layer) {
    const codec::SegmentPlan& plan = info_.stored[SPECKV_PRESET_EXACT][0];
    const auto* raw =
        reinterpret_cast<const std::byte*>(values_.data()) + layer * info_.segment_bytes;
    const codec::SegmentView in{{raw, 32, 512, 2}, {raw + info_.half_bytes, 32, 512, 2}};
    uint64_t sum = 0;
    std::byte* payload = pool_ + segment_offset(layer) + sizeof(shm::SlotHeader);
    ASSERT_EQ(codec::encode_segment(info_.layout, plan.preset, layer, false, in,
                                    {payload, plan.bytes}, &sum),
              codec::Refusal::none);
    shm::SlotHeader header{
        100 + 2 * layer,     0, key_, widths_.fingerprint, uint16_t(layer), SPECKV_PRESET_EXACT,
        uint32_t(plan.bytes)};
    header.checksum = shm::slot_checksum(header, sum);
    slot(segment_offset(layer)) = header;
  }
  void make_record() {
    slot(record_offset) = {
        50, 0, key_, widths_.fingerprint, shm::layer_record, 0, shm::record_payload_bytes(layers)};
    for (uint32_t layer = 0; layer < layers; layer++)
      refs()[layer] = {segment_offset(layer), 100 + 2 * layer};
  }
  shm::SegmentRef* refs() {
    return reinterpret_cast<shm::SegmentRef*>(pool_ + record_offset + sizeof(shm::SlotHeader) +
                                              sizeof(shm::RecordMeta));
  }
  void make_entry() {
    entry_ = {key_, record_offset, 50, widths_.fingerprint, 0, uint16_t(layers), shm::entry_record};
    const uint64_t hash = hash_key(key_);
    auto* buckets = reinterpret_cast<shm::Bucket*>(index_.data() + shm::index_header_bytes);
    shm::Bucket& bucket = buckets[shm::first_bucket(hash, 4)];
    bucket.head.tags[0] = shm::tag_of(hash);
    bucket.entries[0] = entry_;
  }
  // What the reader says of the block as it is now, with `entry` as the index gave it.
  Outcome read(const shm::Entry& entry) {
    connection_.views[0] = shm::IndexView(index_.data(), 0);
    Guard guard(connection_);
    loaded_.assign(values_.size(), 0);
    const auto views = views_of(loaded_.data());
    const shm::Entry* const named[] = {&entry};
    guard.protect(named, 1);
    const BlockReader reader{connection_,          info_, widths_,
                             connection_.views[0], key_,  hash_key(key_)};
    return reader.read(entry, {0, layers, views.data()}, false);
  }
  // Spoils memory, reads, and puts it back.
  Outcome after(void* at, size_t bytes, uint64_t value) {
    std::vector<uint8_t> before(bytes);
    std::memcpy(before.data(), at, bytes);
    std::memcpy(at, &value, bytes);
    const Outcome outcome = read(entry_);
    std::memcpy(at, before.data(), bytes);
    return outcome;
  }

  std::byte* map_;
  std::byte* pool_;
  std::vector<std::byte> session_, index_;
  Connection connection_;
  LayoutInfo info_{};
  WidthSet widths_{};
  Key key_ = Key::from("a key of thirty-two bytes, exactl");
  shm::Entry entry_;
  std::vector<uint16_t> values_, loaded_;
};

TEST_F(SpoiledPool, UnspoiledItIsAHit) {
  EXPECT_EQ(read(entry_), Outcome::hit);
  EXPECT_EQ(loaded_, values_);
}

TEST_F(SpoiledPool, HeadersOfSegments) {
  for (uint32_t layer = 0; layer < layers; layer++) {
    shm::SlotHeader& header = slot(segment_offset(layer));
    EXPECT_EQ(after(&header.gen, 8, header.gen + 1), Outcome::changed);
    EXPECT_EQ(after(&header.gen, 8, header.gen + 2), Outcome::changed);
    EXPECT_EQ(after(&header.checksum, 8, header.checksum ^ 1), Outcome::corrupt);
    EXPECT_EQ(after(&header.key.word[3], 8, 7), Outcome::corrupt);
    EXPECT_EQ(after(&header.fingerprint, 8, 7), Outcome::corrupt);
    EXPECT_EQ(after(&header.layer, 2, layer + 1), Outcome::corrupt);
    EXPECT_EQ(after(&header.flags, 2, SPECKV_PRESET_Q8), Outcome::corrupt);
    EXPECT_EQ(after(&header.flags, 2, 15), Outcome::corrupt);  // no such preset
    EXPECT_EQ(after(&header.flags, 2, header.flags | 0x100), Outcome::corrupt);
    EXPECT_EQ(after(&header.payload_bytes, 4, header.payload_bytes - 32), Outcome::corrupt);
    EXPECT_EQ(after(&header.payload_bytes, 4, UINT32_MAX), Outcome::corrupt);
  }
}

TEST_F(SpoiledPool, EveryBitOfAPayload) {
  const uint32_t payload_bytes = slot(segment_offset(1)).payload_bytes;
  std::byte* payload = pool_ + segment_offset(1) + sizeof(shm::SlotHeader);
  for (uint32_t bit = 0; bit < 8 * payload_bytes; bit++) {
    payload[bit / 8] ^= std::byte(1u << (bit % 8));
    ASSERT_EQ(read(entry_), Outcome::corrupt) << bit;
    payload[bit / 8] ^= std::byte(1u << (bit % 8));
  }
}

TEST_F(SpoiledPool, ReferencesOutOfTheMap) {
  const uint64_t last_slot = pool_bytes - 64;
  for (const uint64_t offset :
       {uint64_t{0}, uint64_t{64}, record_offset - 64, record_offset + 1, last_slot, last_slot + 64,
        pool_bytes, pool_bytes + 64, UINT64_MAX, UINT64_MAX - 63, uint64_t{1} << 63}) {
    EXPECT_NE(after(&refs()[1].offset, 8, offset), Outcome::hit) << offset;
    shm::Entry entry = entry_;
    entry.ref = offset;
    EXPECT_NE(read(entry), Outcome::hit) << offset;
  }
  EXPECT_EQ(after(&refs()[1].gen, 8, 101), Outcome::corrupt);  // an odd one is never published
  EXPECT_EQ(after(&refs()[1].gen, 8, 104), Outcome::changed);
  // A segment whose header lies in the map and whose payload would not.
  std::memcpy(pool_ + last_slot, &slot(segment_offset(1)), 64);
  EXPECT_EQ(after(&refs()[1].offset, 8, last_slot), Outcome::corrupt);
}

TEST_F(SpoiledPool, TheRecordAndTheEntry) {
  shm::SlotHeader& record = slot(record_offset);
  EXPECT_EQ(after(&record.gen, 8, 51), Outcome::changed);
  EXPECT_EQ(after(&record.gen, 8, 52), Outcome::changed);
  EXPECT_EQ(after(&record.key.word[0], 8, 1), Outcome::corrupt);
  EXPECT_EQ(after(&record.fingerprint, 8, 1), Outcome::corrupt);
  EXPECT_EQ(after(&record.layer, 2, 0), Outcome::corrupt);
  EXPECT_EQ(after(&record.payload_bytes, 4, 8), Outcome::corrupt);
  shm::Entry entry = entry_;
  entry.gen = 52;
  EXPECT_EQ(read(entry), Outcome::changed);
  entry.gen = 51;
  EXPECT_EQ(read(entry), Outcome::changed);
  index_[shm::index_header_bytes + 4 * sizeof(shm::Bucket) - 1] = std::byte{0};
  std::memset(index_.data() + shm::index_header_bytes, 0, 4 * sizeof(shm::Bucket));
  EXPECT_EQ(read(entry_), Outcome::changed);  // unpublished after the lookup
}

TEST_F(SpoiledPool, AnythingAnywhere) {
  const unsigned seed = std::random_device{}();
  std::mt19937_64 random(seed);
  const std::vector<std::byte> whole(pool_ + record_offset, pool_ + pool_bytes);
  for (int round = 0; round < 20'000; round++) {
    std::byte* at = pool_ + record_offset + random() % 16384;
    const uint64_t noise = random();
    std::memcpy(at, &noise, 1 + random() % 8);
    if (read(entry_) == Outcome::hit) {
      ASSERT_EQ(loaded_, values_) << "seed " << seed;
    }
    if (round % 4 == 3) std::memcpy(pool_ + record_offset, whole.data(), 16384);
  }
}

}  // namespace
}  // namespace speckv::lib
