// SPDX-License-Identifier: Apache-2.0
// namespace.hpp - a tenant's files: opened, and either formatted or taken over from an earlier
// daemon.
//
// Called by main before any thread runs. Never reads slots: that is journey/restart.cpp's.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "pool/medium.hpp"
#include "pool/near_gate.hpp"
#include "pool/start_plan.hpp"
#include "status.hpp"

namespace speckv {

struct Namespace {
  std::string name;
  std::unique_ptr<Region> pool, index;
  std::unique_ptr<Region> near;         // decoded copies of blocks; nullptr: it has none
  std::unique_ptr<NearGate> near_gate;  // likewise
  uint64_t units = 0;                   // without the header's
  uint32_t shards = 0;
  uint32_t buckets = 0;  // of one shard's index
  uint64_t pool_id = 0;
  std::string not_kept;     // why a pool that was found on a device was replaced
  bool taken_over = false;  // the pool's slots may hold blocks: restore them
  uint64_t lost_bytes = 0;  // of the pool: poison, or the device is gone
  bool gone = false;        // its header is lost, and with it all of it

  uint64_t first_unit(uint32_t shard) const { return 1 + units * shard / shards; }
  uint64_t units_of(uint32_t shard) const {
    return 1 + units * (shard + 1) / shards - first_unit(shard);
  }
  // The same of near memory. Requires: it has some.
  uint64_t near_units() const { return near->bytes() / shm::unit_bytes - 1; }
  uint64_t near_first_unit(uint32_t shard) const { return 1 + near_units() * shard / shards; }
  uint64_t near_units_of(uint32_t shard) const {
    return 1 + near_units() * (shard + 1) / shards - near_first_unit(shard);
  }
};

// Of a namespace's pool in its medium.
std::string pool_name(const std::string& space_name);

// The index has room for wanted.index_entries at 80 % load. has_below: there is a tier below it.
// near_bytes: of near memory, header included; 0: none.
Result<Namespace> open_namespace(Medium& medium, const WantedSpace& wanted, uint32_t shards,
                                 bool has_below = false, uint64_t near_bytes = 0);

}  // namespace speckv
