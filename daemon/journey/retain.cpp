// SPDX-License-Identifier: Apache-2.0
// retain.cpp - blocks that a client wants to find again when its session comes back: as holds, but
// for hours, and bounded by bytes.
//
// What is retained is below retained_bytes_max, so that the rest of the pool turns over as ever. A
// block counts as often as it is retained. Ends by its number, its time or its session.
#include "assert.hpp"
#include "journey/shard.hpp"

namespace speckv {

int Shard::retain(const shm::Submission& submission, const Layout& layout, const Asker& asker,
                  uint64_t now_ns) {
  shm::Entry known;
  if (!index_.find(submission.key, hash_key(submission.key), &known) ||
      !layout.widths->takes(known.fingerprint))
    return -ENOENT;
  Block& block = blocks_[known.block];
  if (!retains_.take_place() || block.holds == UINT8_MAX ||
      retained_bytes_ + block.stored_bytes > options_.retained_bytes_max) {
    counters_.retain_refused.fetch_add(1, std::memory_order_relaxed);
    return -EDQUOT;
  }
  HoldTable::Hold* hold = retains_.find(submission.hold);
  if (hold && hold->session_id != asker.session_id) return -EBADF;
  if (!hold) {
    hold = retains_.make(submission.hold);
    hold->session_id = asker.session_id;
    hold->uid = asker.uid;
  }
  hold->until_ns = now_ns + std::min(submission.arg, retain_ns_max);
  retains_.add(*hold, known.block);
  retained_bytes_ += block.stored_bytes;
  if (block.holds++ == 0) set_pinned(known.block, true);
  used(known.block, now_ns);
  return 0;
}

int Shard::retain_end(uint64_t number, const Asker& asker) {
  HoldTable::Hold* hold = retains_.find(number);
  if (!hold || hold->session_id != asker.session_id) return -EBADF;
  retains_.end(*hold, [this](uint32_t block) { let_go_retained(block); });
  return 0;
}

void Shard::end_retains_of(uint64_t session_id) {
  retains_.end_those(
      [session_id](const HoldTable::Hold& hold) { return hold.session_id == session_id; },
      [this](uint32_t block) { let_go_retained(block); });
}

void Shard::expire_retains(uint64_t now_ns) {
  if (now_ns - retains_looked_ns_ < retain_look_ns) return;
  retains_looked_ns_ = now_ns;
  retains_.end_those([now_ns](const HoldTable::Hold& hold) { return hold.until_ns <= now_ns; },
                     [this](uint32_t block) { let_go_retained(block); });
}

void Shard::let_go_retained(uint32_t block) {
  SPECKV_ASSERT(retained_bytes_ >= blocks_[block].stored_bytes,
                "more bytes were given back than were retained");
  retained_bytes_ -= blocks_[block].stored_bytes;
  let_go(block);
}

}  // namespace speckv
