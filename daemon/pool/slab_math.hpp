// SPDX-License-Identifier: Apache-2.0
// slab_math.hpp - how slots of one size are cut from units, as pure arithmetic.
//
// Used by slab_pool.cpp, and by whoever wants to know whether a block can fit a shard at all before
// anything is done for it (journey's plan, the control side when a layout is registered).
#pragma once

#include <cstdint>
#include <span>

#include "shm/pool_format.hpp"

namespace speckv {

// So many slots of one size, wanted at the same time.
struct SlotNeed {
  uint32_t slot_bytes = 0;
  uint32_t count = 0;
};

// Sizes that one block's slots can have: as its preset stores them, q8, raw, side bytes, the last
// of those, and the record's.
constexpr uint32_t sizes_max = 6;
constexpr uint32_t slot_bytes_min = 2 * sizeof(shm::SlotHeader);
constexpr uint32_t slots_per_unit_max = uint32_t(shm::unit_bytes / slot_bytes_min);
// A slab may lose this share to its header and tail before a larger slab is preferred: the design's
// 2 % bound.
constexpr double slab_waste_max = 0.02;

constexpr uint32_t slots_in(uint32_t units, uint32_t slot_bytes) {
  return uint32_t((uint64_t(units) * shm::unit_bytes - shm::slab_header_bytes) / slot_bytes);
}

// Units of a slab for this size in a shard of so many units: the smallest slab that keeps the waste
// bound; the least wasteful one if none does. A small shard takes smaller slabs, so that one size
// cannot take a large part of it at once. Returns: 0 when no slab could hold such a slot.
constexpr uint32_t slab_units_for(uint32_t slot_bytes, uint64_t shard_units) {
  uint32_t best = 0;
  double best_waste = 2;
  for (uint32_t units = 1; units <= shm::slab_units_max; units *= 2) {
    if (slots_in(units, slot_bytes) == 0) continue;
    if (best && units > shard_units / 8) break;
    const double used = double(slots_in(units, slot_bytes)) * slot_bytes;
    const double waste = 1.0 - used / (double(units) * shm::unit_bytes);
    if (waste < best_waste) {
      best = units;
      best_waste = waste;
    }
    if (waste <= slab_waste_max) break;
  }
  return best;
}

// Returns: whether an empty shard of so many units has room for all of these at once. When not, no
// eviction can help.
constexpr bool can_ever_fit(std::span<const SlotNeed> needs, uint64_t shard_units) {
  uint64_t units = 0;
  for (const SlotNeed& need : needs) {
    if (need.count == 0) continue;
    const uint32_t each = slab_units_for(need.slot_bytes, shard_units);
    if (each == 0) return false;
    const uint32_t slots = slots_in(each, need.slot_bytes);
    units += uint64_t((need.count + slots - 1) / slots) * each;
  }
  return units <= shard_units;
}

}  // namespace speckv
