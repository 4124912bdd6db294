// SPDX-License-Identifier: Apache-2.0
// block_needs.hpp - the slots that one block wants, equal sizes in one row: what make_room() is
// asked for.
//
// Used by allocate.cpp and promote.cpp. A block has few sizes: slab_math.hpp names them.
#pragma once

#include <array>
#include <span>

#include "layout.hpp"
#include "pool/slab_math.hpp"

namespace speckv {

// Of the slot of one segment of side bytes, which are numbered behind the layers.
inline uint32_t side_slot_bytes(const Layout& layout, uint32_t segment) {
  return shm::slot_bytes_for(shm::side_part(layout.desc, segment - layout.desc.layers).bytes);
}

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
