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

void Shard::write(const Placing& placing, const StoredFacts& facts, uint64_t now_ns) {
  for (uint32_t layer = 0; layer < facts.layers; layer++)
    shm::store_release(slot(placing.slots[layer].offset)->gen, placing.slots[layer].gen);  // W5
  if (facts.layers > 1) write_record(placing, facts);
  publish(placing, facts, now_ns);
}

shm::RecordMeta Shard::meta_of(const StoredFacts& facts) {
  shm::RecordMeta meta{};
  meta.parent = facts.parent;
  meta.position = facts.position;
  meta.layers = facts.layers;
  meta.raw_bytes = facts.raw_bytes;
  meta.identity = facts.identity;
  meta.block_tokens = facts.block_tokens;
  meta.kind = facts.kind;
  return meta;
}

void Shard::write_record(const Placing& placing, const StoredFacts& facts) {
  const uint32_t payload = shm::record_payload_bytes(facts.layers);
  shm::SlotHeader* header = slot(placing.head().offset);
  shm::release_fence();
  auto* meta = reinterpret_cast<shm::RecordMeta*>(header + 1);
  *meta = meta_of(facts);
  auto* refs = reinterpret_cast<shm::SegmentRef*>(meta + 1);
  for (uint32_t layer = 0; layer < facts.layers; layer++)
    shm::store_racing(&refs[layer],
                      shm::SegmentRef{placing.slots[layer].offset, placing.slots[layer].gen});
  codec::Checksum sum;
  codec::checksum_update(sum, meta, payload);
  header->key = facts.key;
  header->fingerprint = facts.fingerprint;
  header->layer = shm::layer_record;
  header->flags = facts.record_flags;
  header->payload_bytes = payload;
  header->checksum = shm::slot_checksum(*header, codec::checksum_final(sum));
  shm::store_release(header->gen, placing.head().gen);
}

void Shard::publish(const Placing& placing, const StoredFacts& facts, uint64_t now_ns) {
  Block& fresh = blocks_[placing.block];
  SPECKV_ASSERT(placing.placed == facts.layers + (facts.layers > 1),
                "a block was published without all of its slots");
  SPECKV_ASSERT(fresh.state == BlockState::allocated,
                "a block was published that is not under way");
  fresh.raw_bytes = uint32_t(std::min<uint64_t>(facts.raw_bytes, UINT32_MAX));
  for (uint32_t i = 0; i < placing.placed; i++) {
    fresh.stored_bytes += placing.slots[i].slot_bytes;
    slabs_.unpin(placing.slots[i].offset);
  }
  fresh.entry.key = facts.key;
  fresh.entry.ref = placing.head().offset;
  fresh.entry.gen = placing.head().gen;
  fresh.entry.fingerprint = facts.fingerprint;
  fresh.entry.block = placing.block;
  fresh.entry.layers = uint16_t(facts.layers);
  fresh.entry.flags = facts.layers > 1 ? shm::entry_record : 0;
  const uint64_t hash = hash_key(facts.key);
  const bool placed = index_.insert(hash, fresh.entry);  // W6
  SPECKV_ASSERT(placed, "the index has no place for a block that was planned for");
  fresh.state = BlockState::published;
  fresh.kind = facts.kind;
  fresh.used_ns = now_ns;
  const Place place{facts.parent, hash_key(facts.parent), facts.position, facts.block_tokens};
  const predict::BlockFacts known = facts_of(placing.block, hash, place, now_ns);
  policy_->on_insert(placing.block, known);
  note_lineage(placing.block, known);
  add_gauges(fresh, +1);
  note_published(placing.block, facts.parent, now_ns);
}

predict::BlockFacts Shard::facts_of(uint32_t block, uint64_t hash, const Place& place,
                                    uint64_t now_ns) {
  predict::BlockFacts facts;
  facts.key_hash = hash;
  facts.now_ns = now_ns;
  facts.stored_bytes = blocks_[block].stored_bytes;
  facts.kind = blocks_[block].kind;
  facts.speculative = blocks_[block].unread;
  if (place.position != SPECKV_POSITION_UNKNOWN && place.block_tokens)
    facts.position = place.position / place.block_tokens;
  shm::Entry known;
  if (!place.parent.is_zero())
    facts.parent =
        index_.find(place.parent, place.parent_hash, &known) ? known.block : predict::kParentAway;
  return facts;
}

// Gives back all that a put which cannot go on had taken, but what is lost.
void Shard::undo(Put& put) {
  for (uint32_t i = 0; i < put.placed; i++) {
    if (put.slots[i].slot_bytes == 0) continue;
    shm::store_relaxed(slot(put.slots[i].offset)->gen, put.slots[i].gen - 1);
    slabs_.release(put.slots[i].offset);
  }
  SPECKV_ASSERT(blocks_[put.block].state == BlockState::allocated,
                "a put was undone whose block can be read");
  put.placed = 0;
  blocks_[put.block] = Block{};
  free_blocks_.push_back(put.block);
}

}  // namespace speckv
