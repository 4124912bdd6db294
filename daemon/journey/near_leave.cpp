// SPDX-License-Identifier: Apache-2.0
// near_leave.cpp - how copies leave near memory: their block left the pool, others are read more,
// or a client came that cannot read there.
//
// leave_near: the entry becomes the pool's again by one bucket write (W1 of the copy, W6 of what
// was there all the time), then the steps of an eviction: full fence, guards, gens odd, slots free.
// Guards are overruled only where another size of slots needs the room: such a reader tries again
// and finds the pool's.
#include <algorithm>

#include "assert.hpp"
#include "journey/near.hpp"
#include "journey/shard.hpp"
#include "shm/atomics.hpp"

namespace speckv {

// Looks whether the namespace's sessions can all read near memory. Once a turn.
void Shard::near_turn(uint64_t now_ns) {
  if (!near_) return;
  Near& near = *near_;
  near.now_ns = now_ns;
  near.open = near.options.gate->may_publish(options_.shard);
  if (near.open) return;
  uint32_t left = near_taken_back_max;
  for (; near.published && left; left--) {
    uint32_t coldest = 0;
    const bool some = near.policy->victim(now_ns, {}, &coldest);
    SPECKV_ASSERT(some, "copies are published that the policy does not know");
    leave_near(coldest);
  }
  if (left < near_taken_back_max) shm::full_fence();  // W2, for whoever looks at the guards next
  if (near.published == 0) near.options.gate->all_taken_back(options_.shard);
}

// Its entry is the pool's again. To limbo: free_near_limbo() ends it.
void Shard::leave_near(uint32_t number) {
  const NearCopy& copy = near_->copies[number];
  SPECKV_ASSERT(copy.state == CopyState::published, "a copy left near memory that is not there");
  const shm::Entry& entry = blocks_[copy.block].entry;
  const bool replaced = index_.replace(hash_key(entry.key), entry);
  SPECKV_ASSERT(replaced, "a published block was not in the index");
  retire_copy(number);
}

// Nothing refers to it any more.
void Shard::retire_copy(uint32_t number) {
  Near& near = *near_;
  NearCopy& copy = near.copies[number];
  near.copy_of[copy.block] = no_copy;
  near.policy->on_remove(number);
  near.published--;
  counters_.near_evicted.fetch_add(1, std::memory_order_relaxed);
  counters_.near_blocks.fetch_sub(1, std::memory_order_relaxed);
  counters_.near_bytes.fetch_sub(copy.bytes, std::memory_order_relaxed);
  copy.state = CopyState::limbo;
  copy.since_ns = near.now_ns;
  near.limbo.push_back(number);
}

// The block is about to leave the pool, its entry is gone; what is on its way is for nothing.
void Shard::forget_near(uint32_t block) {
  if (!near_) return;
  Near& near = *near_;
  near.hits[block] = near.unfit[block] = 0;
  const uint32_t number = near.copy_of[block];
  if (number == no_copy) return;
  NearCopy& copy = near.copies[number];
  near.copy_of[block] = no_copy;
  if (copy.state == CopyState::published) retire_copy(number);
  copy.block = no_block;
}

// W3, the record first. Requires: nothing refers to it, and a full fence since.
void Shard::free_copy(uint32_t number) {
  Near& near = *near_;
  NearCopy& copy = near.copies[number];
  SPECKV_ASSERT(copy.state == CopyState::limbo, "a copy was freed that an entry may refer to");
  near.for_each_slot(copy, [&](uint64_t offset) {
    shm::SlotHeader* header = near.slot(offset);
    shm::store_relaxed(header->gen, shm::load_relaxed(header->gen) | 1);
    near.slabs.release(offset);
  });
  copy = NearCopy{};
  near.free_copies.push_back(number);
}

// Requires: look_at_guards() since they came there.
void Shard::free_near_limbo(uint64_t now_ns) {
  Near& near = *near_;
  size_t kept = 0;
  for (const uint32_t number : near.limbo) {
    const NearCopy& copy = near.copies[number];
    const bool keep = copy.named == look_ && now_ns - copy.since_ns < shm::guard_ignored_after_ns;
    if (keep) near.limbo[kept++] = number;
    else free_copy(number);
  }
  near.limbo.resize(kept);
}

// Of a block that was removed: at once, whoever reads it.
void Shard::free_near_limbo_of(const Key& key) {
  if (!near_) return;
  Near& near = *near_;
  for (size_t i = near.limbo.size(); i-- > 0;) {
    const uint32_t number = near.limbo[i];
    if (!(near.slot(shm::ref_offset(near.copies[number].ref))->key == key)) continue;
    near.limbo.erase(near.limbo.begin() + ptrdiff_t(i));
    free_copy(number);
  }
}

// What a guard says of near memory, and blocks that are being read for it.
void Shard::mark_near(uint64_t ref, uint64_t gen) {
  if (!near_) return;
  const uint32_t owner = near_->slabs.owner_of(shm::ref_offset(ref));
  if (owner >= near_->copies.size()) return;
  NearCopy& copy = near_->copies[owner];
  if (copy.ref == ref && copy.gen == gen) copy.named = look_;
}

void Shard::mark_brought() {
  if (!near_) return;
  for (const NearBring& bring : near_->brings) {
    if (!bring.used || bring.jobs_in_engine == 0) continue;
    const uint32_t owner = slabs_.owner_of(bring.entry.ref);
    if (owner < blocks_.size() && blocks_[owner].entry.gen == bring.entry.gen)
      blocks_[owner].named = look_;
  }
}

// Room for one copy: what is free; else the coldest copies that were read less than `hits` times
// go. Returns: false, there is none for it now.
bool Shard::near_room(std::span<const SlotNeed> needs, uint32_t hits, uint64_t now_ns) {
  Near& near = *near_;
  const auto enough = [&] { return near.slabs.reserve(needs) && !near.free_copies.empty(); };
  if (enough()) return true;
  if (!near.limbo.empty()) {
    look_at_guards(now_ns);
    free_near_limbo(now_ns);
    if (enough()) return true;
  }
  uint64_t wanted = 0, gained = 0;
  for (const SlotNeed& need : needs) wanted += uint64_t(need.slot_bytes) * need.count;
  const uint32_t found = near.policy->coldest(now_ns, {}, near.coldest);
  uint32_t chosen = 0;
  while (chosen < found && gained < wanted) {
    const NearCopy& copy = near.copies[near.coldest[chosen]];
    if (near.hits[copy.block] >= hits) break;
    gained += copy.bytes;
    chosen++;
  }
  if (gained < wanted) {
    counters_.near_refused.fetch_add(1, std::memory_order_relaxed);
    return false;
  }
  for (uint32_t i = 0; i < chosen; i++) leave_near(near.coldest[i]);
  shm::full_fence();  // W2
  look_at_guards(now_ns);
  free_near_limbo(now_ns);
  if (enough()) return true;
  clear_near_slabs(needs);
  return enough();
}

// Copies of other sizes have the slabs: some of theirs are cleared, guards or not. Those where the
// coldest have a segment: a slab of records is small, and has those of many.
void Shard::clear_near_slabs(std::span<const SlotNeed> needs) {
  Near& near = *near_;
  std::array<uint64_t, near_victims_max> hints;
  const uint32_t found = near.policy->coldest(near.now_ns, {}, near.coldest);
  for (uint32_t i = 0; i < found; i++)
    near.for_each_slot(near.copies[near.coldest[i]], [&](uint64_t offset) { hints[i] = offset; });
  const std::span<const uint64_t> where(hints.data(), found);
  for (const SlotNeed& need : needs) {
    uint64_t have = near.slabs.free_slots(need.slot_bytes);
    const uint32_t units = slab_units_for(need.slot_bytes, near.slabs.units());
    while (have < need.count && near.slabs.claim(need.slot_bytes, where, needs))
      have += slots_in(units, need.slot_bytes);
  }
  if (std::any_of(needs.begin(), needs.end(),
                  [&](const SlotNeed& need) { return !near.slabs.could_have(need); }))
    return near.slabs.forget_claims();
  near.slabs.for_each_claimed([this](uint32_t number) { end_copy_at_once(number); });
  near.slabs.make_claimed_slabs();
  for (const SlotNeed& need : needs)
    while (near.slabs.free_slots(need.slot_bytes) < need.count) {
      const uint32_t number = near.slabs.evictable_owner(need.slot_bytes);
      if (number == no_owner) return;
      end_copy_at_once(number);
    }
}

void Shard::end_copy_at_once(uint32_t number) {
  Near& near = *near_;
  if (near.copies[number].state == CopyState::published) {
    leave_near(number);
    shm::full_fence();
  }
  std::erase(near.limbo, number);
  free_copy(number);
}

}  // namespace speckv
