// SPDX-License-Identifier: Apache-2.0
// tiers.hpp - replays sessions through two tiers, pool and spill, with one link between them that
// is finite.
//
// What it is: a pool of `pool_blocks`, a spill of `spill_blocks` behind a link of `link_gb_s` that
//   moves one block at a time. An engine of `engine_slots` takes requests up in the order in which
//   they came (0: at once, nobody queues). A request's leading run is what lies in either tier when
//   it is taken up. Blocks of it that are not in the pool are fetched, in order, before anything
//   speculative; the time until the last is there is the request's *stall*, and its slot idles so
//   long. Then the rest is put, the engine takes the request's api time, and the session's later
//   requests come by as much later as this one queued and stalled.
//   What the pool evicts goes to the spill (a copy that is there already is not written again);
//   what is fetched stays in the spill too. Writes are counted and do not take the link's time.
// Who prefetches: a Prefetcher. It sees what the daemon would see (requests, evictions) and is
//   asked for one block whenever the link has nothing that is waited for.
// Who calls it: suite_speculate.cpp, tests/unit/predict.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "predict/policy.hpp"
#include "sessions.hpp"

namespace speckv::bench {

struct TierConfig {
  std::string pool_policy = "continuation", spill_policy = "lru";
  // Where set, instead of pool_policy: a policy of the bench's own (evict_arms.hpp).
  std::function<std::unique_ptr<predict::EvictionPolicy>(uint32_t capacity)> make_pool_policy;
  uint32_t pool_blocks = 0, spill_blocks = 0;
  uint64_t block_bytes = 0;
  double link_gb_s = 7;
  uint32_t engine_slots = 0;  // requests that are served at once; 0: any number
  double told_s = 0;          // clients say so long before that a session will be back; 0: never
};

// What of a block a prefetcher may ask.
struct TierView {
  std::span<const uint32_t> pool_slot;   // by id; kNoBlock: not there
  std::span<const uint32_t> spill_slot;  // by id; kNoBlock: not there
};

// A block's key as the policies of this replay see it.
uint64_t key_hash_of(uint32_t id);

class Prefetcher {
 public:
  virtual ~Prefetcher() = default;
  // A request arrived (its whole chain is known then). When it is taken up, what leads is fetched
  // without being asked.
  virtual void on_request(std::span<const uint32_t> chain, uint64_t now_ns) = 0;
  // A block was put after its parent (kNoBlock: it is a first one).
  virtual void on_put(uint32_t /*id*/, uint32_t /*parent*/, uint64_t /*now_ns*/) {}
  // It lies in the spill only; it is in the pool (again).
  virtual void on_away(uint32_t /*id*/) {}
  virtual void on_near(uint32_t /*id*/) {}
  // A block that was fetched for this prefetcher was read, or left the pool unread.
  virtual void on_used(uint32_t /*id*/, uint64_t /*now_ns*/) {}
  virtual void on_wasted(uint32_t /*id*/, uint64_t /*now_ns*/) {}
  // It is in neither tier any more.
  virtual void on_gone(uint32_t /*id*/, uint64_t /*now_ns*/) {}
  // A session will ask for this block and all before it at returns_ns: its client says so
  // TierConfig.told_s before.
  virtual void on_told(uint32_t /*id*/, uint64_t /*returns_ns*/, uint64_t /*now_ns*/) {}
  // Returns: the next block to fetch, kNoBlock for none. What is not in the spill is skipped.
  virtual uint32_t next(uint64_t now_ns, const TierView& view) = 0;
  // What next() gave last was not fetched: nothing in the pool gives way to it.
  virtual void on_refused(uint32_t /*id*/) {}
  // Of what next() gave last: until it is read, as it is thought. Whether it may go before anything
  // (those who know the future), or only before what gives_way() to it (predict/admission.hpp).
  virtual uint64_t waits_ns(uint64_t /*now_ns*/) const { return 0; }
  virtual bool goes_before_all() const { return true; }
  // Returns: when next() may have something though nothing happens until then; UINT64_MAX: never.
  virtual uint64_t due_ns(uint64_t now_ns) = 0;
};

struct TierResult {
  uint64_t requests = 0, stalled = 0;
  double stall_s = 0, stall_p99_s = 0, queue_s = 0;
  uint64_t asked = 0, pool_hits = 0, spill_hits = 0;  // blocks; hits lead
  uint64_t demanded = 0;                              // blocks fetched since a request waited
  // for the prefetcher; late ones are useful too
  uint64_t fetched = 0, useful = 0, late = 0, wasted = 0, refused = 0;
  uint64_t spilled = 0, dropped = 0;
  double end_s = 0;        // when the last request was answered
  double slot_busy_s = 0;  // of all engine slots, stalls included

  double stall_ms_mean() const { return requests ? 1e3 * stall_s / double(requests) : 0; }
  double useful_share() const { return fetched ? double(useful) / double(fetched) : 1; }
  double hit_percent() const {
    return asked ? 100.0 * double(pool_hits + spill_hits) / double(asked) : 0;
  }
};

// prefetcher may be null.
TierResult replay_tiers(const SessionTrace& trace, const TierConfig& config,
                        Prefetcher* prefetcher);

}  // namespace speckv::bench
