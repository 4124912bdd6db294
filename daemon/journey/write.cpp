// SPDX-License-Identifier: Apache-2.0
// write.cpp - station 2's end: the record that ties a block's segments together, and its
// publication in the index.
//
// Until publish() returns, nothing of the block can be found; undo() leaves no trace.
#include <cstring>

#include "codec/checksum.hpp"
#include "journey/shard.hpp"
#include "shm/atomics.hpp"

namespace speckv {

int Shard::write_record(const Incoming& incoming, uint32_t block, Placed* ret_placed) {
  const auto& [submission, layout, widths, now_ns] = incoming;
  const uint32_t layers = layout.desc.layers;
  const uint32_t payload = shm::record_payload_bytes(layers);
  const uint64_t offset = allocate_slot(payload, block, now_ns);
  if (!offset) return -ENOSPC;
  shm::SlotHeader* header = slot(offset);
  const uint64_t gen = next_gen();
  shm::store_relaxed(header->gen, gen - 1);
  shm::release_fence();
  auto* meta = reinterpret_cast<shm::RecordMeta*>(header + 1);
  *meta = shm::RecordMeta{submission.parent,  submission.position, layers,
                          layout.block_bytes, layout.identity,     0};
  auto* refs = reinterpret_cast<shm::SegmentRef*>(meta + 1);
  for (uint32_t layer = 0; layer < layers; layer++)
    shm::store_racing(&refs[layer],
                      shm::SegmentRef{under_way_[layer].offset, under_way_[layer].gen});
  codec::Checksum sum;
  codec::checksum_update(sum, meta, payload);
  header->key = submission.key;
  header->fingerprint = widths.fingerprint;
  header->layer = shm::layer_record;
  header->flags = uint16_t(layout.preset_id);
  header->payload_bytes = payload;
  header->checksum = shm::slot_checksum(*header, codec::checksum_final(sum));
  shm::store_release(header->gen, gen);
  *ret_placed = {offset, gen, shm::slot_bytes_for(payload)};
  under_way_.push_back(*ret_placed);
  return 0;
}

int Shard::publish(uint32_t block, const Incoming& incoming, const Placed& placed) {
  const auto& [submission, layout, widths, now_ns] = incoming;
  Block& fresh = blocks_[block];
  fresh.state = BlockState::compressed;
  fresh.raw_bytes = uint32_t(std::min<uint64_t>(layout.block_bytes, UINT32_MAX));
  for (const Placed& each : under_way_) fresh.stored_bytes += each.slot_bytes;
  fresh.entry.key = submission.key;
  fresh.entry.ref = placed.offset;
  fresh.entry.gen = placed.gen;
  fresh.entry.fingerprint = widths.fingerprint;
  fresh.entry.block = block;
  fresh.entry.layers = uint16_t(layout.desc.layers);
  fresh.entry.flags = layout.desc.layers > 1 ? shm::entry_record : 0;
  const uint64_t hash = hash_key(submission.key);
  uint32_t in_the_way = 0;
  while (!index_.insert(hash, fresh.entry, &in_the_way)) {  // W6
    if (pinned_[in_the_way]) return -ENOSPC;
    evict(in_the_way, now_ns);
  }
  fresh.state = BlockState::published;
  policy_->on_insert(block, facts_of(block, submission.parent, submission.position,
                                     layout.desc.block_tokens, now_ns));
  add_gauges(fresh, +1);
  counters_.put_raw_bytes.fetch_add(fresh.raw_bytes, std::memory_order_relaxed);
  counters_.put_stored_bytes.fetch_add(fresh.stored_bytes, std::memory_order_relaxed);
  return 0;
}

predict::BlockFacts Shard::facts_of(uint32_t block, const Key& parent, uint32_t position,
                                    uint32_t block_tokens, uint64_t now_ns) {
  predict::BlockFacts facts;
  facts.key_hash = hash_key(blocks_[block].entry.key);
  facts.now_ns = now_ns;
  facts.stored_bytes = blocks_[block].stored_bytes;
  if (position != SPECKV_POSITION_UNKNOWN && block_tokens) facts.position = position / block_tokens;
  shm::Entry known;
  if (!parent.is_zero())
    facts.parent =
        index_.find(parent, hash_key(parent), &known) ? known.block : predict::kParentAway;
  return facts;
}

// Gives back all that a failed put had taken.
void Shard::undo(uint32_t block) {
  for (const Placed& each : under_way_) {
    shm::store_relaxed(slot(each.offset)->gen, each.gen | 1);
    slabs_.release(each.offset);
  }
  under_way_.clear();
  blocks_[block] = Block{};
  free_blocks_.push_back(block);
}

}  // namespace speckv
