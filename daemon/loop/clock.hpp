// SPDX-License-Identifier: Apache-2.0
// clock.hpp - the daemon's one clock: CLOCK_MONOTONIC, as clients stamp their guards. No system
// call.
#pragma once

#include <time.h>

#include <cstdint>

namespace speckv {

inline uint64_t monotonic_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return uint64_t(now.tv_sec) * 1'000'000'000ull + uint64_t(now.tv_nsec);
}

}  // namespace speckv
