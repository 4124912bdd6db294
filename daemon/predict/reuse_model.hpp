// SPDX-License-Identifier: Apache-2.0
// reuse_model.hpp - when do blocks come back? Learnt from what happens, per number of visits.
//
// What it is: for each class (how often a block was used before) a histogram of the ages at which
//   blocks came back, and from it the worth of keeping a block of that class and age:
//     worth(class, age) = max over T of  P(back within T | age) / E[time kept until back or T]
//   that is, the best rate of hits per block and second that keeping it can buy (the index rule for
//   a resource that is rented by time; hit density, Beckmann et al., NSDI'18, without the max).
//   A session that just spoke is worth less than one that spoke a minute ago, because people need
//   that long to read; recency alone cannot say so.
// Who uses it: continuation.cpp.
// Cost: two additions per event, and a pass over the tables each kRefreshEvents events.
// Before anything is learnt, the chance to come back falls as 1/age: the order is LRU's.
#pragma once

#include <array>
#include <cstdint>

namespace speckv::predict {

class ReuseModel {
 public:
  static constexpr uint32_t kVisitClasses = 4;  // used once, twice, three times, more often
  static constexpr uint32_t kClasses = 2 * kVisitClasses;  // each, and each superseded
  static constexpr uint32_t kBins = 50;  // ages, two per octave from 1 ms to 4.6 h and beyond

  explicit ReuseModel(uint32_t capacity = 0);

  static uint32_t bin_of(uint64_t age_ns);
  static uint32_t class_of(uint32_t visits, bool superseded) {
    const uint32_t cls = visits < kVisitClasses ? visits : kVisitClasses - 1;
    return superseded ? kVisitClasses + cls : cls;
  }

  // A block was used and is of `cls` from now on.
  void on_use(uint32_t cls) { uses_[cls] += 1; }
  // It is of another class since, without having been used.
  void on_moved(uint32_t from, uint32_t to) {
    uses_[from] = uses_[from] > 1 ? uses_[from] - 1 : 0;
    uses_[to] += 1;
  }
  // A block of `cls` came back age_ns after its last use (then on_use() with its next class).
  void on_return(uint32_t cls, uint64_t age_ns) {
    returns_[cls][bin_of(age_ns)] += 1;
    if (++events_ % kRefreshEvents == 0) refresh();
  }

  // Expected hits per block and second, at best.
  float worth(uint32_t cls, uint32_t bin) const { return worth_[cls][bin]; }

 private:
  static constexpr uint32_t kRefreshEvents = 512;
  using Bins = std::array<double, kBins>;

  void refresh();
  void refresh_class(uint32_t cls, const Bins& shared_share);

  double half_life_returns_;
  std::array<double, kClasses> uses_{};
  std::array<Bins, kClasses> returns_{};
  std::array<std::array<float, kBins>, kClasses> worth_{};
  uint64_t events_ = 0;
};

}  // namespace speckv::predict
