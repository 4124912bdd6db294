// SPDX-License-Identifier: Apache-2.0
// replay.hpp - drives an eviction policy with a trace, as the daemon's data thread would, and
// counts leading hits.
//
// What it is: a pool that holds `capacity` blocks of no content. For each request: the leading
// resident blocks are
//   read (on_hit, first to last); the rest are put (on_hit where resident, else victim, on_remove,
//   on_insert).
// What is counted: leading hits over blocks asked, both without each request's block 0 (which all
// requests of the
//   open trace share, so that a hit there says nothing), in the first and in the second half of the
//   requests.
// Who calls it: suite_evict.cpp, tests/unit/predict.
#pragma once

#include <array>
#include <cstdint>

#include "predict/policy.hpp"
#include "trace.hpp"

namespace speckv::bench {

struct ReplayResult {
  std::array<uint64_t, 2> hits{};    // leading, without block 0; [half]
  std::array<uint64_t, 2> asked{};   // without block 0
  std::array<uint64_t, 2> opened{};  // requests whose block 0 was there
  std::array<uint64_t, 2> requests{};
  uint64_t inserted = 0;
  uint64_t evicted = 0;
  double percent(int half) const {
    return asked[half] ? 100.0 * double(hits[half]) / double(asked[half]) : 0;
  }
  // Leading hits with block 0, over all requests.
  double percent_of_all() const {
    const uint64_t all = asked[0] + asked[1] + requests[0] + requests[1];
    return all ? 100.0 * double(hits[0] + hits[1] + opened[0] + opened[1]) / double(all) : 0;
  }
};

ReplayResult replay(predict::EvictionPolicy& policy, const Trace& trace, uint32_t capacity);

// The offline bound: evicts the block whose next use is farthest, deepest first among equals, and
// does not keep a block that would itself be that one. Optimal for leading hits, because a block's
// parent is always used no later.
ReplayResult replay_belady(const Trace& trace, uint32_t capacity);

}  // namespace speckv::bench
