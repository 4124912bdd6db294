// SPDX-License-Identifier: Apache-2.0
// trace.hpp - request traces for the eviction replay: a file in Mooncake's format, or one of our
// own making.
//
// What it is: every request's time and its chain of block ids, in arrival order.
// Who calls it: suite_evict.cpp and tests/unit/predict. No policy ever sees a trace, only events.
// A file has one JSON object a line, of which "timestamp" (ms) and "hash_ids" are read.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace speckv::bench {

struct Trace {
  struct Request {
    uint64_t now_ns;
    uint32_t first;  // into blocks
    uint32_t count;
  };
  std::string name;
  std::vector<Request> requests;
  std::vector<uint32_t> blocks;  // ids, dense: 0..distinct-1
  uint32_t distinct = 0;

  std::span<const uint32_t> chain(const Request& r) const {
    return {blocks.data() + r.first, r.count};
  }
};

// Returns: false with one sentence in *ret_error when the file cannot be read or a line is not of
// the format.
bool load_trace(const std::string& path, Trace* ret_trace, std::string* ret_error);

// What the synthetic trace is made of. The defaults are round numbers of a chat service; they are
// no fit to any real trace, and results made with them carry the name "synthetic".
struct SyntheticConfig {
  uint64_t seed = 1;
  uint32_t requests = 12000;
  double requests_per_s = 3.3;
  double return_share = 0.4;  // a first turn comes back with this probability; later turns likelier
  double think_s_median = 90;  // log-normal
  double think_sigma = 0.9;
  double first_blocks_mean = 18;  // geometric, of a session's first prompt
  double turn_blocks_mean = 4;    // appended by each turn
};
Trace synthetic_trace(const SyntheticConfig& config);

}  // namespace speckv::bench
