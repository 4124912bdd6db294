// SPDX-License-Identifier: Apache-2.0
// spill_parcels.cpp - blocks on their way down: a parcel is filled, takes its place in the ring,
// and is written: wipe, images, pages.
#include <algorithm>
#include <cstring>

#include "assert.hpp"
#include "pool/spill_store.hpp"

namespace speckv {

// ---- filled ------------------------------------------------------------------------------------

std::byte* SpillStore::room_for(uint64_t image_bytes, uint64_t now_ns) {
  if (!takes(image_bytes) || !accepts() || map_.full()) return nullptr;
  if (write_budget_.left(now_ns) < image_bytes) return nullptr;
  for (int look = 0; look < 2; look++) {
    if (filling_ == none && !open_parcel(image_bytes, now_ns)) return nullptr;
    Parcel& parcel = parcels_[filling_];
    const bool fits = parcel.used + image_bytes <= parcel.units_max * spill::unit_bytes;
    if (fits && parcel.entries < parcel.pages * spill::entries_per_page)
      return transfers_.memory(parcel.run) + parcel.used;
    close_parcel();
  }
  return nullptr;
}

// As many pages as blocks of this size need, and some more for smaller ones.
bool SpillStore::open_parcel(uint64_t image_bytes, uint64_t now_ns) {
  const auto free = std::find_if(parcels_.begin(), parcels_.end(), [](const Parcel& each) {
    return each.state == ParcelState::free;
  });
  if (free == parcels_.end()) return false;
  const uint64_t pages_bytes = spill::pages_max * spill::page_bytes;
  const uint64_t least = (image_bytes + pages_bytes + spill::unit_bytes - 1) / spill::unit_bytes;
  const uint64_t usual =
      std::min<uint64_t>({spill_parcel_units, std::max<uint64_t>(1, options_.units / 8),
                          std::max<uint64_t>(1, options_.buffer_bytes / 8 / spill::unit_bytes)});
  const uint64_t units = std::max(least, usual);
  const uint32_t run = transfers_.take_run(units * spill::unit_bytes);
  if (run == none) return false;
  Parcel& parcel = *free;
  parcel = Parcel{};
  parcel.state = ParcelState::filling;
  parcel.run = run;
  parcel.units_max = uint32_t(units);
  const uint64_t likely = units * spill::unit_bytes / image_bytes + 1;
  parcel.pages =
      uint32_t(std::clamp<uint64_t>(likely / spill::entries_per_page + 1, 1, spill::pages_max));
  parcel.used = uint64_t(parcel.pages) * spill::page_bytes;
  parcel.close_ns = now_ns + spill_fill_ns_max;
  std::memset(transfers_.memory(run), 0, parcel.used);
  filling_ = uint32_t(free - parcels_.begin());
  return true;
}

void SpillStore::add(const spill::TableEntry& block, uint64_t hash, bool copied) {
  SPECKV_ASSERT(filling_ != none && !has_hash(hash), "a block was spilled twice");
  Parcel& parcel = parcels_[filling_];
  const uint32_t number = map_.insert(hash, &parcel.list);
  SpillMap::Entry& entry = map_.at(number);
  entry.content = block.content;
  entry.unit = filling_;
  entry.at64 = uint32_t(parcel.used / spill::align_bytes);
  entry.bytes64 = block.bytes64;
  entry.number = uint16_t(parcel.entries);
  entry.writing = true;
  entry.copied = copied;
  parcel.from_pool = parcel.from_pool || !copied;
  write_budget_.take(uint64_t(block.bytes64) * spill::align_bytes);
  spill::Page& page = page_of(parcel, parcel.entries / spill::entries_per_page);
  spill::TableEntry& row = page.entries[parcel.entries % spill::entries_per_page];
  row = block;
  row.at64 = entry.at64;
  page.head.entries++;
  parcel.entries++;
  parcel.used += uint64_t(block.bytes64) * spill::align_bytes;
}

spill::Page& SpillStore::page_of(Parcel& parcel, uint32_t page) {
  return reinterpret_cast<spill::Page*>(transfers_.memory(parcel.run))[page];
}

SpillStore::Parcel* SpillStore::parcel_of(const SpillMap::Entry& entry) {
  return entry.writing && entry.bytes64 ? &parcels_[entry.unit] : nullptr;
}

void SpillStore::want_written(uint64_t hash) {
  const uint32_t at = map_.find(hash);
  if (filling_ == none || at == SpillMap::none || parcel_of(map_.at(at)) != &parcels_[filling_])
    return;
  uint64_t& close_ns = parcels_[filling_].close_ns;
  close_ns = std::min(close_ns, turned_ns_ + spill_fill_ns_wanted);
}

// Its place is found when those before it have theirs.
void SpillStore::close_parcel() {
  Parcel& parcel = parcels_[filling_];
  filling_ = none;
  parcel.units = uint32_t((parcel.used + spill::unit_bytes - 1) / spill::unit_bytes);
  parcel.sequence = sequence_++;
  parcel.state = ParcelState::placing;
}

// ---- written -----------------------------------------------------------------------------------

// One step more, if what it waits for has come.
void SpillStore::advance(uint32_t number) {
  Parcel& parcel = parcels_[number];
  if (parcel.state == ParcelState::placing) {
    if (!transfers_.may_write() || !place(parcel)) return;
    parcel.state = ParcelState::wiping;
  }
  if (parcel.state == ParcelState::wiping) wipe_next(number);
}

// The next units of the ring, unless somebody writes there, or an older one has no place yet.
bool SpillStore::place(Parcel& parcel) {
  for (const Parcel& other : parcels_)
    if (other.state == ParcelState::placing && other.sequence < parcel.sequence) return false;
  const uint64_t begin = head_ + parcel.units > options_.units ? 0 : head_;
  for (const Parcel& other : parcels_)
    if (other.state > ParcelState::placing && begin < other.unit + other.units &&
        other.unit < begin + parcel.units)
      return false;
  parcel.unit = parcel.wipe_at = uint32_t(begin);
  head_ = begin + parcel.units;
  if (parcel.from_pool)
    clean_credit_ = std::min<uint64_t>(clean_credit_ + 2 * parcel.units, 2 * clean_ahead());
  for (uint64_t back = 1; back <= std::min<uint64_t>(begin, units_before_max_); back++) {
    const Unit& before = units_[begin - back];
    if (is_to_wipe(before) && before.units > back) parcel.wipe_at = uint32_t(begin - back);
  }
  return true;
}

// Pages that stand in its place are wiped before anything else is written there; then nothing of
// them is believed any more, and their blocks are forgotten.
void SpillStore::wipe_next(uint32_t number) {
  Parcel& parcel = parcels_[number];
  if (!transfers_.may_write()) return;
  for (; parcel.wipe_at < parcel.unit + parcel.units; parcel.wipe_at++) {
    Unit& unit = units_[parcel.wipe_at];
    if (!is_to_wipe(unit)) continue;
    if (parcel.wipe_at < parcel.unit && parcel.wipe_at + unit.units <= parcel.unit) continue;
    if ((marking_ || wiping_stray_) && page_unit_ == parcel.wipe_at) return;
    SpillTransfer wanted;
    wanted.what = SpillWhat::wipe;
    wanted.owner = number;
    wanted.run = small_run_;
    wanted.memory = transfers_.memory(small_run_);
    wanted.offset = offset_of(parcel.wipe_at);
    wanted.bytes = spill::page_bytes;
    wanted.write = true;
    if (transfers_.start(wanted) == none) return;
    unit.to_wipe = true;
    parcel.state = ParcelState::images;  // until parcel_ended(); it is asked for once
    return;
  }
  write_images(number);
}

// Its blocks are on the medium no more.
void SpillStore::reclaim(Unit& unit) {
  if (unit.any_keys) strays_wiped_ = written_;
  while (unit.list != SpillMap::none) {
    const uint32_t number = unit.list;
    SpillMap::Entry& entry = map_.at(number);
    if (entry.dead) {  // nothing is left that its page could say
      map_.leave_list(number, &unit.list);
      entry.unit = none;
      continue;
    }
    if (entry.lost) {
      strays_wiped_ = written_;
      map_.free_hidden(number, &unit.list);
      continue;
    }
    counters_.reclaimed.fetch_add(1, std::memory_order_relaxed);
    counters_.live_bytes.fetch_sub(uint64_t(entry.bytes64) * spill::align_bytes,
                                   std::memory_order_relaxed);
    map_.erase(number, &unit.list);
  }
  unit = Unit{};
}

void SpillStore::write_images(uint32_t number) {
  Parcel& parcel = parcels_[number];
  const uint64_t pages_bytes = uint64_t(parcel.pages) * spill::page_bytes;
  const uint64_t end = shm::round_up(parcel.used, spill::page_bytes);
  std::byte* memory = transfers_.memory(parcel.run);
  std::memset(memory + parcel.used, 0, end - parcel.used);
  SpillTransfer wanted;
  wanted.what = SpillWhat::images;
  wanted.owner = number;
  wanted.run = parcel.run;
  wanted.memory = memory + pages_bytes;
  wanted.offset = offset_of(parcel.unit) + pages_bytes;
  wanted.bytes = uint32_t(end - pages_bytes);
  wanted.write = true;
  if (transfers_.start(wanted) != none) parcel.state = ParcelState::images;  // else: again
}

void SpillStore::finish_pages(Parcel& parcel) {
  for (uint32_t number = 0; number < parcel.pages; number++) {
    spill::Page& page = page_of(parcel, number);
    page.head.magic = spill::page_magic;
    page.head.store_id = options_.store_id;
    page.head.sequence = parcel.sequence;
    page.head.units = parcel.units;
    page.head.page = uint16_t(number);
    page.head.pages = uint16_t(parcel.pages);
    page.head.bytes64 = uint32_t(parcel.used / spill::align_bytes);
    page.head.check = spill::page_check(page);
  }
}

bool SpillStore::write_table(uint32_t number) {
  Parcel& parcel = parcels_[number];
  finish_pages(parcel);
  SpillTransfer wanted;
  wanted.what = SpillWhat::table;
  wanted.owner = number;
  wanted.run = parcel.run;
  wanted.memory = transfers_.memory(parcel.run);
  wanted.offset = offset_of(parcel.unit);
  wanted.bytes = parcel.pages * spill::page_bytes;
  wanted.write = true;
  if (transfers_.start(wanted) == none) return false;
  parcel.state = ParcelState::table;
  return true;
}

void SpillStore::parcel_ended(const SpillTransfer& ended) {
  if (ended.owner == none) return stray_ended(ended.error);
  Parcel& parcel = parcels_[ended.owner];
  if (ended.error) return fail_parcel(parcel);
  note_write(ended.what == SpillWhat::wipe);
  switch (ended.what) {
    case SpillWhat::wipe:
      reclaim(units_[parcel.wipe_at]);
      parcel.state = ParcelState::wiping;
      return;
    case SpillWhat::images:
      if (!write_table(ended.owner)) fail_parcel(parcel);
      return;
    default:
      return commit(parcel);
  }
}

// Now they count.
void SpillStore::commit(Parcel& parcel) {
  Unit& unit = units_[parcel.unit];
  unit.sequence = parcel.sequence;
  unit.units = parcel.units;
  uint64_t blocks = 0, bytes = 0, copied = 0, copied_bytes = 0;
  while (parcel.list != SpillMap::none) {
    const uint32_t number = parcel.list;
    SpillMap::Entry& entry = map_.at(number);
    map_.move(number, &parcel.list, &unit.list);
    entry.unit = parcel.unit;
    entry.writing = false;
    if (entry.dead) continue;  // since its page was written: it is marked there next
    (entry.copied ? copied : blocks)++;
    (entry.copied ? copied_bytes : bytes) += uint64_t(entry.bytes64) * spill::align_bytes;
    entry.copied = false;
  }
  clean_parcels_ &= ~(1u << number_of(parcel));
  counters_.copied.fetch_add(copied, std::memory_order_relaxed);
  counters_.copied_bytes.fetch_add(copied_bytes, std::memory_order_relaxed);
  counters_.demoted.fetch_add(blocks, std::memory_order_relaxed);
  counters_.demoted_bytes.fetch_add(bytes, std::memory_order_relaxed);
  counters_.live_bytes.fetch_add(bytes + copied_bytes, std::memory_order_relaxed);
  counters_.parcels.fetch_add(1, std::memory_order_relaxed);
  transfers_.release_run(parcel.run);
  parcel = Parcel{};
}

// Its blocks are where they were before: in the pool, or nowhere. What stands in its place may be
// anything: it is wiped before it is used again, and until then they are remembered, since they may
// be found there.
void SpillStore::fail_parcel(Parcel& parcel) {
  counters_.parcels_failed.fetch_add(1, std::memory_order_relaxed);
  const bool placed = parcel.state > ParcelState::placing;
  const uint32_t unit = parcel.unit, wipe_at = parcel.wipe_at, units = parcel.units;
  const bool begun = placed && wipe_at >= unit + units;  // what stood there before has been wiped
  while (parcel.list != SpillMap::none) {
    const uint32_t number = parcel.list;
    SpillMap::Entry& entry = map_.at(number);
    if (entry.copied && !entry.dead)  // where it was before it is found no more
      counters_.reclaimed.fetch_add(1, std::memory_order_relaxed);
    if (entry.dead) {
      map_.leave_list(number, &parcel.list);
      entry.unit = none;
    } else if (!begun) {
      map_.erase(number, &parcel.list);
      continue;
    } else {
      map_.lose(number);
      map_.move(number, &parcel.list, &units_[unit].list);
      entry.unit = unit;
    }
    entry.writing = false;
  }
  clean_parcels_ &= ~(1u << number_of(parcel));
  transfers_.release_run(parcel.run);
  parcel = Parcel{};
  if (!begun && placed && units_[wipe_at].to_wipe) stray(wipe_at, false);
  if (!begun) return;
  units_[unit].units = units;
  stray(unit, false);
}

}  // namespace speckv
