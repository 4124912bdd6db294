// SPDX-License-Identifier: Apache-2.0
// touch.hpp - tells the daemon's eviction of a hit, without asking: one word in the session's touch
// ring.
//
// Lossy by intent: threads of one session may overwrite each other's entry; the daemon may read
// late.
#pragma once

#include "src/connection.hpp"

namespace speckv::lib {

inline void touch(const Connection& connection, uint32_t shard, uint32_t block) {
  shm::ShardArea& area = connection.area(shard);
  const uint32_t tail = shm::load_relaxed(area.touch_tail.value);
  shm::store_relaxed(area.touches[tail % shm::touch_entries], block);
  shm::store_release(area.touch_tail.value, tail + 1);
}

}  // namespace speckv::lib
