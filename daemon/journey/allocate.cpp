// SPDX-License-Identifier: Apache-2.0
// allocate.cpp - station 1: a block number, a slot for each layer and one for the record, all of
// them or none. make_room.cpp says what has to go for it.
#include "assert.hpp"
#include "journey/block_needs.hpp"
#include "journey/shard.hpp"
#include "shm/atomics.hpp"

namespace speckv {

namespace {

// Of one segment's slot: its payload, and what a block without a record keeps behind it.
uint32_t segment_slot_bytes(const Layout& layout, uint32_t payload) {
  const uint32_t flags = layout.segments == 1 ? uint32_t(shm::slot_single) : 0;
  return shm::slot_bytes_for(payload + shm::slot_tail_bytes(uint16_t(flags)));
}
uint32_t raw_slot_bytes(const Layout& layout) {
  return segment_slot_bytes(layout, layout.stored_raw_bytes);
}
uint32_t stored_slot_bytes(const Layout& layout, bool opens_sequence) {
  const bool exact = layout.preset_id == SPECKV_PRESET_EXACT;
  return segment_slot_bytes(layout,
                            exact ? layout.stored_raw_bytes : layout.stored_bytes[opens_sequence]);
}

uint32_t q8_slot_bytes(const Layout& layout, bool opens_sequence) {
  return segment_slot_bytes(layout, layout.fallback_bytes[opens_sequence]);
}

BlockNeeds needs_of(const Layout& layout, bool opens_sequence, uint32_t raw_segments = 0,
                    uint32_t q8_segments = 0) {
  const uint32_t layers = layout.desc.layers;
  BlockNeeds needs;
  needs.add(stored_slot_bytes(layout, opens_sequence), layers - raw_segments - q8_segments);
  needs.add(raw_slot_bytes(layout), raw_segments);
  needs.add(q8_slot_bytes(layout, opens_sequence), q8_segments);
  for (uint32_t number = layers; number < layout.segments; number++)
    needs.add(side_slot_bytes(layout, number), 1);
  if (layout.segments > 1)
    needs.add(shm::slot_bytes_for(shm::record_payload_bytes(layout.segments)), 1);
  return needs;
}

}  // namespace

bool fits_shard(const Layout& layout, uint64_t shard_units) {
  return can_ever_fit(needs_of(layout, false).span(), shard_units) &&
         can_ever_fit(needs_of(layout, true).span(), shard_units);
}

uint64_t Shard::next_gen() {
  gen_ += 2;
  if (gen_ >= gen_end_) {
    auto* header = reinterpret_cast<shm::PoolHeader*>(options_.pool);
    gen_end_ = gen_ + shm::gen_reserve;
    shm::store_release(header->gen_reserved[options_.shard], gen_end_);
  }
  return gen_;
}

// Returns: 0; -ENOSPC: no eviction could make room, and nothing was evicted or taken.
int Shard::allocate(Put& put) {
  const BlockNeeds needs = needs_of(*put.layout, put.opens_sequence);
  Wanted wanted{needs.span(), put.now_ns};
  wanted.block_number = wanted.index_place = true;
  wanted.hash = hash_key(put.submission.key);
  wanted.replaces = put.replaces;
  const int error = make_room(wanted);
  if (error) return error;
  put.block = take_number();
  const uint32_t stored = stored_slot_bytes(*put.layout, put.opens_sequence);
  const uint32_t segments = put.segments();
  while (put.placed < put.layout->desc.layers) take_slot(put, put.placed++, stored);
  while (put.placed < segments)
    take_slot(put, put.placed++, side_slot_bytes(*put.layout, put.placed));
  if (segments > 1)
    take_slot(put, put.placed++, shm::slot_bytes_for(shm::record_payload_bytes(segments)));
  return 0;
}

// Requires: make_room() found one.
uint32_t Shard::take_number() {
  const uint32_t number = free_blocks_.back();
  free_blocks_.pop_back();
  SPECKV_ASSERT(blocks_[number].state == BlockState::absent, "a block in use was listed as free");
  blocks_[number].state = BlockState::allocated;
  return number;
}

// Changes one layer's slot, if it still has one, for one of another size; the put's counts say
// which segments have which. Returns: 0; -ENOSPC, nothing more was evicted; the block's slots are
// as they were, less this one, whose size is 0.
int Shard::allocate_again(Put& put, uint32_t layer, StoredAs as) {
  if (put.slots[layer].slot_bytes) slabs_.release(put.slots[layer].offset);
  put.slots[layer].slot_bytes = 0;
  const BlockNeeds whole =
      needs_of(*put.layout, put.opens_sequence, put.segments_refused, put.segments_bounded);
  if (!can_ever_fit(whole.span(), slabs_.usable_units())) return -ENOSPC;
  const SlotNeed other{layer >= put.layout->desc.layers ? side_slot_bytes(*put.layout, layer)
                       : as == StoredAs::raw            ? raw_slot_bytes(*put.layout)
                       : as == StoredAs::q8 ? q8_slot_bytes(*put.layout, put.opens_sequence)
                                            : stored_slot_bytes(*put.layout, put.opens_sequence),
                       1};
  const int error = make_room({{&other, 1}, put.now_ns});
  if (!error) take_slot(put, layer, other.slot_bytes);
  return error;
}

// Requires: make_room() found one. W3: the slot's gen is odd, and stays so until write.
void Shard::take_slot(Placing& placing, uint32_t at, uint32_t slot_bytes) {
  const uint64_t offset = slabs_.allocate(slot_bytes, placing.block);
  SPECKV_ASSERT(offset != 0, "a slot that was planned for is not there");
  const uint64_t gen = next_gen();
  shm::store_relaxed(slot(offset)->gen, gen - 1);
  placing.slots[at] = {offset, gen, slot_bytes};
}

}  // namespace speckv
