// SPDX-License-Identifier: Apache-2.0
// spill.cpp - what the tier below is told when something happens in the pool: a block was put anew,
// removed, or evicted; and its turns.
//
// A removal is answered when it is true: the block is gone here, and marked dead there, so that a
// restart does not find it. Until then its entry stays in its client's ring.
#include <algorithm>

#include "journey/shard.hpp"
#include "predict/admission.hpp"
#include "predict/speculator.hpp"

namespace speckv {

namespace {
// The policy is asked for its coldest so often, or when a parcel has been written.
constexpr uint64_t demote_every_ns = 5'000'000;
}  // namespace

void Shard::attach(Io& io) {
  if (spill_) spill_->attach(io);
}

bool Shard::spill_turn(uint64_t now_ns) {
  if (!spill_) return false;
  spill_now_ns_ = now_ns;
  spill_->turn(now_ns);
  const bool some = finish_promotes(now_ns);
  speculate(now_ns);
  const uint64_t parcels = spill_->counters().parcels.load(std::memory_order_relaxed);
  if (parcels == parcels_seen_ && now_ns - demoted_ns_ < demote_every_ns) return some;
  parcels_seen_ = parcels;
  demoted_ns_ = now_ns;
  demote_ahead(now_ns);
  return some;
}

bool Shard::spill_completed(Operation* operation, uint64_t now_ns) {
  if (!spill_ || !spill_->completed(operation, now_ns)) return false;
  finish_promotes(now_ns);
  return true;
}

bool Shard::spill_quiet() const { return !spill_ || spill_->quiet(); }

// The pool's version is the newer, always.
bool Shard::is_stale(const Key& key, uint64_t content) {
  shm::Entry known;
  return index_.find(key, hash_key(key), &known) && content_of(known.block) != content;
}

bool Shard::is_in_pool(const Key& key) {
  shm::Entry known;
  return index_.find(key, hash_key(key), &known);
}

bool Shard::is_worth_copying(bool was_read, uint64_t live_bytes, uint64_t bytes) {
  return predict::worth_copying({was_read, live_bytes, bytes});
}

// A block was put: what the tier has of its key is another version, or the same bytes.
void Shard::supersede(uint32_t block) {
  if (!spill_) return;
  // A removal that waits still is asked for again, and then it means this block; one whose client
  // is gone must not answer for a later one.
  forget_removal(blocks_[block].entry.key);
  const uint64_t hash = hash_key(blocks_[block].entry.key);
  if (spill_->has(hash, content_of(block), true)) return;
  static_cast<void>(spill_->drop(hash));
  spill_->bar(hash);
}

void Shard::note_eviction(uint32_t block) {
  if (!spill_ || is_clean(block)) return;
  spill_->counters().not_written.fetch_add(1, std::memory_order_relaxed);
  spill_->want_written(hash_key(blocks_[block].entry.key));
}

int Shard::remove(const Key& key, const Layout& layout) {
  if (!spill_) return remove_from_pool(key, layout);
  const uint64_t hash = hash_key(key);
  for (Removal& removal : removals_) {
    if (!removal.used || !(removal.key == key)) continue;
    if (removal.waits_for_scan && !spill_->scanning()) {
      removal.used = false;
      break;
    }
    const bool settled = !removal.waits_for_scan && spill_->is_settled(removal.ticket, hash);
    if (!settled) spill_->hurry(removal.ticket);
    if (!settled && spill_now_ns_ < removal.until_ns) return -EAGAIN;
    removal.used = false;
    return settled ? removal.result : -EIO;
  }
  const auto free = std::find_if(removals_.begin(), removals_.end(),
                                 [](const Removal& each) { return !each.used; });
  if (free == removals_.end()) return -EAGAIN;
  if (spill_->scanning()) {  // it is not known yet whether it is there
    *free = {key, {}, spill_now_ns_ + removal_ns_max, -EIO, true, true};
    return -EAGAIN;
  }
  int result = remove_from_pool(key, layout);
  if (result == -EBUSY) return result;
  shm::Entry known;
  if (index_.find(key, hash_key(key), &known)) return result;  // of another layout: it stays
  if (spill_->image_bytes(hash)) result = 0;
  const SpillTicket ticket = spill_->drop(hash);
  if (speculator_) speculator_->on_gone(hash, spill_now_ns_);
  if (spill_->is_settled(ticket, hash)) return result;
  spill_->hurry(ticket);
  *free = {key, ticket, spill_now_ns_ + removal_ns_max, result, true, false};
  return -EAGAIN;
}

bool Shard::is_being_removed(const Key& key) const {
  return spill_ && std::any_of(removals_.begin(), removals_.end(),
                               [&](const Removal& each) { return each.used && each.key == key; });
}

void Shard::forget_removal(const Key& key) {
  for (Removal& removal : removals_)
    if (removal.used && removal.key == key) removal.used = false;
}

// Those that nobody asked about again: their clients are gone.
void Shard::forget_removals(uint64_t now_ns) {
  for (Removal& removal : removals_)
    if (removal.used && now_ns > removal.until_ns + removal_ns_max) removal.used = false;
}

}  // namespace speckv
