// SPDX-License-Identifier: Apache-2.0
// kill_switch.hpp - for those who set when the simulated daemon dies.
#pragma once

#include <cstdint>

namespace speckv::sim {

struct Killed {};
// After so many more stores to a pool the daemon dies; 0: it does not.
extern uint64_t stores_to_live;

}  // namespace speckv::sim
