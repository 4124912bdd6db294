// SPDX-License-Identifier: Apache-2.0
// cores.hpp - how many processors this process may use, and how many threads encode on them when
// the configuration does not say.
//
// For the daemon's start and --check-config, which say the same. Reads the machine, changes
// nothing.
#pragma once

#include <cstdint>
#include <string>

#include "config/config.hpp"

namespace speckv {

// What the scheduler lets this process run on, and no more than the tightest quota of its control
// groups. At least 1. root: as in memory_limit.hpp.
uint32_t usable_cores(const std::string& root = "");

struct EncodeThreads {
  uint32_t count = 0;
  std::string text;     // how many, out of what, and who chose
  std::string warning;  // where these cannot all run, or some data threads get none; else ""
};
EncodeThreads encode_threads(const config::DaemonConfig& config, uint32_t cores);

}  // namespace speckv
