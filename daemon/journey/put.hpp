// SPDX-License-Identifier: Apache-2.0
// put.hpp - the record of one put on its way: what was asked, and what the stations have got so
// far.
//
// Each station is one function on this record: allocate, compress, write; undo gives back what they
// took. Records and their jobs are sized at start and used again; under_way.cpp says when a record
// enters and leaves each state. Nothing of the block can be found before write has published it,
// its slots are pinned, and their gens are odd.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>

#include "engine/engine.hpp"
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

// Puts of one shard that may be under way at once: 8 KiB each. More than any engine has jobs for.
constexpr uint32_t puts_max = 32;
// Segments of one put that may be in the engine at once: more would let one put fill its queue.
constexpr uint32_t put_jobs_max = 8;
// For so long an engine may have a job, or be so full that no put can start one, before its put
// fails: a hundred times what the largest segment takes.
constexpr uint64_t put_deadline_ns = 10'000'000'000;

struct Put;
struct SegmentJob : EncodeJob {
  Put* put = nullptr;
  StoredAs as = StoredAs::preset;
  bool in_engine = false;  // it may write to its slot
};

// free ─ take_up ─▶ encoding ─▶ published, free
//                      └── fail ─▶ failing ── its last job has ended ─▶ undone, free
enum class PutState : uint8_t { free, encoding, failing };

// Who asks, and what. owner: while it lives, arena, layout and widths stay where they are.
struct PutAsked {
  shm::Submission submission{};
  const Layout* layout = nullptr;
  const Widths* widths = nullptr;    // with which it is stored, those that its owner can read
  std::span<const std::byte> arena;  // exactly layout->block_bytes
  std::shared_ptr<void> owner;
  void* asker = nullptr;  // gets the answer; nullptr: nobody does any more
};

// What a block under way has taken of the pool.
struct Placing {
  uint32_t block = no_block;
  uint32_t placed = 0;  // slots taken: one a segment, then the record
  std::array<Placed, SPECKV_LAYERS_MAX + 1> slots;

  // The slot that the index entry points to: the record, or a block's only segment.
  const Placed& head() const { return slots[placed - 1]; }
};

// What a block's record and its index entry say beside where it lies.
struct StoredFacts {
  Key key, parent;
  uint64_t fingerprint = 0, identity = 0, raw_bytes = 0;
  uint32_t position = 0, block_tokens = 0, layers = 0;  // segments: those of side bytes count
  uint16_t record_flags = 0;
  uint8_t kind = 0;  // enum speckv_kind
};

struct Put : PutAsked, Placing {
  PutState state = PutState::free;
  int error = 0;                 // why it is failing
  bool answered = false;         // its asker has heard it already: the rest is in quarantine
  uint64_t now_ns = 0;           // when it was taken up
  uint64_t progress_ns = 0;      // when one of its jobs was last started or completed
  bool engine_was_full = false;  // when it last had a job to start
  uint32_t next_layer = 0;       // that has not been started yet
  uint32_t jobs_in_engine = 0;
  uint32_t encoded = 0;  // segments that are in their slot
  EncodeJob* ready =
      nullptr;          // jobs to start before the next layer: refused, or the engine was full
  Put* next = nullptr;  // of its asker's list of those that have jobs to start
  bool opens_sequence = false;    // its first page is its sequence's first, or may be
  uint32_t replaces = no_block;   // the same key in another layout, of no use to this one
  uint32_t segments_refused = 0;  // stored raw since the codec refused a page
  uint32_t segments_bounded = 0;  // stored as q8 since a token would have lost too much
  std::array<SegmentJob, put_jobs_max> jobs;

  uint32_t segments() const { return layout->segments; }
};

}  // namespace speckv
