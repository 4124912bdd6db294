// SPDX-License-Identifier: Apache-2.0
// size_feed.hpp - plays a trace into a SizeCurve as a shard would: every block of every request.
//
// Who calls it: suite_size.cpp, tests/unit/predict.
#pragma once

#include <cstdint>
#include <vector>

#include "predict/size_curve.hpp"
#include "trace.hpp"

namespace speckv::bench {

class SizeFeed {
 public:
  SizeFeed(const Trace& trace, uint32_t block_bytes)
      : trace_(trace), block_bytes_(block_bytes), parents_(trace.distinct, none) {
    for (const Trace::Request& request : trace.requests) {
      const auto chain = trace.chain(request);
      for (size_t p = 1; p < chain.size(); p++) parents_[chain[p]] = chain[p - 1];
    }
  }

  // Allocates nothing.
  void play(predict::SizeCurve* curve) const {
    for (const Trace::Request& request : trace_.requests) {
      const auto chain = trace_.chain(request);
      for (uint32_t p = 0; p < chain.size(); p++) {
        const uint64_t hash = hash_of(chain[p]);
        if (!curve->asked(hash)) continue;
        curve->use({hash, request.now_ns, ancestor(*curve, chain[p]), p, block_bytes_, 0});
      }
    }
  }

 private:
  static constexpr uint32_t none = UINT32_MAX;

  // A key's hash as the daemon would have it: any fixed mixing of the id will do.
  static uint64_t hash_of(uint32_t id) {
    uint64_t x = (id + 1) * 0x9E3779B97F4A7C15ull;
    x = (x ^ (x >> 29)) * 0xBF58476D1CE4E5B9ull;
    return x ^ (x >> 32);
  }
  uint64_t ancestor(const predict::SizeCurve& curve, uint32_t id) const {
    for (id = parents_[id]; id != none; id = parents_[id])
      if (curve.looks_at(hash_of(id))) return hash_of(id);
    return 0;
  }

  const Trace& trace_;
  uint32_t block_bytes_;
  std::vector<uint32_t> parents_;
};

}  // namespace speckv::bench
