// SPDX-License-Identifier: Apache-2.0
// hot_set.hpp - "hot" as the design means it: objects in random order from a set of at least four
// last-level caches, copied into a ring of two.
//
// Who calls it: the suites that move objects. Also the two memcpys that each row is compared with.
#pragma once

#include <algorithm>
#include <cstring>
#include <random>
#include <vector>

#include "bench.hpp"
#include "memory.hpp"

namespace speckv::bench {

class HotSet {
 public:
  // set_bytes and ring_bytes: 0 means four and two last-level caches.
  explicit HotSet(uint64_t object_bytes, uint64_t set_bytes = 0, uint64_t ring_bytes = 0)
      : object_bytes_(object_bytes),
        objects_(std::max<uint64_t>((set_bytes ? set_bytes : 4 * l3_bytes()) / object_bytes, 1)),
        set_(objects_ * object_bytes),
        ring_(std::max<uint64_t>(ring_bytes ? ring_bytes : 2 * l3_bytes(), object_bytes)) {
    const uint64_t distinct_bytes = std::min<uint64_t>(set_.bytes(), 8 << 20);
    const uint64_t distinct = std::max<uint64_t>(distinct_bytes / object_bytes, 1);
    for (uint64_t i = 0; i < objects_; ++i) {
      if (i < distinct) {
        fill_kv(set_.at(i * object_bytes), object_bytes, 64, i + 1);
      } else {
        std::memcpy(set_.at(i * object_bytes), set_.at(i % distinct * object_bytes), object_bytes);
      }
    }
  }

  uint64_t objects() const { return objects_; }
  uint64_t object_bytes() const { return object_bytes_; }
  const std::byte* object(uint64_t i) const { return set_.at(i * object_bytes_); }
  uint64_t pick() { return random_() % objects_; }
  // The next place of the ring.
  std::byte* place() {
    if (at_ + object_bytes_ > ring_.bytes()) at_ = 0;
    std::byte* const to = ring_.at(at_);
    at_ += object_bytes_;
    return to;
  }

  // memcpy and stream_copy of `per_turn` objects a turn: the first two contenders of a suite.
  std::vector<Contender> copies(uint64_t per_turn) {
    return {{"memcpy",
             [this, per_turn] {
               for (uint64_t i = 0; i < per_turn; ++i)
                 std::memcpy(place(), object(pick()), object_bytes_);
               return per_turn;
             }},
            {"stream", [this, per_turn] {
               for (uint64_t i = 0; i < per_turn; ++i)
                 stream_copy(place(), object(pick()), object_bytes_);
               return per_turn;
             }}};
  }

 private:
  uint64_t object_bytes_;
  uint64_t objects_;
  Buffer set_;
  Buffer ring_;
  uint64_t at_ = 0;
  std::mt19937_64 random_{7};
};

// The faster of the two copies.
inline const Timing& faster(const Timing& a, const Timing& b) {
  return a.median_s <= b.median_s ? a : b;
}

}  // namespace speckv::bench
