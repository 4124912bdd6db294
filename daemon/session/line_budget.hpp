// SPDX-License-Identifier: Apache-2.0
// line_budget.hpp - how many lines of the log one party may cause: a few at once, then one in a
// while; the rest is counted.
//
// Pure: the caller brings the time. Control thread.
#pragma once

#include <algorithm>
#include <cstdint>

namespace speckv {

class LineBudget {
 public:
  LineBudget(uint32_t at_once, uint64_t refill_ns)
      : at_once_(at_once), refill_ns_(refill_ns), left_(at_once) {}

  // Returns: whether a line may be written now; else it counts as left out.
  bool take(uint64_t now_ns) {
    const uint64_t more = (now_ns - filled_ns_) / refill_ns_;
    left_ = uint32_t(std::min<uint64_t>(at_once_, left_ + more));
    filled_ns_ += more * refill_ns_;
    if (left_ == 0) {
      left_out_++;
      return false;
    }
    left_--;
    return true;
  }
  // Lines left out since the last call, to be told with the next one that is written.
  uint64_t take_left_out() {
    const uint64_t count = left_out_;
    told_ += count;
    left_out_ = 0;
    return count;
  }
  uint64_t left_out_total() const { return told_ + left_out_; }

 private:
  const uint32_t at_once_;
  const uint64_t refill_ns_;
  uint32_t left_;
  uint64_t filled_ns_ = 0, left_out_ = 0, told_ = 0;
};

}  // namespace speckv
