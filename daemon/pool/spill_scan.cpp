// SPDX-License-Identifier: Apache-2.0
// spill_scan.cpp - what an earlier daemon left: the first pages of all units are read, some at a
// time, while the namespace is served. The map fills as they come.
//
// Units are looked at in their order, so that what lies inside of a parcel is not taken for another
// one. Of two versions of a block the one of the later parcel counts; the pool's counts before
// both. Nothing is written, and no removal is answered, before all has been seen.
#include <algorithm>

#include "pool/spill_store.hpp"

namespace speckv {

namespace {
constexpr uint32_t tries_max = 3;  // of a unit whose pages cannot be read
}

// Where the next parcels are likely to begin is read ahead, if they are like the last one.
void SpillStore::scan_some() {
  scan_entries_ = 0;
  for (uint64_t before = UINT64_MAX; scanning_ && before != scan_at_;) {
    before = scan_at_;
    const uint64_t end = std::min<uint64_t>(options_.units, scan_at_ + spill_scan_window);
    for (uint64_t unit = std::max(scan_at_, scan_skip_to_); unit < end; unit += scan_units_)
      if (!ask_scan(unit)) break;
    scan_in_order();
  }
}

// Returns: false, no more can be asked for now.
bool SpillStore::ask_scan(uint64_t unit) {
  ScanSlot& slot = scan_[unit % spill_scan_window];
  if (slot.unit == unit && slot.asked) return true;
  if (slot.unit != unit && slot.asked) return false;  // of a unit that is left behind soon
  if (!transfers_.may_read()) return false;
  const uint32_t bytes = slot.unit == unit ? slot.bytes : scan_bytes_;
  const uint32_t run = transfers_.take_run(bytes);
  if (run == none) return false;
  SpillTransfer wanted;
  wanted.what = SpillWhat::scan;
  wanted.owner = uint32_t(unit % spill_scan_window);
  wanted.run = run;
  wanted.memory = transfers_.memory(run);
  wanted.offset = offset_of(unit);
  wanted.bytes = bytes;
  if (transfers_.start(wanted) == none) {
    transfers_.release_run(run);
    return false;
  }
  const uint32_t tries = slot.unit == unit ? slot.tries : 0;
  slot = {unit, bytes, run, tries, 0, true, false};
  return true;
}

void SpillStore::scan_ended(const SpillTransfer& ended) {
  ScanSlot& slot = scan_[ended.owner];
  slot.ended = true;
  slot.error = ended.error;
}

void SpillStore::scan_in_order() {
  scan_paused_ = false;
  while (scan_at_ < options_.units) {
    ScanSlot& slot = scan_[scan_at_ % spill_scan_window];
    const bool asked = slot.unit == scan_at_ && slot.asked;
    if (!asked && scan_at_ >= scan_skip_to_) return;
    if (asked && !slot.ended) return;
    if (asked && scan_entries_ >= spill_scan_entries) {
      scan_paused_ = true;
      return;
    }
    if (asked && !scan_unit(slot)) {  // read again, more of it or once more
      transfers_.release_run(slot.run);
      slot.asked = slot.ended = false;
      return;
    }
    if (asked) {
      transfers_.release_run(slot.run);
      slot = ScanSlot{};
    }
    scan_at_++;
    counters_.scanned_units.fetch_add(1, std::memory_order_relaxed);
  }
  end_scan();
}

// Returns: false, it is to be read again.
bool SpillStore::scan_unit(ScanSlot& slot) {
  const auto unit = uint32_t(slot.unit);
  if (slot.unit < scan_skip_to_) return true;  // inside of a parcel
  if (slot.error) {
    if (++slot.tries < tries_max) return false;
    counters_.scan_damaged.fetch_add(1, std::memory_order_relaxed);
    stray(unit, true);  // whatever stands there must not be believed later
    return true;
  }
  const std::span<const std::byte> bytes(transfers_.memory(slot.run), slot.bytes);
  spill::Page page;
  if (!spill::read_page(bytes, options_.store_id, unit, options_.units, &page) ||
      page.head.page != 0 || page.head.sequence == 0) {
    const auto& head = *reinterpret_cast<const spill::PageHead*>(bytes.data());
    if (head.magic != spill::page_magic || head.store_id != options_.store_id) return true;
    counters_.scan_damaged.fetch_add(1, std::memory_order_relaxed);  // torn
    stray(unit, true);
    return true;
  }
  const uint32_t pages_bytes = page.head.pages * spill::page_bytes;
  if (pages_bytes > slot.bytes) {
    slot.bytes = pages_bytes;
    return false;
  }
  units_[unit] = {page.head.sequence, SpillMap::none, page.head.units, false};
  scan_skip_to_ = slot.unit + page.head.units;
  scan_units_ = page.head.units;
  scan_bytes_ = std::max(pages_bytes, spill_scan_bytes);
  if (page.head.sequence > newest_) {
    newest_ = page.head.sequence;
    newest_end_ = scan_skip_to_;
  }
  const uint16_t pages = page.head.pages;
  for (uint16_t number = 0; number < pages; number++) {
    const bool whole = spill::read_page(bytes.subspan(number * spill::page_bytes),
                                        options_.store_id, unit, options_.units, &page) &&
                       page.head.page == number && page.head.sequence == units_[unit].sequence;
    if (!whole) counters_.scan_damaged.fetch_add(1, std::memory_order_relaxed);
    if (whole && !take_page(page, unit)) {
      drop_unit(unit);
      return true;
    }
  }
  return true;
}

// Returns: false when the map is full.
bool SpillStore::take_page(const spill::Page& page, uint32_t unit) {
  // A block costs a few misses of the cache, one after the other; a page's are waited for together.
  std::array<uint64_t, spill::entries_per_page> hashes;
  for (uint32_t i = 0; i < page.head.entries; i++) {
    hashes[i] = hash_key(page.entries[i].key);
    map_.expect(hashes[i]);
    if (witness_) witness_->expect(hashes[i]);
  }
  for (uint32_t i = 0; i < page.head.entries; i++) map_.expect_first(hashes[i]);
  for (uint32_t i = 0; i < page.head.entries; i++) map_.expect_second(hashes[i]);
  scan_entries_ += page.head.entries;
  for (uint32_t i = 0; i < page.head.entries; i++) {
    if (page.entries[i].flags & spill::entry_dead) continue;
    if (map_.full()) return false;
    take_entry(page.entries[i], hashes[i], unit,
               uint16_t(page.head.page * spill::entries_per_page + i));
  }
  return true;
}

// Requires: the map has room. A version that does not count is marked dead.
void SpillStore::take_entry(const spill::TableEntry& found, uint64_t hash, uint32_t unit,
                            uint16_t number) {
  const uint32_t other = map_.find(hash);
  bool stale = witness_ && witness_->is_stale(found.key, found.content);
  if (other != SpillMap::none) {
    const SpillMap::Entry& known = map_.at(other);
    const bool older = known.bytes64 == 0 || units_[known.unit].sequence > units_[unit].sequence;
    stale = stale || older;
    if (!stale) drop(hash);
  }
  // One that is stale has a number only until its page says that it is dead; its hash is nobody's.
  const uint64_t as = stale ? mix64(hash ^ (uint64_t(unit) << 20) ^ number ^ 0x57a1e) : hash;
  if (stale && map_.find(as) != SpillMap::none) return;
  const uint32_t fresh = map_.insert(as, &units_[unit].list);
  SpillMap::Entry& entry = map_.at(fresh);
  entry.content = found.content;
  entry.unit = unit;
  entry.at64 = found.at64;
  entry.bytes64 = found.bytes64;
  entry.number = number;
  if (stale) return kill(fresh);
  counters_.found.fetch_add(1, std::memory_order_relaxed);
  counters_.live_bytes.fetch_add(uint64_t(entry.bytes64) * spill::align_bytes,
                                 std::memory_order_relaxed);
}

// There is no room in the map for its blocks: it counts no more.
void SpillStore::drop_unit(uint32_t unit) {
  for (uint32_t at = units_[unit].list; at != SpillMap::none; at = map_.at(at).next)
    counters_.scan_dropped.fetch_add(1, std::memory_order_relaxed);
  const uint32_t units = units_[unit].units;
  reclaim(units_[unit]);
  units_[unit].units = units;
  stray(unit, true);
}

void SpillStore::end_scan() {
  while (barred_ != SpillMap::none) map_.erase(barred_, &barred_);
  sequence_ = newest_ + 1 + spill_sequences_skipped;
  head_ = newest_end_ < options_.units ? newest_end_ : 0;
  scanning_ = false;
  counters_.scanning.store(0, std::memory_order_relaxed);
}

}  // namespace speckv
