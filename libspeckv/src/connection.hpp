// SPDX-License-Identifier: Apache-2.0
// connection.hpp - what one handshake gave: the maps, the descriptors and the rings of one daemon.
//
// A session owns a few of these. One is current; older ones stay mapped while a call, a put or a
// page still uses them, and are reclaimed later. The memory of the struct itself is never freed, so
// a reader may count itself in first and check second. Ring and arena fields are guarded by the
// session's lock; the rest is constant while in use.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "shm/index.hpp"
#include "shm/pool_format.hpp"
#include "shm/session_format.hpp"
#include "src/arena.hpp"
#include "src/limits.hpp"
#include "src/throttle.hpp"

namespace speckv::lib {

constexpr int16_t layout_refused = -1;

struct Map {
  std::byte* base = nullptr;
  uint64_t bytes = 0;
  uint64_t populated = 0;  // bytes of it, from the start, whose page table entries were asked for
};

struct Connection {
  struct alignas(64) Readers {
    std::atomic<uint32_t> count{0};
  };

  Readers readers[stripes];          // calls that use the maps now
  std::atomic<uint32_t> holders{0};  // puts and pages whose memory is in this arena
  std::atomic<bool> in_use{false};
  std::atomic<bool> lost{false};  // the daemon hung up or retired: nothing is submitted any more

  Map session;
  Map pool;
  Map near;  // of no bytes where the namespace has none
  Map index;
  uint32_t shards = 0;
  shm::IndexView views[shm::shards_max];
  int socket = -1;
  uint64_t socket_inode = 0;  // says in a forked child whether that number is still this socket
  int event = -1;
  int doorbells[shm::shards_max];
  uint64_t hold_ns_max = 0;
  uint64_t pool_page_bytes = 0;
  mutable Throttle throttle;  // of the pool's medium alone; inactive unless it is emulated
  // The wire's, by the session's; layout_refused. Another number: better widths.
  std::atomic<int16_t> layout_number[layouts_max];

  // under the session's lock
  uint32_t sq_tail[shm::shards_max];
  uint32_t sq_reserved[shm::shards_max];  // slots promised to puts that are still copying
  uint32_t cq_head[shm::shards_max];
  uint32_t under_way[shm::shards_max];  // answers that may come; <= cq_entries
  uint64_t under_way_total = 0;         // operations
  uint64_t first_answers = 0;           // that ended none
  Arena arena;

  const shm::IndexHeader& index_header() const {
    return *reinterpret_cast<const shm::IndexHeader*>(index.base);
  }
  shm::SessionHeader& session_header() const {
    return *reinterpret_cast<shm::SessionHeader*>(session.base);
  }
  shm::GuardSlot* guards() const {
    return reinterpret_cast<shm::GuardSlot*>(session.base + shm::guards_offset);
  }
  shm::ShardArea& area(uint32_t shard) const {
    return reinterpret_cast<shm::ShardArea*>(session.base + shm::shards_offset)[shard];
  }
  std::byte* arena_base() const { return session.base + shm::session_arena_offset(shards); }
  bool retired() const { return shm::load_relaxed(index_header().retired) != 0; }
  uint32_t readers_now() const {
    uint32_t sum = 0;
    for (const Readers& reader : readers) sum += reader.count.load();
    return sum;
  }
};

}  // namespace speckv::lib
