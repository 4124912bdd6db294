// SPDX-License-Identifier: Apache-2.0
// source_gate.hpp - do no harm: turns a source of speculation off while what it fetches is not
// read.
//
// What it is: a window of the last outcomes (a fetched block was read, or left the pool unread) of
//   one source. Below kUsefulMin of them useful, the source is off for a while; then it may try
//   again with what a half window costs, and each time in a row that it fails it is off for twice
//   as long. What it has under way or unread may not exceed the window while it has no record, and
//   grows with what was read of it: a lucky start is no licence.
// Who uses it: speculator.cpp, one a source. Its state is what watch/ shows.
#pragma once

#include <algorithm>
#include <cstdint>

namespace speckv::predict {

class SourceGate {
 public:
  static constexpr uint32_t kWindow = 512;     // outcomes that are looked at together
  static constexpr double kUsefulMin = 0.5;    // of them, below which the source does harm
  static constexpr uint32_t kUnreadMax = 512;  // blocks without an outcome while nothing is known,
  static constexpr uint32_t kEarned = 2;       // and so many more for each good one beyond the bad
  static constexpr uint64_t kOffNs = 600'000'000'000;        // ten minutes, then twice as long, ...
  static constexpr uint64_t kOffNsMax = 19'200'000'000'000;  // ... up to 5.3 hours

  bool is_off(uint64_t now_ns) const { return now_ns < off_until_ns_; }
  // Whether one more block may be fetched for this source.
  bool admits(uint64_t now_ns) const {
    const uint64_t earned = useful > wasted ? kEarned * (useful - wasted) : 0;
    return !is_off(now_ns) && fetched - useful - wasted < kUnreadMax + earned;
  }
  void on_fetched() { ++fetched; }
  void on_used(uint64_t now_ns) {
    ++useful;
    note(true, now_ns);
  }
  void on_wasted(uint64_t now_ns) {
    ++wasted;
    note(false, now_ns);
  }
  // Of the last outcomes, the useful ones; 1 before there are any.
  double useful_share() const { return seen_ > 0 ? double(good_) / double(seen_) : 1.0; }

  uint64_t fetched = 0, useful = 0, wasted = 0;
  uint32_t times_off = 0;
  uint32_t off_useful = 0, off_seen = 0;  // of the outcomes that turned it off last

 private:
  void note(bool good, uint64_t now_ns) {
    ++seen_;
    good_ += good ? 1 : 0;
    if (seen_ < (proven_ ? kWindow : kWindow / 2)) return;
    if (double(good_) >= kUsefulMin * double(seen_)) {
      proven_ = true;
      off_ns_ = kOffNs;
      seen_ /= 2;  // the older half fades
      good_ /= 2;
      return;
    }
    if (!is_off(now_ns)) {
      ++times_off;
      off_useful = good_;
      off_seen = seen_;
      off_until_ns_ = now_ns + off_ns_;
      off_ns_ = std::min(2 * off_ns_, kOffNsMax);
    }
    proven_ = false;
    seen_ = good_ = 0;
  }

  bool proven_ = false;
  uint32_t seen_ = 0, good_ = 0;
  uint64_t off_until_ns_ = 0, off_ns_ = kOffNs;
};

}  // namespace speckv::predict
