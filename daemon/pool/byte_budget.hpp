// SPDX-License-Identifier: Apache-2.0
// byte_budget.hpp - so many bytes a second, of which a second's worth can be saved up: what
// prefetches of a namespace may read from below, what a tier below may be written.
//
// Used by loop/server and by spill_store, each on its data thread. What is taken is never refused
// here: who asked left() beforehand waits, and who must not wait takes what the others then miss.
#pragma once

#include <algorithm>
#include <cstdint>

namespace speckv {

class ByteBudget {
 public:
  // 0: nothing at all. UINT64_MAX: everything.
  explicit ByteBudget(uint64_t bytes_s)
      : most_(std::min(bytes_s, endless)), left_(int64_t(most_)) {}
  // Nothing taken for a second: one block of any size, so that a small budget is slow and not none.
  uint64_t left(uint64_t now_ns) {
    const uint64_t passed = now_ns > refilled_ns_ ? now_ns - refilled_ns_ : 0;
    refilled_ns_ = now_ns;
    const double earned = double(most_) * double(std::min(passed, second_ns)) / second_ns + part_;
    part_ = earned - double(int64_t(earned));
    left_ = std::min(left_ + int64_t(earned), int64_t(most_));
    if (most_ != 0 && left_ == int64_t(most_)) return UINT64_MAX;
    return left_ > 0 ? uint64_t(left_) : 0;
  }
  void take(uint64_t bytes) {
    if (most_ == endless) return;
    left_ = std::max(left_ - int64_t(std::min(bytes, endless)), -int64_t(std::max(most_, bytes)));
  }

 private:
  static constexpr uint64_t second_ns = 1'000'000'000;
  static constexpr uint64_t endless = uint64_t{1} << 60;
  uint64_t most_;  // saved up
  int64_t left_;
  double part_ = 0;  // of a byte
  uint64_t refilled_ns_ = 0;
};

}  // namespace speckv
