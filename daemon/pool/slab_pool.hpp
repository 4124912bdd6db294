// SPDX-License-Identifier: Apache-2.0
// slab_pool.hpp - one shard's share of the pool: units into slabs, slabs into slots of one size.
//
// Called by: journey (allocate, evict), on the shard's data thread only. Not thread-safe.
// Never: reads or writes payloads, evicts, waits, allocates. It does write slab headers and marks
// fresh slots as free (odd gen), so that a restart can tell a slot from old bytes.
// Costs: what a put needs does not grow with the pool. Slabs with room are listed by size, free
// units are one bit each, sums are kept on change; steps() lets a test count.
//
// A slot is *pinned* from allocate() until its block is published, and while the block is held: a
// slab with a pinned slot cannot be cleared. How room is made (claims) is in slab_claims.cpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "pool/reserved_table.hpp"
#include "pool/slab_math.hpp"
#include "shm/pool_format.hpp"

namespace speckv {

constexpr uint32_t no_owner = UINT32_MAX;
constexpr uint32_t lost_owner = UINT32_MAX - 2;  // of a slot whose memory is gone: never free again
// Windows that one plan may claim: a block of the most layers, its record, one slot each.
constexpr uint32_t claims_max = SPECKV_LAYERS_MAX + 2;

class SlabPool {
 public:
  // pool: the whole mapped pool file. This shard owns units [first_unit, first_unit + units).
  SlabPool(std::byte* pool, uint64_t first_unit, uint64_t units, uint32_t shard);

  // Returns: offset of a slot, its gen odd, pinned; or 0 when no slot of this size is left and no
  // unit is free for a new slab.
  uint64_t allocate(uint32_t slot_bytes, uint32_t owner);
  // Makes slabs from free units, and from empty slabs of other sizes, until all of these could be
  // allocated. Evicts nothing. Returns: whether they can be.
  bool reserve(std::span<const SlotNeed> needs);
  uint64_t free_slots(uint32_t slot_bytes) const;
  // Requires: offset came from allocate() or adopt() and was not released since. The caller has
  // made the gen odd.
  void release(uint64_t offset);
  // Requires: the slot is in use and not pinned; is pinned.
  void pin(uint64_t offset) { set_pinned(offset, true); }
  void unpin(uint64_t offset) { set_pinned(offset, false); }

  // Claims: a plan for slabs that are to be cleared. Nothing changes until make_claimed_slabs().
  //
  // Claims the units of one more slab for slots of this size, where nothing is pinned: of the
  // windows around `near`, the one with the fewest bytes in use; else the first that will do.
  // Returns: false when there is none that leaves `needs` what they have of it.
  bool claim(uint32_t slot_bytes, std::span<const uint64_t> near, std::span<const SlotNeed> needs);
  // Returns: whether evicting all that is not pinned, and making the claimed slabs, is enough.
  bool could_have(const SlotNeed& need) const;
  // Calls visit(owner) for each slot in use of the claimed slabs. visit may release it.
  template <typename Visit>
  void for_each_claimed(Visit&& visit);
  // Requires: no slot of a claimed slab is in use any more.
  void make_claimed_slabs();
  void forget_claims();
  uint64_t claims() const { return claims_.size(); }
  // Returns: owner of a slot of this size that is in use and not pinned, or no_owner.
  uint32_t evictable_owner(uint32_t slot_bytes) const;

  // Restart: takes over the slabs that the bytes describe. Torn headers are free units.
  // visit(offset, slot_bytes) is called for each slot; return the owner, or no_owner to free it. A
  // slot so taken over is not pinned.
  template <typename Visit>
  void adopt(Visit&& visit);
  void set_owner(uint64_t offset, uint32_t owner);
  // Returns: the owner of the slot that begins at offset; no_owner if none does or it is free.
  uint32_t owner_of(uint64_t offset) const;
  // Returns: the size of the slot that begins at offset. Requires: it is in use.
  uint32_t slot_bytes_at(uint64_t offset) const;
  // Calls visit(offset) for each live slot of this owner. visit may release it.
  template <typename Visit>
  void for_each_slot_of(uint32_t owner, Visit&& visit);
  // Calls visit(offset, slot_bytes, owner) for each live slot. visit may release it.
  template <typename Visit>
  void for_each_live_slot(Visit&& visit);

  // The memory of [offset, offset + bytes) is gone: takes the units and slots that lie in it out of
  // use for ever, without touching them. Requires: no block owns one of these slots any more.
  void lose(uint64_t offset, uint64_t bytes);

  uint64_t units() const { return units_; }
  uint64_t usable_units() const { return units_ - lost_units_; }
  uint64_t free_units() const { return free_units_; }
  uint64_t live_bytes() const { return live_bytes_; }  // of slots in use
  uint64_t slab_count() const { return slab_count_; }
  // Share of all slabs' bytes that no slot can ever use: headers and tails.
  double waste() const;
  // Slabs, windows and words of units looked at so far.
  uint64_t steps() const { return steps_; }

 private:
  static constexpr uint32_t none = UINT32_MAX;

  struct Slab {
    uint32_t slot_bytes = 0;  // 0: this is no slab's first unit
    uint32_t units = 0;
    uint32_t slots = 0;
    uint32_t live = 0;
    uint32_t stuck = 0;      // of those: pinned or lost
    uint32_t word_hint = 0;  // of free bits: where one was found or given back
    uint32_t size_class = none;
    uint32_t next = none, previous = none;  // in its class's list of slabs with room
    bool lost = false;                      // in part: it will never be empty
    bool claimed = false;
  };
  struct SizeClass {  // all slabs of one slot size; lives as long as there are any
    uint32_t slot_bytes = 0;
    uint32_t with_room = none;  // a slab, by its first unit
    uint32_t slabs = 0;
    uint32_t next = none;  // of the same hash, or of the unused ones
    uint64_t slots = 0, free_slots = 0, stuck = 0;
    uint64_t claimed_away = 0;  // slots of claimed slabs of this size
    uint64_t claimed_new = 0;   // slots of slabs that claims will make
  };
  struct Claim {
    uint32_t unit = 0, units = 0, slot_bytes = 0;
  };

  uint32_t units_for(uint32_t slot_bytes) const { return slab_units_for(slot_bytes, units_); }
  bool find_units(uint32_t count, uint32_t* ret_unit);
  bool make_slab(uint32_t slot_bytes, std::span<const SlotNeed> keep, uint32_t* ret_unit);
  void format_slab(uint32_t unit, uint32_t slot_bytes);
  void drop_slab(uint32_t unit);
  bool drop_empty_slabs(std::span<const SlotNeed> keep);
  uint32_t find_class(uint32_t slot_bytes) const;
  uint32_t make_class(uint32_t slot_bytes);
  void drop_class(uint32_t number);
  void list_slab(uint32_t unit);
  void unlist_slab(uint32_t unit);
  uint64_t take(uint32_t unit, uint32_t owner);
  void init_slab(uint32_t unit, uint32_t slot_bytes, uint32_t units);
  void set_free_units(uint32_t unit, uint32_t count, bool free);
  void set_pinned(uint64_t offset, bool pinned);
  void mark_empty(uint32_t unit, bool empty);
  void adopt_slot(uint32_t unit, uint32_t slot, uint32_t owner);
  // Returns: bytes in use in the window's slabs, or UINT64_MAX when it cannot be cleared.
  uint64_t cost_of_window(uint32_t unit, uint32_t count, std::span<const SlotNeed> needs) const;
  void claim_window(uint32_t unit, uint32_t count, uint32_t slot_bytes);
  uint64_t room_left(const SizeClass& sized) const {
    return sized.slots - sized.stuck - sized.claimed_away + sized.claimed_new;
  }

  uint64_t unit_offset(uint32_t unit) const { return (first_unit_ + unit) * shm::unit_bytes; }
  uint64_t slot_offset(uint32_t unit, uint32_t slot) const {
    return unit_offset(unit) + shm::slab_header_bytes + uint64_t(slot) * slabs_[unit].slot_bytes;
  }
  uint32_t* owners(uint32_t unit) { return owners_.at(uint64_t(unit) * slots_per_unit_max); }
  const uint32_t* owners(uint32_t unit) const {
    return owners_.at(uint64_t(unit) * slots_per_unit_max);
  }
  uint64_t* free_bits(uint32_t unit) { return free_bits_.at(uint64_t(unit) * words_per_unit); }
  uint64_t* pin_bits(uint32_t unit) { return pin_bits_.at(uint64_t(unit) * words_per_unit); }
  const uint64_t* pin_bits(uint32_t unit) const {
    return pin_bits_.at(uint64_t(unit) * words_per_unit);
  }
  void lose_slots(uint32_t unit, uint64_t offset, uint64_t end);
  bool locate(uint64_t offset, uint32_t* ret_unit, uint32_t* ret_slot) const;
  void locate_live(uint64_t offset, uint32_t* ret_unit, uint32_t* ret_slot) const;
  bool plausible(const shm::SlabHeader& header, uint32_t unit) const;

  static constexpr uint32_t adopt_ahead =
      16;  // slots: their headers are too far apart to be guessed
  static constexpr uint32_t words_per_unit = slots_per_unit_max / 64;
  // Sizes in use at once: more than the four of each of 1,024 layouts.
  static constexpr uint64_t classes_max = 16'384;

  std::byte* pool_;
  uint64_t first_unit_;  // counted from the start of the file: unit 0 is the pool header's
  uint64_t units_;
  uint32_t shard_;
  uint64_t free_units_, lost_units_ = 0;
  uint64_t live_bytes_ = 0;
  uint64_t slab_count_ = 0, slab_units_ = 0, slot_bytes_in_slabs_ = 0;
  std::vector<Slab> slabs_;            // by first unit
  std::vector<uint32_t> slab_of_;      // unit -> first unit of its slab, or no_owner, or lost_owner
  std::vector<uint64_t> free_words_;   // one bit a unit: belongs to no slab and is not lost
  std::vector<uint64_t> empty_words_;  // one bit a unit: first of a slab with no slot in use
  uint64_t empty_slabs_ = 0;
  uint32_t unit_hint_ = 0, window_hint_ = 0;
  uint32_t no_run_of_ = 0;  // lengths, a bit each, that were looked for in vain
  std::vector<SizeClass> classes_;
  std::vector<uint32_t> class_heads_;  // by hash of the size
  uint32_t unused_class_ = 0;
  ReservedTable<uint32_t> owners_;
  ReservedTable<uint64_t> free_bits_, pin_bits_;
  std::vector<Claim> claims_;
  mutable uint64_t steps_ = 0;
};

template <typename Visit>
void SlabPool::adopt(Visit&& visit) {
  for (uint32_t unit = 0; unit < units_;) {
    const auto* header = reinterpret_cast<const shm::SlabHeader*>(pool_ + unit_offset(unit));
    if (!plausible(*header, unit)) {
      unit++;
      continue;
    }
    init_slab(unit, header->slot_bytes, header->units);
    const uint32_t slots = slabs_[unit].slots, slot_bytes = slabs_[unit].slot_bytes;
    for (uint32_t slot = 0; slot < slots; slot++) {
      if (slot + adopt_ahead < slots)
        __builtin_prefetch(pool_ + slot_offset(unit, slot + adopt_ahead));
      const uint32_t owner = visit(slot_offset(unit, slot), slot_bytes);
      if (owner != no_owner) adopt_slot(unit, slot, owner);
    }
    unit += slabs_[unit].units;
  }
}

template <typename Visit>
void SlabPool::for_each_slot_of(uint32_t owner, Visit&& visit) {
  for (uint32_t unit = 0; unit < units_; unit++)
    for (uint32_t slot = 0; slot < slabs_[unit].slots; slot++)
      if (owners(unit)[slot] == owner) visit(slot_offset(unit, slot));
}

template <typename Visit>
void SlabPool::for_each_live_slot(Visit&& visit) {
  for (uint32_t unit = 0; unit < units_; unit++)
    for (uint32_t slot = 0; slot < slabs_[unit].slots; slot++) {
      const uint32_t owner = owners(unit)[slot];
      if (owner != no_owner && owner != lost_owner)
        visit(slot_offset(unit, slot), slabs_[unit].slot_bytes, owner);
    }
}

template <typename Visit>
void SlabPool::for_each_claimed(Visit&& visit) {
  for (const Claim& claim : claims_)
    for (uint32_t unit = claim.unit; unit < claim.unit + claim.units; unit++) {
      const uint32_t first = slab_of_[unit];
      if (first >= units_) continue;  // free
      for (uint32_t slot = 0; slot < slabs_[first].slots && slabs_[first].live; slot++)
        if (owners(first)[slot] != no_owner) visit(owners(first)[slot]);
    }
}

}  // namespace speckv
