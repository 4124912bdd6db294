// SPDX-License-Identifier: Apache-2.0
// fixture.hpp - a namespace in plain memory and blocks whose bytes derive from their key, for the
// tests beside it.
#pragma once

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstring>
#include <memory>
#include <vector>

#include "codec/checksum.hpp"
#include "codec/segment.hpp"
#include "journey/shard.hpp"
#include "pool/index_writer.hpp"

namespace speckv {

inline Key key_of(uint64_t number) {
  Key key;
  for (uint64_t i = 0; i < 4; i++) key.word[i] = mix64(number * 4 + i + 1);
  return key;
}

inline speckv_layout small_layout(uint32_t layers, uint32_t preset) {
  speckv_layout desc{};
  desc.size = sizeof desc;
  desc.dtype = SPECKV_DTYPE_F16;
  desc.layers = layers;
  desc.kv_heads = 2;
  desc.head_dim = 64;
  desc.block_tokens = 32;
  desc.page_tokens = 32;
  desc.preset = preset;
  return desc;
}

// Finite fp16 values that depend on the key alone.
inline std::vector<std::byte> block_of(const Layout& layout, const Key& key) {
  std::vector<std::byte> bytes(layout.block_bytes);
  uint64_t state = key.word[0];
  for (size_t i = 0; i + 1 < bytes.size(); i += 2) {
    state = mix64(state + i + 1);
    const uint16_t half = uint16_t(0x3000 | (state & 0x8fff));  // +-0.125 .. 0.25, some exponents
    std::memcpy(&bytes[i], &half, 2);
  }
  return bytes;
}

class Space {
 public:
  explicit Space(uint64_t units, uint32_t buckets = 64, const char* policy = "lru")
      : policy_(policy) {
    pool_bytes_ = (units + 1) * shm::unit_bytes;
    pool_ = static_cast<std::byte*>(mmap(nullptr, pool_bytes_, PROT_READ | PROT_WRITE,
                                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    units_ = units;
    buckets_ = buckets;
    engine_ = make_cpu_engine();
    restart();
  }
  ~Space() { munmap(pool_, pool_bytes_); }

  // From here on, with an empty index.
  void use(std::unique_ptr<Engine> engine) {
    engine_ = std::move(engine);
    restart();
  }
  // The same, with near memory above the pool.
  void use_near(uint64_t units, uint32_t after_hits = 2) {
    near_units_ = units;
    near_after_hits_ = after_hits;
    restart();
  }
  // A new daemon's view: fresh index and near memory, same pool bytes.
  void restart() {
    shard_.reset();
    index_.assign(shm::index_file_bytes(1, buckets_), std::byte{0});
    IndexWriter::format(index_.data(), 1, buckets_, 1);
    ShardOptions options;
    options.pool = pool_;
    options.index = index_.data();
    options.first_unit = 1;
    options.units = units_;
    options.blocks_max = blocks_max;
    options.policy = policy_;
    options.holds_max = 8;
    options.size_samples = size_samples;
    options.engine = engine_.get();
    near_.assign((near_units_ ? near_units_ + 1 : 0) * shm::unit_bytes, std::byte{0});
    if (near_units_)
      options.near = NearOptions{near_.data(), &gate, 1, near_units_, near_after_hits_};
    shard_ = std::make_unique<Shard>(options);
  }

  const Layout& layout(uint32_t layers, uint32_t preset) {
    return layout(small_layout(layers, preset));
  }
  const Layout& layout(const speckv_layout& desc) {
    auto made = layouts_.add(desc, SPECKV_PRESET_Q8, "unit");
    EXPECT_TRUE(made.ok()) << made.status().text();
    return *made.value();
  }
  int put(const Layout& layout, uint64_t number, uint64_t now_ns = 1, uint32_t position = 64) {
    shm::Submission submission{};
    submission.key = key_of(number);
    submission.position = position;
    const auto bytes = block_of(layout, submission.key);
    bool existed = false;
    const int result =
        shard_->put(submission, layout, layout.widths->current(), bytes, now_ns, &existed);
    return result ? result : existed ? 1 : 0;
  }
  bool find(uint64_t number, shm::Entry* ret_entry = nullptr) {
    shm::Entry entry;
    const bool there =
        shm::IndexView(index_.data(), 0).find(key_of(number), hash_key(key_of(number)), &entry);
    if (ret_entry) *ret_entry = entry;
    return there;
  }
  // Reads a block as a client would and compares it with what its key says. exact: bytes must be
  // equal.
  ::testing::AssertionResult readable(const Layout& layout, uint64_t number, bool exact) {
    shm::Entry entry;
    if (!find(number, &entry))
      return ::testing::AssertionFailure() << "block " << number << " is not in the index";
    const auto expected = block_of(layout, key_of(number));
    std::vector<std::byte> got(layout.segment_raw_bytes);
    for (uint32_t layer = 0; layer < layout.segments; layer++) {
      uint64_t offset = entry.ref, gen = entry.gen;
      if (entry.flags & shm::entry_record) {
        const auto* refs = reinterpret_cast<const shm::SegmentRef*>(
            reinterpret_cast<const std::byte*>(slot(entry.ref) + 1) + sizeof(shm::RecordMeta));
        offset = refs[layer].offset;
        gen = refs[layer].gen;
      }
      const auto* header = slot(offset);
      if (header->gen != gen || (gen & 1))
        return ::testing::AssertionFailure() << "gen of layer " << layer;
      if (layer >= layout.desc.layers) {
        const shm::SidePart part = shm::side_part(layout.desc, layer - layout.desc.layers);
        const std::byte* side = expected.data() + layout.desc.layers * got.size() + part.offset;
        codec::Checksum sum;
        codec::checksum_update(sum, header + 1, part.bytes);
        if (!(header->flags & shm::slot_side) || header->payload_bytes != part.bytes ||
            std::memcmp(header + 1, side, part.bytes) != 0 ||
            shm::slot_checksum(*header, codec::checksum_final(sum)) != header->checksum)
          return ::testing::AssertionFailure() << "side bytes " << part.offset;
        continue;
      }
      codec::Preset preset;
      codec::preset_for(layout.desc, header->flags & shm::slot_preset_mask, &preset);
      const ptrdiff_t token = 2 * layout.desc.head_dim, head = token * layout.desc.block_tokens;
      const codec::SegmentOut out{{got.data(), token, head, 2},
                                  {got.data() + got.size() / 2, token, head, 2}};
      const uint64_t sum = codec::decode_segment(
          layout.desc, preset, layer, header->flags & shm::slot_first,
          {reinterpret_cast<const std::byte*>(header + 1), header->payload_bytes}, out, false);
      if (shm::slot_checksum(*header, sum) != header->checksum)
        return ::testing::AssertionFailure() << "checksum of layer " << layer;
      if (exact && std::memcmp(got.data(), expected.data() + layer * got.size(), got.size()) != 0)
        return ::testing::AssertionFailure() << "bytes of layer " << layer;
    }
    return ::testing::AssertionSuccess();
  }

  // From the next restart() on.
  uint32_t blocks_max = 1024, size_samples = 0;
  NearGate gate;

  Shard& shard() { return *shard_; }
  std::byte* pool() { return pool_; }
  // Where a ref leads.
  const shm::SlotHeader* slot(uint64_t ref) {
    const std::byte* file = shm::is_near(ref) ? near_.data() : pool_;
    return reinterpret_cast<const shm::SlotHeader*>(file + shm::ref_offset(ref));
  }
  std::byte* index() { return index_.data(); }

 private:
  std::byte* pool_;
  uint64_t pool_bytes_, units_;
  uint32_t buckets_;
  const char* policy_;
  std::vector<std::byte> index_, near_;
  uint64_t near_units_ = 0;
  uint32_t near_after_hits_ = 2;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<Shard> shard_;
  LayoutTable layouts_;
};

}  // namespace speckv
