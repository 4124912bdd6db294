// SPDX-License-Identifier: Apache-2.0
// spill_store.hpp - one shard's spill file: whole encoded blocks, appended in parcels, found again
// by their hash.
//
// Called by journey (demote, promote) on the shard's data thread only. Clients never see the file.
// All I/O goes through Io and is told of by turn(): nothing here waits, and nothing is allocated
// after construction. spill_parcels.cpp writes, spill_marks.cpp keeps removed blocks from coming
// back, spill_scan.cpp finds what an earlier daemon wrote, spill_clean.cpp copies what is still
// wanted of the parcels that make room next.
//
//   room_for, add ─▶ filling ─ close ─▶ wiping ─▶ images ─▶ table ─▶ on the medium
//
// The file is a ring of units: a parcel takes the place of the oldest ones. First their pages are
// wiped, so that nothing of them is believed any more; then the images are written; then the pages,
// which make them count. Until that has been done a block counts as not written.
//
// None of these writes waits to be durable: a kill loses none of them, and after a loss of power
// checksums say what is whole. spill_sync.cpp syncs at most spill_sync_ns_max later; a removal is
// settled when everything that could bring its block back has been.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "pool/byte_budget.hpp"
#include "pool/spill_format.hpp"
#include "pool/spill_map.hpp"
#include "pool/spill_transfers.hpp"

namespace speckv {

constexpr uint32_t spill_parcels_max = 8;   // under way at once
constexpr uint32_t spill_parcel_units = 4;  // of a parcel of small blocks: 8 MiB are one long write
constexpr uint32_t spill_reads_max = 32;    // blocks on their way up at once
// A parcel that is not full waits so long for more blocks, and so long once somebody waits for one
// that it has: it takes whole units of the ring, however little is in it.
constexpr uint64_t spill_fill_ns_max = 1'000'000'000, spill_fill_ns_wanted = 100'000'000;
constexpr uint64_t spill_stray_ns = 200'000'000;  // a page that could not be wiped is tried again
constexpr uint64_t spill_sync_ns_max = 1'000'000'000;  // so late a write is durable
// Sequences that a start leaves out: those of parcels that a loss of power took are never used
// again.
constexpr uint64_t spill_sequences_skipped = 1 << 20;
constexpr uint32_t spill_scan_window = 64;       // units among which pages are read ahead
constexpr uint32_t spill_scan_bytes = 16 << 10;  // of a unit, at first: most tables fit
constexpr uint32_t spill_scan_entries = 4096;    // of one turn: less than 1 ms
constexpr uint32_t spill_copies_max = 4;         // blocks that are read at once to be copied
constexpr uint32_t spill_clean_units_max = 64;   // so far ahead of the ring's head
constexpr uint32_t spill_clean_share = 2;        // of a parcel's bytes one of so many is copied

struct SpillOptions {
  int fd = -1;
  uint64_t base = 0;   // of this shard's superblock in it
  uint64_t units = 0;  // of parcels
  uint64_t store_id = 0;
  uint32_t entries_max = 0;
  uint64_t buffer_bytes = 0;
  uint64_t write_bytes_s = UINT64_MAX;
  bool scan = true;  // it may hold blocks of an earlier daemon
};

// Written by the data thread, read by anyone.
struct SpillCounters {
  std::atomic<uint64_t> entries{0}, live_bytes{0};       // on the medium
  std::atomic<uint64_t> demoted{0}, demoted_bytes{0};    // blocks that were written, images
  std::atomic<uint64_t> promoted{0}, promoted_bytes{0};  // blocks that came back
  std::atomic<uint64_t> promote_failed{0}, damaged{0};   // of those, whose bytes were not whole
  std::atomic<uint64_t> reclaimed{0}, removed{0};        // entries dropped for room; dead
  std::atomic<uint64_t> copied{0}, copied_bytes{0};      // moved on when their place was wanted
  std::atomic<uint64_t> parcels{0}, parcels_failed{0}, syncs{0};
  std::atomic<uint64_t> not_written{0};  // blocks that left the pool before they were written
  std::atomic<uint64_t> not_wanted{0};   // that the policy had dropped
  std::atomic<uint64_t> too_large{0};    // for the buffers, or the file
  std::atomic<uint64_t> scanning{0};     // 1: it is not known yet what all there is
  std::atomic<uint64_t> scanned_units{0}, scan_dropped{0}, scan_damaged{0}, found{0};
};

// What must be done before a removed block cannot come back: marks on pages, and writes that are
// durable.
struct SpillTicket {
  uint64_t marks = 0, writes = 0;
};

// Whom the scan asks about a block that it found.
class SpillWitness {
 public:
  virtual ~SpillWitness() = default;
  // Whether the pool has another version of it: that one is the newer.
  virtual bool is_stale(const Key& key, uint64_t content) = 0;
  virtual bool is_in_pool(const Key& key) = 0;
  // It will be asked about the key of this hash.
  virtual void expect(uint64_t hash) = 0;
  // The place of a block is wanted. live_bytes: of a tier of so many.
  virtual bool is_worth_copying(bool was_read, uint64_t live_bytes, uint64_t bytes) = 0;
};

// A block on its way up.
struct SpillRead {
  uint64_t hash = 0;
  uint64_t content = 0;
  int error = 0;                     // a negative errno: it could not be read
  std::span<const std::byte> image;  // until release_read()
  uint32_t run = 0;
  bool used = false, ended = false;
};

class SpillStore {
 public:
  static constexpr uint32_t none = UINT32_MAX;
  SpillStore(const SpillOptions& options, SpillWitness* witness);

  // Before anything else.
  void attach(Io& io);
  // Everything that is to be done now: what ended, what waits, what is overdue.
  void turn(uint64_t now_ns);
  // Returns: whether the operation was one of its own.
  bool completed(Operation* operation, uint64_t now_ns);
  bool quiet() const { return transfers_.quiet(); }
  // A turn is wanted at once: the last one did as much as one may.
  bool has_work() const { return scanning_ && scan_paused_; }

  // ---- down
  // Where an image of so many bytes can be made, for a moment; nullptr: not now, or never.
  std::byte* room_for(uint64_t image_bytes, uint64_t now_ns);
  // What was made there is a block. Requires: room_for() gave it, has_hash() says no.
  void add(const spill::TableEntry& block, uint64_t hash, bool copied = false);
  bool takes(uint64_t image_bytes) const { return image_bytes <= image_bytes_max_; }
  bool accepts() const { return !scanning() && transfers_.may_write(); }

  // ---- what there is
  bool has_hash(uint64_t hash) const { return map_.find(hash) != SpillMap::none; }
  // Returns: whether these bytes are on the medium. on_its_way: or in a parcel that is written.
  bool has(uint64_t hash, uint64_t content, bool or_on_its_way = false) const;
  // Returns: whether its parcel is being written still.
  bool is_on_its_way(uint64_t hash) const;
  // Returns: bytes of its image, 0: it is not there.
  uint64_t image_bytes(uint64_t hash) const;

  // ---- up
  // Returns: 0 and the number of a read; -ENOENT; -EAGAIN: not now; -EIO: the medium does not
  // answer.
  int read(uint64_t hash, uint32_t* ret_read);
  const SpillRead& read_of(uint32_t read) const { return reads_[read]; }
  // Whether what was read is still what the map means.
  bool is_current(const SpillRead& read) const;
  void release_read(uint32_t read);
  // What was read is no block: forget it.
  void drop_damaged(const SpillRead& read);

  // ---- gone
  // It must not come back: not now, and not after a restart. When that is so for good,
  // is_settled() says of this ticket. hurry(): somebody waits for it.
  SpillTicket drop(uint64_t hash);
  void hurry(const SpillTicket& ticket);  // asked again with is_settled()
  bool is_settled(const SpillTicket& ticket, uint64_t hash) const;
  bool can_read() const { return transfers_.may_read(); }
  bool can_mark() const { return transfers_.may_write(); }
  // While the scan runs: an older version of it that is still to be found does not count.
  void bar(uint64_t hash);
  bool scanning() const { return scanning_; }

  // A block on its way is nowhere else, or somebody waits until it is there.
  void want_written(uint64_t hash);

  const SpillCounters& counters() const { return counters_; }
  SpillCounters& counters() { return counters_; }
  const SpillIoCounters& io_counters() const { return transfers_.counters; }
  uint64_t units() const { return options_.units; }

 private:
  enum class ParcelState : uint8_t { free, filling, placing, wiping, images, table };
  struct Parcel {
    ParcelState state = ParcelState::free;
    uint32_t run = 0;
    uint32_t units_max = 0, pages = 0, entries = 0;
    bool from_pool = false;  // some of them
    uint64_t used = 0;       // bytes, pages included
    uint64_t close_ns = 0;  // at the latest
    uint32_t list = SpillMap::none;  // of its entries in the map
    uint32_t unit = 0, units = 0;    // its place
    uint32_t wipe_at = 0;            // from here on its place may have pages to wipe
    uint64_t sequence = 0;
  };
  struct Unit {
    uint64_t sequence = 0;           // of the parcel that begins here; 0: none does
    uint32_t list = SpillMap::none;  // of its entries
    uint32_t units = 0;
    bool to_wipe = false;   // pages may stand here that must not count
    bool any_keys = false;  // and of which blocks is not known
  };
  struct ScanSlot {
    uint64_t unit = none;
    uint32_t bytes = 0, run = 0, tries = 0;
    int error = 0;
    bool asked = false, ended = false;
  };

  // A block that is read to be copied.
  struct Copy {
    uint64_t hash = 0, content = 0;
    std::span<const std::byte> image;
    uint32_t run = 0;
    int error = 0;
    bool used = false, ended = false;
  };
  struct Wanted {
    uint64_t hash = 0, content = 0;
  };

  void dispatch(const SpillTransfer& ended, uint64_t now_ns);
  void pump(uint64_t now_ns);
  void probe(uint64_t now_ns);
  uint64_t offset_of(uint64_t unit) const { return options_.base + (1 + unit) * spill::unit_bytes; }
  // spill_parcels.cpp
  bool open_parcel(uint64_t image_bytes, uint64_t now_ns);
  void close_parcel();
  bool place(Parcel& parcel);
  void advance(uint32_t number);
  void wipe_next(uint32_t number);
  static bool is_to_wipe(const Unit& unit) { return unit.sequence || unit.to_wipe; }
  void reclaim(Unit& unit);
  void write_images(uint32_t number);
  bool write_table(uint32_t number);
  void commit(Parcel& parcel);
  void fail_parcel(Parcel& parcel);
  void parcel_ended(const SpillTransfer& ended);
  void finish_pages(Parcel& parcel);
  spill::Page& page_of(Parcel& parcel, uint32_t page);
  Parcel* parcel_of(const SpillMap::Entry& entry);
  // spill_clean.cpp
  void clean_some(uint64_t now_ns);
  uint64_t clean_ahead() const;
  bool choose_parcel();
  bool look_for_wanted(uint32_t unit);
  const SpillMap::Entry* still_there(const Wanted& wanted) const;
  void start_copies();
  void copy_ended(const SpillTransfer& ended);
  bool finish_copy(Copy& copy, uint64_t now_ns);
  void end_cleaning();
  uint32_t number_of(const Parcel& parcel) const { return uint32_t(&parcel - parcels_.data()); }
  // spill_marks.cpp
  void kill(uint32_t number);
  bool is_placed(uint64_t unit) const;
  void stray(uint32_t unit, bool any_keys);
  bool strays_hold(uint64_t hash) const;
  bool lost_in(uint32_t unit, uint64_t hash) const;
  void wipe_stray();
  void stray_ended(int error);
  void mark_next();
  void start_mark(SpillWhat what);
  void mark_ended(const SpillTransfer& ended);
  void mark_done();
  // spill_sync.cpp
  void note_write(bool wipe);
  void sync_when_due(uint64_t now_ns);
  void sync_ended(int error);
  // spill_scan.cpp
  void scan_some();
  void scan_ended(const SpillTransfer& ended);
  bool ask_scan(uint64_t unit);
  void scan_in_order();
  bool scan_unit(ScanSlot& slot);
  bool take_page(const spill::Page& page, uint32_t unit);
  void take_entry(const spill::TableEntry& found, uint64_t hash, uint32_t unit, uint16_t number);
  void drop_unit(uint32_t unit);
  void end_scan();

  const SpillOptions options_;
  SpillWitness* witness_;
  SpillTransfers transfers_;
  SpillMap map_;
  std::vector<Unit> units_;
  std::array<Parcel, spill_parcels_max> parcels_;
  uint32_t filling_ = none;
  std::array<SpillRead, spill_reads_max> reads_;
  uint64_t head_ = 0;      // unit where the next parcel goes
  uint64_t sequence_ = 1;  // of the next parcel
  uint64_t image_bytes_max_ = 0;
  uint64_t units_before_max_ = 0;  // of a parcel: so far back one may begin that reaches here
  uint32_t small_run_ = 0;         // of pages: zeros, one to probe with
  uint32_t mark_run_ = 0;
  // Dead entries whose pages do not say so yet, oldest first.
  uint32_t dead_first_ = SpillMap::none, dead_last_ = SpillMap::none;
  uint64_t killed_ = 0, marked_ = 0;
  uint32_t marks_in_page_ = 0;    // of the page that is being written
  std::vector<uint32_t> strays_;  // units whose pages must not count, and may
  bool marking_ = false, wiping_stray_ = false, probing_read_ = false, probing_write_ = false;
  // Writes that have ended, the last one of them that was a wipe; up to where all are durable; what
  // is so when the sync under way has ended; what a removal waits for.
  uint64_t written_ = 0, wiped_ = 0, synced_ = 0, syncing_to_ = 0, hurried_ = 0;
  uint64_t strays_wiped_ = 0;  // the last wipe of what a removal may wait for
  uint64_t marks_synced_ = 0, marks_syncing_to_ = 0, marks_hurried_ = 0;
  uint64_t unsynced_since_ns_ = 0, turned_ns_ = 0, stray_again_ns_ = 0;
  bool syncing_ = false;
  uint32_t page_unit_ = 0, page_number_ = 0;  // that is being marked or wiped
  bool scanning_ = false;
  uint64_t scan_at_ = 0, scan_skip_to_ = 0;
  uint32_t scan_units_ = 1, scan_bytes_ = spill_scan_bytes;  // of the last parcel: as of the next
  uint32_t scan_entries_ = 0;                                // taken in this turn
  bool scan_paused_ = false;
  uint64_t newest_ = 0, newest_end_ = 0;  // the latest parcel that was found
  std::array<ScanSlot, spill_scan_window> scan_;
  uint32_t barred_ = SpillMap::none;  // list of them
  ByteBudget write_budget_;
  uint32_t clean_unit_ = none;                    // whose parcel makes room next
  uint64_t clean_sequence_ = 0, cleaned_to_ = 0;  // its own; of the last one looked at
  uint64_t cleaned_head_ = UINT64_MAX;            // nothing is wanted ahead of it
  uint64_t clean_credit_ = 0;                     // units that may be looked at
  uint32_t clean_parcels_ = 0;                    // bits: those with copies that count not yet
  bool clean_copied_ = false;
  std::vector<Wanted> clean_wanted_;
  std::array<Copy, spill_copies_max> copies_;
  SpillCounters counters_;
};

}  // namespace speckv
