// SPDX-License-Identifier: Apache-2.0
// write.cpp - station 3: every slot's gen becomes even, the record ties the segments together, and
// the index entry is published.
//
// Until publish() returns, nothing of the block can be found; undo() leaves no trace.
#include <algorithm>

#include "assert.hpp"
#include "codec/checksum.hpp"
#include "journey/shard.hpp"
#include "shm/atomics.hpp"

namespace speckv {

// Others may have taken the place that was there when it was taken up.
int Shard::place_in_index(const Put& put, uint64_t now_ns) {
  Wanted wanted{{}, now_ns};
  wanted.index_place = true;
  wanted.hash = hash_key(put.submission.key);
  return index_.has_room(wanted.hash) ? 0 : make_room(wanted);
}

void Shard::write(Put& put) {
  for (uint32_t layer = 0; layer < put.layers(); layer++)
    shm::store_release(slot(put.slots[layer].offset)->gen, put.slots[layer].gen);  // W5
  if (put.layers() > 1) write_record(put);
  publish(put);
}

void Shard::write_record(const Put& put) {
  const uint32_t layers = put.layers();
  const uint32_t payload = shm::record_payload_bytes(layers);
  shm::SlotHeader* header = slot(put.head().offset);
  shm::release_fence();
  auto* meta = reinterpret_cast<shm::RecordMeta*>(header + 1);
  *meta = shm::RecordMeta{};
  meta->parent = put.submission.parent;
  meta->position = put.submission.position;
  meta->layers = layers;
  meta->raw_bytes = put.layout->block_bytes;
  meta->identity = put.layout->identity;
  meta->block_tokens = put.layout->desc.block_tokens;
  auto* refs = reinterpret_cast<shm::SegmentRef*>(meta + 1);
  for (uint32_t layer = 0; layer < layers; layer++)
    shm::store_racing(&refs[layer], shm::SegmentRef{put.slots[layer].offset, put.slots[layer].gen});
  codec::Checksum sum;
  codec::checksum_update(sum, meta, payload);
  header->key = put.submission.key;
  header->fingerprint = put.widths->fingerprint;
  header->layer = shm::layer_record;
  header->flags = uint16_t(put.layout->preset_id);
  header->payload_bytes = payload;
  header->checksum = shm::slot_checksum(*header, codec::checksum_final(sum));
  shm::store_release(header->gen, put.head().gen);
}

void Shard::publish(const Put& put) {
  Block& fresh = blocks_[put.block];
  SPECKV_ASSERT(fresh.state == BlockState::allocated,
                "a block was published that is not under way");
  fresh.raw_bytes = uint32_t(std::min<uint64_t>(put.layout->block_bytes, UINT32_MAX));
  for (uint32_t i = 0; i < put.placed; i++) {
    fresh.stored_bytes += put.slots[i].slot_bytes;
    slabs_.unpin(put.slots[i].offset);
  }
  fresh.entry.key = put.submission.key;
  fresh.entry.ref = put.head().offset;
  fresh.entry.gen = put.head().gen;
  fresh.entry.fingerprint = put.widths->fingerprint;
  fresh.entry.block = put.block;
  fresh.entry.layers = uint16_t(put.layers());
  fresh.entry.flags = put.layers() > 1 ? shm::entry_record : 0;
  const bool placed = index_.insert(hash_key(put.submission.key), fresh.entry);  // W6
  SPECKV_ASSERT(placed, "the index has no place for a block that was planned for");
  fresh.state = BlockState::published;
  fresh.kind = put.submission.kind;
  policy_->on_insert(put.block, facts_of(put.block, put.submission.parent, put.submission.position,
                                         put.layout->desc.block_tokens, put.now_ns));
  add_gauges(fresh, +1);
  counters_.put_raw_bytes.fetch_add(fresh.raw_bytes, std::memory_order_relaxed);
  counters_.put_stored_bytes.fetch_add(fresh.stored_bytes, std::memory_order_relaxed);
}

predict::BlockFacts Shard::facts_of(uint32_t block, const Key& parent, uint32_t position,
                                    uint32_t block_tokens, uint64_t now_ns) {
  predict::BlockFacts facts;
  facts.key_hash = hash_key(blocks_[block].entry.key);
  facts.now_ns = now_ns;
  facts.stored_bytes = blocks_[block].stored_bytes;
  facts.kind = blocks_[block].kind;
  if (position != SPECKV_POSITION_UNKNOWN && block_tokens) facts.position = position / block_tokens;
  shm::Entry known;
  if (!parent.is_zero())
    facts.parent =
        index_.find(parent, hash_key(parent), &known) ? known.block : predict::kParentAway;
  return facts;
}

// Gives back all that a put which cannot go on had taken, but what is lost.
void Shard::undo(Put& put) {
  for (uint32_t i = 0; i < put.placed; i++) {
    if (put.slots[i].slot_bytes == 0) continue;
    shm::store_relaxed(slot(put.slots[i].offset)->gen, put.slots[i].gen - 1);
    slabs_.release(put.slots[i].offset);
  }
  put.placed = 0;
  blocks_[put.block] = Block{};
  free_blocks_.push_back(put.block);
}

}  // namespace speckv
