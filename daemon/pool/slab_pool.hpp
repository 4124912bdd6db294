// SPDX-License-Identifier: Apache-2.0
// slab_pool.hpp - one shard's share of the pool: units into slabs, slabs into slots of one size.
//
// Called by: journey (allocate, evict), on the shard's data thread only. Not thread-safe.
// Never: reads or writes payloads, evicts, waits. It does write slab headers and marks fresh slots
// as free (odd gen),
//   so that a restart can tell a slot from old bytes.
// Sized at start: units and classes are fixed; a slab's own tables are made when the slab is,
// bounded by its slots.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "shm/pool_format.hpp"

namespace speckv {

constexpr uint32_t no_owner = UINT32_MAX;
constexpr uint32_t lost_owner = UINT32_MAX - 2;  // of a slot whose memory is gone: never free again

class SlabPool {
 public:
  // pool: the whole mapped pool file. This shard owns units [first_unit, first_unit + units).
  SlabPool(std::byte* pool, uint64_t first_unit, uint64_t units, uint32_t shard);

  // Returns: offset of a slot, its gen odd, or 0 when no slot of this size is left and no unit is
  // free for a new slab.
  uint64_t allocate(uint32_t slot_bytes, uint32_t owner);
  // Returns: whether allocate() would find a slot now.
  bool can_allocate(uint32_t slot_bytes);
  // Requires: offset came from allocate() or adopt(). The caller has made the gen odd.
  void release(uint64_t offset);

  // The slab whose eviction costs least for a new slab of slot_bytes: of another size, with the
  // smallest share of live slots. Returns: its owners (no_owner where free), empty if there is
  // none.
  std::span<const uint32_t> cheapest_slab_but(uint32_t slot_bytes) const;

  // Restart: takes over the slabs that the bytes describe, with every slot live and owned by
  // no_owner. Torn headers are free units. visit(offset, slot_bytes) is called for each slot;
  // return the owner, or no_owner to free it.
  template <typename Visit>
  void adopt(Visit&& visit);
  void set_owner(uint64_t offset, uint32_t owner);
  // Returns: the owner of the slot that begins at offset; no_owner if none does or it is free.
  uint32_t owner_of(uint64_t offset) const;
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
  uint64_t free_units() const { return free_units_; }
  uint64_t live_bytes() const { return live_bytes_; }  // of slots in use
  uint64_t slab_count() const;
  // Share of all units' bytes that no slot can ever use: slab headers and tails.
  double waste() const;

 private:
  struct Slab {
    uint32_t slot_bytes = 0;  // 0: this is no slab's first unit
    uint32_t units = 0;
    uint32_t slots = 0;
    uint32_t live = 0;
    bool lost = false;  // in part: it will never be empty
    std::vector<uint64_t> free_bits;
    std::vector<uint32_t> owners;
  };
  struct SizeClass {
    uint32_t slot_bytes = 0;
    uint32_t hint = 0;        // unit where the last free slot was found
    uint64_t free_slots = 0;  // in all slabs of this size: 0 saves the search
  };

  uint32_t units_for(uint32_t slot_bytes) const;
  bool find_units(uint32_t count, uint32_t* ret_unit) const;
  bool make_slab(uint32_t slot_bytes, uint32_t* ret_unit);
  void drop_slab(uint32_t unit);
  bool drop_empty_slabs(uint32_t but_slot_bytes);
  SizeClass* size_class(uint32_t slot_bytes);
  uint64_t take(uint32_t unit, uint32_t owner);
  void init_slab(uint32_t unit, uint32_t slot_bytes, uint32_t units);
  uint64_t unit_offset(uint32_t unit) const { return (first_unit_ + unit) * shm::unit_bytes; }
  uint64_t slot_offset(uint32_t unit, uint32_t slot) const {
    return unit_offset(unit) + shm::slab_header_bytes + uint64_t(slot) * slabs_[unit].slot_bytes;
  }
  void lose_slots(uint32_t unit, uint64_t offset, uint64_t end);
  bool locate(uint64_t offset, uint32_t* ret_unit, uint32_t* ret_slot) const;
  bool plausible(const shm::SlabHeader& header, uint32_t unit) const;

  std::byte* pool_;
  uint64_t first_unit_;  // counted from the start of the file: unit 0 is the pool header's
  uint64_t units_;
  uint32_t shard_;
  uint64_t free_units_;
  uint64_t live_bytes_ = 0;
  std::vector<Slab> slabs_;        // by first unit
  std::vector<uint32_t> slab_of_;  // unit -> first unit of its slab, or no_owner, or lost_owner
  std::vector<SizeClass> classes_;
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
    Slab& slab = slabs_[unit];
    for (uint32_t slot = 0; slot < slab.slots; slot++) {
      const uint32_t owner = visit(slot_offset(unit, slot), slab.slot_bytes);
      if (owner == no_owner) continue;
      slab.free_bits[slot / 64] &= ~(1ull << (slot % 64));
      slab.owners[slot] = owner;
      slab.live++;
      size_class(slab.slot_bytes)->free_slots--;
      live_bytes_ += slab.slot_bytes;
    }
    unit += slab.units;
  }
}

template <typename Visit>
void SlabPool::for_each_slot_of(uint32_t owner, Visit&& visit) {
  for (uint32_t unit = 0; unit < units_; unit++)
    for (uint32_t slot = 0; slot < slabs_[unit].slots; slot++)
      if (slabs_[unit].owners[slot] == owner) visit(slot_offset(unit, slot));
}

template <typename Visit>
void SlabPool::for_each_live_slot(Visit&& visit) {
  for (uint32_t unit = 0; unit < units_; unit++)
    for (uint32_t slot = 0; slot < slabs_[unit].slots; slot++) {
      const uint32_t owner = slabs_[unit].owners[slot];
      if (owner != no_owner && owner != lost_owner)
        visit(slot_offset(unit, slot), slabs_[unit].slot_bytes, owner);
    }
}

}  // namespace speckv
