// SPDX-License-Identifier: Apache-2.0
// speculator.hpp - which stored blocks to bring up before they are asked for, and in what order.
//
// What it is: bookkeeping on the trie of stored chains. Four sources, the surest first:
//   chain    a request was announced with its keys: what of it lies below, in leading order. Exact.
//   hint     a client said when its session will speak again: that session's chain, just in time.
//   child    blocks are read one by one, unannounced: the most recent child of what was just read,
//            as far ahead as its measured precision carries.
//   session  a session went silent: the chain it will ask for when it speaks again, once the chance
//            that this is soon (return_hazard.hpp, learnt per kind of session) is worth the fetch.
// Admission: a token bucket of the tier's bandwidth for the three that guess; a guess must be
//   likelier right than wrong; no more wait unread than the pool has room for; a source of which
//   less than half was read is turned off for a while (source_gate.hpp), and state() says so.
//   What may go for a guess: admission.hpp.
// Who calls it: the data thread that owns the shard, and the replay of tests/bench: the same code.
// Threading: one object, one thread. No I/O, no clock (time is handed in), no locks, no allocation
//   after construction: at most kBytesPerBlockMax a block, bytes() says how many.
// What it never does: move a block, forget one by itself, or propose one that is up already.
//
// A key here is 64 bits of the block's key, well mixed. The caller's side:
//   announced:   on_request(keys, now)       a session asks for this chain, or soon will; or, key
//                                            by key: on_announced(key)
//   put:         on_insert(key, parent, now)
//   get:         on_hit(key, now)            in order; lossy and late is fine
//   told:        on_hint(key, returns_ns, now)
//   tiers:       on_away(key): demoted, only below now; on_near(key): it is up; on_gone(key, now)
//   a fetched block was read for the first time, or left unread: on_used(key), on_wasted(key)
//   room on the link: propose(now, budget, ...), then on_started() or on_refused()
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "predict/chain_nodes.hpp"
#include "predict/due_heap.hpp"
#include "predict/return_hazard.hpp"
#include "predict/source.hpp"
#include "predict/source_gate.hpp"

namespace speckv::predict {

inline constexpr std::array<bool, kSources> kAllSources = {true, true, true, true};
struct Proposal {
  uint64_t key = 0;
  Source source = Source::chain;
  float p_use = 1;           // the chance that it is read before it has to go
  uint64_t expected_ns = 0;  // when
  uint64_t saved_ns = 0;     // p_use times what its reader would have waited for it
};

struct SpeculatorOptions {
  uint32_t blocks_max = 0;                 // that are stored, in all tiers
  uint64_t block_bytes = 1;                // of a typical block, until on_started() knows better
  uint64_t tier_bytes_per_s = 1;           // what can be brought up
  double guess_share = 0.5;                // of which guesses may take so much
  double p_use_min = 0.5;                  // a guess below it is not made
  uint64_t horizon_ns = 600'000'000'000;   // for so long a fetched block may wait for its reader
  uint64_t unread_bytes_max = UINT64_MAX;  // that may wait for their readers at once
  std::array<bool, kSources> on = kAllSources;
};

// What watch/ shows of a source.
struct SourceState {
  uint64_t fetched = 0, useful = 0, wasted = 0;
  uint32_t times_off = 0;
  bool off = false;
  uint32_t off_useful = 0, off_seen = 0;  // of the outcomes that turned it off last
};

class Speculator {
 public:
  static constexpr uint64_t kBytesPerBlockMax = 200;

  explicit Speculator(const SpeculatorOptions& options);

  void on_request(std::span<const uint64_t> chain, uint64_t now_ns);
  // parent: 0 for none or unknown.
  void on_insert(uint64_t key, uint64_t parent, uint64_t now_ns);
  void on_hit(uint64_t key, uint64_t now_ns);
  void on_announced(uint64_t key);
  // A session speaks again at returns_ns, it is said, and asks for this key and those before it.
  // Of keys that many sessions begin with it does not count.
  void on_hint(uint64_t key, uint64_t returns_ns, uint64_t now_ns);
  void on_away(uint64_t key);
  void on_near(uint64_t key);
  void on_gone(uint64_t key, uint64_t now_ns);
  void on_used(uint64_t key, uint64_t now_ns);
  void on_wasted(uint64_t key, uint64_t now_ns);

  // Fills ret_proposals with what to bring up now, best first, of at most budget_bytes. What was
  // proposed is not proposed again before on_near() and on_away(), or on_refused(). announced_only:
  // somebody waits for the tier; guesses do not stand in the way.
  // Returns: how many.
  uint32_t propose(uint64_t now_ns, uint64_t budget_bytes, std::span<Proposal> ret_proposals,
                   bool announced_only = false);
  // It is being fetched, and so large.
  void on_started(Source source, uint64_t bytes);
  // It was not fetched after all.
  void on_refused(uint64_t key);
  // The next of the blocks that lie below, as it is thought: true, and its key, if the one that was
  // looked at does. Whoever calls this a few times an event, and on_gone() for what is not there
  // any more, need not tell of what the tier below drops.
  bool look_next(uint64_t* ret_key);
  // Returns: when propose() may have more though nothing happens until then; UINT64_MAX: never.
  uint64_t due_ns(uint64_t now_ns) const;

  bool knows(uint64_t key) const { return nodes_.find(key) != kNoNode; }
  SourceState state(Source source, uint64_t now_ns) const;
  uint64_t bytes() const;

 private:
  static constexpr uint32_t kNoSession = UINT32_MAX;
  static constexpr uint32_t kBins = ReturnHazard::kBins;
  struct Session {
    uint64_t used_ns = 0;
    uint32_t tip = kNoNode, tip_tag = 0;
    uint32_t colder = kNoSession, hotter = kNoSession;  // on its bin's list
    uint32_t told = kNoNode, told_tag = 0;  // the last block that it will ask for, it said
    uint32_t due_at = DueHeap::kNone;       // its place among those that said so
    uint8_t bin = 0, kind = 0;
    bool live = false;
    bool long_away = false;  // it came back after more than kLongNs once
  };
  struct List {
    uint32_t coldest = kNoSession, hottest = kNoSession;
  };
  struct Wanted {
    uint32_t node = kNoNode, tag = 0;
    float p_use = 1;
    uint32_t wait_ms = 0;  // until it is asked for
  };
  // A ring of what a source wants, in order. Full: what is oldest in it is forgotten.
  struct Queue {
    std::vector<Wanted> places;
    uint64_t first = 0, end = 0;
    bool empty() const { return first == end; }
    bool full() const { return end - first == places.size(); }
    void push(const Wanted& wanted) {
      if (full()) ++first;
      places[end++ % places.size()] = wanted;
    }
    const Wanted& front() const { return places[first % places.size()]; }
  };

  uint32_t session_of(uint32_t deepest, uint32_t chain_blocks) const;
  uint32_t new_session(uint64_t now_ns);
  void speaks(uint32_t session, uint64_t now_ns);
  void link(uint32_t session, uint32_t bin);
  void unlink(uint32_t session);
  void advance(uint64_t now_ns);
  void consider(uint32_t session);
  void look_at_due(uint64_t now_ns);
  uint64_t lead_for(uint32_t tip) const;
  void want_chain(Source source, uint32_t tip, float p_use, uint64_t wait_ns);
  bool is_stale(const Wanted& wanted) const;
  void follow(uint32_t node);
  bool is_full() const;
  void want(Source source, const Wanted& wanted);
  void want_children(uint32_t node);
  double block_ns() const {
    return 1e9 * double(options_.block_bytes) / double(options_.tier_bytes_per_s);
  }
  bool take(Source source, uint64_t now_ns, Proposal* ret_proposal);
  uint32_t tip_of(const Session& session) const;

  SpeculatorOptions options_;
  ChainNodes nodes_;
  std::vector<Session> sessions_;
  std::array<List, kBins + 1> lists_{};  // the last: sessions that nobody will ask for
  ReturnHazard hazard_;
  std::array<SourceGate, kSources> gates_{};
  std::array<Queue, kSources> queues_;
  double tokens_bytes_ = 0;  // for guesses
  uint64_t tokens_ns_ = 0;
  DueHeap due_;  // sessions, by when what they told of is to be fetched
  double child_right_ = 0, child_known_ = 0;  // how often the next block was the newest child
  struct Walk {                               // along newest children, from what was read last
    uint32_t from = kNoNode, at = kNoNode, depth = 0;
  };
  Walk walk_;
  uint32_t looked_at_ = 0;
};

}  // namespace speckv::predict
