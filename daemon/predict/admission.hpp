// SPDX-License-Identifier: Apache-2.0
// admission.hpp - the policy's other questions: a block leaves the pool; is it dropped, or written
// to the tier below first? And there: its place is wanted; is it dropped, or copied?
//
// Asked by journey, once a block each time. Pure: no state, no clock, no I/O.
// While the tier has room everything is kept. Once each block that comes pushes another out, a
// block whose parent is nowhere any more is dropped: what is read back are leading blocks of a
// sequence, and without those before it, it cannot be one.
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

}  // namespace speckv::predict
