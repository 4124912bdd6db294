// SPDX-License-Identifier: Apache-2.0
// changes.hpp - the last changes of a shard's index, so that a reader can follow what is in the
// pool without asking anybody.
//
//   behind the buckets of the index file: ChangeRing of shard 0 | ChangeRing of shard 1 | ...
//
// The index's writer notes each entry that it places or erases, after the index says so; it knows
// no reader and never waits for one. A reader that was too slow finds higher numbers than it
// expected: it has lost changes, takes the writer's number of now, and looks through the index.
// What it then sees, and the changes from that number on, give the state: of an entry the last
// change counts, and one that was seen already does no harm.
#pragma once

#include <cstddef>
#include <cstdint>

#include "shm/atomics.hpp"
#include "shm/key.hpp"

namespace speckv::shm {

// 256 KiB a shard. At 10,000 blocks a second, a reader that comes every 20 ms uses a twentieth.
constexpr uint32_t change_entries = 4096;

enum class ChangeKind : uint32_t { placed = 1, erased = 2 };

struct Change {
  uint64_t number;  // from 1, never used twice; 0: being written
  Key key;          // the block's address
  uint32_t kind;    // enum ChangeKind
  uint32_t reserved_word;
  uint64_t reserved[2];
};
static_assert(sizeof(Change) == 64);

struct ChangeRing {
  uint64_t newest;  // number of the last change that is whole
  uint64_t reserved[7];
  Change changes[change_entries];
};
static_assert(sizeof(ChangeRing) == 64 + change_entries * sizeof(Change));

// Requires: one writer.
inline void note_change(ChangeRing& ring, const Key& key, ChangeKind kind) {
  const uint64_t number = load_relaxed(ring.newest) + 1;
  Change& change = ring.changes[number % change_entries];
  store_relaxed(change.number, 0);
  release_fence();
  store_racing(&change.key, key);
  store_relaxed(change.kind, uint32_t(kind));
  store_release(change.number, number);
  store_release(ring.newest, number);
}

// Returns: false when the change of this number is not there any more, or not yet.
inline bool read_change(const ChangeRing& ring, uint64_t number, Change* ret_change) {
  const Change& change = ring.changes[number % change_entries];
  if (load_acquire(change.number) != number) return false;
  copy_racing(ret_change, change);
  acquire_fence();
  return load_relaxed(change.number) == number;
}

}  // namespace speckv::shm
