// SPDX-License-Identifier: Apache-2.0
// spill_store.cpp - see spill_store.hpp: turns, and blocks on their way up.
#include "pool/spill_store.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "assert.hpp"

namespace speckv {

SpillStore::SpillStore(const SpillOptions& options, SpillWitness* witness)
    : options_(options),
      witness_(witness),
      transfers_(options.fd, options.buffer_bytes),
      map_(options.entries_max),
      units_(options.units),
      // What an earlier daemon wrote may not be durable yet.
      written_(options.scan),
      wiped_(options.scan),
      scanning_(options.scan),
      write_budget_(options.write_bytes_s) {
  image_bytes_max_ =
      std::min<uint64_t>(transfers_.largest_run(), options.units / 4 * spill::unit_bytes);
  image_bytes_max_ -= std::min<uint64_t>(image_bytes_max_, spill::pages_max * spill::page_bytes);
  units_before_max_ =
      std::max<uint64_t>(image_bytes_max_ / spill::unit_bytes + 2, spill_parcel_units);
  strays_.reserve(options.units);
  clean_wanted_.reserve(spill::pages_max * spill::entries_per_page);
  small_run_ = transfers_.take_run(2 * spill::page_bytes);
  mark_run_ = transfers_.take_run(spill::page_bytes);
  SPECKV_ASSERT(small_run_ != none && mark_run_ != none, "a spill file has no buffers");
  counters_.scanning.store(scanning_, std::memory_order_relaxed);
}

void SpillStore::attach(Io& io) { transfers_.attach(io); }

void SpillStore::turn(uint64_t now_ns) {
  pump(now_ns);
  transfers_.turn(now_ns);
  counters_.entries.store(map_.size(), std::memory_order_relaxed);
}

bool SpillStore::completed(Operation* operation, uint64_t now_ns) {
  if (!transfers_.completed(operation, now_ns)) return false;
  turn(now_ns);
  return true;
}

void SpillStore::pump(uint64_t now_ns) {
  turned_ns_ = now_ns;
  for (uint32_t number; (number = transfers_.take_ended()) != none;)
    dispatch(transfers_.transfer(number), now_ns);
  probe(now_ns);
  if (scanning_) scan_some();
  mark_next();
  clean_some(now_ns);
  sync_when_due(now_ns);
  if (filling_ != none && now_ns >= parcels_[filling_].close_ns) close_parcel();
  // The one with the lowest sequence first: places are taken in the order of the ring.
  for (uint32_t i = 0; i < 2 * parcels_.size(); i++) advance(i % parcels_.size());
}

void SpillStore::dispatch(const SpillTransfer& ended, uint64_t) {
  switch (ended.what) {
    case SpillWhat::scan:
      return scan_ended(ended);
    case SpillWhat::wipe:
    case SpillWhat::images:
    case SpillWhat::table:
      return parcel_ended(ended);
    case SpillWhat::mark_read:
    case SpillWhat::mark_write:
      return mark_ended(ended);
    case SpillWhat::copy:
      return copy_ended(ended);
    case SpillWhat::sync:
      return sync_ended(ended.error);
    case SpillWhat::probe:
      (ended.write ? probing_write_ : probing_read_) = false;
      return;
    case SpillWhat::block: {
      SpillRead& read = reads_[ended.owner];
      read.error = ended.error;
      read.ended = true;
      return;
    }
    case SpillWhat::none:
      return;
  }
}

// A page behind the superblock is for nothing else.
void SpillStore::probe(uint64_t now_ns) {
  SpillTransfer wanted;
  wanted.what = SpillWhat::probe;
  wanted.run = small_run_;
  wanted.memory = transfers_.memory(small_run_) + spill::page_bytes;
  wanted.offset = options_.base + spill::page_bytes;
  wanted.bytes = spill::page_bytes;
  if (!probing_read_ && transfers_.reads().wants_probe(now_ns))
    if (!(probing_read_ = transfers_.start(wanted) != none))
      transfers_.reads().failed(false, now_ns);
  wanted.write = true;
  if (!probing_write_ && transfers_.stuck() == 0 && transfers_.writes().wants_probe(now_ns))
    if (!(probing_write_ = transfers_.start(wanted) != none))
      transfers_.writes().failed(false, now_ns);
}

// ---- what there is -----------------------------------------------------------------------------

bool SpillStore::has(uint64_t hash, uint64_t content, bool or_on_its_way) const {
  const uint32_t at = map_.find(hash);
  if (at == SpillMap::none) return false;
  const SpillMap::Entry& entry = map_.at(at);
  return entry.bytes64 && entry.content == content && (!entry.writing || or_on_its_way);
}

bool SpillStore::is_on_its_way(uint64_t hash) const {
  const uint32_t at = map_.find(hash);
  return at != SpillMap::none && map_.at(at).writing;
}

uint64_t SpillStore::image_bytes(uint64_t hash) const {
  const uint32_t at = map_.find(hash);
  return at == SpillMap::none ? 0 : uint64_t(map_.at(at).bytes64) * spill::align_bytes;
}

// ---- up ----------------------------------------------------------------------------------------

// A block of a parcel that is being written is in its buffer still.
int SpillStore::read(uint64_t hash, uint32_t* ret_read) {
  const uint32_t at = map_.find(hash);
  if (at == SpillMap::none || map_.at(at).bytes64 == 0) return -ENOENT;
  SpillMap::Entry& entry = map_.at(at);
  const auto free =
      std::find_if(reads_.begin(), reads_.end(), [](const SpillRead& each) { return !each.used; });
  if (free == reads_.end()) return -EAGAIN;
  const uint64_t image_bytes = uint64_t(entry.bytes64) * spill::align_bytes;
  SpillRead read{hash, entry.content, 0, {}, 0, true, false};
  if (Parcel* parcel = parcel_of(entry)) {
    transfers_.keep_run(parcel->run);
    read.run = parcel->run;
    read.image = {transfers_.memory(parcel->run) + uint64_t(entry.at64) * spill::align_bytes,
                  image_bytes};
    read.ended = true;
  } else {
    if (!transfers_.may_read()) return -EIO;
    const uint64_t from = offset_of(entry.unit) + uint64_t(entry.at64) * spill::align_bytes;
    const uint64_t begin = from / spill::page_bytes * spill::page_bytes;
    const uint64_t end = shm::round_up(from + image_bytes, spill::page_bytes);
    const uint32_t run = transfers_.take_run(end - begin);
    if (run == none) return -EAGAIN;
    SpillTransfer wanted;
    wanted.what = SpillWhat::block;
    wanted.owner = uint32_t(free - reads_.begin());
    wanted.run = run;
    wanted.memory = transfers_.memory(run);
    wanted.offset = begin;
    wanted.bytes = uint32_t(end - begin);
    if (transfers_.start(wanted) == none) {
      transfers_.release_run(run);
      return -EAGAIN;
    }
    read.run = run;
    read.image = {wanted.memory + (from - begin), image_bytes};
  }
  entry.used = true;
  *free = read;
  *ret_read = uint32_t(free - reads_.begin());
  return 0;
}

// Wherever they stand by now: the bytes themselves say what they are.
bool SpillStore::is_current(const SpillRead& read) const {
  return has(read.hash, read.content, true);
}

void SpillStore::release_read(uint32_t number) {
  SPECKV_ASSERT(reads_[number].used, "a read of the spill file was released twice");
  transfers_.release_run(reads_[number].run);
  reads_[number] = SpillRead{};
}

void SpillStore::drop_damaged(const SpillRead& read) {
  counters_.damaged.fetch_add(1, std::memory_order_relaxed);
  if (is_current(read)) static_cast<void>(drop(read.hash));
}

}  // namespace speckv
