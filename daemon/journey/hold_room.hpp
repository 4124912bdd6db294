// SPDX-License-Identifier: Apache-2.0
// hold_room.hpp - how many blocks may be held at once: in a namespace, and in all of them together.
//
// Shards of several data threads count here, each for itself; two that ask at once for the last
// place may both be refused. Never: waits, or knows which blocks they are.
#pragma once

#include <atomic>
#include <cstdint>

#include "assert.hpp"

namespace speckv {

class HoldRoom {
 public:
  // above: the room of all namespaces, of which this is one's; nullptr: none. It outlives this.
  explicit HoldRoom(uint64_t most, HoldRoom* above = nullptr) : most_(most), above_(above) {}

  // Returns: false when there is no place, here or above.
  bool take() {
    if (used_.fetch_add(1, std::memory_order_relaxed) < most_ && (!above_ || above_->take()))
      return true;
    used_.fetch_sub(1, std::memory_order_relaxed);
    return false;
  }
  void give_back() {
    const uint64_t before = used_.fetch_sub(1, std::memory_order_relaxed);
    SPECKV_ASSERT(before > 0, "more holds ended than there were");
    if (above_) above_->give_back();
  }
  uint64_t used() const { return used_.load(std::memory_order_relaxed); }

 private:
  const uint64_t most_;
  HoldRoom* const above_;
  std::atomic<uint64_t> used_{0};
};

}  // namespace speckv
