// SPDX-License-Identifier: Apache-2.0
// daemon_status.hpp - asks a running speckvd what its namespaces hold, as `speckvctl status --json`
// does. Who calls it: the speckv arms, after the clock has stopped; main, for what the report says
// of the pool.
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace speckv::qa {

struct SpaceStatus {
  uint64_t raw_bytes = 0;
  uint64_t stored_bytes = 0;
  uint64_t evicted_blocks = 0;
  uint64_t page_bytes = 0;
  std::string medium;  // the daemon's: "shm", with "emulated" where it is
};

// Returns: by namespace. Throws Failure when the daemon does not answer.
std::map<std::string, SpaceStatus> ask_status(const std::string& socket);

}  // namespace speckv::qa
