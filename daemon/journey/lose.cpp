// SPDX-License-Identifier: Apache-2.0
// lose.cpp - memory that is gone (poison, the card was pulled): its blocks become misses, the rest
// goes on.
//
// A block is lost when one of its slots, or its record, lies in such a part. Nothing there is read
// or written; the block's other slots are free again. Readers need nothing of this: they see zeros
// and fail their checks. It saves them the attempt, and keeps puts away from there.
#include "assert.hpp"
#include "journey/shard.hpp"
#include "shm/atomics.hpp"

namespace speckv {

void Shard::lose(uint64_t offset, uint64_t bytes) {
  lose_under_way(offset, bytes);
  const uint64_t end = offset + bytes;
  const auto is_lost = [&](uint64_t at, uint64_t slot_bytes) {
    return at < end && at + slot_bytes > offset;
  };
  std::vector<uint8_t> leaving(blocks_.size(), 0);
  slabs_.for_each_live_slot([&](uint64_t at, uint32_t slot_bytes, uint32_t owner) {
    if (owner >= blocks_.size() || !is_lost(at, slot_bytes) || leaving[owner]) return;
    if (blocks_[owner].state == BlockState::allocated) return;  // its put gives back the others
    leaving[owner] = 1;
  });
  drop_holds_of(leaving);
  uint64_t blocks = 0;  // of those in limbo it was said already that they were evicted
  for (uint32_t block = 0; block < blocks_.size(); block++) {
    if (!leaving[block] || blocks_[block].state != BlockState::published) continue;
    unpublish(block);
    blocks++;
  }
  std::erase_if(limbo_, [&](uint32_t block) { return leaving[block]; });
  shm::full_fence();
  slabs_.for_each_live_slot([&](uint64_t at, uint32_t slot_bytes, uint32_t owner) {
    if (owner >= blocks_.size() || !leaving[owner] || is_lost(at, slot_bytes)) return;
    shm::store_relaxed(slot(at)->gen, shm::load_relaxed(slot(at)->gen) | 1);
    slabs_.release(at);
  });
  slabs_.lose(offset, bytes);
  for (uint32_t block = 0; block < blocks_.size(); block++) {
    if (!leaving[block]) continue;
    SPECKV_ASSERT(blocks_[block].state == BlockState::limbo && blocks_[block].holds == 0,
                  "a lost block is still published, or held");
    blocks_[block] = Block{};
    free_blocks_.push_back(block);
  }
  counters_.lost.fetch_add(blocks, std::memory_order_relaxed);
}

// A put that has a slot there fails. That slot is not its own any more; the others stay as they are
// until its last job has ended. Whoever still writes there writes to memory that is nobody's.
void Shard::lose_under_way(uint64_t offset, uint64_t bytes) {
  for (Put* put : under_way_)
    for (uint32_t i = 0; i < put->placed; i++) {
      Placed& placed = put->slots[i];
      const bool lost =
          placed.offset < offset + bytes && placed.offset + placed.slot_bytes > offset;
      if (!placed.slot_bytes || !lost) continue;
      placed.slot_bytes = 0;
      fail(*put, -EIO);
    }
}

// Their slots stay pinned: those that are not lost are released next.
void Shard::drop_holds_of(const std::vector<uint8_t>& leaving) {
  const auto leaves = [&](uint32_t block) { return leaving[block] != 0; };
  holds_.drop_blocks(leaves, [](uint32_t) {});
  retains_.drop_blocks(leaves,
                       [this](uint32_t block) { retained_bytes_ -= blocks_[block].stored_bytes; });
  for (uint32_t block = 0; block < leaving.size(); block++)
    if (leaving[block]) pinned_[block] = blocks_[block].holds = 0;
}

}  // namespace speckv
