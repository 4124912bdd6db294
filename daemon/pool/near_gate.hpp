// SPDX-License-Identifier: Apache-2.0
// near_gate.hpp - whether a namespace's index may refer to near memory now: not while one of its
// sessions belongs to a library that cannot read there.
//
// The control thread closes the gate for such a session, and tells it where the index is once every
// shard has taken its entries back; a shard asks once a turn, before it publishes anything. Of a
// closing and an opening at the same time one sees the other: both store first and then load,
// sequentially consistent. Threading: as said of each.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "shm/pool_format.hpp"

namespace speckv {

class NearGate {
 public:
  // Control thread. A session that cannot read near memory begins, or has ended.
  void close() { blind_.fetch_add(1); }
  void open() { blind_.fetch_sub(1); }
  // No index entry refers to near memory, nor will while it is closed.
  bool is_closed(uint32_t shards) const {
    for (uint32_t shard = 0; shard < shards; shard++)
      if (publishing_[shard].load()) return false;
    return true;
  }
  uint32_t blind() const { return blind_.load(std::memory_order_relaxed); }

  // The shard's data thread. Returns: whether it may publish. If not it takes back what it has
  // published, and then says so.
  bool may_publish(uint32_t shard) {
    if (publishing_[shard].load(std::memory_order_relaxed)) return blind_.load() == 0;
    publishing_[shard].store(true);
    if (blind_.load() == 0) return true;
    publishing_[shard].store(false);
    return false;
  }
  void all_taken_back(uint32_t shard) { publishing_[shard].store(false); }

 private:
  std::atomic<uint32_t> blind_{0};
  std::array<std::atomic<bool>, shm::shards_max> publishing_{};
};

}  // namespace speckv
