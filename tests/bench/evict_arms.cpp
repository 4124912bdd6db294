// SPDX-License-Identifier: Apache-2.0
// evict_arms.cpp - Belady and tail-optimised LRU for the two tiers. See evict_arms.hpp.
#include "evict_arms.hpp"

#include <algorithm>
#include <set>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "tiers.hpp"

namespace speckv::bench {
namespace {

using predict::kNoBlock;

// Evicts the resident block of the highest rank. A rank is made when a block is used.
class Ranked : public predict::EvictionPolicy {
 public:
  Ranked(const SessionTrace& trace, uint32_t capacity)
      : trace_(trace), id_of_slot_(capacity, kNoBlock), rank_of_(capacity) {
    for (uint32_t id = 0; id < trace.distinct; ++id) id_of_[key_hash_of(id)] = id;
  }
  void on_insert(uint32_t block, const predict::BlockFacts& facts) override {
    id_of_slot_[block] = id_of_.at(facts.key_hash);
    add(block, facts.now_ns);
  }
  void on_hit(uint32_t block, uint64_t now_ns) override {
    if (id_of_slot_[block] == kNoBlock) return;
    ranks_.erase(rank_of_[block]);
    add(block, now_ns);
  }
  void on_remove(uint32_t block) override {
    if (id_of_slot_[block] == kNoBlock) return;
    ranks_.erase(rank_of_[block]);
    id_of_slot_[block] = kNoBlock;
  }
  uint32_t coldest(uint64_t, std::span<const uint8_t> pinned,
                   std::span<uint32_t> ret_blocks) override {
    uint32_t found = 0;
    for (auto at = ranks_.rbegin(); at != ranks_.rend() && found < ret_blocks.size(); ++at) {
      const uint32_t block = std::get<2>(*at);
      if (pinned.empty() || pinned[block] == 0) ret_blocks[found++] = block;
    }
    return found;
  }
  uint32_t resident() const override { return uint32_t(ranks_.size()); }

 protected:
  using Rank = std::tuple<uint64_t, uint32_t, uint32_t>;  // first, deepest, slot
  virtual uint64_t first_to_go(uint32_t id, uint64_t now_ns) = 0;
  const SessionTrace& trace_;

 private:
  void add(uint32_t block, uint64_t now_ns) {
    const uint32_t id = id_of_slot_[block];
    rank_of_[block] = {first_to_go(id, now_ns), id, block};
    ranks_.insert(rank_of_[block]);
  }
  std::unordered_map<uint64_t, uint32_t> id_of_;
  std::vector<uint32_t> id_of_slot_;
  std::vector<Rank> rank_of_;
  std::set<Rank> ranks_;
};

class Belady final : public Ranked {
 public:
  Belady(const SessionTrace& trace, uint32_t capacity)
      : Ranked(trace, capacity), uses_(trace.distinct), at_(trace.distinct, 0) {
    const Trace flat = trace.flat();
    for (const auto& request : flat.requests) {
      for (uint32_t id : flat.chain(request)) uses_[id].push_back(request.now_ns);
    }
  }
  std::string_view name() const override { return "belady"; }

 private:
  // Stalls make requests late, so the n-th use of a block counts, not the clock.
  uint64_t first_to_go(uint32_t id, uint64_t) override {
    ++at_[id];
    return at_[id] < uses_[id].size() ? uses_[id][at_[id]] : UINT64_MAX;
  }
  std::vector<std::vector<uint64_t>> uses_;
  std::vector<uint32_t> at_;
};

class TailLru final : public Ranked {
 public:
  TailLru(const SessionTrace& trace, uint32_t capacity, uint32_t spare)
      : Ranked(trace, capacity), spare_(trace.distinct, false) {
    for (const auto& session : trace.sessions) {
      const auto chain = trace.chain(trace.requests[session.first_request + session.requests - 1]);
      for (uint32_t p = chain.size() > spare ? uint32_t(chain.size()) - spare : 0; p < chain.size();
           ++p)
        spare_[chain[p]] = true;
    }
  }
  std::string_view name() const override { return "tail-lru"; }

 private:
  uint64_t first_to_go(uint32_t id, uint64_t now_ns) override {
    const uint64_t older = UINT64_MAX / 2 - now_ns;
    return spare_[id] ? UINT64_MAX / 2 + older : older;
  }
  std::vector<bool> spare_;
};

}  // namespace

std::unique_ptr<predict::EvictionPolicy> make_belady(const SessionTrace& trace, uint32_t capacity) {
  return std::make_unique<Belady>(trace, capacity);
}

std::unique_ptr<predict::EvictionPolicy> make_tail_lru(const SessionTrace& trace, uint32_t capacity,
                                                       uint32_t spare_blocks) {
  return std::make_unique<TailLru>(trace, capacity, spare_blocks);
}

}  // namespace speckv::bench
