// SPDX-License-Identifier: Apache-2.0
// spill_clean.cpp - before the ring comes round to a parcel, what is still wanted of it is copied:
// into parcels that are being filled, as if it came from the pool.
//
// Of a parcel no more than one of spill_clean_share bytes is copied, so that the ring always makes
// room; and the ring is looked at ahead only as far as blocks from the pool have moved its head, so
// that nothing is copied while nothing comes. A block that is in the pool is not copied: it is
// written again when it is cold. The parcel is wiped when all copies of it are on the medium; until
// then a removal of one of them waits, since the old one would come back. Where puts come faster
// than this, a parcel makes room as it stands.
#include <algorithm>
#include <cstring>

#include "pool/spill_store.hpp"

namespace speckv {

void SpillStore::clean_some(uint64_t now_ns) {
  if (scanning_ || !transfers_.may_write() || !transfers_.may_read()) return;
  if (clean_unit_ == none && !choose_parcel()) return;
  bool under_way = false;
  for (Copy& copy : copies_) {
    if (copy.used && copy.ended && finish_copy(copy, now_ns)) {
      transfers_.release_run(copy.run);
      copy = Copy{};
    }
    under_way = under_way || copy.used;
  }
  start_copies();
  for (const Copy& copy : copies_) under_way = under_way || copy.used;
  if (clean_wanted_.empty() && !under_way && clean_parcels_ == 0) end_cleaning();
}

// The next parcels ahead of the ring's head, each looked at once.
bool SpillStore::choose_parcel() {
  if (cleaned_head_ == head_ || clean_credit_ == 0) return false;
  for (uint64_t ahead = 0; ahead < clean_ahead();) {
    const auto at = uint32_t((head_ + ahead) % options_.units);
    const Unit& unit = units_[at];
    if (unit.sequence > cleaned_to_ && !unit.to_wipe && !is_placed(at)) {
      cleaned_to_ = unit.sequence;
      clean_credit_ -= std::min<uint64_t>(clean_credit_, unit.units);
      if (look_for_wanted(at)) return true;
    }
    ahead += unit.sequence ? std::max(1u, unit.units) : 1;
  }
  cleaned_head_ = head_;
  return false;
}

uint64_t SpillStore::clean_ahead() const {
  return std::min<uint64_t>(spill_clean_units_max, std::max<uint64_t>(1, options_.units / 8));
}

// Returns: whether it has some.
bool SpillStore::look_for_wanted(uint32_t unit) {
  const uint64_t live_bytes = counters_.live_bytes.load(std::memory_order_relaxed);
  const uint64_t bytes = options_.units * spill::unit_bytes;
  uint64_t left = uint64_t(units_[unit].units) * spill::unit_bytes / spill_clean_share;
  clean_wanted_.clear();
  for (uint32_t at = units_[unit].list; at != SpillMap::none; at = map_.at(at).next) {
    const SpillMap::Entry& entry = map_.at(at);
    const uint64_t image_bytes = uint64_t(entry.bytes64) * spill::align_bytes;
    if (entry.dead || entry.lost || image_bytes > left) continue;
    if (!witness_ || !witness_->is_worth_copying(entry.used, live_bytes, bytes)) continue;
    if (clean_wanted_.size() == clean_wanted_.capacity()) break;
    clean_wanted_.push_back({entry.hash, entry.content});
    left -= image_bytes;
  }
  if (clean_wanted_.empty()) return false;
  clean_unit_ = unit;
  clean_sequence_ = units_[unit].sequence;
  clean_copied_ = false;
  return true;
}

// Returns: nullptr, it is not what it was: removed, replaced, or its parcel has made room already.
const SpillMap::Entry* SpillStore::still_there(const Wanted& wanted) const {
  if (units_[clean_unit_].sequence != clean_sequence_ || units_[clean_unit_].to_wipe)
    return nullptr;
  const uint32_t at = map_.find(wanted.hash);
  if (at == SpillMap::none) return nullptr;
  const SpillMap::Entry& entry = map_.at(at);
  const bool same = entry.unit == clean_unit_ && !entry.writing && entry.content == wanted.content;
  return same ? &entry : nullptr;
}

void SpillStore::start_copies() {
  for (Copy& copy : copies_) {
    if (copy.used) continue;
    while (!clean_wanted_.empty() && !still_there(clean_wanted_.back())) clean_wanted_.pop_back();
    if (clean_wanted_.empty()) return;
    const Wanted wanted = clean_wanted_.back();
    const SpillMap::Entry& entry = *still_there(wanted);
    const uint64_t from = offset_of(entry.unit) + uint64_t(entry.at64) * spill::align_bytes;
    const uint64_t begin = from / spill::page_bytes * spill::page_bytes;
    const uint64_t bytes = uint64_t(entry.bytes64) * spill::align_bytes;
    SpillTransfer transfer;
    transfer.what = SpillWhat::copy;
    transfer.owner = uint32_t(&copy - copies_.data());
    transfer.offset = begin;
    transfer.bytes = uint32_t(shm::round_up(from + bytes, spill::page_bytes) - begin);
    transfer.run = transfers_.take_run(transfer.bytes);
    if (transfer.run == none) return;
    transfer.memory = transfers_.memory(transfer.run);
    if (transfers_.start(transfer) == none) return transfers_.release_run(transfer.run);
    copy.hash = wanted.hash;
    copy.content = wanted.content;
    copy.image = {transfer.memory + (from - begin), bytes};
    copy.run = transfer.run;
    copy.used = true;
    clean_wanted_.pop_back();
  }
}

void SpillStore::copy_ended(const SpillTransfer& ended) {
  Copy& copy = copies_[ended.owner];
  copy.error = ended.error;
  copy.ended = true;
}

// Returns: whether that is over; else there is no room for it yet.
bool SpillStore::finish_copy(Copy& copy, uint64_t now_ns) {
  if (copy.error || !still_there({copy.hash, copy.content})) return true;
  const auto* head = reinterpret_cast<const spill::ImageHead*>(copy.image.data());
  spill::Image image;
  const Key key = head->key;  // any bytes, until its hash and the image say that it is this one
  if (hash_key(key) != copy.hash || !spill::read_image(copy.image, key, &image) ||
      !spill::slots_hold(image) || head->content != copy.content)
    return true;
  if (map_.full() || witness_->is_in_pool(key)) return true;
  std::byte* const to = room_for(copy.image.size(), now_ns);
  if (!to) return false;
  std::memcpy(to, copy.image.data(), copy.image.size());
  spill::TableEntry row{};
  row.key = key;
  row.fingerprint = head->fingerprint;
  row.content = copy.content;
  row.bytes64 = uint32_t(copy.image.size() / spill::align_bytes);
  counters_.live_bytes.fetch_sub(copy.image.size(), std::memory_order_relaxed);
  map_.lose(map_.find(copy.hash));
  add(row, copy.hash, true);
  clean_parcels_ |= 1u << filling_;
  clean_copied_ = true;
  return true;
}

void SpillStore::end_cleaning() {
  if (clean_copied_ && units_[clean_unit_].sequence == clean_sequence_ && !is_placed(clean_unit_))
    stray(clean_unit_, false);
  clean_unit_ = none;
}

}  // namespace speckv
