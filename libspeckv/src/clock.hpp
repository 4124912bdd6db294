// SPDX-License-Identifier: Apache-2.0
// clock.hpp - nanoseconds of CLOCK_MONOTONIC, from the vDSO: no system call.
#pragma once

#include <cstdint>
#include <ctime>

namespace speckv::lib {

inline uint64_t now_ns() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return uint64_t(now.tv_sec) * 1'000'000'000 + uint64_t(now.tv_nsec);
}

// Returns: now + timeout, at most the end of time.
inline uint64_t deadline_after(uint64_t timeout_ns) {
  const uint64_t now = now_ns();
  return timeout_ns > UINT64_MAX - now ? UINT64_MAX : now + timeout_ns;
}

}  // namespace speckv::lib
