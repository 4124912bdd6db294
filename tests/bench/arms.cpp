// SPDX-License-Identifier: Apache-2.0
// arms.cpp - ours and what it is compared with. See arms.hpp.
#include "arms.hpp"

#include <algorithm>

namespace speckv::bench {
namespace {

using predict::kNoBlock;

constexpr size_t kEdgesMax = 8;        // successors that are remembered of a block
constexpr float kDecay = 0.9f;         // of the others, when one of them is seen
constexpr float kPriorWeight = 0.25f;  // of popularity against what was seen
constexpr float kMarkovMin = 0.5f;     // what is less likely is not fetched
constexpr uint32_t kMarkovDepth = 32;

bool is_away(uint32_t id, const TierView& view) {
  return view.pool_slot[id] == kNoBlock && view.spill_slot[id] != kNoBlock;
}

predict::SpeculatorOptions with_sizes(const TierConfig& config,
                                      predict::SpeculatorOptions options) {
  options.blocks_max = config.pool_blocks + config.spill_blocks;
  options.block_bytes = config.block_bytes;
  options.unread_bytes_max = std::max(1u, config.pool_blocks / 4) * config.block_bytes;
  options.tier_bytes_per_s = uint64_t(config.link_gb_s * 1e9);
  return options;
}

}  // namespace

SpeculatorArm::SpeculatorArm(const SessionTrace& trace, const TierConfig& config,
                             predict::SpeculatorOptions options)
    : speculator_(with_sizes(config, options)), block_bytes_(config.block_bytes) {
  for (uint32_t id = 0; id < trace.distinct; ++id) id_of_[key_hash_of(id)] = id;
}

void SpeculatorArm::on_request(std::span<const uint32_t> chain, uint64_t now_ns) {
  keys_.clear();
  for (uint32_t id : chain) keys_.push_back(key_hash_of(id));
  speculator_.on_request(keys_, now_ns);
}

void SpeculatorArm::on_put(uint32_t id, uint32_t parent, uint64_t now_ns) {
  speculator_.on_insert(key_hash_of(id), parent == kNoBlock ? 0 : key_hash_of(parent), now_ns);
}

uint32_t SpeculatorArm::next(uint64_t now_ns, const TierView& view) {
  predict::Proposal proposal;
  while (speculator_.propose(now_ns, block_bytes_, {&proposal, 1}) == 1) {
    const uint32_t id = id_of_.at(proposal.key);
    expected_ns_ = proposal.expected_ns;
    if (is_away(id, view)) return id;
    speculator_.on_refused(proposal.key);
  }
  return kNoBlock;
}

PerfectArm::PerfectArm(const SessionTrace& trace, double look_ahead_s)
    : flat_(trace.flat()), look_ahead_ns_(uint64_t(look_ahead_s * 1e9)) {}

uint32_t PerfectArm::next(uint64_t now_ns, const TierView& view) {
  for (; at_ < flat_.requests.size(); ++at_, position_ = 0) {
    const auto& request = flat_.requests[at_];
    if (request.now_ns > now_ns + look_ahead_ns_) return kNoBlock;
    const auto chain = flat_.chain(request);
    for (; position_ < chain.size(); ++position_) {
      const uint32_t id = chain[position_];
      if (view.pool_slot[id] != kNoBlock) continue;
      if (view.spill_slot[id] == kNoBlock) break;  // nothing after it leads
      ++position_;
      return id;
    }
  }
  return kNoBlock;
}

uint64_t PerfectArm::due_ns(uint64_t now_ns) {
  if (at_ >= flat_.requests.size()) return UINT64_MAX;
  const uint64_t at_ns = flat_.requests[at_].now_ns;
  return std::max(now_ns + 1, at_ns > look_ahead_ns_ ? at_ns - look_ahead_ns_ : 0);
}

MarkovArm::MarkovArm(const SessionTrace& trace)
    : edges_(trace.distinct), popularity_(trace.distinct, 0) {}

float MarkovArm::weigh(uint32_t from, const Edge& edge) const {
  float seen = 0, popular = 0;
  for (const Edge& other : edges_[from]) {
    seen += other.weight;
    popular += popularity_[other.to];
  }
  const float prior = popular > 0 ? popularity_[edge.to] / popular : 0;
  return (edge.weight + kPriorWeight * prior) / (seen + kPriorWeight);
}

void MarkovArm::on_request(std::span<const uint32_t> chain, uint64_t) {
  wanted_.clear();
  wanted_at_ = 0;
  if (chain.empty()) return;
  // the last block of one request leads to the first of the next, too
  uint32_t before = last_;
  for (uint32_t id : chain) {
    popularity_[id] += 1;
    if (before != kNoBlock) {
      auto& edges = edges_[before];
      for (Edge& edge : edges) edge.weight *= kDecay;
      auto found = std::find_if(edges.begin(), edges.end(), [id](auto& e) { return e.to == id; });
      if (found == edges.end()) {
        if (edges.size() == kEdgesMax)
          edges.erase(std::min_element(edges.begin(), edges.end(),
                                       [](auto& a, auto& b) { return a.weight < b.weight; }));
        edges.push_back({id, 0});
        found = edges.end() - 1;
      }
      found->weight += 1 - kDecay;
    }
    before = id;
  }
  last_ = before;
  float chance = 1;
  for (uint32_t depth = 0; depth < kMarkovDepth && !edges_[before].empty(); ++depth) {
    const auto& edges = edges_[before];
    const auto best = std::max_element(edges.begin(), edges.end(), [&](auto& a, auto& b) {
      return weigh(before, a) < weigh(before, b);
    });
    chance *= weigh(before, *best);
    if (chance < kMarkovMin) break;
    before = best->to;
    wanted_.push_back(before);
  }
}

uint32_t MarkovArm::next(uint64_t, const TierView& view) {
  while (wanted_at_ < wanted_.size()) {
    const uint32_t id = wanted_[wanted_at_++];
    if (is_away(id, view)) return id;
  }
  return kNoBlock;
}

WrongArm::WrongArm(const SessionTrace& trace, bool gated) : gated_(gated) {
  away_.reserve(trace.distinct);
}

uint32_t WrongArm::next(uint64_t now_ns, const TierView& view) {
  if (gated_ && !gate_.admits(now_ns)) return kNoBlock;
  while (at_ < away_.size()) {
    const uint32_t id = away_[at_++];
    if (!is_away(id, view)) continue;
    gate_.on_fetched();
    return id;
  }
  return kNoBlock;
}

}  // namespace speckv::bench
