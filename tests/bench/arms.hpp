// SPDX-License-Identifier: Apache-2.0
// arms.hpp - who prefetches in the replay through two tiers: ours, and what it is compared with.
//
// What it is: Prefetchers (tiers.hpp), all asked in the same way and served by the same link.
//   speculator   the daemon's own predict/speculator.hpp behind an id-to-key map
//   perfect      knows which requests come within its look-ahead; its link is as finite as ours
//   markov       a first-order Markov chain over blocks with decaying counts and popularity as its
//                prior: what follows the block that was read last, and what follows that
//   wrong        proposes what lies in the spill and nobody asked for longest: always wrong, or
//   luck
// Who calls it: suite_speculate.cpp, tests/unit/predict.
#pragma once

#include <unordered_map>
#include <vector>

#include "predict/speculator.hpp"
#include "tiers.hpp"

namespace speckv::bench {

class SpeculatorArm final : public Prefetcher {
 public:
  SpeculatorArm(const SessionTrace& trace, const TierConfig& config,
                predict::SpeculatorOptions options);
  void on_request(std::span<const uint32_t> chain, uint64_t now_ns) override;
  void on_put(uint32_t id, uint32_t parent, uint64_t now_ns) override;
  void on_away(uint32_t id) override { speculator_.on_away(key_hash_of(id)); }
  void on_near(uint32_t id) override { speculator_.on_near(key_hash_of(id)); }
  void on_gone(uint32_t id, uint64_t now_ns) override {
    speculator_.on_gone(key_hash_of(id), now_ns);
  }
  void on_told(uint32_t id, uint64_t returns_ns, uint64_t now_ns) override {
    speculator_.on_hint(key_hash_of(id), returns_ns, now_ns);
  }
  void on_refused(uint32_t id) override { speculator_.on_refused(key_hash_of(id)); }
  uint64_t waits_ns(uint64_t now_ns) const override {
    return expected_ns_ > now_ns ? expected_ns_ - now_ns : 0;
  }
  bool goes_before_all() const override { return false; }
  void on_used(uint32_t id, uint64_t now_ns) override {
    speculator_.on_used(key_hash_of(id), now_ns);
  }
  void on_wasted(uint32_t id, uint64_t now_ns) override {
    speculator_.on_wasted(key_hash_of(id), now_ns);
  }
  uint32_t next(uint64_t now_ns, const TierView& view) override;
  uint64_t due_ns(uint64_t now_ns) override { return speculator_.due_ns(now_ns); }

  const predict::Speculator& speculator() const { return speculator_; }

 private:
  predict::Speculator speculator_;
  uint64_t block_bytes_, expected_ns_ = 0;
  std::unordered_map<uint64_t, uint32_t> id_of_;
  std::vector<uint64_t> keys_;
};

class PerfectArm final : public Prefetcher {
 public:
  PerfectArm(const SessionTrace& trace, double look_ahead_s);
  void on_request(std::span<const uint32_t>, uint64_t) override {}
  uint32_t next(uint64_t now_ns, const TierView& view) override;
  uint64_t due_ns(uint64_t now_ns) override;

 private:
  Trace flat_;
  size_t at_ = 0;
  uint32_t position_ = 0;
  uint64_t look_ahead_ns_;
};

class MarkovArm final : public Prefetcher {
 public:
  explicit MarkovArm(const SessionTrace& trace);
  void on_request(std::span<const uint32_t> chain, uint64_t now_ns) override;
  uint32_t next(uint64_t now_ns, const TierView& view) override;
  uint64_t due_ns(uint64_t) override { return UINT64_MAX; }

 private:
  struct Edge {
    uint32_t to;
    float weight;
  };
  float weigh(uint32_t from, const Edge& edge) const;
  std::vector<std::vector<Edge>> edges_;  // by block, at most kEdgesMax
  std::vector<float> popularity_;
  std::vector<uint32_t> wanted_;
  size_t wanted_at_ = 0;
  uint32_t last_ = predict::kNoBlock;
};

class WrongArm final : public Prefetcher {
 public:
  explicit WrongArm(const SessionTrace& trace, bool gated);
  void on_request(std::span<const uint32_t>, uint64_t) override {}
  void on_away(uint32_t id) override { away_.push_back(id); }
  void on_used(uint32_t, uint64_t now_ns) override { gate_.on_used(now_ns); }
  void on_wasted(uint32_t, uint64_t now_ns) override { gate_.on_wasted(now_ns); }
  uint32_t next(uint64_t now_ns, const TierView& view) override;
  uint64_t due_ns(uint64_t) override { return UINT64_MAX; }
  bool goes_before_all() const override { return false; }
  void on_refused(uint32_t) override { --gate_.fetched; }
  const predict::SourceGate& gate() const { return gate_; }

 private:
  std::vector<uint32_t> away_;
  size_t at_ = 0;
  bool gated_;
  predict::SourceGate gate_;
};

}  // namespace speckv::bench
