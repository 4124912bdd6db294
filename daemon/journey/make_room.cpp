// SPDX-License-Identifier: Apache-2.0
// make_room.cpp - what allocate evicts: a plan for all slots of a block that either works out or
// touches nothing.
//
// In this order, as far as needed:
//   1. what is free: slots, units, empty slabs of other sizes;
//   2. limbo that no reader's guard names any more;
//   3. the policy's coldest blocks that give back slots of a wanted size. Blocks of other sizes are
//      passed over, up to `passed_over_max` of them: beyond that they are the colder part of the
//      pool, and the wanted size gets a slab of its own out of theirs;
//   4. limbo: guards are hints, and overruled when room is needed;
//   5. slabs to clear: near the coldest blocks, those with the fewest bytes in use;
//   6. what else of the wanted sizes is not held.
// For a block that nobody has asked for yet it ends with 3, at the first block that is named by a
// guard or does not give way to it (predict/admission.hpp).
// Only what is held, and blocks under way, cannot be had: -ENOSPC says that these fill the shard,
// or that the block is larger than it. Nothing here allocates.
#include <algorithm>

#include "assert.hpp"
#include "journey/shard.hpp"

namespace speckv {

namespace {
// Colder blocks of other sizes that the policy may propose before a slab of theirs is cleared: a
// few blocks' worth of slots.
constexpr uint32_t passed_over_max = 64;
// The policy is asked for so many at a time: one does in a pool of one layout.
constexpr uint32_t asked_first = 1, asked_more_by = 8;
// One more block goes ahead of need for each so many sessions, up to so many, and never more than
// one of so many in the shard.
constexpr uint64_t sessions_per_ahead = 16, ahead_max = 64, ahead_share = 128;
}  // namespace

int Shard::make_room(const Wanted& wanted) {
  if (!can_ever_fit(wanted.slots, slabs_.usable_units())) return -ENOSPC;
  plan_.victims.clear();
  plan_.gained.fill(0);
  plan_.near_count = 0;
  plan_.asked_policy = false;
  if (!plan_index_place(wanted)) return -ENOSPC;
  slabs_.reserve(wanted.slots);
  if (!plan_is_enough(wanted)) {
    drop_limbo(wanted.now_ns);
    slabs_.reserve(wanted.slots);
    if (wanted.guess) look_at_guards(wanted.now_ns);
  }
  if (!plan_is_enough(wanted) && !plan_victims(wanted) &&
      (wanted.guess || (!plan_limbo(wanted) && !plan_slabs(wanted)))) {
    slabs_.forget_claims();
    return -ENOSPC;
  }
  carry_out_plan(wanted);
  return 0;
}

// What goes in any case: the block that is replaced; and of those that fill both of the key's
// buckets the one that was put first, if none can be moved aside. Returns: false when all of them
// are held.
bool Shard::plan_index_place(const Wanted& wanted) {
  if (wanted.replaces != no_block) add_if_it_helps(wanted, wanted.replaces);
  if (!wanted.index_place || index_.has_room(wanted.hash)) return true;
  if (wanted.guess) return false;
  const shm::Entry* oldest = nullptr;
  bool replaced_is_there = false;
  index_.for_each_neighbour(wanted.hash, [&](const shm::Entry& entry) {
    replaced_is_there = replaced_is_there || entry.block == wanted.replaces;
    const auto gen_of = [this](const shm::Entry& of) { return blocks_[of.block].entry.gen; };
    if (!pinned_[entry.block] && (!oldest || gen_of(entry) < gen_of(*oldest))) oldest = &entry;
  });
  if (replaced_is_there) return true;
  if (!oldest) return false;
  add_if_it_helps(wanted, oldest->block);
  if (plan_.victims.empty() || plan_.victims.back() != oldest->block)
    plan_.victims.push_back(oldest->block);
  return true;
}

bool Shard::plan_is_enough(const Wanted& wanted) const {
  if (wanted.block_number && free_blocks_.empty() && plan_.victims.empty()) return false;
  for (size_t i = 0; i < wanted.slots.size(); i++)
    if (slabs_.free_slots(wanted.slots[i].slot_bytes) + plan_.gained[i] < wanted.slots[i].count)
      return false;
  return true;
}

// Returns: whether this block gives back what is still wanted, and is a victim now.
bool Shard::add_if_it_helps(const Wanted& wanted, uint32_t block) {
  bool helps = block == wanted.replaces ||
               (wanted.block_number && free_blocks_.empty() && plan_.victims.empty());
  std::array<uint64_t, sizes_max> gains{};
  for_each_slot(block, [&](uint64_t offset) {
    const uint32_t slot_bytes = slabs_.slot_bytes_at(offset);
    for (size_t i = 0; i < wanted.slots.size(); i++) {
      if (wanted.slots[i].slot_bytes != slot_bytes) continue;
      const uint64_t have = slabs_.free_slots(slot_bytes) + plan_.gained[i];
      helps = helps || have < wanted.slots[i].count;
      gains[i]++;
    }
  });
  if (!helps) return false;
  for (size_t i = 0; i < gains.size(); i++) plan_.gained[i] += gains[i];
  plan_.victims.push_back(block);
  return true;
}

bool Shard::plan_victims(const Wanted& wanted) {
  plan_.asked_policy = true;
  uint32_t seen = 0, passed_over = 0;
  const size_t in_any_case = plan_.victims.size();
  for (uint32_t ask = asked_first;; ask = std::min(ask * asked_more_by, predict::kProposalsMax)) {
    const uint32_t found =
        policy_->coldest(wanted.now_ns, pinned_, std::span(plan_.coldest).first(ask));
    for (; seen < found && passed_over < passed_over_max; seen++) {
      const uint32_t block = plan_.coldest[seen];
      if (wanted.guess && (blocks_[block].named == look_ ||
                           !gives_way(block, wanted.guess_waits_ns, wanted.now_ns)))
        return false;
      if (plan_.near_count < plan_.near.size())
        plan_.near[plan_.near_count++] = blocks_[block].entry.ref;
      bool planned = false;
      for (size_t i = 0; i < in_any_case; i++) planned = planned || plan_.victims[i] == block;
      if (!planned && !add_if_it_helps(wanted, block)) passed_over++;
      if (plan_is_enough(wanted)) return true;
    }
    if (passed_over == passed_over_max || found < ask || ask == predict::kProposalsMax)
      return false;
  }
}

bool Shard::plan_limbo(const Wanted& wanted) {
  for (uint32_t block : limbo_) {
    add_if_it_helps(wanted, block);
    if (plan_is_enough(wanted)) return true;
  }
  return false;
}

// Whatever is not held may go; what was planned so far does not count, since it may lie in the
// slabs that are cleared.
bool Shard::plan_slabs(const Wanted& wanted) {
  if (wanted.block_number && free_blocks_.empty() && plan_.victims.empty()) return false;
  const std::span<const uint64_t> near(plan_.near.data(), plan_.near_count);
  for (size_t i = 0; i < wanted.slots.size(); i++) {
    const SlotNeed& need = wanted.slots[i];
    uint64_t gained = slabs_.free_slots(need.slot_bytes) + plan_.gained[i];
    const uint32_t units = slab_units_for(need.slot_bytes, slabs_.units());
    while (gained < need.count && slabs_.claim(need.slot_bytes, near, wanted.slots))
      gained += slots_in(units, need.slot_bytes);
  }
  for (const SlotNeed& need : wanted.slots)
    if (!slabs_.could_have(need)) return false;
  return true;
}

// Looking at the guards costs by the session. With many sessions a few of the coldest blocks go
// with those that must, so that one look serves several puts: never more than a small share of the
// shard.
void Shard::evict_ahead(const Wanted& wanted) {
  const uint64_t more = std::min<uint64_t>(
      {guards_.size() / sessions_per_ahead, ahead_max, counters_.blocks / ahead_share});
  if (more == 0) return;
  const uint32_t found = policy_->coldest(
      wanted.now_ns, pinned_,
      std::span(plan_.coldest)
          .first(std::min<size_t>(plan_.victims.size() + more, plan_.coldest.size())));
  for (uint32_t i = 0; i < found; i++)
    if (std::find(plan_.victims.begin(), plan_.victims.end(), plan_.coldest[i]) ==
        plan_.victims.end())
      plan_.victims.push_back(plan_.coldest[i]);
}

void Shard::carry_out_plan(const Wanted& wanted) {
  if (!wanted.block_number || !free_blocks_.empty()) useless_bytes_ = room_bytes();
  const size_t planned = plan_.victims.size();
  if (plan_.asked_policy && !wanted.guess) evict_ahead(wanted);
  evict(plan_.victims, wanted.now_ns);
  plan_.victims.resize(planned);
  const auto enough = [&] {
    for (const SlotNeed& need : wanted.slots)
      if (slabs_.free_slots(need.slot_bytes) < need.count) return false;
    return !wanted.block_number || !free_blocks_.empty();
  };
  for (uint32_t block : plan_.victims) {  // a reader names it still: it will miss
    if (enough()) break;
    if (blocks_[block].state == BlockState::limbo) free_limbo(block);
  }
  slabs_.for_each_claimed([this](uint32_t block) { evict_at_once(block); });
  slabs_.make_claimed_slabs();
  for (const SlotNeed& need : wanted.slots)
    while (slabs_.free_slots(need.slot_bytes) < need.count) {
      const uint32_t block = slabs_.evictable_owner(need.slot_bytes);
      SPECKV_ASSERT(block < blocks_.size(), "a plan for room promised slots that are not there");
      evict_at_once(block);
    }
  SPECKV_ASSERT(enough(), "a plan for room did not work out");
}

}  // namespace speckv
