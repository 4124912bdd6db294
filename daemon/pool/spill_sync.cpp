// SPDX-License-Identifier: Apache-2.0
// spill_sync.cpp - when what was written is durable. One sync at a time, for all writes that had
// ended when it was asked for: at the latest spill_sync_ns_max after the first of them, and at once
// when a removal waits for it.
//
// Only a loss of power makes the difference. Then pages, images and wipes that were not synced are
// there or not, in any mix: a page counts by its checksum, an image by its own, and of a block that
// was there before and is there again nobody was told that it is gone.
#include "pool/spill_store.hpp"

namespace speckv {

void SpillStore::note_write(bool wipe) {
  written_++;
  if (wipe) wiped_ = written_;
  if (unsynced_since_ns_ == 0) unsynced_since_ns_ = turned_ns_;
}

void SpillStore::sync_when_due(uint64_t now_ns) {
  if (syncing_ || !transfers_.may_write()) return;
  const bool hurried = hurried_ > synced_ || std::min(marks_hurried_, marked_) > marks_synced_;
  const bool late =
      unsynced_since_ns_ && now_ns > unsynced_since_ns_ + spill_sync_ns_max && written_ > synced_;
  if (!hurried && !late) return;
  SpillTransfer wanted;
  wanted.what = SpillWhat::sync;
  wanted.run = small_run_;
  wanted.bytes = 1;  // so that there is something to start
  wanted.write = true;
  if (transfers_.start(wanted) == none) return;
  counters_.syncs.fetch_add(1, std::memory_order_relaxed);
  syncing_ = true;
  syncing_to_ = written_;
  marks_syncing_to_ = marked_;
  unsynced_since_ns_ = 0;
}

void SpillStore::sync_ended(int error) {
  syncing_ = false;
  if (error) {
    if (unsynced_since_ns_ == 0) unsynced_since_ns_ = turned_ns_;
    return;  // asked for again
  }
  synced_ = syncing_to_;
  marks_synced_ = marks_syncing_to_;
}

}  // namespace speckv
