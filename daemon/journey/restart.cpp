// SPDX-License-Identifier: Apache-2.0
// restart.cpp - a new daemon over an old pool: the slots are the truth, blocks and index are
// rebuilt from them.
//
// A record counts if its own checksum holds and every segment it names is complete and its own.
// Payloads of segments are not read here: a reader verifies them anyway. Whatever no block names is
// free again. Nothing torn can come back: a slot under way has an odd gen.
#include "codec/checksum.hpp"
#include "journey/shard.hpp"
#include "shm/atomics.hpp"

namespace speckv {

namespace {
constexpr uint32_t unclaimed = UINT32_MAX - 1;
}

uint64_t Shard::restore() {
  std::vector<uint64_t> records, singles;
  slabs_.adopt([&](uint64_t offset, uint32_t slot_bytes) {
    const shm::SlotHeader* header = slot(offset);
    if ((header->gen & 1) || header->gen == 0 || header->gen >= gen_end_ ||
        shm::slot_bytes_of(*header) != slot_bytes)
      return no_owner;
    if (header->layer == shm::layer_record) records.push_back(offset);
    if (header->flags & shm::slot_single) singles.push_back(offset);
    return unclaimed;
  });
  uint64_t restored = 0;
  for (uint64_t offset : records) restored += restore_record(offset);
  for (uint64_t offset : singles) restored += restore_single(offset);
  slabs_.for_each_slot_of(unclaimed, [this](uint64_t offset) {
    shm::store_relaxed(slot(offset)->gen, slot(offset)->gen | 1);
    slabs_.release(offset);
  });
  counters_.restored.store(restored, std::memory_order_relaxed);
  return restored;
}

bool Shard::restore_record(uint64_t offset) {
  const shm::SlotHeader header = *slot(offset);
  const auto* meta = reinterpret_cast<const shm::RecordMeta*>(slot(offset) + 1);
  const uint32_t layers = meta->layers;
  if (layers < 2 || layers > SPECKV_LAYERS_MAX ||
      header.payload_bytes != shm::record_payload_bytes(layers))
    return false;
  codec::Checksum sum;
  codec::checksum_update(sum, meta, header.payload_bytes);
  if (header.checksum != shm::slot_checksum(header, codec::checksum_final(sum))) return false;
  const auto* refs = reinterpret_cast<const shm::SegmentRef*>(meta + 1);
  for (uint32_t layer = 0; layer < layers; layer++) {
    if (slabs_.owner_of(refs[layer].offset) != unclaimed) return false;
    const shm::SlotHeader* segment = slot(refs[layer].offset);
    if (segment->gen != refs[layer].gen || segment->layer != layer ||
        !(segment->key == header.key) || segment->fingerprint != header.fingerprint)
      return false;
  }
  return restore_block(header, offset, layers, {refs, layers});
}

bool Shard::restore_single(uint64_t offset) {
  const shm::SlotHeader header = *slot(offset);
  return header.layer == 0 && restore_block(header, offset, 1, {});
}

bool Shard::restore_block(const shm::SlotHeader& header, uint64_t offset, uint32_t layers,
                          std::span<const shm::SegmentRef> refs) {
  shm::Entry known;
  if (index_.find(header.key, hash_key(header.key),
                  &known)) {  // killed between W1 of the old and its W3
    if (known.gen > header.gen) return false;
    unpublish(known.block);
    free_block(known.block);
  }
  if (free_blocks_.empty()) return false;
  const uint32_t block = free_blocks_.back();
  Block& back = blocks_[block];
  back.entry.key = header.key;
  back.entry.ref = offset;
  back.entry.gen = header.gen;
  back.entry.fingerprint = header.fingerprint;
  back.entry.block = block;
  back.entry.layers = uint16_t(layers);
  back.entry.flags = layers > 1 ? shm::entry_record : 0;
  if (!index_.insert(hash_key(header.key), back.entry)) {
    back = Block{};
    return false;
  }
  free_blocks_.pop_back();
  back.state = BlockState::published;
  slabs_.set_owner(offset, block);
  back.stored_bytes = shm::slot_bytes_of(header);
  back.raw_bytes = back.stored_bytes;
  Key parent;
  uint32_t position = SPECKV_POSITION_UNKNOWN;
  for (const shm::SegmentRef& ref : refs) {
    slabs_.set_owner(ref.offset, block);
    back.stored_bytes += shm::slot_bytes_of(*slot(ref.offset));
  }
  if (layers > 1) {
    const auto* meta = reinterpret_cast<const shm::RecordMeta*>(slot(offset) + 1);
    parent = meta->parent;
    position = meta->position;
    back.raw_bytes = uint32_t(meta->raw_bytes);
  }
  policy_->on_insert(block, facts_of(block, parent, position, 0, 0));
  add_gauges(back, +1);
  return true;
}

}  // namespace speckv
