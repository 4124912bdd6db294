// SPDX-License-Identifier: Apache-2.0
// shard.hpp - one data thread's part of one namespace: its slabs, its index, its blocks, its
// policy.
//
// Keys that come in are addresses (shm/key.hpp): whoever calls has masked them by the layout.
//
// The stations are methods, each in the file of its name: allocate.cpp, compress.cpp, write.cpp,
// evict.cpp; make_room.cpp decides what allocate evicts; hold.cpp keeps blocks from eviction;
// near.cpp decodes those that are read often into near memory, near_leave.cpp ends that;
// demote.cpp and promote.cpp move them to the tier below and back, spill.cpp keeps that true;
// speculate.cpp reads from there what nobody has asked for yet; restart.cpp rebuilds everything
// from the slots. under_way.cpp walks a block through them, one step a call: a put is taken up, its
// jobs are started one by one, and each that was completed moves it on, any number of turns later.
// Threading: one data thread; counters are read by others. Never: waits, does I/O, trusts a byte
// that a client can write (a submission is a copy, an arena is read once).
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/engine.hpp"
#include "journey/block_state.hpp"
#include "journey/hold_table.hpp"
#include "journey/near.hpp"
#include "journey/promote.hpp"
#include "journey/put.hpp"
#include "journey/speculation.hpp"
#include "layout.hpp"
#include "pool/index_writer.hpp"
#include "pool/slab_pool.hpp"
#include "pool/spill_store.hpp"
#include "predict/admission.hpp"
#include "predict/policy.hpp"
#include "predict/size_curve.hpp"
#include "shm/atomics.hpp"
#include "shm/session_format.hpp"

namespace speckv {

// Written by the data thread, read by anyone. Gauges and counters of one shard.
struct ShardCounters {
  std::atomic<uint64_t> puts{0}, puts_existed{0}, puts_failed{0}, put_raw_bytes{0},
      put_stored_bytes{0};
  std::atomic<uint64_t> segments_refused{0};  // stored raw since the codec refused a page
  std::atomic<uint64_t> segments_bounded{0};  // stored as q8 since a token would have lost too much
  std::atomic<uint64_t> holds_refused{0};     // by the limits of held blocks
  std::atomic<uint64_t> evicted{0}, removed{0}, guarded{0}, touches{0};
  std::atomic<uint64_t> lost{0};                                 // blocks whose memory went
  std::atomic<uint64_t> puts_under_way{0}, puts_quarantined{0};  // of which slots are not free yet
  // That a device may still write to: out of use until a restart.
  std::atomic<uint64_t> slots_given_up{0};
  std::atomic<uint64_t> puts_overdue{0};  // failed since the engine did not answer
  std::atomic<uint64_t> blocks{0}, raw_bytes{0}, stored_bytes{0}, held_blocks{0}, limbo_blocks{0};
  std::atomic<uint64_t> free_units{0}, restored{0}, not_restored{0};
  std::atomic<uint64_t> waste_ppm{0};  // of slabs: bytes that no slot can use
  // Keys that prefetches and loads asked for, by what became of them; over_limit: of the rejected
  // ones, those that the namespace's limits refused.
  std::atomic<uint64_t> fetch_keys{0}, fetch_ready{0}, fetch_missing{0}, fetch_clipped{0},
      fetch_rejected{0}, fetch_over_limit{0}, fetch_cancelled{0}, fetch_bytes{0};
  std::atomic<uint64_t> fetches_under_way{0};  // gauge
  GuessesCounters guesses;                     // by source, of what nobody asked for
  // Near memory: refused are blocks that were not read more than those that stand there, failed
  // those that were decoded in vain.
  std::atomic<uint64_t> near_blocks{0}, near_bytes{0}, near_limbo{0}, near_under_way{0};
  std::atomic<uint64_t> near_brought{0}, near_evicted{0}, near_refused{0}, near_failed{0},
      near_touches{0};
  std::atomic<uint64_t> retained_blocks{0}, retained_bytes{0}, retain_refused{0}, hints{0};
  // What pools of other sizes would have had: predict/size_curve.hpp. Of all keys, not of those
  // that are looked at.
  std::array<std::atomic<uint64_t>, predict::kSizeModels> size_uses{}, size_hits{};
  std::atomic<uint64_t> size_one_in{0};  // 0: nobody looks
};

struct ShardOptions {
  std::byte* pool = nullptr;   // the namespace's whole pool file
  std::byte* index = nullptr;  // and index file
  uint32_t shard = 0;
  uint64_t first_unit = 0, units = 0;
  uint32_t blocks_max = 0;
  std::string policy = "lru";
  uint32_t holds_max = 4096;      // held blocks of this shard
  HoldRoom* hold_room = nullptr;  // of its namespace; outlives the shard
  uint64_t hold_ns_max = 60'000'000'000;
  uint64_t retained_bytes_max = 0;  // of this shard, as stored
  uint32_t size_samples = 0;        // see predict/size_curve.hpp; 0: nobody looks
  Engine* engine = nullptr;
  // Called on the data thread, once for a layout: its reach() has enough, control may adopt().
  std::function<void()> on_measured;
  std::optional<NearOptions> near;    // memory above the pool
  std::optional<SpillOptions> spill;  // the tier below
  uint64_t demote_ahead_bytes = 0;    // of the coldest, so much stands there already
  uint64_t speculation_bytes_s = 0;   // guesses may read so much from there in a second; 0: none
};

// A removal waits so long for its mark on the medium; then it is -EIO: a restart may find the
// block.
constexpr uint64_t removal_ns_max = 5'000'000'000;
constexpr uint32_t removals_max = 64;  // that wait at once

// Who asks; never trusted further than this.
struct Asker {
  uint64_t session_id = 0;
  uint32_t uid = 0;
};

// Of one shard: 5 MiB of tables at most. Blocks are 64 KiB and more as stored, so these are 4 GiB.
constexpr uint32_t retained_blocks_max = 1u << 16;
// A day: what is wanted for longer is put again.
constexpr uint64_t retain_ns_max = 86'400'000'000'000;
// How often those whose time is over are looked for: nobody retains for less than seconds.
constexpr uint64_t retain_look_ns = 1'000'000'000;

class Shard : private SpillWitness {
 public:
  explicit Shard(const ShardOptions& options);
  ~Shard();

  // Rebuilds blocks, index and the policy's order from the slots of an earlier daemon. Returns:
  // blocks restored; counters().not_restored says how many whole ones had no room in the index.
  uint64_t restore(uint64_t now_ns);

  // A put begins. Requires: no put of this key is under way. Returns: 0, and ret_put is its record,
  // or none: it was there already; -EAGAIN: not now, when another put has ended; else its answer.
  int take_up(const PutAsked& asked, uint64_t now_ns, Put** ret_put);
  // Until then a put, a hold or a removal of this key waits.
  bool is_under_way(const Key& key) const;
  // Starts the next of its jobs, if it has_job_to_start(). Returns: false when the engine is full.
  bool has_job_to_start(const Put& put) const;
  bool start_next(Put& put, uint64_t now_ns);
  // The engine gave this job back. Returns: false when none of ours was in the engine: set aside.
  // ret_put: whose it was; nullptr: near memory's.
  bool completed(EncodeJob* job, uint64_t now_ns, Put** ret_put);
  // Nothing of it is in the engine any more, and nothing is left to start.
  bool is_over(const Put& put) const;
  // Publishes or undoes. Requires: is_over(). Returns: the put's answer. Then free_record().
  int finish(Put& put, uint64_t now_ns);
  void free_record(Put& put);
  // It will not be stored: what is in the engine and cannot be cancelled ends first.
  void fail(Put& put, int error);
  void count_overdue() { counters_.puts_overdue.fetch_add(1, std::memory_order_relaxed); }
  // Puts of which something is under way.
  std::span<Put* const> under_way() const { return under_way_; }

  // All of that at once, with an engine that completes in start(): benches and tests of the
  // stations. Returns: 0 or a negative errno; ret_existed: it was there already.
  int put(const shm::Submission& submission, const Layout& layout, const Widths& widths,
          std::span<const std::byte> arena, uint64_t now_ns, bool* ret_existed);
  // -EAGAIN: not yet; ask again.
  int remove(const Key& key, const Layout& layout);
  // A removal of it waits: what is put meanwhile would go with it.
  bool is_being_removed(const Key& key) const;
  void forget_removal(const Key& key);  // who asked for it is gone
  // A client has read it. Returns: whether it is read so often that bring_near() may pay.
  bool touch(uint32_t block, uint64_t now_ns);
  void touch_key(const Key& key, const Layout& layout, uint64_t now_ns);
  // What a client says of a block; of one that is not here nothing is remembered.
  void hint(const Key& key, const Layout& layout, uint8_t kind, uint64_t returns_ns);

  // Near memory (near.hpp). Once a turn, before anything is completed or brought.
  void near_turn(uint64_t now_ns);
  // Requires: the block is published.
  uint64_t fingerprint_of(uint32_t block) const { return blocks_[block].entry.fingerprint; }
  // Begins to decode a block for which touch() said so. owner: layout and widths, those that its
  // fingerprint stands for, stay as long as it lives. Returns: whether it began.
  bool bring_near(uint32_t block, const Layout& layout, const Widths& widths,
                  std::shared_ptr<void> owner, uint64_t now_ns);
  bool has_near_job() const;
  // Starts the next layer. Returns: its bytes; 0: the engine is full.
  uint64_t start_near_job();
  const Near* near() const { return near_.get(); }

  // Asks that a block can be read by deadline_ns (0: whenever), for at most bytes_max bytes from
  // below. Of what is on its way the end follows; asked again meanwhile, it is on its way still.
  FetchReply fetch(const Key& key, const Layout& layout, uint64_t deadline_ns, uint64_t bytes_max,
                   uint64_t now_ns);
  // Nobody wants it any more: if it waits, it is not begun. What is being read comes all the same.
  void cancel_fetch(const Key& key);
  // It will be asked for next: its client's ring says so.
  void announce(const Key& key);
  // It is not needed in the pool for now. Returns: 0, -ENOENT, -EBUSY; -EIO: it cannot be written
  // below now, or is too large for that; -EOPNOTSUPP: there is no tier below.
  int demote(const Key& key, const Layout& layout);
  // Moves the fetches that have ended since the last call to the end of *ret.
  void take_fetched(std::vector<FetchEnd>* ret) {
    ret->insert(ret->end(), fetched_.begin(), fetched_.end());
    fetched_.clear();
  }

  // The tier below does its I/O through this. Before the first turn.
  void attach(Io& io);
  // Lets the tier below go on, and demotes ahead. Returns: whether something that waited may go on.
  bool spill_turn(uint64_t now_ns);
  // Returns: whether it was an operation of the tier below.
  bool spill_completed(Operation* operation, uint64_t now_ns);
  bool spill_quiet() const;
  // Something is to be done at once, whatever the kernel does.
  bool spill_has_work() const { return spill_ && spill_->has_work(); }
  const SpillStore* spill() const { return spill_.get(); }

  // -EAGAIN: it is on its way from the tier below; ask again.
  int hold(const shm::Submission& submission, const Layout& layout, const Asker& asker,
           uint64_t now_ns);
  int unhold(uint64_t hold, const Asker& asker);
  int adopt(uint64_t hold, const Asker& asker);
  // Holds by bytes, for longer. Returns: 0, -ENOENT or -EDQUOT.
  int retain(const shm::Submission& submission, const Layout& layout, const Asker& asker,
             uint64_t now_ns);
  int retain_end(uint64_t number, const Asker& asker);
  void session_ended(uint64_t session_id);

  // The memory of [offset, offset + bytes) of the pool is gone: so are the blocks that lay there.
  void lose(uint64_t offset, uint64_t bytes);

  // Guards of the sessions that read this namespace; the data thread keeps the list.
  void set_guards(std::vector<const shm::GuardSlot*> guards) { guards_ = std::move(guards); }
  // Ends expired holds, frees limbo blocks whose guards are gone, publishes gauges.
  void tick(uint64_t now_ns);

  // Guard slots and their words read so far, for tests and benches that count instead of timing.
  uint64_t guards_read() const { return guards_read_; }
  const SlabPool& slabs() const { return slabs_; }

  const ShardCounters& counters() const { return counters_; }
  ShardCounters& counters() { return counters_; }

 private:
  // What a block wants before it can be placed.
  struct Wanted {
    std::span<const SlotNeed> slots;
    uint64_t now_ns = 0;
    bool block_number = false;
    bool index_place = false;
    uint64_t hash = 0;             // of its key, for the index
    uint32_t replaces = no_block;  // goes in any case
    bool guess = false;            // nobody has asked for it: only what gives way goes for it
    uint64_t guess_waits_ns = 0;   // until it is read, as it is thought
  };

  // allocate.cpp
  int allocate(Put& put);
  int allocate_again(Put& put, uint32_t layer, StoredAs as);
  void take_slot(Placing& placing, uint32_t at, uint32_t slot_bytes);
  uint32_t take_number();
  uint64_t next_gen();
  // make_room.cpp
  int make_room(const Wanted& wanted);
  bool plan_index_place(const Wanted& wanted);
  bool plan_victims(const Wanted& wanted);
  bool plan_limbo(const Wanted& wanted);
  bool plan_slabs(const Wanted& wanted);
  bool plan_is_enough(const Wanted& wanted) const;
  void evict_ahead(const Wanted& wanted);
  bool add_if_it_helps(const Wanted& wanted, uint32_t block);
  void carry_out_plan(const Wanted& wanted);
  // under_way.cpp
  static StoredFacts facts_of(const Put& put);
  static shm::RecordMeta meta_of(const StoredFacts& facts);
  SegmentJob* next_job(Put& put);
  void keep_ready(Put& put, SegmentJob& job);
  // compress.cpp
  void prepare(Put& put, SegmentJob& job);
  void prepare_side(Put& put, SegmentJob& job);
  bool is_to_be_done_again(Put& put, SegmentJob& job);
  void begin_again(Put& put, SegmentJob& job);
  bool encoded(Put& put, SegmentJob& job);
  int other_slot_for(Put& put, SegmentJob& job);
  void write_header(const Put& put, const SegmentJob& job);
  void measure(const Put& put);
  // write.cpp
  int place_in_index(const Put& put, uint64_t now_ns);
  void write(const Placing& placing, const StoredFacts& facts, uint64_t now_ns);
  void write_record(const Placing& placing, const StoredFacts& facts);
  void publish(const Placing& placing, const StoredFacts& facts, uint64_t now_ns);
  void undo(Put& put);
  struct Place {  // of a block in its sequence
    const Key& parent;
    uint64_t parent_hash = 0;
    uint32_t position = 0, block_tokens = 0;
  };
  predict::BlockFacts facts_of(uint32_t block, uint64_t hash, const Place& place, uint64_t now_ns);
  // evict.cpp
  void evict(std::span<const uint32_t> blocks, uint64_t now_ns);
  void evict_at_once(uint32_t block);
  void free_limbo(uint32_t block);
  void unpublish(uint32_t block);
  void free_block(uint32_t block);
  void look_at_guards(uint64_t now_ns);
  void drop_limbo(uint64_t now_ns);
  // Calls visit(offset) for each slot of a block, the record first. visit may release it.
  template <typename Visit>
  void for_each_slot(uint32_t block, Visit&& visit);
  // The same of its segments alone, in their order.
  template <typename Visit>
  void for_each_segment(uint32_t block, Visit&& visit);
  // near.cpp
  bool near_touched(uint32_t block, uint64_t now_ns);
  void take_near_slots(NearBring& bring, std::span<const SlotNeed> needs);
  bool is_unchanged(const NearBring& bring) const;
  static bool wants_near_job(const NearBring& bring);
  bool prepare_near(const NearBring& bring, NearJob& job);
  static bool fits_source(const NearBring& bring, const shm::SlotHeader& source, uint32_t layer);
  bool near_completed(EncodeJob* job);
  bool near_decoded(const NearBring& bring, const NearJob& job);
  void finish_near(NearBring& bring);
  void give_up_as_unfit(NearBring& bring);
  void give_up_near(NearBring& bring);
  void publish_near(NearBring& bring);
  void write_near_record(const NearBring& bring);
  // near_leave.cpp
  void leave_near(uint32_t copy);
  void retire_copy(uint32_t copy);
  void forget_near(uint32_t block);
  void free_copy(uint32_t copy);
  void free_near_limbo(uint64_t now_ns);
  void free_near_limbo_of(const Key& key);
  void mark_near(uint64_t ref, uint64_t gen);
  void mark_brought();
  bool near_room(std::span<const SlotNeed> needs, uint32_t hits, uint64_t now_ns);
  void clear_near_slabs(std::span<const SlotNeed> needs);
  void end_copy_at_once(uint32_t copy);
  // demote.cpp
  uint64_t content_of(uint32_t block);
  bool is_clean(uint32_t block);
  uint64_t room_bytes() const {
    return slabs_.usable_units() * shm::unit_bytes - slabs_.live_bytes();
  }
  bool wants_to_demote() const;
  void demote_ahead(uint64_t now_ns);
  bool demote(uint32_t number, uint64_t now_ns);
  void make_image(uint32_t number, uint32_t layers, uint64_t bytes, std::byte* image);
  predict::SpillFacts spill_facts(uint32_t block);
  // promote.cpp
  WaitingFetch* waiting_fetch(const Key& key);
  int start_fetch(const Key& key);
  bool start_waiting();
  Promote* promote_of(const Key& key);
  int start_promote(const Key& key, bool told);
  int hold_from_below(const Key& key, uint64_t now_ns);
  bool finish_promotes(uint64_t now_ns);
  Fetch finish_promote(const Promote& promote, const SpillRead& read, uint64_t now_ns);
  int place_promoted(const spill::Image& image, const Promote& promote, uint64_t now_ns);
  // speculate.cpp
  void used(uint32_t number, uint64_t now_ns);
  void put_again(uint32_t number, uint64_t now_ns);
  void note_published(uint32_t number, const Key& parent, uint64_t now_ns);
  void note_leaving(Block& block);
  void note_asked(const Key& key, Promote* guess, uint64_t now_ns);
  void speculate(uint64_t now_ns);
  uint64_t begin_guess(const predict::Proposal& proposal, uint64_t bytes_under_way,
                       uint64_t now_ns);
  bool has_room_for_guess(uint64_t bytes, uint64_t waits_ns, uint64_t now_ns);
  bool gives_way(uint32_t number, uint64_t waits_ns, uint64_t now_ns);
  static bool name_guess(Promote& promote, const SpillRead& read);
  void guess_ended(const Promote& promote, Fetch outcome, uint64_t now_ns);
  void show_guesses(uint64_t now_ns);
  // spill.cpp
  bool is_stale(const Key& key, uint64_t content) override;
  bool is_in_pool(const Key& key) override;
  void expect(uint64_t hash) override { index_.view().prefetch(hash); }
  bool is_worth_copying(bool was_read, uint64_t live_bytes, uint64_t bytes) override;
  void supersede(uint32_t block);
  void note_eviction(uint32_t block);
  int remove_from_pool(const Key& key, const Layout& layout);
  void forget_removals(uint64_t now_ns);
  // hold.cpp
  void let_go(uint32_t block);
  void set_pinned(uint32_t block, bool pinned);
  void expire_holds(uint64_t now_ns);
  // retain.cpp
  void let_go_retained(uint32_t block);
  void end_retains_of(uint64_t session_id);
  void expire_retains(uint64_t now_ns);
  // size.cpp
  void count_use(uint32_t block, uint64_t now_ns);
  void note_lineage(uint32_t block, const predict::BlockFacts& facts);
  void forget_use(const Key& key);
  void publish_sizes();
  // shard.cpp
  bool warm(uint32_t block, uint64_t now_ns);
  // lose.cpp
  void drop_holds_of(const std::vector<uint8_t>& leaving);
  void lose_under_way(uint64_t offset, uint64_t bytes);
  // restart.cpp
  struct alignas(64) Restored {  // a record, or the segment of a block that has none
    uint64_t offset = 0;
    uint32_t block = no_block;  // its number, once it has one
    uint32_t position = SPECKV_POSITION_UNKNOWN;
    uint64_t hash = 0;  // of its key
    Key parent{};
    uint32_t block_tokens = 0;
  };
  void take_all_back(std::vector<Restored>& found);
  void ask_for_rest(const Restored& found);
  void ask_for_buckets(const Restored& found);
  std::span<const shm::SegmentRef> refs_of(const Restored& found);
  bool is_whole(const Restored& found);
  void take_back(Restored* found);
  void publish_back(const Restored& found, uint64_t used_ns);
  bool number_for_restored(uint64_t now_ns);

  shm::SlotHeader* slot(uint64_t offset) {
    return reinterpret_cast<shm::SlotHeader*>(options_.pool + offset);
  }
  void add_gauges(const Block& block, int sign);

  ShardOptions options_;
  SlabPool slabs_;
  IndexWriter index_;
  std::unique_ptr<predict::EvictionPolicy> policy_;
  struct Lineage {  // of a block that is there
    uint64_t ancestor = 0;
    uint32_t position = predict::kPositionUnknown;
  };
  std::unique_ptr<predict::SizeCurve> curve_;
  std::vector<Lineage> lineages_;  // by block; empty where nobody looks
  std::vector<Block> blocks_;
  std::vector<uint32_t> free_blocks_;
  std::vector<uint8_t> pinned_;  // by block: it is held
  std::vector<Put> records_;
  std::vector<Put*> free_records_, under_way_;
  std::vector<EncodeJob*> reaped_;  // by put() alone
  std::vector<uint32_t> limbo_;
  struct Plan {
    std::vector<uint32_t> victims;             // in the order in which they go
    std::array<uint64_t, sizes_max> gained{};  // slots of each wanted size that they give back
    std::array<uint32_t, predict::kProposalsMax> coldest{};
    std::array<uint64_t, 64> near{};  // where the coldest blocks lie
    uint32_t near_count = 0;
    bool asked_policy = false;  // what is free was not enough
  };
  Plan plan_;
  HoldTable holds_, retains_;
  uint64_t retained_bytes_ = 0, retains_looked_ns_ = 0;
  struct Removal {
    Key key;
    SpillTicket ticket;
    uint64_t until_ns = 0;
    int result = 0;
    bool used = false, waits_for_scan = false;
  };
  std::unique_ptr<SpillStore> spill_;
  std::unique_ptr<predict::Speculator> speculator_;  // of what lies below; none: nobody guesses
  std::array<Promote, spill_reads_max> promotes_;
  std::vector<WaitingFetch> waiting_;  // oldest first
  std::array<FailedPromote, 64> failed_promotes_;
  uint32_t next_failed_ = 0;
  Placing promoted_;  // the one that is filled now
  std::array<Removal, removals_max> removals_;
  uint64_t spill_now_ns_ = 0, demoted_ns_ = 0, parcels_seen_ = 0;
  // Of no slot in use, when a put last had to have a block evicted: no_eviction: never yet.
  static constexpr uint64_t no_eviction = UINT64_MAX;
  uint64_t useless_bytes_ = no_eviction;
  std::unique_ptr<Near> near_;     // nullptr: there is none
  std::vector<FetchEnd> fetched_;  // whose ends nobody has taken yet
  std::vector<const shm::GuardSlot*> guards_;
  uint64_t guards_read_ = 0;
  uint32_t look_ = 0;  // counts the looks at the guards: Block::named
  uint64_t gen_ = 0, gen_end_ = 0;
  ShardCounters counters_;
};

// Whether an empty shard of so many units has room for one block of this layout as its preset
// stores it. When not, every put of it is -ENOSPC.
bool fits_shard(const Layout& layout, uint64_t shard_units);

// The record first: while it is complete, so are its segments (docs/protocol.md §3). Its memory may
// have been lost a moment ago, so what it says is believed only where the slab tables agree; else
// they are searched.
template <typename Visit>
void Shard::for_each_slot(uint32_t block, Visit&& visit) {
  const shm::Entry& entry = blocks_[block].entry;
  std::array<uint64_t, SPECKV_LAYERS_MAX> offsets;
  const uint32_t segments = entry.flags & shm::entry_record ? entry.layers : 0;
  const auto* meta = reinterpret_cast<const shm::RecordMeta*>(slot(entry.ref) + 1);
  const auto* refs = reinterpret_cast<const shm::SegmentRef*>(meta + 1);
  for (uint32_t layer = 0; layer < segments; layer++) {
    offsets[layer] = shm::load_relaxed(refs[layer].offset);
    if (slabs_.owner_of(offsets[layer]) != block) return slabs_.for_each_slot_of(block, visit);
  }
  visit(entry.ref);
  for (uint32_t layer = 0; layer < segments; layer++) visit(offsets[layer]);
}

template <typename Visit>
void Shard::for_each_segment(uint32_t block, Visit&& visit) {
  const uint64_t record =
      blocks_[block].entry.flags & shm::entry_record ? blocks_[block].entry.ref : 0;
  for_each_slot(block, [&](uint64_t offset) {
    if (offset != record) visit(offset);
  });
}

}  // namespace speckv
