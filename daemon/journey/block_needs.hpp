// SPDX-License-Identifier: Apache-2.0
// block_needs.hpp - the slots that one block wants, equal sizes in one row: what make_room() is
// asked for.
//
// Used by allocate.cpp and promote.cpp. A block has few sizes: as its preset stores a segment, q8,
// raw, and the record's.
#pragma once

#include <array>
#include <span>

#include "pool/slab_math.hpp"

namespace speckv {

struct BlockNeeds {
  std::array<SlotNeed, sizes_max> rows{};
  uint32_t count = 0;

  // Returns: false when that is one size too many.
  bool add(uint32_t slot_bytes, uint32_t slots) {
    for (uint32_t i = 0; i < count; i++)
      if (rows[i].slot_bytes == slot_bytes) {
        rows[i].count += slots;
        return true;
      }
    if (slots && count == rows.size()) return false;
    if (slots) rows[count++] = {slot_bytes, slots};
    return true;
  }
  std::span<const SlotNeed> span() const { return {rows.data(), count}; }
};

}  // namespace speckv
