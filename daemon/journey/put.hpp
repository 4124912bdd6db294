// SPDX-License-Identifier: Apache-2.0
// put.hpp - the record of one put on its way: what was asked, and what the stations have got so
// far.
//
// Each station is one function on this record: allocate, compress, write; undo gives back what they
// took. Sized at start and used again. Whoever has it may keep a block waiting between two
// stations: nothing of it can be found before write has published it, its slots are pinned, and
// their gens are odd.
#pragma once

#include <array>
#include <cstdint>

#include "journey/block_state.hpp"
#include "layout.hpp"
#include "shm/session_format.hpp"

namespace speckv {

struct Placed {  // one slot of a block under way
  uint64_t offset = 0;
  uint64_t gen = 0;  // that it will have; until write it stands there less one, odd
  uint32_t slot_bytes = 0;
};

// How one segment is stored: by the layout's preset, or what took its place.
enum class StoredAs : uint8_t { preset, q8, raw };

struct Put {
  shm::Submission submission{};
  const Layout* layout = nullptr;
  const Widths* widths = nullptr;  // with which it is stored, those that its owner can read
  uint64_t now_ns = 0;
  bool opens_sequence = false;   // its first page is its sequence's first, or may be
  uint32_t replaces = no_block;  // the same key in another layout, of no use to this one
  uint32_t block = no_block;
  uint32_t segments_refused = 0;  // stored raw since the codec refused a page
  uint32_t segments_bounded = 0;  // stored as q8 since a token would have lost too much
  uint32_t placed = 0;            // slots taken: one a layer, then the record
  std::array<Placed, SPECKV_LAYERS_MAX + 1> slots;

  uint32_t layers() const { return layout->desc.layers; }
  // The slot that the index entry points to: the record, or a block's only segment.
  const Placed& head() const { return slots[placed - 1]; }
};

}  // namespace speckv
