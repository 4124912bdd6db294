// SPDX-License-Identifier: Apache-2.0
// readers.hpp - who may read a namespace's pool, as its header tells the next daemon.
//
// A process that has a pool mapped keeps the map when the daemon ends, and no restart can take it
// away. So a pool is kept only if everybody who could map it still may: then what is written from
// now on is seen by nobody else. Used by namespace and start_plan; written before any client has
// the file. The daemon's own user and root are not listed: they can read its memory in any case.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "shm/pool_format.hpp"

namespace speckv {

// Of one namespace, uids and gids together: 64 KiB of the header's 2 MiB.
constexpr uint32_t readers_max = 8000;

class Readers {
 public:
  Readers() = default;
  Readers(bool anyone, std::span<const uint32_t> uids, std::span<const uint32_t> gids);

  // In the pool's first unit, behind its header.
  void write(std::byte* pool) const;
  // Returns: false, nothing there says who they were.
  bool read(std::span<const std::byte> pool_head);
  // Returns: "user 1001" or the like: somebody of these who is not among `now`; "" when all are.
  std::string who_is_missing_in(const Readers& now) const;

 private:
  bool has(uint64_t reader) const;
  std::vector<uint64_t> all_;  // sorted; see readers.cpp
};

// What read() looks at, from the pool's first byte on.
constexpr uint64_t readers_end_bytes = 4096 + 16 + 8ull * readers_max;
static_assert(readers_end_bytes <= shm::unit_bytes);

}  // namespace speckv
