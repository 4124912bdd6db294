// SPDX-License-Identifier: Apache-2.0
// shard_fixture.hpp - a shard of a small pool over a made-up disk. Blocks follow from their number
// and a version, so that a test knows whose bytes came back.
#pragma once

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <memory>
#include <vector>

#include "codec/checksum.hpp"
#include "fake_disk.hpp"
#include "journey/shard.hpp"
#include "pool/index_writer.hpp"

namespace speckv::test {

inline Key key_of(uint64_t number) {
  Key key;
  for (uint64_t i = 0; i < 4; i++) key.word[i] = mix64(number * 4 + i + 1);
  return key;
}

// 16 MiB of pool, blocks of 2 x 64 KiB in preset `exact`: about 120 of them.
class SpilledShard {
 public:
  static constexpr uint64_t pool_units = 8;
  explicit SpilledShard(uint64_t spill_units = 64, uint32_t layers = 2, uint32_t side_bytes = 0)
      : disk((spill_units + 1) * spill::unit_bytes), spill_units_(spill_units), layers_(layers) {
    pool_ = static_cast<std::byte*>(mmap(nullptr, pool_bytes, PROT_READ | PROT_WRITE,
                                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    engine_ = make_cpu_engine();
    speckv_layout desc{};
    desc.size = sizeof desc;
    desc.dtype = SPECKV_DTYPE_F16;
    desc.layers = layers_;
    desc.kv_heads = 4;
    desc.head_dim = 128;
    desc.block_tokens = desc.page_tokens = 32;
    desc.preset = SPECKV_PRESET_EXACT;
    desc.side_bytes = side_bytes;
    auto made = layouts_.add(desc, SPECKV_PRESET_EXACT, "unit");
    EXPECT_TRUE(made.ok()) << made.status().text();
    layout = made.value();
    start(false);
  }
  ~SpilledShard() { munmap(pool_, pool_bytes); }
  SpilledShard(const SpilledShard&) = delete;
  SpilledShard& operator=(const SpilledShard&) = delete;

  // A daemon's start. scan: it looks for blocks of an earlier one.
  void start(bool scan) {
    shard_.reset();
    disk.forget();
    index_.assign(shm::index_file_bytes(1, buckets), std::byte{0});
    IndexWriter::format(index_.data(), 1, buckets, 1);
    ShardOptions options;
    options.pool = pool_;
    options.index = index_.data();
    options.first_unit = 1;
    options.units = pool_units;
    options.blocks_max = 1024;
    options.engine = engine_.get();
    SpillOptions spill;
    spill.units = spill_units_;
    spill.store_id = 77;
    spill.entries_max = entries_max;
    spill.buffer_bytes = 16 << 20;
    spill.write_bytes_s = write_bytes_s;
    spill.scan = scan;
    options.spill = spill;
    options.demote_ahead_bytes = demote_ahead_bytes;
    options.speculation_bytes_s = speculation_bytes_s;
    options.policy = policy;
    shard_ = std::make_unique<Shard>(options);
    shard_->restore(now_ns);
    shard_->attach(disk);
  }
  // kill -9 and a start; power: the pool is gone, too.
  void restart(bool power = false) {
    if (power) {
      std::memset(pool_, 0, shm::unit_bytes);
      for (uint64_t unit = 1; unit <= pool_units; unit++)
        std::memset(pool_ + unit * shm::unit_bytes, 0, shm::slab_header_bytes);
    }
    start(true);
  }

  // A turn, and what the disk completes of it.
  void turn(uint64_t ns = 1'000'000) {
    now_ns += ns;
    std::vector<Operation*> done;
    disk.reap(&done);
    for (Operation* each : done) EXPECT_TRUE(shard_->spill_completed(each, now_ns));
    shard_->spill_turn(now_ns);
    shard_->tick(now_ns);
  }
  void turns(int count, uint64_t ns = 1'000'000) {
    for (int i = 0; i < count; i++) turn(ns);
  }
  // Until all that is wanted has been written.
  void settle() { turns(220, 5'000'000); }

  std::vector<std::byte> bytes_of(uint64_t number, uint64_t version) const {
    std::vector<std::byte> bytes(layout->block_bytes);
    uint64_t state = mix64(number) + version;
    for (size_t i = 0; i + 8 <= bytes.size(); i += 8) {
      state = mix64(state + i);
      const uint64_t word = (state & 0x8fff8fff8fff8fff) | 0x3000300030003000;
      std::memcpy(&bytes[i], &word, 8);
    }
    return bytes;
  }
  // parent: the number of the block before it; none: 0 is no parent's.
  int put(uint64_t number, uint64_t version = 0, uint64_t parent = 0) {
    shm::Submission submission{};
    submission.key = key_of(number);
    if (parent) submission.parent = key_of(parent);
    submission.position = SPECKV_POSITION_UNKNOWN;
    bool existed = false;
    const int result = shard_->put(submission, *layout, layout->widths->current(),
                                   bytes_of(number, version), now_ns, &existed);
    return result ? result : existed ? 1 : 0;
  }
  // `count` blocks that nobody asks for again, with time for each to be written.
  void press(uint64_t count) {
    for (uint64_t i = 0; i < count; i++) {
      ASSERT_EQ(put(next_++), 0);
      turns(4);
    }
  }
  bool in_pool(uint64_t number) {
    shm::Entry entry;
    return shm::IndexView(index_.data(), 0).find(key_of(number), hash_key(key_of(number)), &entry);
  }
  bool spilled(uint64_t number) const {
    return shard_->spill()->image_bytes(hash_key(key_of(number))) != 0;
  }
  // As a client reads it: whether it is that version.
  ::testing::AssertionResult holds(uint64_t number, uint64_t version = 0) {
    shm::Entry entry;
    if (!shm::IndexView(index_.data(), 0).find(key_of(number), hash_key(key_of(number)), &entry))
      return ::testing::AssertionFailure() << "block " << number << " is not in the pool";
    const auto expected = bytes_of(number, version);
    for (uint32_t layer = 0; layer < layers_; layer++) {
      uint64_t offset = entry.ref, gen = entry.gen;
      if (entry.flags & shm::entry_record) {
        const auto* refs = reinterpret_cast<const shm::SegmentRef*>(
            pool_ + entry.ref + sizeof(shm::SlotHeader) + sizeof(shm::RecordMeta));
        offset = refs[layer].offset;
        gen = refs[layer].gen;
      }
      const auto* header = reinterpret_cast<const shm::SlotHeader*>(pool_ + offset);
      if (header->gen != gen || (gen & 1))
        return ::testing::AssertionFailure() << "gen of layer " << layer;
      const auto* payload = reinterpret_cast<const std::byte*>(header + 1);
      codec::Checksum sum;
      codec::checksum_update(sum, payload, header->payload_bytes);
      if (shm::slot_checksum(*header, codec::checksum_final(sum)) != header->checksum)
        return ::testing::AssertionFailure() << "checksum of layer " << layer;
      if (std::memcmp(payload, expected.data() + layer * layout->segment_raw_bytes,
                      layout->segment_raw_bytes) != 0)
        return ::testing::AssertionFailure() << "bytes of layer " << layer;
    }
    return ::testing::AssertionSuccess();
  }
  int ask_hold(uint64_t number) {
    shm::Submission submission{};
    submission.key = key_of(number);
    submission.hold = 7;
    submission.arg = 1'000'000;
    return shard_->hold(submission, *layout, {1, 1000}, now_ns);
  }
  // As the server asks: again until it is answered.
  int hold(uint64_t number, int turns_max = 4000) {
    int result = ask_hold(number);
    for (int i = 0; i < turns_max && result == -EAGAIN; i++) {
      turn();
      result = ask_hold(number);
    }
    return result;
  }
  int remove(uint64_t number, int turns_max = 8000) {
    int result = shard_->remove(key_of(number), *layout);
    for (int i = 0; i < turns_max && result == -EAGAIN; i++) {
      turn();
      result = shard_->remove(key_of(number), *layout);
    }
    return result;
  }

  Shard& shard() { return *shard_; }
  const SpillCounters& spill() const { return shard_->spill()->counters(); }
  const SpillIoCounters& io() const { return shard_->spill()->io_counters(); }

  FakeDisk disk;
  const Layout* layout = nullptr;
  uint32_t entries_max = 4096;  // from the next start on, and so are these
  uint64_t write_bytes_s = UINT64_MAX;
  uint64_t demote_ahead_bytes = 6 << 20;
  uint64_t speculation_bytes_s = 0;
  std::string policy = "lru";
  uint64_t now_ns = 1'000'000'000;

 private:
  static constexpr uint64_t pool_bytes = (pool_units + 1) * shm::unit_bytes;
  static constexpr uint32_t buckets = 512;
  std::byte* pool_;
  const uint64_t spill_units_;
  const uint32_t layers_;
  std::vector<std::byte> index_;
  std::unique_ptr<Engine> engine_;
  LayoutTable layouts_;
  std::unique_ptr<Shard> shard_;
  uint64_t next_ = 1'000'000;
};

}  // namespace speckv::test
