// SPDX-License-Identifier: Apache-2.0
// hold.cpp - holds: from a lookup to its load, a block is kept from eviction. Bounded, with a time
// to live, tied to a session.
//
// A hold is one number (chosen by the client, 64 random bits) over any number of blocks of this
// shard. Another session of the same uid in this namespace may adopt it: a scheduler looks up, a
// worker loads. An unknown number and a foreign one get the same answer.
#include "assert.hpp"
#include "journey/shard.hpp"

namespace speckv {

int Shard::hold(const shm::Submission& submission, const Layout& layout, const Asker& asker,
                uint64_t now_ns) {
  shm::Entry known;
  if (!index_.find(submission.key, hash_key(submission.key), &known))
    return hold_from_below(submission.key, now_ns);
  if (!layout.widths->takes(known.fingerprint)) return -ENOENT;
  HoldTable::Hold* hold = holds_.find(submission.hold);
  if (hold && hold->session_id != asker.session_id) return -EBADF;
  if (blocks_[known.block].holds == UINT8_MAX || !holds_.take_place()) {
    counters_.holds_refused.fetch_add(1, std::memory_order_relaxed);
    return -EDQUOT;
  }
  if (!hold) {
    hold = holds_.make(submission.hold);
    hold->session_id = asker.session_id;
    hold->uid = asker.uid;
  }
  hold->until_ns = now_ns + std::min(submission.arg, options_.hold_ns_max);
  holds_.add(*hold, known.block);
  if (blocks_[known.block].holds++ == 0) set_pinned(known.block, true);
  used(known.block, now_ns);
  return 0;
}

int Shard::unhold(uint64_t number, const Asker& asker) {
  HoldTable::Hold* hold = holds_.find(number);
  if (!hold || hold->session_id != asker.session_id) return -EBADF;
  holds_.end(*hold, [this](uint32_t block) { let_go(block); });
  return 0;
}

int Shard::adopt(uint64_t number, const Asker& asker) {
  HoldTable::Hold* hold = holds_.find(number);
  if (!hold || hold->uid != asker.uid) return -EBADF;
  hold->session_id = asker.session_id;
  return 0;
}

void Shard::session_ended(uint64_t session_id) {
  holds_.end_those(
      [session_id](const HoldTable::Hold& hold) { return hold.session_id == session_id; },
      [this](uint32_t block) { let_go(block); });
  end_retains_of(session_id);
}

void Shard::expire_holds(uint64_t now_ns) {
  holds_.end_those([now_ns](const HoldTable::Hold& hold) { return hold.until_ns <= now_ns; },
                   [this](uint32_t block) { let_go(block); });
}

// One hold fewer on this block.
void Shard::let_go(uint32_t block) {
  SPECKV_ASSERT(blocks_[block].holds > 0, "a hold ended on a block that is not held");
  if (--blocks_[block].holds == 0) set_pinned(block, false);
}

// A held block stays, and so does every slab that it has a slot in.
void Shard::set_pinned(uint32_t block, bool pinned) {
  SPECKV_ASSERT(bool(pinned_[block]) != pinned,
                "a block was held for the first time, or let go, twice");
  pinned_[block] = pinned;
  for_each_slot(block, [this, pinned](uint64_t offset) {
    if (pinned) slabs_.pin(offset);
    else slabs_.unpin(offset);
  });
}

}  // namespace speckv
