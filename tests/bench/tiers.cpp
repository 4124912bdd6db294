// SPDX-License-Identifier: Apache-2.0
// tiers.cpp - the replay through pool and spill. See tiers.hpp.
#include "tiers.hpp"

#include "predict/admission.hpp"

#include <algorithm>
#include <deque>
#include <queue>
#include <tuple>
#include <vector>

namespace speckv::bench {
namespace {

using predict::kNoBlock;

// One tier: who lies in it, and the policy that says who leaves.
struct Tier {
  Tier(std::unique_ptr<predict::EvictionPolicy> made, uint32_t capacity, uint32_t distinct)
      : policy(std::move(made)),
        slot_of(distinct, kNoBlock),
        id_of(capacity, kNoBlock),
        pinned(capacity, 0) {
    for (uint32_t slot = capacity; slot > 0; --slot) free_slots.push_back(slot - 1);
  }
  bool has(uint32_t id) const { return slot_of[id] != kNoBlock; }
  void hit(uint32_t id, uint64_t now_ns) { policy->on_hit(slot_of[id], now_ns); }

  // Returns: who must leave first, kNoBlock when nobody needs to; false when nobody can.
  bool victim(uint64_t now_ns, uint32_t* ret_id) {
    *ret_id = kNoBlock;
    if (!free_slots.empty()) return true;
    uint32_t slot = kNoBlock;
    if (!policy || !policy->victim(now_ns, pinned, &slot)) return false;
    *ret_id = id_of[slot];
    return true;
  }
  void remove(uint32_t id) {
    const uint32_t slot = slot_of[id];
    policy->on_remove(slot);
    slot_of[id] = kNoBlock;
    id_of[slot] = kNoBlock;
    free_slots.push_back(slot);
  }
  void insert(uint32_t id, uint32_t parent_id, uint32_t position, uint64_t now_ns,
              bool speculative) {
    predict::BlockFacts facts;
    facts.key_hash = key_hash_of(id);
    facts.now_ns = now_ns;
    facts.position = position;
    facts.stored_bytes = 1;
    facts.speculative = speculative;
    if (parent_id != kNoBlock)
      facts.parent = has(parent_id) ? slot_of[parent_id] : predict::kParentAway;
    const uint32_t slot = free_slots.back();
    free_slots.pop_back();
    slot_of[id] = slot;
    id_of[slot] = id;
    policy->on_insert(slot, facts);
  }

  std::unique_ptr<predict::EvictionPolicy> policy;
  std::vector<uint32_t> slot_of, id_of;
  std::vector<uint8_t> pinned;
  std::vector<uint32_t> free_slots;
};

enum class What : uint8_t { fetched, done, arrives, told, due };  // in this order at the same time

struct Event {
  uint64_t at_ns;
  What what;
  uint32_t number;  // request, or block id
  bool operator>(const Event& other) const {
    return std::tie(at_ns, what, number) > std::tie(other.at_ns, other.what, other.number);
  }
};

class Replay {
 public:
  Replay(const SessionTrace& trace, const TierConfig& config, Prefetcher* prefetcher)
      : trace_(trace),
        prefetcher_(prefetcher),
        told_ns_(uint64_t(config.told_s * 1e9)),
        pool_(config.make_pool_policy
                  ? config.make_pool_policy(config.pool_blocks)
                  : predict::make_policy(config.pool_policy, config.pool_blocks),
              config.pool_blocks, trace.distinct),
        spill_(predict::make_policy(config.spill_policy, config.spill_blocks), config.spill_blocks,
               trace.distinct),
        slots_free_(config.engine_slots ? config.engine_slots : UINT32_MAX),
        block_ns_(uint64_t(double(config.block_bytes) / config.link_gb_s)),
        facts_(trace.distinct),
        requests_(trace.requests.size()),
        shift_ns_(trace.sessions.size(), 0) {
    for (uint32_t s = 0; s < trace.sessions.size(); ++s) {
      const auto& session = trace.sessions[s];
      for (uint32_t i = 0; i < session.requests; ++i) {
        requests_[session.first_request + i].session = s;
      }
      if (session.requests > 0)
        events_.push({session.start_ns, What::arrives, session.first_request});
    }
    for (const auto& request : trace.requests) {
      const auto chain = trace.chain(request);
      for (uint32_t p = 0; p < chain.size(); ++p)
        facts_[chain[p]] = {p > 0 ? chain[p - 1] : kNoBlock, p, 0, false, false, false};
    }
  }

  TierResult run() {
    while (!events_.empty()) {
      const Event event = events_.top();
      events_.pop();
      now_ns_ = event.at_ns;
      switch (event.what) {
        case What::fetched:
          fetched(event.number);
          break;
        case What::arrives:
          arrive(event.number);
          break;
        case What::told:
          tell(event.number);
          break;
        case What::done:
          done();
          break;
        case What::due:
          due_ns_ = UINT64_MAX;
          break;
      }
      serve_link();
    }
    for (uint32_t id = 0; id < trace_.distinct; ++id) result_.wasted += facts_[id].unread ? 1 : 0;
    result_.end_s = double(done_ns_) / 1e9;
    if (!stalls_s_.empty()) {
      const size_t at = stalls_s_.size() * 99 / 100;
      std::nth_element(stalls_s_.begin(), stalls_s_.begin() + long(at), stalls_s_.end());
      result_.stall_p99_s = stalls_s_[at];
    }
    return result_;
  }

 private:
  struct Facts {  // of an id
    uint32_t parent;
    uint32_t position;
    uint64_t used_ns;
    bool demanded;  // waits for the link
    bool moving;    // is on the link
    bool unread;    // was fetched for the prefetcher and not read since
  };
  struct Waiting {
    uint32_t session = 0;
    uint32_t missing = 0;  // blocks of the run that are not there yet
    uint32_t run = 0;
    uint64_t arrived_ns = 0, taken_ns = 0;
  };

  TierView view() const { return {pool_.slot_of, spill_.slot_of}; }

  void read(uint32_t id) {
    pool_.hit(id, now_ns_);
    facts_[id].used_ns = now_ns_;
    if (!facts_[id].unread) return;
    facts_[id].unread = false;
    ++result_.useful;
    prefetcher_->on_used(id, now_ns_);
  }
  void pin(uint32_t id, int by) {
    uint8_t& pinned = pool_.pinned[pool_.slot_of[id]];
    if (by > 0 || pinned > 0) pinned = uint8_t(int(pinned) + by);
  }

  void arrive(uint32_t number) {
    requests_[number].arrived_ns = now_ns_;
    ++result_.requests;
    if (prefetcher_) prefetcher_->on_request(trace_.chain(trace_.requests[number]), now_ns_);
    if (!is_last(number) && overlaps(number)) push_next(number);
    queued_.push_back(number);
    serve_queue();
  }
  void serve_queue() {
    while (slots_free_ > 0 && !queued_.empty()) {
      const uint32_t number = queued_.front();
      queued_.pop_front();
      --slots_free_;
      take_up(number);
    }
  }

  void take_up(uint32_t number) {
    const auto chain = trace_.chain(trace_.requests[number]);
    Waiting& waiting = requests_[number];
    waiting.taken_ns = now_ns_;
    result_.queue_s += double(now_ns_ - waiting.arrived_ns) / 1e9;
    uint32_t& run = waiting.run;
    while (run < chain.size() && (pool_.has(chain[run]) || spill_.has(chain[run]))) ++run;
    result_.asked += chain.size();
    for (uint32_t p = 0; p < run; ++p) {
      const uint32_t id = chain[p];
      if (pool_.has(id)) {
        ++result_.pool_hits;
        read(id);
        pin(id, 1);
        continue;
      }
      ++result_.spill_hits;
      ++waiting.missing;
      spill_.hit(id, now_ns_);
      waiters_.push_back({id, number});
      if (facts_[id].moving || facts_[id].demanded) continue;
      facts_[id].demanded = true;
      demand_.push_back(id);
    }
    if (waiting.missing == 0) ready(number);
  }

  bool is_last(uint32_t number) const {
    const auto& session = trace_.sessions[requests_[number].session];
    return number + 1 == session.first_request + session.requests;
  }
  // Its session's next comes before it is answered.
  bool overlaps(uint32_t number) const {
    const auto& request = trace_.requests[number];
    return trace_.requests[number + 1].at_ns < request.at_ns + request.api_ns;
  }
  void push_next(uint32_t number) {
    const uint32_t s = requests_[number].session;
    const uint64_t at_ns =
        trace_.sessions[s].start_ns + trace_.requests[number + 1].at_ns + shift_ns_[s];
    events_.push({std::max(at_ns, now_ns_), What::arrives, number + 1});
    if (told_ns_ && prefetcher_)
      events_.push(
          {std::max(at_ns > told_ns_ ? at_ns - told_ns_ : 0, now_ns_), What::told, number});
  }

  // That the session of this request will be back, and with which of its chains: the client names
  // what it knows of it.
  void tell(uint32_t number) {
    const uint32_t s = requests_[number].session;
    const auto chain = trace_.chain(trace_.requests[number + 1]);
    size_t stored = 0;
    while (stored < chain.size() && (pool_.has(chain[stored]) || spill_.has(chain[stored])))
      ++stored;
    if (stored == 0) return;
    const uint64_t at_ns =
        trace_.sessions[s].start_ns + trace_.requests[number + 1].at_ns + shift_ns_[s];
    prefetcher_->on_told(chain[stored - 1], std::max(at_ns, now_ns_), now_ns_);
  }

  void ready(uint32_t number) {
    const auto& request = trace_.requests[number];
    const auto chain = trace_.chain(request);
    Waiting& waiting = requests_[number];
    const uint64_t stall_ns = now_ns_ - waiting.taken_ns;
    stalls_s_.push_back(double(stall_ns) / 1e9);
    result_.stall_s += double(stall_ns) / 1e9;
    result_.stalled += stall_ns > 0 ? 1 : 0;
    shift_ns_[waiting.session] += now_ns_ - waiting.arrived_ns;
    for (uint32_t p = 0; p < chain.size(); ++p) {
      const uint32_t id = chain[p];
      if (p < waiting.run) {
        if (pool_.has(id)) pin(id, -1);
      } else if (pool_.has(id)) {
        read(id);
      } else {
        put(id, false);
        if (prefetcher_) prefetcher_->on_put(id, facts_[id].parent, now_ns_);
      }
    }
    result_.slot_busy_s += double(stall_ns + request.api_ns) / 1e9;
    events_.push({now_ns_ + request.api_ns, What::done, number});
    if (!is_last(number) && !overlaps(number)) push_next(number);
  }

  void done() {
    done_ns_ = std::max(done_ns_, now_ns_);
    ++answered_;
    ++slots_free_;
    serve_queue();
  }

  // Whether the pool has room for what the prefetcher wants next, or somebody gives way.
  bool has_room_for_guess(uint64_t waits_ns) {
    uint32_t leaving = kNoBlock;
    if (prefetcher_->goes_before_all()) return true;
    if (!pool_.victim(now_ns_, &leaving)) return false;
    if (leaving == kNoBlock) return true;
    const Facts& facts = facts_[leaving];
    return predict::gives_way({now_ns_ - facts.used_ns, facts.unread, true, waits_ns});
  }

  // Returns: false when everything in the pool is pinned, or nothing gives way to a guess.
  bool put(uint32_t id, bool speculative) {
    uint32_t leaving = kNoBlock;
    if (speculative && !has_room_for_guess(moving_waits_ns_)) return false;
    if (!pool_.victim(now_ns_, &leaving)) return false;
    if (leaving != kNoBlock) {
      pool_.remove(leaving);
      if (facts_[leaving].unread) {
        facts_[leaving].unread = false;
        ++result_.wasted;
        prefetcher_->on_wasted(leaving, now_ns_);
      }
      spill(leaving);
    }
    facts_[id].used_ns = now_ns_;
    pool_.insert(id, facts_[id].parent, facts_[id].position, now_ns_, speculative);
    if (prefetcher_ && spill_.has(id)) prefetcher_->on_near(id);
    return true;
  }

  void spill(uint32_t id) {
    if (spill_.has(id)) {
      if (prefetcher_) prefetcher_->on_away(id);
      return;
    }
    uint32_t leaving = kNoBlock;
    if (!spill_.victim(now_ns_, &leaving)) return gone(id);
    if (leaving != kNoBlock) {
      spill_.remove(leaving);
      gone(leaving);
    }
    spill_.insert(id, facts_[id].parent, facts_[id].position, now_ns_, false);
    ++result_.spilled;
    if (prefetcher_) prefetcher_->on_away(id);
  }
  void gone(uint32_t id) {
    if (pool_.has(id)) return;
    ++result_.dropped;
    if (prefetcher_) prefetcher_->on_gone(id, now_ns_);
  }

  void serve_link() {
    while (!link_is_busy_) {
      uint32_t id = kNoBlock;
      if (!demand_.empty()) {
        id = demand_.front();
        demand_.pop_front();
        facts_[id].demanded = false;
        ++result_.demanded;
        start(id, false);
        continue;
      }
      if (!prefetcher_ || answered_ == trace_.requests.size()) return;
      id = prefetcher_->next(now_ns_, view());
      if (id == kNoBlock) break;
      if (pool_.has(id) || !spill_.has(id)) continue;
      moving_waits_ns_ = prefetcher_->waits_ns(now_ns_);
      if (!has_room_for_guess(moving_waits_ns_)) {
        prefetcher_->on_refused(id);
        ++result_.refused;
        continue;
      }
      ++result_.fetched;
      start(id, true);
    }
    if (link_is_busy_) return;
    const uint64_t due_ns = prefetcher_->due_ns(now_ns_);
    if (due_ns >= due_ns_) return;
    due_ns_ = std::max(due_ns, now_ns_ + 1'000'000);
    events_.push({due_ns_, What::due, 0});
  }
  void start(uint32_t id, bool speculative) {
    link_is_busy_ = true;
    moving_is_speculative_ = speculative;
    facts_[id].moving = true;
    events_.push({now_ns_ + block_ns_, What::fetched, id});
  }

  void fetched(uint32_t id) {
    link_is_busy_ = false;
    facts_[id].moving = false;
    const bool for_prefetcher = moving_is_speculative_;
    const bool waited_for = std::any_of(waiters_.begin(), waiters_.end(),
                                        [id](const auto& waiter) { return waiter.first == id; });
    const bool stored = pool_.has(id) || put(id, for_prefetcher && !waited_for);
    if (for_prefetcher && !waited_for && stored) facts_[id].unread = true;
    if (for_prefetcher && !waited_for && !stored) {
      ++result_.wasted;
      prefetcher_->on_wasted(id, now_ns_);
      prefetcher_->on_away(id);
    }
    if (for_prefetcher && waited_for) {
      ++result_.useful;
      ++result_.late;
      prefetcher_->on_used(id, now_ns_);
    }
    std::vector<uint32_t> now_ready;
    for (size_t i = 0; i < waiters_.size();) {
      if (waiters_[i].first != id) {
        ++i;
        continue;
      }
      if (stored) {
        pin(id, 1);
        pool_.hit(id, now_ns_);
      }
      if (--requests_[waiters_[i].second].missing == 0) now_ready.push_back(waiters_[i].second);
      waiters_[i] = waiters_.back();
      waiters_.pop_back();
    }
    for (uint32_t number : now_ready) ready(number);
  }

  const SessionTrace& trace_;
  Prefetcher* prefetcher_;
  uint64_t told_ns_;
  Tier pool_, spill_;
  uint32_t slots_free_;
  uint64_t block_ns_;
  std::vector<Facts> facts_;
  std::vector<Waiting> requests_;
  std::vector<uint64_t> shift_ns_;  // by session: how much later it is than without stalls
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
  std::deque<uint32_t> demand_, queued_;                // blocks; requests
  std::vector<std::pair<uint32_t, uint32_t>> waiters_;  // id, request
  std::vector<double> stalls_s_;
  size_t answered_ = 0;  // requests
  bool link_is_busy_ = false, moving_is_speculative_ = false;
  uint64_t moving_waits_ns_ = 0;
  uint64_t now_ns_ = 0, done_ns_ = 0, due_ns_ = UINT64_MAX;
  TierResult result_;
};

}  // namespace

uint64_t key_hash_of(uint32_t id) {
  uint64_t x = id + 0x9E3779B97F4A7C15ull;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
  return x ^ (x >> 31);
}

TierResult replay_tiers(const SessionTrace& trace, const TierConfig& config,
                        Prefetcher* prefetcher) {
  return Replay(trace, config, prefetcher).run();
}

}  // namespace speckv::bench
