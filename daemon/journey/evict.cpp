// SPDX-License-Identifier: Apache-2.0
// evict.cpp - station 8: unpublish, look at the guards, then free. Which block goes is the policy's
// choice (predict/).
//
// W1 unpublish · W2 full fence, guards · then the gen becomes odd and the slot may be written
// again. Guards are hints that save a reader a retry: never waited for here, and overruled when
// room is needed.
#include <algorithm>

#include "assert.hpp"
#include "journey/shard.hpp"
#include "shm/atomics.hpp"

namespace speckv {

namespace {
// Sessions whose guards are asked for ahead of the one that is looked at: each lies in memory of
// its own, so one after the other would be a cache miss each.
constexpr size_t guards_ahead = 16;
}  // namespace

// One look at the guards serves all of them.
void Shard::evict(std::span<const uint32_t> blocks, uint64_t now_ns) {
  uint64_t evicted = 0;
  for (uint32_t block : blocks)
    if (blocks_[block].state == BlockState::published) {
      note_eviction(block);
      unpublish(block);
      evicted++;
    }
  if (evicted == 0) return;
  counters_.evicted.fetch_add(evicted, std::memory_order_relaxed);
  shm::full_fence();
  look_at_guards(now_ns);
  for (uint32_t block : blocks) {
    if (blocks_[block].state != BlockState::limbo || blocks_[block].in_limbo) continue;
    if (blocks_[block].named != look_) {
      free_block(block);
      continue;
    }
    counters_.guarded.fetch_add(1, std::memory_order_relaxed);
    blocks_[block].since_ns = now_ns;
    blocks_[block].in_limbo = true;
    limbo_.push_back(block);
  }
}

// Whoever reads it now misses: its room is needed.
void Shard::evict_at_once(uint32_t block) {
  if (blocks_[block].state == BlockState::limbo) return free_limbo(block);
  note_eviction(block);
  unpublish(block);
  counters_.evicted.fetch_add(1, std::memory_order_relaxed);
  shm::full_fence();
  free_block(block);
}

void Shard::free_limbo(uint32_t block) {
  std::erase(limbo_, block);
  free_block(block);
}

void Shard::unpublish(uint32_t block) {
  Block& leaving = blocks_[block];
  SPECKV_ASSERT(leaving.state == BlockState::published && leaving.holds == 0,
                "a block was unpublished that is not published, or is held");
  const bool erased = index_.erase(leaving.entry.key, hash_key(leaving.entry.key));
  SPECKV_ASSERT(erased, "a published block was not in the index");
  forget_near(block);
  policy_->on_remove(block);
  note_leaving(leaving);
  add_gauges(leaving, -1);
  leaving.state = BlockState::limbo;
}

void Shard::free_block(uint32_t block) {
  SPECKV_ASSERT(blocks_[block].state == BlockState::limbo,
                "a block was freed before it was unpublished");
  SPECKV_ASSERT(blocks_[block].holds == 0 && !pinned_[block], "a held block was freed");
  for_each_slot(block, [this](uint64_t offset) {
    shm::SlotHeader* header = slot(offset);
    shm::store_relaxed(header->gen, shm::load_relaxed(header->gen) | 1);  // W3
    slabs_.release(offset);
  });
  blocks_[block] = Block{};
  free_blocks_.push_back(block);
}

// Marks the blocks that a reader's guard names now: named == look_. A name leads to its block by
// the slot's owner, so the cost is that of the guards, however many blocks are asked about. Names
// are any bytes that a client wrote.
void Shard::look_at_guards(uint64_t now_ns) {
  look_++;
  mark_brought();
  // now_ns is the turn's clock: a guard may be younger than the turn.
  const auto is_young = [now_ns](const shm::GuardSlot& guard) {
    const uint64_t since_ns = shm::load_relaxed(guard.since_ns);
    return since_ns >= now_ns || now_ns - since_ns < shm::guard_ignored_after_ns;
  };
  const auto mark = [this](uint64_t ref, uint64_t gen) {
    if (shm::is_near(ref)) return mark_near(ref, gen);
    const uint32_t owner = ref ? slabs_.owner_of(ref) : no_owner;
    if (owner >= blocks_.size()) return;
    Block& block = blocks_[owner];
    if (block.entry.ref == ref && block.entry.gen == gen) block.named = look_;
  };
  for (size_t at = 0; at < guards_.size(); at++) {
    if (at + guards_ahead < guards_.size()) {
      __builtin_prefetch(&guards_[at + guards_ahead]->slots_used);
      __builtin_prefetch(guards_[at + guards_ahead]);
    }
    const uint32_t used = std::min(shm::load_relaxed(guards_[at]->slots_used), shm::guard_slots);
    guards_read_ += 1 + used;
    for (uint32_t i = 0; i < used; i++) {
      const shm::GuardSlot& guard = guards_[at][i];
      if (shm::load_relaxed(guard.names[0].ref) == 0) continue;  // names are given from the first
      if (!is_young(guard)) continue;
      for (const shm::GuardName& name : guard.names)
        mark(shm::load_relaxed(name.ref), shm::load_relaxed(name.gen));
    }
  }
}

void Shard::drop_limbo(uint64_t now_ns) {
  const bool near_limbo = near_ && !near_->limbo.empty();
  if (limbo_.empty() && !near_limbo) return;
  look_at_guards(now_ns);
  if (near_limbo) free_near_limbo(now_ns);
  size_t kept = 0;
  for (uint32_t block : limbo_) {
    const bool keep = blocks_[block].named == look_ &&
                      now_ns - blocks_[block].since_ns < shm::guard_ignored_after_ns;
    if (keep) limbo_[kept++] = block;
    else free_block(block);
  }
  limbo_.resize(kept);
}

}  // namespace speckv
