// SPDX-License-Identifier: Apache-2.0
// block_state.hpp - what happens to a block, in order. One file per station, named after it.
//
//   absent ── allocate.cpp ──▶ allocated ── compress.cpp, write.cpp ──▶ published
//      ▲                                                                  │
//      └── freed when no reader's guard names it ◀── limbo ◀── evict.cpp ─┘
//
// demote.cpp copies a published block to the tier below, promote.cpp brings a copy back as another
// block of the same key; a block's own state knows nothing of that.
// While a block is allocated, put.hpp says which stations it has passed. A client sees a block only
// while it is published. Reading (decompress, read) happens in the client, libspeckv/src.
#pragma once

#include <cstdint>

#include "predict/source.hpp"
#include "shm/index.hpp"

namespace speckv {

constexpr uint32_t no_block = UINT32_MAX;

enum class BlockState : uint8_t { absent, allocated, published, limbo };

// One resident block, by its number. Tables of these are sized at start.
struct Block {
  shm::Entry entry{};  // as published: key, ref, gen, fingerprint, layers
  BlockState state = BlockState::absent;
  uint8_t holds = 0;
  bool in_limbo = false;      // it is on the shard's list of them
  bool unspillable = false;   // it was not worth it, or cannot be: it is not asked about again
  uint32_t stored_bytes = 0;  // slots, headers included
  uint32_t raw_bytes = 0;     // as the engine had it
  uint32_t named = 0;         // number of the last look at which a guard named it
  uint64_t since_ns = 0;      // limbo: when it was unpublished
  uint64_t returns_ns = 0;    // its session will speak again then, it is said; 0: unknown
  uint64_t content = 0;       // pool/spill_format.hpp; 0: not known
  uint64_t used_ns = 0;       // when it was read last, or came
  bool came_up = false;       // from the tier below
  bool unread = false;        // before anybody asked, and nobody has read it since
  predict::Source source{};   // if so: whose guess it is
  uint8_t kind = 0;           // enum speckv_kind, as its writer or a hint said
};

}  // namespace speckv
