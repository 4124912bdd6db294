// SPDX-License-Identifier: Apache-2.0
// promote.hpp - what a fetch of a block says at once, and how one that was on its way ended.
//
// A fetch asks that a block can be read in the pool: one that is there already is ready, one that
// lies in a tier below comes up. Shard::fetch() answers without waiting; what is on its way ends
// any number of turns later, exactly once, and Shard::take_fetched() tells of it. Who may ask for
// how much is the asker's business (loop/prefetches.hpp), not this room's.
#pragma once

#include <cstdint>

#include "predict/source.hpp"
#include "shm/key.hpp"

namespace speckv {

enum class Fetch : uint8_t {
  ready,       // it can be read now
  on_its_way,  // its end follows
  clipped,     // more bytes than it may take, or no room in the pool for it
  rejected,    // the tier below takes no more, or does not answer
  missing      // no tier has it
};

struct FetchReply {
  Fetch outcome = Fetch::missing;
  uint64_t bytes = 0;  // on_its_way: that are read from below for it; clipped: that would have been
};

// A hold asks again for what could not be brought up no earlier than this.
constexpr uint64_t promote_retry_ns = 20'000'000;

// A block on its way up: one of the store's reads, by its number. told: its end is asked for.
struct Promote {
  Key key;  // of a guess: not known until it has been read, or somebody asks for it
  uint64_t hash = 0;
  bool used = false, told = false;
  // It was begun before anybody asked (journey/speculate.cpp); demanded: somebody has asked since.
  bool guess = false, demanded = false;
  predict::Source source{};
  uint64_t expected_ns = 0;  // when it will be read, as it was thought
};

// Fetches that wait for one of the store's reads, of one shard. More are rejected.
constexpr uint32_t fetches_waiting_max = 1024;
// Reads that fetches leave to holds, which somebody waits for in a call.
constexpr uint32_t reads_for_holds = 2;

struct WaitingFetch {
  Key key;
  bool gone = false;  // nobody wants it any more
};

struct FailedPromote {
  Key key;
  uint64_t until_ns = 0;
};

// Of a fetch that was on its way: ready, clipped, rejected or missing.
struct FetchEnd {
  Key key;
  Fetch outcome = Fetch::missing;
};

}  // namespace speckv
