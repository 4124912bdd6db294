// SPDX-License-Identifier: Apache-2.0
// slab_claims.cpp - which slabs would have to be cleared for slots of another size: found, weighed
// and marked before anything is evicted.
//
// A window is as many neighbouring units as a slab of the wanted size takes; clearing it means
// clearing every slab that reaches into it. Claims are marks in these tables and nothing else:
// forget_claims() leaves no trace of a plan that does not work out.
#include <array>

#include "assert.hpp"
#include "pool/slab_pool.hpp"

namespace speckv {

uint64_t SlabPool::cost_of_window(uint32_t unit, uint32_t count,
                                  std::span<const SlotNeed> needs) const {
  SPECKV_ASSERT(needs.size() <= sizes_max, "a block needs slots of more sizes than a plan weighs");
  for (const Claim& claim : claims_)
    if (claim.unit < unit + count && unit < claim.unit + claim.units) return UINT64_MAX;
  uint64_t cost = 0;
  uint32_t last = none;
  std::array<uint64_t, sizes_max> taken{};  // of each need's size
  for (uint32_t at = unit; at < unit + count; at++) {
    const uint32_t first = slab_of_[at];
    if (first == lost_owner) return UINT64_MAX;
    if (first == no_owner || first == last) continue;
    steps_++;
    last = first;
    const Slab& slab = slabs_[first];
    if (slab.stuck || slab.lost) return UINT64_MAX;
    if (slab.claimed) continue;
    cost += uint64_t(slab.live) * slab.slot_bytes;
    for (size_t i = 0; i < needs.size(); i++)
      if (needs[i].slot_bytes == slab.slot_bytes) taken[i] += slab.slots;
  }
  for (size_t i = 0; i < needs.size(); i++) {  // do not take from one need what another would lack
    if (taken[i] == 0) continue;
    if (room_left(classes_[find_class(needs[i].slot_bytes)]) < needs[i].count + taken[i])
      return UINT64_MAX;
    cost += taken[i] * needs[i].slot_bytes;  // and rather take from other sizes
  }
  return cost;
}

void SlabPool::claim_window(uint32_t unit, uint32_t count, uint32_t slot_bytes) {
  SPECKV_ASSERT(claims_.size() < claims_max, "a plan claimed more windows than it has room for");
  for (uint32_t at = unit; at < unit + count; at++) {
    const uint32_t first = slab_of_[at];
    SPECKV_ASSERT(first != lost_owner, "a window was claimed whose memory is gone");
    if (first == no_owner || slabs_[first].claimed) continue;
    slabs_[first].claimed = true;
    classes_[slabs_[first].size_class].claimed_away += slabs_[first].slots;
  }
  classes_[make_class(slot_bytes)].claimed_new += slots_in(count, slot_bytes);
  claims_.push_back({unit, count, slot_bytes});
}

bool SlabPool::claim(uint32_t slot_bytes, std::span<const uint64_t> near,
                     std::span<const SlotNeed> needs) {
  const uint32_t count = units_for(slot_bytes);
  if (count == 0 || claims_.size() == claims_max || units_ < count) return false;
  if (find_class(slot_bytes) == none && unused_class_ == none) return false;
  uint64_t least = UINT64_MAX;
  uint32_t best = none;
  for (const uint64_t offset : near) {
    const auto unit = uint32_t(offset / shm::unit_bytes - first_unit_) / count * count;
    if (unit + count > units_) continue;
    const uint64_t cost = cost_of_window(unit, count, needs);
    if (cost >= least) continue;
    least = cost;
    best = unit;
  }
  const auto windows = uint32_t(units_ / count);
  for (uint32_t i = 0; best == none && i < windows; i++) {
    const uint32_t unit = (window_hint_ + i) % windows * count;
    if (cost_of_window(unit, count, needs) == UINT64_MAX) continue;
    best = unit;
    window_hint_ = unit / count + 1;
  }
  if (best == none) return false;
  claim_window(best, count, slot_bytes);
  return true;
}

bool SlabPool::could_have(const SlotNeed& need) const {
  const uint32_t known = find_class(need.slot_bytes);
  return need.count == 0 || (known != none && room_left(classes_[known]) >= need.count);
}

void SlabPool::make_claimed_slabs() {
  for (const Claim& claim : claims_) {
    for (uint32_t at = claim.unit; at < claim.unit + claim.units; at++)
      if (slab_of_[at] != no_owner) drop_slab(slab_of_[at]);
    classes_[find_class(claim.slot_bytes)].claimed_new -= slots_in(claim.units, claim.slot_bytes);
    format_slab(claim.unit, claim.slot_bytes);
  }
  claims_.clear();
}

void SlabPool::forget_claims() {
  for (const Claim& claim : claims_) {
    for (uint32_t at = claim.unit; at < claim.unit + claim.units; at++) {
      const uint32_t first = slab_of_[at];
      if (first == no_owner || !slabs_[first].claimed) continue;
      slabs_[first].claimed = false;
      classes_[slabs_[first].size_class].claimed_away -= slabs_[first].slots;
    }
    const uint32_t sized = find_class(claim.slot_bytes);
    classes_[sized].claimed_new -= slots_in(claim.units, claim.slot_bytes);
    if (classes_[sized].slabs == 0 && classes_[sized].claimed_new == 0) drop_class(sized);
  }
  claims_.clear();
}

uint32_t SlabPool::evictable_owner(uint32_t slot_bytes) const {
  for (uint32_t unit = 0; unit < units_; unit++) {
    const Slab& slab = slabs_[unit];
    if (slab.slot_bytes != slot_bytes || slab.live == slab.stuck) continue;
    for (uint32_t slot = 0; slot < slab.slots; slot++)
      if (owners(unit)[slot] != no_owner && !(pin_bits(unit)[slot / 64] >> (slot % 64) & 1))
        return owners(unit)[slot];
  }
  return no_owner;
}

}  // namespace speckv
