// SPDX-License-Identifier: Apache-2.0
// speculate.cpp - station 4, predict: tells the speculator what happens to blocks, and reads what
// it proposes from the tier below.
//
// A key is known to it by its hash, as it is to the tier: a block's whole key stands in its image,
// and is believed when the image has been read and holds. Without a tier nothing of this exists.
#include <algorithm>
#include <cstring>
#include <utility>

#include "journey/shard.hpp"
#include "predict/speculator.hpp"

namespace speckv {

namespace {
void count(std::atomic<uint64_t>& counter, uint64_t by = 1) {
  counter.fetch_add(by, std::memory_order_relaxed);
}
}  // namespace

// ---- what happened ------------------------------------------------------------------------------

// A client read it, holds it, or asks for it.
void Shard::used(uint32_t number, uint64_t now_ns) {
  policy_->on_hit(number, now_ns);
  Block& block = blocks_[number];
  block.used_ns = now_ns;
  if (!speculator_) return;
  const uint64_t hash = hash_key(block.entry.key);
  if (std::exchange(block.unread, false)) {
    speculator_->on_used(hash, now_ns);
    count(counters_.guesses[size_t(block.source)].useful);
  }
  speculator_->on_hit(hash, now_ns);
}

// It was put though it is here: computed again, so whatever brought it up came too late.
void Shard::put_again(uint32_t number, uint64_t now_ns) {
  policy_->on_hit(number, now_ns);
  blocks_[number].used_ns = now_ns;
  counters_.touches.fetch_add(1, std::memory_order_relaxed);
  count_use(number, now_ns);
  if (speculator_) speculator_->on_hit(hash_key(blocks_[number].entry.key), now_ns);
}

void Shard::note_published(uint32_t number, const Key& parent, uint64_t now_ns) {
  if (!speculator_) return;
  const Block& block = blocks_[number];
  const uint64_t hash = hash_key(block.entry.key);
  if (!block.unread && !(block.came_up && speculator_->knows(hash)))
    speculator_->on_insert(hash, parent.is_zero() ? 0 : hash_key(parent), now_ns);
  speculator_->on_near(hash);
  for (uint32_t look = 0; look < guess_looks; look++) {
    uint64_t below = 0;
    if (speculator_->look_next(&below) && !spill_->has_hash(below))
      speculator_->on_gone(below, now_ns);
  }
}

// It leaves the pool, for whatever reason. Requires: its index entry is gone, its facts are not.
void Shard::note_leaving(Block& block) {
  if (!speculator_) return;
  const uint64_t hash = hash_key(block.entry.key);
  if (std::exchange(block.unread, false)) {
    speculator_->on_wasted(hash, spill_now_ns_);
    count(counters_.guesses[size_t(block.source)].wasted);
  }
  if (spill_->has_hash(hash)) speculator_->on_away(hash);
  else speculator_->on_gone(hash, spill_now_ns_);
}

// Somebody asks for one that lies below. guess: what reads it already, if it is nobody's yet.
void Shard::note_asked(const Key& key, Promote* guess, uint64_t now_ns) {
  if (!speculator_) return;
  const uint64_t hash = hash_key(key);
  if (guess && guess->guess && !std::exchange(guess->demanded, true)) {
    guess->key = key;
    speculator_->on_used(hash, now_ns);
    count(counters_.guesses[size_t(guess->source)].useful);
    count(counters_.guesses[size_t(guess->source)].late);
  } else if (guess) {
    return;  // told already
  }
  speculator_->on_hit(hash, now_ns);
}

void Shard::announce(const Key& key) {
  if (speculator_) speculator_->on_announced(hash_key(key));
}

// ---- what is read ahead -------------------------------------------------------------------------

void Shard::speculate(uint64_t now_ns) {
  if (!speculator_ || spill_->scanning() || !waiting_.empty()) return;
  uint32_t under_way = 0;
  uint64_t bytes = 0;
  bool demanded = false;
  for (uint32_t number = 0; number < promotes_.size(); number++) {
    const Promote& promote = promotes_[number];
    if (!promote.used) continue;
    if (!promote.guess || promote.demanded) {
      demanded = true;
      continue;
    }
    under_way++;
    bytes += spill_->read_of(number).image.size();
  }
  for (uint32_t tries = 0; tries < guess_tries && under_way < guess_reads_max; tries++) {
    predict::Proposal proposal;
    if (speculator_->propose(now_ns, UINT64_MAX, {&proposal, 1}, demanded) == 0) return;
    const uint64_t more = begin_guess(proposal, bytes, now_ns);
    bytes += more;
    under_way += more > 0;
  }
}

// bytes_under_way: of others. Returns: the bytes that are read for it; 0: it is not begun.
uint64_t Shard::begin_guess(const predict::Proposal& proposal, uint64_t bytes_under_way,
                            uint64_t now_ns) {
  const uint64_t bytes = spill_->image_bytes(proposal.key);
  const uint64_t waits_ns = proposal.expected_ns > now_ns ? proposal.expected_ns - now_ns : 0;
  const uint64_t most = options_.spill->buffer_bytes / guess_buffer_share;
  GuessCounters& counters = counters_.guesses[size_t(proposal.source)];
  const bool is_read = std::any_of(promotes_.begin(), promotes_.end(), [&](const Promote& each) {
    return each.used && each.hash == proposal.key;
  });
  uint32_t read = 0;
  if (bytes == 0 || is_read || (bytes_under_way && bytes_under_way + bytes > most) ||
      !has_room_for_guess(bytes, waits_ns, now_ns) || spill_->read(proposal.key, &read) != 0) {
    speculator_->on_refused(proposal.key);
    if (bytes == 0) speculator_->on_gone(proposal.key, now_ns);
    else count(counters.refused);
    return 0;
  }
  Promote& promote = promotes_[read];
  promote = Promote{};
  promote.hash = proposal.key;
  promote.used = promote.guess = true;
  promote.source = proposal.source;
  promote.expected_ns = proposal.expected_ns;
  speculator_->on_started(proposal.source, bytes);
  count(counters.fetched);
  count(counters.bytes, bytes);
  return bytes;
}

// As far as can be told before it is read: when its room is made, each that goes is asked again.
bool Shard::has_room_for_guess(uint64_t bytes, uint64_t waits_ns, uint64_t now_ns) {
  if (bytes <= slabs_.free_units() * shm::unit_bytes && !free_blocks_.empty()) return true;
  uint32_t coldest = 0;
  return policy_->victim(now_ns, pinned_, &coldest) && gives_way(coldest, waits_ns, now_ns);
}

bool Shard::gives_way(uint32_t number, uint64_t waits_ns, uint64_t now_ns) {
  const Block& block = blocks_[number];
  predict::GuessFacts facts;
  facts.idle_ns = now_ns > block.used_ns ? now_ns - block.used_ns : 0;
  facts.unread = block.unread;
  facts.guess_waits_ns = waits_ns;
  facts.stands_below = spill_->has(hash_key(block.entry.key), content_of(number), true);
  return predict::gives_way(facts);
}

// What was read says whose it is. Returns: false, it is no block of that hash.
bool Shard::name_guess(Promote& promote, const SpillRead& read) {
  if (!promote.key.is_zero() || read.error) return true;
  spill::ImageHead head;
  if (read.image.size() < sizeof head) return false;
  std::memcpy(&head, read.image.data(), sizeof head);
  promote.key = head.key;
  return hash_key(head.key) == promote.hash;
}

// A guess that nobody waits for has been read. outcome: as for whoever asks.
void Shard::guess_ended(const Promote& promote, Fetch outcome, uint64_t now_ns) {
  shm::Entry known;
  const bool stands = outcome == Fetch::ready && index_.find(promote.key, promote.hash, &known) &&
                      blocks_[known.block].unread;
  if (stands) return;  // else it was put meanwhile, has no room, or cannot be read
  speculator_->on_wasted(promote.hash, now_ns);
  count(counters_.guesses[size_t(promote.source)].wasted);
  if (outcome == Fetch::ready) speculator_->on_near(promote.hash);
  else if (outcome == Fetch::missing) speculator_->on_gone(promote.hash, now_ns);
  else speculator_->on_away(promote.hash);
}

void Shard::show_guesses(uint64_t now_ns) {
  if (!speculator_) return;
  for (uint32_t i = 0; i < predict::kSources; i++) {
    const predict::SourceState state = speculator_->state(predict::Source(i), now_ns);
    GuessCounters& counters = counters_.guesses[i];
    counters.off_useful.store(state.off_useful, std::memory_order_relaxed);
    counters.off_seen.store(state.off_seen, std::memory_order_relaxed);
    counters.off.store(state.off, std::memory_order_relaxed);
    counters.times_off.store(state.times_off, std::memory_order_release);
  }
}

}  // namespace speckv
