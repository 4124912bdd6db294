// SPDX-License-Identifier: Apache-2.0
// limits.hpp - every bound of the library, with its unit and its reason.
//
// Read by src/ alone. Full means an errno, never growth. Holds numbers, no code.
#pragma once

#include <cstdint>

namespace speckv::lib {

constexpr uint32_t sessions_max = 64;  // of one process; a server opens one per rank and namespace
constexpr uint32_t layouts_max = 64;   // of one session; the wire numbers them 0..63
constexpr uint32_t connections_max = 8;  // of one session: the live one and old ones still in use
constexpr uint32_t blocks_max = 4096;    // open puts and pages of one session; 12 bits of a handle
constexpr uint32_t records_max = 1u
                                 << 16;  // operations under way or not reaped; = SPECKV_BATCH_MAX
constexpr uint32_t holds_max = 1024;     // of one session; expired ones are reused
constexpr uint32_t stripes = 16;         // counters of calls: threads share one past 16
constexpr uint32_t group_keys = 64;      // keys looked up together: covers DRAM latency, fits L1
constexpr uint64_t prefetch_bytes_max =
    8192;                             // of the next block of a batch: fits L1 beside this one
constexpr uint32_t read_tries = 4;    // the first and 3 retries, DESIGN 4a (3)
constexpr uint32_t hold_group = 256;  // keys of one hold or load sent before waiting for answers
constexpr uint32_t prefetches_max = 256;  // of one session, ended ones that await answers too
constexpr uint32_t guard_tries = 4;       // slots looked at before reading without a guard
constexpr uint32_t arena_chunks_max = 1u << 24;  // 1 TiB of 64 KiB chunks

constexpr uint32_t args_bytes_max = 4096;          // a struct that grew past this is none
constexpr uint32_t open_timeout_ms = 2000;         // speckv.h
constexpr uint64_t check_every_ns = 100'000'000;   // "at most one attempt per 100 ms", speckv.h
constexpr uint64_t handshake_step_ns = 1'000'000;  // how often an unfinished one is looked at
// Layouts asked for ahead of their replies: a caller that comes by rarely finds several answered,
// and requests and replies (< 2 KiB each in a socket's buffer) never fill one.
constexpr uint32_t layouts_ahead_max = 16;
// Of a new daemon's memory, by one call that misses: 2,048 page table entries, or 4 of huge pages.
constexpr uint64_t populate_step_bytes = 8u << 20;
constexpr uint64_t file_digest_buffer_bytes = 1u << 20;
constexpr int64_t stride_bytes_max = int64_t{1}
                                     << 40;  // past any buffer: such a stride is a mistake
// Larger puts are written around the caches: the daemon reads them on another core. 64 KiB blocks,
// Zen 3: 1.5 x memcpy through the caches, 0.9 x around them.
constexpr uint64_t stream_put_bytes = 32u << 10;

}  // namespace speckv::lib
