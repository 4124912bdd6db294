// SPDX-License-Identifier: Apache-2.0
// admission.hpp - the policy's second question: a block leaves the pool; is it dropped, or written
// to the tier below first?
//
// Asked by journey/demote, once a block, before it is evicted. Pure: no state, no clock, no I/O.
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

}  // namespace speckv::predict
