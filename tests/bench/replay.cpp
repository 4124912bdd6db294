// SPDX-License-Identifier: Apache-2.0
// replay.cpp - the trace replay and the offline bound. See replay.hpp.
#include "replay.hpp"

#include <algorithm>
#include <set>
#include <tuple>
#include <vector>

namespace speckv::bench {
namespace {

// A key's hash as the daemon would have it: any fixed mixing of the id will do.
uint64_t key_hash(uint32_t id) {
  uint64_t x = id + 0x9E3779B97F4A7C15ull;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
  return x ^ (x >> 31);
}

struct Pool {
  explicit Pool(uint32_t distinct, uint32_t capacity)
      : slot_of(distinct, predict::kNoBlock), id_of(capacity, 0) {
    for (uint32_t slot = capacity; slot > 0; --slot) free_slots.push_back(slot - 1);
  }
  bool has(uint32_t id) const { return slot_of[id] != predict::kNoBlock; }

  std::vector<uint32_t> slot_of;
  std::vector<uint32_t> id_of;
  std::vector<uint32_t> free_slots;
};

void put(Pool& pool, predict::EvictionPolicy& policy, uint64_t now_ns,
         std::span<const uint32_t> chain, uint32_t position, ReplayResult& result) {
  const uint32_t id = chain[position];
  if (pool.free_slots.empty()) {
    uint32_t slot = predict::kNoBlock;
    if (!policy.victim(now_ns, {}, &slot)) return;
    policy.on_remove(slot);
    pool.slot_of[pool.id_of[slot]] = predict::kNoBlock;
    pool.free_slots.push_back(slot);
    ++result.evicted;
  }
  predict::BlockFacts facts;
  facts.key_hash = key_hash(id);
  facts.now_ns = now_ns;
  facts.position = position;
  facts.stored_bytes = 1;
  // read after the eviction: the victim may have been the parent
  if (position > 0) {
    const uint32_t parent = pool.slot_of[chain[position - 1]];
    facts.parent = parent == predict::kNoBlock ? predict::kParentAway : parent;
  }
  const uint32_t slot = pool.free_slots.back();
  pool.free_slots.pop_back();
  pool.slot_of[id] = slot;
  pool.id_of[slot] = id;
  policy.on_insert(slot, facts);
  ++result.inserted;
}

}  // namespace

ReplayResult replay(predict::EvictionPolicy& policy, const Trace& trace, uint32_t capacity) {
  ReplayResult result;
  Pool pool(trace.distinct, capacity);
  for (size_t i = 0; i < trace.requests.size(); ++i) {
    const auto& request = trace.requests[i];
    const auto chain = trace.chain(request);
    const size_t half = i < trace.requests.size() / 2 ? 0 : 1;
    uint32_t lead = 0;
    for (; lead < chain.size() && pool.has(chain[lead]); ++lead) {
      policy.on_hit(pool.slot_of[chain[lead]], request.now_ns);
    }
    result.hits[half] += lead > 0 ? lead - 1 : 0;
    result.opened[half] += lead > 0;
    result.requests[half] += !chain.empty();
    result.asked[half] += chain.empty() ? 0 : chain.size() - 1;
    for (uint32_t p = lead; p < chain.size(); ++p) {
      if (pool.has(chain[p])) {
        policy.on_hit(pool.slot_of[chain[p]], request.now_ns);
      } else {
        put(pool, policy, request.now_ns, chain, p, result);
      }
    }
  }
  return result;
}

ReplayResult replay_belady(const Trace& trace, uint32_t capacity) {
  constexpr uint32_t kNever = UINT32_MAX;
  // next_use[j]: the request in which the block at trace.blocks[j] is asked next
  std::vector<uint32_t> next_use(trace.blocks.size(), kNever);
  std::vector<uint32_t> seen(trace.distinct, kNever);
  for (size_t i = trace.requests.size(); i-- > 0;) {
    const auto& request = trace.requests[i];
    for (uint32_t p = 0; p < request.count; ++p) {
      const uint32_t id = trace.blocks[request.first + p];
      next_use[request.first + p] = seen[id];
      seen[id] = uint32_t(i);
    }
  }
  using Rank = std::tuple<uint32_t, uint32_t, uint32_t>;  // next use, position, id
  std::set<Rank> resident;
  std::vector<Rank> rank_of(trace.distinct);
  std::vector<bool> is_resident(trace.distinct, false);
  ReplayResult result;
  for (size_t i = 0; i < trace.requests.size(); ++i) {
    const auto& request = trace.requests[i];
    const size_t half = i < trace.requests.size() / 2 ? 0 : 1;
    bool leading = true;
    for (uint32_t p = 0; p < request.count; ++p) {
      const uint32_t id = trace.blocks[request.first + p];
      leading = leading && is_resident[id];
      if (p > 0) {
        result.hits[half] += leading ? 1 : 0;
        ++result.asked[half];
      }
      if (is_resident[id]) resident.erase(rank_of[id]);
      is_resident[id] = next_use[request.first + p] != kNever;
      if (!is_resident[id]) continue;
      rank_of[id] = {next_use[request.first + p], p, id};
      resident.insert(rank_of[id]);
      if (resident.size() > capacity) {
        const auto farthest = std::prev(resident.end());
        is_resident[std::get<2>(*farthest)] = false;
        resident.erase(farthest);
        ++result.evicted;
      }
    }
  }
  return result;
}

}  // namespace speckv::bench
