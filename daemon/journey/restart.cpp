// SPDX-License-Identifier: Apache-2.0
// restart.cpp - a new daemon over an old pool: the slots are the truth, blocks and index are
// rebuilt from them.
//
// A record counts if its own checksum holds and every segment it names is complete and its own.
// Payloads of segments are not read here: a reader verifies them anyway. Whatever no block names is
// free again. Nothing torn can come back: a slot under way has an odd gen.
//
// The policy is told of blocks in the order of their gens, which is the order in which they were
// put: parents before children, the coldest first. When they were used last is not known any more:
// each counts as `age_step_ns` younger than the one before it, so their order is right and their
// ages are of a size that the policy can tell apart.
#include <algorithm>

#include "assert.hpp"
#include "codec/checksum.hpp"
#include "journey/shard.hpp"
#include "shm/atomics.hpp"

namespace speckv {

namespace {
constexpr uint32_t unclaimed = UINT32_MAX - 1;
constexpr uint64_t age_step_ns = 1'000'000;

// Blocks are looked at out of the order of addresses: so far ahead their memory is asked for, the
// record first, then the segments that it names.
constexpr size_t record_ahead = 16, segments_ahead = 8;
}  // namespace

uint64_t Shard::restore(uint64_t now_ns) {
  std::vector<Restored> found;
  slabs_.adopt([&](uint64_t offset, uint32_t slot_bytes) {
    const shm::SlotHeader* header = slot(offset);
    if ((header->gen & 1) || header->gen == 0 || header->gen >= gen_end_ ||
        shm::slot_bytes_of(*header) != slot_bytes)
      return no_owner;
    if (header->layer == shm::layer_record || (header->flags & shm::slot_single))
      found.push_back({header->gen, offset});
    return unclaimed;
  });
  std::sort(found.begin(), found.end(),
            [](const Restored& a, const Restored& b) { return a.gen < b.gen; });
  const uint64_t step_ns = std::min(age_step_ns, now_ns / (found.size() + 1));
  for (size_t i = 0; i < found.size(); i++) {
    if (i + record_ahead < found.size()) prefetch_record(found[i + record_ahead].offset);
    if (i + segments_ahead < found.size()) prefetch_segments(found[i + segments_ahead].offset);
    restore_one(found[i].offset, now_ns - step_ns * (found.size() - i));
  }
  slabs_.for_each_slot_of(unclaimed, [this](uint64_t offset) {
    shm::store_relaxed(slot(offset)->gen, slot(offset)->gen | 1);
    slabs_.release(offset);
  });
  counters_.restored.store(counters_.blocks, std::memory_order_relaxed);
  return counters_.blocks;
}

void Shard::prefetch_record(uint64_t offset) {
  const auto* bytes = reinterpret_cast<const std::byte*>(slot(offset));
  for (size_t line = 0; line < 4; line++) __builtin_prefetch(bytes + line * 64);
}

void Shard::prefetch_segments(uint64_t offset) {
  if (slot(offset)->layer != shm::layer_record) return;
  const auto* meta = reinterpret_cast<const shm::RecordMeta*>(slot(offset) + 1);
  const auto* refs = reinterpret_cast<const shm::SegmentRef*>(meta + 1);
  const uint32_t layers =
      std::min(slot(offset)->payload_bytes / uint32_t(sizeof *refs), SPECKV_LAYERS_MAX);
  const uint64_t end = (options_.first_unit + options_.units) * shm::unit_bytes;
  for (uint32_t layer = 0; layer < layers; layer++)  // any bytes
    if (refs[layer].offset < end) __builtin_prefetch(slot(refs[layer].offset));
}

// used_ns: what the policy is told of when this block was used last.
void Shard::restore_one(uint64_t offset, uint64_t used_ns) {
  const bool has_record = slot(offset)->layer == shm::layer_record;
  const uint32_t block =
      has_record ? restore_record(offset, used_ns) : restore_single(offset, used_ns);
  if (block == no_block) return;
  Key parent;
  uint32_t position = SPECKV_POSITION_UNKNOWN, block_tokens = 0;
  if (has_record) {
    const auto* meta = reinterpret_cast<const shm::RecordMeta*>(slot(offset) + 1);
    parent = meta->parent;
    position = meta->position;
    block_tokens = meta->block_tokens;
    blocks_[block].raw_bytes = uint32_t(meta->raw_bytes);
  }
  const predict::BlockFacts facts = facts_of(block, parent, position, block_tokens, used_ns);
  policy_->on_insert(block, facts);
  note_lineage(block, facts);
  add_gauges(blocks_[block], +1);
}

// Returns: the block that this record made whole, or no_block.
uint32_t Shard::restore_record(uint64_t offset, uint64_t used_ns) {
  const shm::SlotHeader header = *slot(offset);
  const auto* meta = reinterpret_cast<const shm::RecordMeta*>(slot(offset) + 1);
  const uint32_t layers = meta->layers;
  if (layers < 2 || layers > SPECKV_LAYERS_MAX ||
      header.payload_bytes != shm::record_payload_bytes(layers))
    return no_block;
  codec::Checksum sum;
  codec::checksum_update(sum, meta, header.payload_bytes);
  if (header.checksum != shm::slot_checksum(header, codec::checksum_final(sum))) return no_block;
  const auto* refs = reinterpret_cast<const shm::SegmentRef*>(meta + 1);
  for (uint32_t layer = 0; layer < layers; layer++) {
    if (slabs_.owner_of(refs[layer].offset) != unclaimed) return no_block;
    const shm::SlotHeader* segment = slot(refs[layer].offset);
    if (segment->gen != refs[layer].gen || segment->layer != layer ||
        !(segment->key == header.key) || segment->fingerprint != header.fingerprint)
      return no_block;
  }
  return restore_block(header, offset, used_ns, {refs, layers});
}

uint32_t Shard::restore_single(uint64_t offset, uint64_t used_ns) {
  const shm::SlotHeader header = *slot(offset);
  return header.layer == 0 ? restore_block(header, offset, used_ns, {}) : no_block;
}

// A number for one more; where the index was made smaller, what the policy would evict goes.
bool Shard::number_for_restored(uint64_t now_ns) {
  if (!free_blocks_.empty()) return true;
  uint32_t coldest = 0;
  if (!policy_->victim(now_ns, pinned_, &coldest)) return false;
  unpublish(coldest);
  free_block(coldest);
  counters_.not_restored.fetch_add(1, std::memory_order_relaxed);
  return true;
}

uint32_t Shard::restore_block(const shm::SlotHeader& header, uint64_t offset, uint64_t used_ns,
                              std::span<const shm::SegmentRef> refs) {
  shm::Entry known;
  if (index_.find(header.key, hash_key(header.key),
                  &known)) {  // killed between W1 of the old and its W3
    unpublish(known.block);
    free_block(known.block);
  }
  if (!number_for_restored(used_ns) || !index_.has_room(hash_key(header.key))) {
    counters_.not_restored.fetch_add(1, std::memory_order_relaxed);
    return no_block;
  }
  const uint32_t block = free_blocks_.back();
  free_blocks_.pop_back();
  Block& back = blocks_[block];
  SPECKV_ASSERT(back.state == BlockState::absent, "a block in use was listed as free");
  back.entry.key = header.key;
  back.entry.ref = offset;
  back.entry.gen = header.gen;
  back.entry.fingerprint = header.fingerprint;
  back.entry.block = block;
  back.entry.layers = uint16_t(std::max<size_t>(refs.size(), 1));
  back.entry.flags = refs.empty() ? 0 : shm::entry_record;
  const bool placed = index_.insert(hash_key(header.key), back.entry);
  SPECKV_ASSERT(placed, "the index has no place for a block that had one a moment ago");
  back.state = BlockState::published;
  slabs_.set_owner(offset, block);
  back.stored_bytes = shm::slot_bytes_of(header);
  back.raw_bytes = back.stored_bytes;
  for (const shm::SegmentRef& ref : refs) {
    slabs_.set_owner(ref.offset, block);
    back.stored_bytes += shm::slot_bytes_of(*slot(ref.offset));
  }
  return block;
}

}  // namespace speckv
