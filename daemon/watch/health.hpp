// SPDX-License-Identifier: Apache-2.0
// health.hpp - whether the daemon moves, in one place: /healthz, the supervisor's watchdog and the
// log say the same.
//
// A data thread turns at least every 50 ms: between two turns it encodes 1 MiB at most. One that
// has not turned for stalled_after_ms is stuck.
#pragma once

#include <cstdint>
#include <string>

#include "watch/daemon_view.hpp"

namespace speckv::watch {

constexpr uint64_t stalled_after_ms = 5000;  // with room for a machine that others load

// Returns: what is wrong, as a sentence without its end; empty: nothing.
inline std::string ailment(const DaemonView& view, uint64_t after_ms = stalled_after_ms) {
  const auto threads = view.threads();
  if (threads.size() != view.daemon().shards) return "not all data threads run";
  for (const ThreadFacts& thread : threads)
    if (thread.stalled_ms >= after_ms)
      return "data thread " + std::to_string(thread.shard) + " has not turned for " +
             std::to_string(thread.stalled_ms) + " ms";
  return "";
}

}  // namespace speckv::watch
