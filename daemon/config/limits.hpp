// SPDX-License-Identifier: Apache-2.0
// limits.hpp - every bound and default of the configuration, with its unit and its reason.
//
// Read by config/ alone to check a file, and by rooms that size a table before the file is read.
// Holds numbers, no code. A value outside its bound is refused at start with the line it stands on;
// nothing is clamped silently.
#pragma once

#include <cstdint>

namespace speckv::limits {

constexpr uint64_t kib = 1024;
constexpr uint64_t mib = 1024 * kib;
constexpr uint64_t gib = 1024 * mib;
constexpr uint64_t tib = 1024 * gib;

// ---- [daemon] ----
constexpr uint32_t data_threads_default = 1;
constexpr uint32_t data_threads_max =
    64;  // threads; = shm::shards_max, each thread is one shard of every index
constexpr uint32_t encode_threads_max = 256;  // threads; more than one socket has cores: a typo
// When the configuration does not say: the cores are the engine's first.
constexpr uint32_t cores_per_encode_thread = 8;
constexpr uint32_t encode_threads_chosen_max = 8;  // fill the link of one expander, 10 to 16 GB/s
constexpr uint32_t metrics_connections_max_default = 16;  // a scraper or two, a few browsers
constexpr uint32_t metrics_connections_max_max = 1024;    // a descriptor each
constexpr uint32_t socket_path_bytes_max = 107;  // bytes; sockaddr_un.sun_path without its NUL
constexpr uint32_t socket_mode_default =
    0660;  // owner and group; the namespace's own list decides on top of it
constexpr uint32_t path_bytes_max =
    1024;  // bytes of any other path; far below PATH_MAX, leaves room for file names
constexpr uint64_t config_file_bytes_max =
    1 * mib;  // a person writes this file; more is another file by mistake

// ---- [pool] ----
constexpr uint64_t pool_bytes_default =
    256 * mib;  // of the namespace "default" when there is no file
constexpr uint64_t namespace_bytes_min =
    8 * mib;  // header unit, one slab a slot class, one to evict into
constexpr uint64_t pool_bytes_max =
    64 * tib;  // 2^46; slot offsets and stored sizes stay far from overflow
constexpr uint32_t numa_node_max = 1023;         // Linux: CONFIG_NODES_SHIFT <= 10
constexpr double emulated_gb_s_max = 10'000;     // GB/s; past any memory: a typo
constexpr uint64_t emulated_ns_max = 1'000'000;  // ns; 1 ms is a disk, not a memory

// ---- [engine] ----
// Segments of a device of which one is encoded again by the cpu: 1.6 % of what the cpu would do.
constexpr uint32_t check_one_in_default = 64;
constexpr uint32_t check_one_in_max = 1u << 20;
constexpr uint32_t engine_deadline_ms_default = 1000;  // ms; a segment takes an engine one at most
constexpr uint32_t engine_deadline_ms_min = 10;        // ms; the driver looks every 20
constexpr uint32_t engine_deadline_ms_max = 5000;      // ms; well within a put's own 10 s
constexpr uint64_t staging_bytes_default = 32 * mib;   // 16 commands of 2 MiB under way
constexpr uint64_t staging_bytes_min = 4 * mib;        // one, and one of the engine's own
constexpr uint64_t staging_bytes_max = 512 * mib;      // as many as its queue has places

// ---- [[namespace]] ----
constexpr uint32_t namespaces_max = 64;  // each has a file, a map and a file descriptor per session
constexpr uint32_t namespace_name_bytes_max = 63;  // bytes; wire::Hello carries 64 with the NUL
constexpr uint64_t bytes_per_index_entry =
    64 * kib;  // default of index_entries = bytes / this, see config.hpp
constexpr uint64_t index_entries_min = 1024;  // below it a bucket's luck decides, not the policy
constexpr uint64_t index_entries_max = 1ull << 31;  // block numbers are 32 bits
constexpr uint32_t access_list_max =
    1024;  // uids or gids of one namespace; scanned once a connection

constexpr uint64_t prefetch_bytes_s_default = 1 * gib;  // bytes a second: a seventh of one NVMe
constexpr uint64_t not_limited = UINT64_MAX;
constexpr uint64_t bytes_s_min = 1 * mib;  // of a limit in bytes a second that is no 0: a block
constexpr uint32_t prefetch_keys_default =
    1024;  // keys on their way: half of one session's answers
constexpr uint32_t prefetch_keys_max_max = 1u << 20;  // 100 bytes each
// Of a namespace's bytes may be retained: the rest turns over, so that puts always find room.
constexpr uint32_t retained_percent_default = 25;
constexpr uint32_t retained_percent_max = 75;
constexpr uint64_t retained_not_written = UINT64_MAX;

// Blocks that `speckvctl size` looks at in a pool of the namespace's size: more are more exact by
// the root of their number. 2,048: within 1 point on real traces, for 9 MiB at most.
constexpr uint32_t size_samples_default = 2048;
constexpr uint32_t size_samples_max = 65'536;
constexpr uint32_t size_samples_of_shard_min = 128;  // fewer say nothing
// At least what predict/size_curve.hpp says: of each sample, each shard, each block of the pool.
constexpr uint64_t size_sample_bytes = 20 * 208 + 96, size_shard_bytes = 516 * kib;
constexpr uint64_t size_block_bytes = 16;

// ---- [[namespace]] near memory ----
constexpr uint64_t near_bytes_min =
    8 * mib;  // its header's unit, one slab of segments, one of records, one to evict into
constexpr uint32_t near_after_hits_default = 2;  // one reading says nothing of the next
constexpr uint32_t near_after_hits_max = 255;    // hits are counted in a byte a block

// ---- [session] ----
constexpr uint64_t arena_bytes_default = 32 * mib;  // 16 blocks of 2 MiB under way
constexpr uint64_t arena_bytes_min = 1 * mib;       // 16 chunks of 64 KiB
constexpr uint64_t arena_bytes_max_default = 256 * mib;
constexpr uint64_t arena_bytes_max_max = 1 * tib;
constexpr uint64_t arenas_bytes_max_default =
    1 * gib;  // all sessions together: what clients can make the daemon map
constexpr uint32_t sessions_max_default = 64;
constexpr uint32_t sessions_max_max =
    4096;  // about 6 descriptors each; below the usual hard limit of 2^19
constexpr uint64_t hold_ms_default = 30'000;     // from a scheduler's lookup to a worker's load
constexpr uint64_t hold_ms_max_max = 3'600'000;  // an hour: longer is not a hold, it is a leak
constexpr uint32_t holds_of_namespace_default = 4096;  // blocks; [session] holds_max: their sum
constexpr uint32_t holds_max_max = 1u << 24;
constexpr uint32_t layouts_max_default =
    1024;  // distinct (layout, preset) that open sessions name, all namespaces together
constexpr uint32_t layouts_max_max = 1u << 16;
constexpr uint64_t widths_bytes_max_default =
    512 * mib;  // of their widths: 400 layouts of 80 layers and 8 kv heads
constexpr uint64_t widths_bytes_min = 1 * mib;
constexpr uint64_t widths_bytes_max_max = 64 * gib;
// Descriptors of a session beside its doorbells, one a data thread: memory twice, event fd,
// connection, pidfd.
constexpr uint32_t fds_of_session = 5;
constexpr uint32_t fds_max_max = 1u << 20;  // what sessions_max_max and layouts_max_max can take

// ---- [[namespace]] spill ----
constexpr uint64_t spill_bytes_min = 32 * mib;  // of a shard: a few parcels of the ring
constexpr uint64_t spill_bytes_max = 256 * tib;
constexpr uint64_t spill_buffer_bytes_default =
    64 * mib;  // of a shard: 8 long writes; half of it is the largest block that can be spilled
constexpr uint64_t spill_buffer_bytes_min = 8 * mib;
constexpr uint64_t spill_buffer_bytes_max = 1 * gib;
constexpr uint64_t bytes_per_spill_entry = 64 * kib;  // as bytes_per_index_entry
constexpr uint64_t spill_entries_min = 1024;
constexpr uint64_t spill_entries_max = 1ull << 31;  // numbers of entries are 32 bits
// Guesses may read this part of what prefetches may: one of so many bytes.
constexpr uint64_t speculation_share = 2;
constexpr uint64_t speculation_block_bytes = 88;  // what a block in either tier takes in memory
constexpr uint64_t spill_entry_bytes = 52;  // = spill_map_bytes_a_block: what one takes in memory

// ---- connections that have no session: clients before their hello, and speckvctl ----
constexpr uint32_t connections_max_default = 64;         // all of them
constexpr uint32_t connections_max_min = 16;             // twice what is kept
constexpr uint32_t connections_max_max = 4096;           // a descriptor each
constexpr uint32_t connections_kept = 8;                 // for root and the daemon's own user alone
constexpr uint32_t connections_of_uid_max_default = 16;  // root and the daemon's own excepted
constexpr uint32_t unclosed_of_uid_max =
    8;  // sockets of one user whose closing waits for what was sent into them: then it is refused
constexpr uint32_t shut_out_at = 16;    // of these: then its user cannot connect
constexpr uint32_t shut_out_max = 256;  // users; 8 bytes each of an attribute of 4 KiB on ext4
constexpr uint32_t backlog_max = 512;   // connections; those that one user has there when shut out
// Sockets of all users whose closing waits, where the process may open enough for what the
// configuration wants beside them; else what that leaves, yet so many. Then nobody is let in.
constexpr uint32_t unclosed_max = 1024, unclosed_min = 64;  // twice the backlog
constexpr uint32_t hello_ms_max_default = 2'000;            // until a client has said what it wants
constexpr uint32_t hello_ms_max_min = 10;  // a client on a busy core needs its turn
constexpr uint32_t hello_ms_max_max = 60'000;
constexpr uint32_t asker_ms_max = 60'000;  // until speckvctl asks again: `top` does each second

// ---- log ----
// Lines that clients may cause at once, and again in each log_period_ns.
constexpr uint32_t log_lines_max_default = 300;          // all of them
constexpr uint32_t log_lines_of_namespace_default = 30;  // then one a second
constexpr uint32_t log_lines_max_max = 1'000'000;        // 33,000 lines a second
constexpr uint64_t log_period_ns = 30'000'000'000;

}  // namespace speckv::limits
