// SPDX-License-Identifier: Apache-2.0
// promote.cpp - station 5, prefetch: a block that was asked for ahead is made readable in the pool.
//
// It is read whole into the store's buffer; only then its room in the pool is made, its slots are
// filled, and it is published under the key, fingerprint and checksums that it had. So a block on
// its way up holds nothing of the pool, and what happens to its key meanwhile needs no waiting: a
// put, a removal or a newer version makes what was read worthless, and it is set aside.
#include "journey/promote.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "assert.hpp"
#include "journey/block_needs.hpp"
#include "journey/shard.hpp"
#include "shm/atomics.hpp"

namespace speckv {

FetchReply Shard::fetch(const Key& key, const Layout& layout, uint64_t deadline_ns,
                        uint64_t bytes_max, uint64_t now_ns) {
  shm::Entry known;
  if (index_.find(key, hash_key(key), &known)) {
    if (!layout.widths->takes(known.fingerprint)) return {Fetch::missing, 0};
    warm(known.block, now_ns);
    return {Fetch::ready, 0};
  }
  if (!spill_) return {Fetch::missing, 0};
  const uint64_t bytes = spill_->image_bytes(hash_key(key));
  if (Promote* promote = promote_of(key)) {
    note_asked(key, promote, now_ns);
    promote->told = true;
    return {Fetch::on_its_way, bytes};
  }
  if (waiting_fetch(key)) return {Fetch::on_its_way, bytes};
  if (bytes == 0) return {Fetch::missing, 0};
  if (bytes > bytes_max) return {Fetch::clipped, bytes};
  if (deadline_ns && deadline_ns <= now_ns) return {Fetch::rejected, 0};
  int error = waiting_.empty() ? start_fetch(key) : -EAGAIN;
  if (error == -EAGAIN && waiting_.size() < fetches_waiting_max) {
    waiting_.push_back({key});
    error = 0;
  }
  if (error == 0) {
    note_asked(key, nullptr, now_ns);
    return {Fetch::on_its_way, bytes};
  }
  return {error == -ENOENT ? Fetch::missing : Fetch::rejected, 0};
}

WaitingFetch* Shard::waiting_fetch(const Key& key) {
  for (WaitingFetch& each : waiting_)
    if (!each.gone && each.key == key) return &each;
  return nullptr;
}

void Shard::cancel_fetch(const Key& key) {
  if (WaitingFetch* waiting = waiting_fetch(key)) waiting->gone = true;
}

// Returns: as start_promote().
int Shard::start_fetch(const Key& key) {
  const auto used = std::count_if(promotes_.begin(), promotes_.end(),
                                  [](const Promote& each) { return each.used; });
  if (used + reads_for_holds >= spill_reads_max) return -EAGAIN;
  return start_promote(key, true);
}

// In the order in which they were asked for, as far as there are reads for them.
bool Shard::start_waiting() {
  size_t done = 0;
  for (; done < waiting_.size(); done++) {
    const WaitingFetch& waiting = waiting_[done];
    if (waiting.gone) continue;
    shm::Entry known;
    if (index_.find(waiting.key, hash_key(waiting.key), &known)) {
      fetched_.push_back({waiting.key, Fetch::ready});
    } else if (Promote* promote = promote_of(waiting.key)) {
      note_asked(waiting.key, promote, spill_now_ns_);
      promote->told = true;  // a hold asked for it, or somebody guessed
    } else {
      const int error = start_fetch(waiting.key);
      if (error == -EAGAIN) break;
      if (error)
        fetched_.push_back({waiting.key, error == -ENOENT ? Fetch::missing : Fetch::rejected});
    }
  }
  waiting_.erase(waiting_.begin(), waiting_.begin() + ptrdiff_t(done));
  return done > 0;
}

Promote* Shard::promote_of(const Key& key) {
  const uint64_t hash = hash_key(key);
  for (Promote& each : promotes_)
    if (each.used && each.hash == hash) return &each;
  return nullptr;
}

int Shard::start_promote(const Key& key, bool told) {
  uint32_t read = 0;
  const int error = spill_->read(hash_key(key), &read);
  if (error) return error;
  promotes_[read] = Promote{};
  promotes_[read].key = key;
  promotes_[read].hash = hash_key(key);
  promotes_[read].used = true;
  promotes_[read].told = told;
  return 0;
}

// A hold of a block that is in no tier, or that cannot be had, is -ENOENT; -EAGAIN: it may come.
int Shard::hold_from_below(const Key& key, uint64_t now_ns) {
  if (!spill_ || spill_->image_bytes(hash_key(key)) == 0) return -ENOENT;
  if (Promote* promote = promote_of(key)) {
    note_asked(key, promote, now_ns);
    return -EAGAIN;
  }
  for (const FailedPromote& failed : failed_promotes_)
    if (failed.key == key && now_ns < failed.until_ns) return -ENOENT;
  const int error = start_promote(key, false);
  if (error == 0) note_asked(key, nullptr, now_ns);
  return error == 0 || error == -EAGAIN ? -EAGAIN : -ENOENT;
}

bool Shard::finish_promotes(uint64_t now_ns) {
  bool some = false;
  for (uint32_t number = 0; number < promotes_.size(); number++) {
    Promote& promote = promotes_[number];
    if (!promote.used || !spill_->read_of(number).ended) continue;
    const bool named = name_guess(promote, spill_->read_of(number));
    // A put of the same key decides: once it has ended, its block is there or not.
    if (is_under_way(promote.key)) continue;
    if (!named) spill_->drop_damaged(spill_->read_of(number));
    const Fetch outcome =
        named ? finish_promote(promote, spill_->read_of(number), now_ns) : Fetch::missing;
    spill_->release_read(number);
    SpillCounters& counters = spill_->counters();
    if (promote.guess && !promote.demanded) {
      guess_ended(promote, outcome, now_ns);
    } else if (outcome != Fetch::ready) {
      counters.promote_failed.fetch_add(1, std::memory_order_relaxed);
      failed_promotes_[next_failed_++ % failed_promotes_.size()] = {promote.key,
                                                                    now_ns + promote_retry_ns};
    }
    if (promote.told) fetched_.push_back({promote.key, outcome});
    promote = Promote{};
    some = true;
  }
  return start_waiting() || some;
}

Fetch Shard::finish_promote(const Promote& promote, const SpillRead& read, uint64_t now_ns) {
  const Key& key = promote.key;
  shm::Entry known;
  if (index_.find(key, promote.hash, &known)) return Fetch::ready;
  if (read.error) return Fetch::rejected;
  if (!spill_->is_current(read)) return Fetch::missing;
  spill::Image image;
  if (!spill::read_image(read.image, key, &image) || !spill::slots_hold(image) ||
      image.head->content != read.content) {
    spill_->drop_damaged(read);
    return Fetch::missing;
  }
  const int error = place_promoted(image, promote, now_ns);
  if (error) return Fetch::clipped;
  spill_->counters().promoted.fetch_add(1, std::memory_order_relaxed);
  spill_->counters().promoted_bytes.fetch_add(read.image.size(), std::memory_order_relaxed);
  return Fetch::ready;
}

// Returns: 0; -ENOSPC: held blocks and puts under way fill the shard, or nothing gives way to a
// guess.
int Shard::place_promoted(const spill::Image& image, const Promote& promote, uint64_t now_ns) {
  const spill::ImageHead& head = *image.head;
  const StoredFacts facts{head.key,          head.parent,       head.fingerprint,  head.identity,
                          head.raw_bytes,    head.position,     head.block_tokens, head.layers,
                          head.record_flags, uint8_t(head.kind)};
  BlockNeeds needs;
  for (const uint32_t slot_bytes : image.slot_bytes)
    if (!needs.add(slot_bytes, 1)) return -ENOSPC;
  const uint32_t record_bytes =
      head.layers > 1 ? shm::slot_bytes_for(shm::record_payload_bytes(head.layers)) : 0;
  if (record_bytes && !needs.add(record_bytes, 1)) return -ENOSPC;
  Wanted wanted{needs.span(), now_ns};
  wanted.block_number = wanted.index_place = true;
  wanted.hash = hash_key(head.key);
  wanted.guess = promote.guess && !promote.demanded;
  if (promote.expected_ns > now_ns) wanted.guess_waits_ns = promote.expected_ns - now_ns;
  const int error = make_room(wanted);
  if (error) return error;
  promoted_.placed = 0;
  promoted_.block = take_number();
  const std::byte* from = image.slots;
  for (const uint32_t slot_bytes : image.slot_bytes) {
    take_slot(promoted_, promoted_.placed++, slot_bytes);
    std::byte* to = options_.pool + promoted_.slots[promoted_.placed - 1].offset;
    shm::release_fence();  // its gen is odd
    std::memcpy(to + sizeof(uint64_t), from + sizeof(uint64_t), slot_bytes - sizeof(uint64_t));
    from += slot_bytes;
  }
  if (record_bytes) take_slot(promoted_, promoted_.placed++, record_bytes);
  Block& block = blocks_[promoted_.block];
  block.content = head.content;
  block.came_up = true;
  block.unread = wanted.guess;
  block.source = promote.source;
  write(promoted_, facts, now_ns);
  return 0;
}

}  // namespace speckv
