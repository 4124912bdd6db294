// SPDX-License-Identifier: Apache-2.0
// speculation.hpp - limits and counters of what a shard reads from the tier below before anybody
// asks.
//
// journey/speculate.cpp feeds predict/speculator.hpp with what happens here and reads what it
// proposes. Such a read has a buffer of the store and nothing of the pool until it has ended, takes
// the place of nothing that is more wanted (predict/admission.hpp), and yields to whoever waits.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "predict/source.hpp"

namespace speckv {

// Of the tier's reads (spill_reads_max) at once; whoever asks waits behind so many at most.
constexpr uint32_t guess_reads_max = 8;
// Of the store's buffers one of so many may be filled by them, but for a single block.
constexpr uint64_t guess_buffer_share = 4;
// Proposals that are looked at in one turn: most are reads, some are gone meanwhile.
constexpr uint32_t guess_tries = 16;
// After each block that comes, so many of those below are looked at: whether they are there still.
constexpr uint32_t guess_looks = 4;
// Of a block, until some were read.
constexpr uint64_t guess_block_bytes = 1 << 20;
// Of the pool one of so many bytes may wait unread.
constexpr uint64_t guess_unread_share = 4;

// Of one source. Written by the data thread, read by anyone.
struct GuessCounters {
  std::atomic<uint64_t> fetched{0}, bytes{0};  // reads that began
  std::atomic<uint64_t> useful{0}, late{0};    // blocks that were read; of these, waited for
  std::atomic<uint64_t> wasted{0};             // that went unread, or had no room when they came
  std::atomic<uint64_t> refused{0};  // not begun: nothing gives way, or the tier has no read free
  std::atomic<uint64_t> off{0}, times_off{0};
  std::atomic<uint64_t> off_useful{0}, off_seen{0};  // of the outcomes that turned it off last
};
using GuessesCounters = std::array<GuessCounters, predict::kSources>;

}  // namespace speckv
