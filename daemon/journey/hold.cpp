// SPDX-License-Identifier: Apache-2.0
// hold.cpp - holds: from a lookup to its load, a block is kept from eviction. Bounded, with a time
// to live, tied to a session.
//
// A hold is one number (chosen by the client, 64 random bits) over any number of blocks of this
// shard. Another session of the same uid in this namespace may adopt it: a scheduler looks up, a
// worker loads. An unknown number and a foreign one get the same answer.
#include "journey/shard.hpp"

namespace speckv {

int Shard::hold(const shm::Submission& submission, const Layout& layout, const Asker& asker,
                uint64_t now_ns) {
  shm::Entry known;
  if (!index_.find(submission.key, hash_key(submission.key), &known) ||
      !layout.widths->takes(known.fingerprint))
    return -ENOENT;
  if (held_blocks_ >= options_.holds_max || blocks_[known.block].holds == UINT8_MAX) return -EDQUOT;
  Hold& hold = holds_[submission.hold];
  if (hold.blocks.empty()) {
    hold.session_id = asker.session_id;
    hold.uid = asker.uid;
  } else if (hold.session_id != asker.session_id) {
    return -EBADF;
  }
  hold.until_ns = now_ns + std::min(submission.arg, options_.hold_ns_max);
  hold.blocks.push_back(known.block);
  blocks_[known.block].holds++;
  pinned_[known.block] = 1;
  held_blocks_++;
  policy_->on_hit(known.block, now_ns);
  return 0;
}

int Shard::unhold(uint64_t number, const Asker& asker) {
  const auto found = holds_.find(number);
  if (found == holds_.end() || found->second.session_id != asker.session_id) return -EBADF;
  end_hold(found->second);
  holds_.erase(found);
  return 0;
}

int Shard::adopt(uint64_t number, const Asker& asker) {
  const auto found = holds_.find(number);
  if (found == holds_.end() || found->second.uid != asker.uid) return -EBADF;
  found->second.session_id = asker.session_id;
  return 0;
}

void Shard::end_hold(Hold& hold) {
  for (uint32_t block : hold.blocks) {
    if (--blocks_[block].holds == 0) pinned_[block] = 0;
    held_blocks_--;
  }
}

void Shard::session_ended(uint64_t session_id) {
  for (auto it = holds_.begin(); it != holds_.end();) {
    if (it->second.session_id != session_id) {
      ++it;
      continue;
    }
    end_hold(it->second);
    it = holds_.erase(it);
  }
}

void Shard::expire_holds(uint64_t now_ns) {
  for (auto it = holds_.begin(); it != holds_.end();) {
    if (it->second.until_ns > now_ns) {
      ++it;
      continue;
    }
    end_hold(it->second);
    it = holds_.erase(it);
  }
}

}  // namespace speckv
