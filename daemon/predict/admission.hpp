// SPDX-License-Identifier: Apache-2.0
// admission.hpp - the policy's other questions: a block leaves the pool; is it dropped, or written
// to the tier below first? There its place is wanted; is it dropped, or copied? And may it leave
// the pool for one that nobody has asked for yet?
//
// Asked by journey, once a block each time, and by tests/bench. Pure: no state, no clock, no I/O.
//
// worth_spilling: while the tier has room everything is kept. Once each block that comes pushes
// another out, a block whose parent is nowhere any more is dropped: what is read back are leading
// blocks of a sequence, and without those before it, it cannot be one.
//
// gives_way: whoever was silent for long is silent for long still, in the mean as long again. So a
// block gives way to a guess if it has been left alone for longer than the guess will wait for its
// reader; if it can be had back; and if it is no guess itself that still waits for its own.
#pragma once

#include <cstdint>

namespace speckv::predict {

struct SpillFacts {
  uint32_t stored_bytes = 0;
  bool spill_is_full = false;   // a block that is written takes another's place
  bool parent_is_gone = false;  // it has one, which is in no tier
};

inline bool worth_spilling(const SpillFacts& facts) {
  return !(facts.spill_is_full && facts.parent_is_gone);
}

struct CopyFacts {
  bool was_read = false;  // since it was written
  uint64_t live_bytes = 0, tier_bytes = 0;
};

// The tier is a queue whose oldest blocks go first. One that was read since it was written goes
// round once more; while much of the tier is dead, every one does: what is removed or replaced is
// what should make the room.
inline bool worth_copying(const CopyFacts& facts) {
  constexpr uint64_t full_of_4 = 3;
  return facts.was_read || facts.live_bytes < facts.tier_bytes / 4 * full_of_4;
}

// A guess that is read at once does not push out what was read just now, either.
inline constexpr uint64_t kGuessIdleNsMin = 1'000'000'000;
// For so long a fetched block may wait for its reader before another guess may have its room.
inline constexpr uint64_t kGuessWaitNsMax = 600'000'000'000;

struct GuessFacts {
  uint64_t idle_ns = 0;         // since the block was used, or fetched
  bool unread = false;          // it was fetched for a guess, too, and not read since
  bool stands_below = false;    // or is written just now
  uint64_t guess_waits_ns = 0;  // until the guess is read, as it is thought
};

inline bool gives_way(const GuessFacts& facts) {
  if (!facts.stands_below) return false;
  if (facts.unread) return facts.idle_ns > kGuessWaitNsMax;
  const uint64_t least =
      facts.guess_waits_ns > kGuessIdleNsMin ? facts.guess_waits_ns : kGuessIdleNsMin;
  return facts.idle_ns > least;
}

}  // namespace speckv::predict
