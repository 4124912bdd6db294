// SPDX-License-Identifier: Apache-2.0
// shared_state.hpp - what the stress test's driver and its client processes tell each other: one
// anonymous shared map.
//
// A client says in which state it is (State); the driver names a state in `pause_at`, waits until
// the client stands still there, and kills it. Counters are of all clients, the dead included.
#pragma once

#include <atomic>
#include <cstdint>

namespace speckv::test {

enum State : uint32_t {
  idle = 0,
  // get: before the step of docs/protocol.md of that number
  reading_2 = 2,
  reading_3,
  reading_4,
  reading_5,
  reading_6,
  reading_7,
  putting,        // filled its buffer, has submitted nothing
  put_submitted,  // the completion is still to come
  parts_begun,
  parts_half,
  parts_committed,
  page_open,  // writes into a page in the arena
  page_sealed,
  holding,
  state_count
};
constexpr bool of_reader(uint32_t state) { return state >= reading_2 && state <= reading_7; }
constexpr const char* state_names[state_count] = {"idle",
                                                  "",
                                                  "get step 2",
                                                  "get step 3",
                                                  "get step 4",
                                                  "get step 5",
                                                  "get step 6",
                                                  "get step 7",
                                                  "put begun",
                                                  "put submitted",
                                                  "parts begun",
                                                  "parts half written",
                                                  "parts committed",
                                                  "page open",
                                                  "page sealed",
                                                  "holding"};

struct ClientSlot {
  std::atomic<uint32_t> pause_at{0};
  std::atomic<uint32_t> paused{0};
};
constexpr uint32_t clients_max = 8;

struct SharedState {
  std::atomic<bool> stop{false};
  ClientSlot clients[clients_max];
  std::atomic<uint64_t> gets{0}, hits{0}, stored{0}, removed{0}, held{0}, not_connected{0};
  std::atomic<uint64_t> retries{0}, stale{0}, corrupt{0}, foreign{0}, reconnects{0};
  std::atomic<uint64_t> wrong{
      0};  // blocks that were returned and are no whole version of their key
  std::atomic<uint64_t> unexpected{0};                        // results that no one promised
  std::atomic<int> unexpected_call{0}, unexpected_result{0};  // the first of them, see Calls
};

enum Calls : int {
  call_get = 1,
  call_put,
  call_parts,
  call_page,
  call_remove,
  call_hold,
  call_completion,
  call_layout
};

}  // namespace speckv::test
