// SPDX-License-Identifier: Apache-2.0
// daemon.hpp - the real server, shards, pool, policy and sessions on plain memory, with the null
// engine; it can die between any two stores to a pool and start again on what was stored.
//
// Every call into the product's code goes through run(), which is where a death ends.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/null.hpp"
#include "library.hpp"
#include "loop/server.hpp"
#include "memory.hpp"
#include "sim_io.hpp"
#include "world.hpp"

namespace speckv::sim {

struct DaemonSizes {
  uint32_t spaces = 1, units = 8, buckets = 16, blocks_max = 64, jobs_max = 16, holds_max = 64;
  uint32_t spill_units = 0, spill_entries = 0;  // of the tier below; 0: there is none
  uint64_t demote_ahead_bytes = 0, speculation_bytes_s = 0;
  uint32_t near_units = 0, near_after_hits = 1;  // memory above the pool; 0: there is none
  std::string policy = "lru";
};

class Daemon {
 public:
  Daemon(const DaemonSizes& sizes, const std::vector<speckv_layout>& layouts, Random& random);

  void start(uint64_t now_ns);  // the first time, or after its death
  bool alive() const { return server_ != nullptr; }
  void kill();
  // It dies, and the pools and what was in the disks' caches are gone.
  void lose_power();
  // Returns: false, it died meanwhile.
  bool run(const std::function<void()>& what);

  // reads_near: its library can; one that cannot must not see the index before near_is_closed().
  std::shared_ptr<Session> connect(uint32_t space, uint64_t arena_bytes, bool reads_near);
  void ended(const Session& session);  // what control does for one
  bool near_is_closed(uint32_t space) const { return spaces_[space].gate->is_closed(1); }
  SharedMemory memory_of(const Session& session);
  void lose_unit(uint32_t space, uint32_t unit);

  Server& server() { return *server_; }
  NullEngine& engine() { return *engine_; }
  SimIo& io() { return *io_; }
  Shard& shard(uint32_t space) {  // of a daemon that lives
    if (!alive()) throw Contradiction("the simulation asked a dead daemon for its shard");
    return *shards_[space];
  }
  const ShardCounters& counters(uint32_t space) { return shard(space).counters(); }
  const DaemonSizes& sizes() const { return sizes_; }
  // Blocks that the daemon has evicted, lost or not restored, in all its lives.
  uint64_t gone(uint32_t space) const;
  uint64_t lost(uint32_t space) const;  // of those, lost
  // Blocks that are in no tier any more, in all its lives.
  uint64_t dropped(uint32_t space) const;
  uint32_t lives() const { return lives_; }
  bool brings_near() const;       // a block is on its way there, or leaves it
  uint64_t brought_near() const;  // copies, in all its lives
  // Demands that what the counters say is what lies in the index and in the slabs.
  void demand_balance(uint32_t space);

 private:
  struct Space {
    std::unique_ptr<PlainRegion> pool, index, file, near;
    std::unique_ptr<NearGate> gate;
    std::unique_ptr<SimDisk> disk;
    uint64_t gone_before = 0, lost_before = 0, dropped_before = 0;
    bool lost_memory = false;
    std::vector<const Layout*> layouts;
  };
  std::vector<Server::Space> make_shards(uint64_t now_ns);

  DaemonSizes sizes_;
  Random& random_;
  PlainMedium medium_;
  LayoutTable layouts_;
  std::vector<Space> spaces_;
  std::unique_ptr<SimIo> io_;
  std::unique_ptr<NullEngine> engine_;
  std::unique_ptr<Server> server_;
  std::vector<Shard*> shards_;
  uint64_t sessions_ = 0;
  uint32_t lives_ = 0;
  uint64_t brought_before_ = 0;
};

}  // namespace speckv::sim
