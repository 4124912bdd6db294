// SPDX-License-Identifier: Apache-2.0
// start_plan.hpp - what earlier daemons left in the pool's mount that this start will not keep,
// told before it happens.
//
// Called by the daemon's start, which logs it, and by --check-config, which prints it: nothing is
// changed here, nothing is locked, and a daemon may be serving from these files meanwhile. Devices
// cannot be looked at without taking them over: what goes from them is told when they are opened.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "pool/medium.hpp"
#include "pool/readers.hpp"
#include "shm/pool_format.hpp"

namespace speckv {

struct WantedSpace {
  std::string name;
  uint64_t bytes = 0;          // of the pool, its header included
  uint64_t index_entries = 0;  // of all shards
  Readers readers;
};

// Why a pool cannot be taken over by this namespace, cut for so many shards, or "": it has another
// shape, or somebody could map it who may not read it any more. head: readers_end_bytes of it.
std::string why_not_kept(std::span<const std::byte> head, uint64_t file_bytes,
                         const WantedSpace& wanted, uint32_t shards);

// options.path: of the mount, as the daemon resolves it, whatever the medium is.
// Returns: one sentence for each pool that goes, in part or as a whole, with blocks and bytes.
std::vector<std::string> what_a_start_drops(const MediumOptions& options,
                                            std::span<const WantedSpace> wanted, uint32_t shards);

}  // namespace speckv
