// SPDX-License-Identifier: Apache-2.0
// spill_marks.cpp - what keeps blocks from coming back: those that were removed or replaced are
// marked dead in their parcel's page, and pages that may stand where they should not are wiped.
//
// A page is read, changed and written again, one at a time; marks of the same page go together.
// What is marked is asked for by its number: a removal is answered when all up to its own are done.
#include <algorithm>

#include "assert.hpp"
#include "pool/spill_store.hpp"

namespace speckv {

SpillTicket SpillStore::drop(uint64_t hash) {
  const uint32_t number = map_.find(hash);
  if (number == SpillMap::none || map_.at(number).bytes64 == 0) return {killed_, wiped_};
  SpillMap::Entry& entry = map_.at(number);
  counters_.removed.fetch_add(1, std::memory_order_relaxed);
  if (Parcel* parcel = parcel_of(entry)) {
    if (parcel->state != ParcelState::table) {  // its page will say so from the first
      page_of(*parcel, entry.number / spill::entries_per_page)
          .entries[entry.number % spill::entries_per_page]
          .flags |= spill::entry_dead;
      map_.erase(number, &parcel->list);
      return {killed_, wiped_};  // older versions of it may wait for their marks
    }
  } else {
    counters_.live_bytes.fetch_sub(uint64_t(entry.bytes64) * spill::align_bytes,
                                   std::memory_order_relaxed);
  }
  kill(number);
  return {killed_, wiped_};
}

void SpillStore::kill(uint32_t number) {
  map_.hide(number);
  if (dead_last_ == SpillMap::none) dead_first_ = number;
  else map_.at(dead_last_).next_of_hash = number;
  dead_last_ = number;
  killed_++;
}

void SpillStore::bar(uint64_t hash) {
  if (!scanning_ || map_.full() || has_hash(hash)) return;
  map_.insert(hash, &barred_);
}

void SpillStore::hurry(const SpillTicket& ticket) {
  marks_hurried_ = std::max(marks_hurried_, ticket.marks);
  hurried_ = std::max({hurried_, ticket.writes, strays_wiped_});
}

bool SpillStore::is_settled(const SpillTicket& ticket, uint64_t hash) const {
  return !scanning_ && ticket.marks <= marks_synced_ && ticket.writes <= synced_ &&
         strays_wiped_ <= synced_ && !strays_hold(hash);
}

// Whether a page that is to be wiped may bring this block back. A page that could not be read may
// be anybody's.
bool SpillStore::strays_hold(uint64_t hash) const {
  for (const uint32_t number : strays_)
    if (units_[number].any_keys || lost_in(number, hash)) return true;
  return clean_unit_ != none && lost_in(clean_unit_, hash);
}

bool SpillStore::lost_in(uint32_t unit, uint64_t hash) const {
  for (uint32_t at = units_[unit].list; at != SpillMap::none; at = map_.at(at).next)
    if (map_.at(at).lost && map_.at(at).hash == hash) return true;
  return false;
}

// A place that is given to a parcel: what stands there is wiped by it.
bool SpillStore::is_placed(uint64_t unit) const {
  return std::any_of(parcels_.begin(), parcels_.end(), [unit](const Parcel& each) {
    return each.state > ParcelState::placing && unit >= each.wipe_at &&
           unit < uint64_t(each.unit) + each.units;
  });
}

void SpillStore::stray(uint32_t unit, bool any_keys) {
  units_[unit].to_wipe = true;
  units_[unit].any_keys = units_[unit].any_keys || any_keys;
  if (std::find(strays_.begin(), strays_.end(), unit) == strays_.end()) strays_.push_back(unit);
}

// The oldest mark, or the first stray page.
void SpillStore::mark_next() {
  if (marking_ || wiping_stray_) return;
  while (dead_first_ != SpillMap::none && map_.at(dead_first_).unit == none) mark_done();
  if (!transfers_.may_write()) return;
  while (!strays_.empty() && !units_[strays_.back()].to_wipe) strays_.pop_back();
  const bool again = turned_ns_ >= stray_again_ns_;
  if (!strays_.empty() && again && !is_placed(strays_.back())) return wipe_stray();
  if (dead_first_ == SpillMap::none || !transfers_.may_read()) return;
  const SpillMap::Entry& entry = map_.at(dead_first_);
  if (entry.writing || is_placed(entry.unit)) return;
  page_unit_ = entry.unit;
  page_number_ = entry.number / spill::entries_per_page;
  start_mark(SpillWhat::mark_read);
}

void SpillStore::start_mark(SpillWhat what) {
  SpillTransfer wanted;
  wanted.what = what;
  wanted.run = mark_run_;
  wanted.memory = transfers_.memory(mark_run_);
  wanted.offset = offset_of(page_unit_) + uint64_t(page_number_) * spill::page_bytes;
  wanted.bytes = spill::page_bytes;
  wanted.write = what == SpillWhat::mark_write;
  marking_ = transfers_.start(wanted) != none;
}

void SpillStore::wipe_stray() {
  page_unit_ = strays_.back();
  SpillTransfer wanted;
  wanted.what = SpillWhat::wipe;
  wanted.owner = none;
  wanted.run = small_run_;
  wanted.memory = transfers_.memory(small_run_);
  wanted.offset = offset_of(page_unit_);
  wanted.bytes = spill::page_bytes;
  wanted.write = true;
  wiping_stray_ = transfers_.start(wanted) != none;
}

void SpillStore::stray_ended(int error) {
  wiping_stray_ = false;
  if (error) {  // others are marked and wiped meanwhile
    stray_again_ns_ = turned_ns_ + spill_stray_ns;
    std::rotate(strays_.begin(), strays_.end() - 1, strays_.end());
    return;
  }
  note_write(true);
  if (!is_placed(page_unit_)) reclaim(units_[page_unit_]);
}

// What was read is no page of that parcel any more, or never was whole: then nothing there can come
// back.
void SpillStore::mark_ended(const SpillTransfer& ended) {
  marking_ = false;
  if (ended.error) return;
  if (ended.what == SpillWhat::mark_write) {
    note_write(false);
    for (; marks_in_page_ > 0; marks_in_page_--) mark_done();
    return;
  }
  if (dead_first_ == SpillMap::none || is_placed(page_unit_) || !transfers_.may_write()) return;
  spill::Page page;
  const bool whole = spill::read_page({ended.memory, spill::page_bytes}, options_.store_id,
                                      page_unit_, options_.units, &page) &&
                     page.head.sequence == units_[page_unit_].sequence &&
                     page.head.page == page_number_;
  marks_in_page_ = 0;
  for (uint32_t at = dead_first_; at != SpillMap::none; at = map_.at(at).next_of_hash) {
    const SpillMap::Entry& entry = map_.at(at);
    if (entry.writing || entry.unit != page_unit_ ||
        entry.number / spill::entries_per_page != page_number_)
      break;
    marks_in_page_++;
    if (whole) page.entries[entry.number % spill::entries_per_page].flags |= spill::entry_dead;
  }
  if (!whole) {
    for (; marks_in_page_ > 0; marks_in_page_--) mark_done();
    return;
  }
  page.head.check = spill::page_check(page);
  *reinterpret_cast<spill::Page*>(ended.memory) = page;
  start_mark(SpillWhat::mark_write);
}

// The first one is done.
void SpillStore::mark_done() {
  const uint32_t number = dead_first_;
  const uint32_t unit = map_.at(number).unit;
  dead_first_ = map_.at(number).next_of_hash;
  if (dead_first_ == SpillMap::none) dead_last_ = SpillMap::none;
  map_.free_hidden(number, unit == none ? nullptr : &units_[unit].list);
  marked_++;
}

}  // namespace speckv
