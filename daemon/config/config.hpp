// SPDX-License-Identifier: Apache-2.0
// config.hpp - the daemon's configuration: what a person may write, checked whole before anything
// starts.
//
// What it is: plain structs, and the one way to fill them from TOML. Every error is
// `file:line:column: what was wrong,
//   what was expected`, one a line, all of them at once; an unknown key names the nearest known
//   one.
// Who calls it: main, before any thread exists. The structs are then constant; any thread may read
// them. What it never does: clamp a value, ignore a key, open the pool. It reads the file and the
// user database, no more.
//
//   [daemon]       socket, socket_mode, runtime_dir, data_threads, encode_threads, tables,
//                  measure_widths, log_level, metrics, metrics_connections_max
//   [pool]         medium, path, bytes, numa_node, near_numa_node, huge_pages, emulated_gb_s,
//                  emulated_ns
//   [engine]       kind, check_one_in, deadline_ms, staging_bytes
//   [session]      arena_bytes, arena_bytes_max, arenas_bytes_max, sessions_max, hold_ms_max,
//                  holds_max, layouts_max, widths_bytes_max, fds_max, connections_max,
//                  connections_of_uid_max, hello_ms_max, log_lines_max
//   [[namespace]]  name, bytes, index_entries, policy, preset, uids, gids, users, groups, anyone,
//                  sessions_max, arenas_bytes_max, layouts_max, widths_bytes_max, holds_max,
//                  fds_max, log_lines_max, prefetch_bytes_s, prefetch_keys_max, retained_bytes_max,
//                  near_bytes, near_after_hits, spill_path, spill_bytes, spill_entries,
//                  spill_buffer_bytes, spill_write_bytes_s, speculation, speculation_bytes_s
//
// Sizes are integers or strings: 268435456, "256MiB", "2 GiB", "1.5GiB" (KiB, MiB, GiB, TiB; powers
// of 1024).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <span>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/limits.hpp"
#include "pool/medium.hpp"
#include "status.hpp"

namespace speckv::config {

struct DaemonConfig {
  std::string socket = "/run/speckv/speckv.sock";
  uint32_t socket_mode = limits::socket_mode_default;
  std::string runtime_dir = "/run/speckv";
  uint32_t data_threads = limits::data_threads_default;
  // Beside the data threads, and shared out among them; 0: these encode themselves. Without a
  // value loop/cores.hpp chooses.
  std::optional<uint32_t> encode_threads;
  std::string tables;              // folder of calibration tables (*.chan); empty: none
  bool measure_widths = true;      // of layouts that have no table there
  std::string log_level = "info";  // trace, debug, info, warn, error, off
  std::string metrics_host = "127.0.0.1";
  uint16_t metrics_port = 9108;  // 0: no metrics server (metrics = "")
  uint32_t metrics_connections_max = limits::metrics_connections_max_default;
};

struct PoolConfig {
  MediumOptions medium;  // the `[pool]` keys but bytes
  uint64_t bytes = 0;    // of all namespaces; never less than the sum of theirs
};

// Who encodes: docs/driver.md, "The daemon on an engine".
struct EngineConfig {
  std::string kind = "auto";  // "auto": what is faster, "cpu", "device"
  uint32_t check_one_in = limits::check_one_in_default;
  uint32_t deadline_ms = limits::engine_deadline_ms_default;
  uint64_t staging_bytes = limits::staging_bytes_default;  // of each data thread
};

struct SessionConfig {
  uint64_t arena_bytes = limits::arena_bytes_default;            // when the client asks for none
  uint64_t arena_bytes_max = limits::arena_bytes_max_default;    // of one session
  uint64_t arenas_bytes_max = limits::arenas_bytes_max_default;  // of all sessions together
  uint32_t sessions_max = limits::sessions_max_default;
  uint64_t hold_ms_max = limits::hold_ms_default;
  std::optional<uint32_t> holds_max;  // blocks held at once; not written: 4096 for each namespace
  uint32_t layouts_max = limits::layouts_max_default;            // of all sessions together
  uint64_t widths_bytes_max = limits::widths_bytes_max_default;  // of these layouts' widths
  uint32_t fds_max = 0;  // descriptors of sessions and layouts; not written: what all of these take
  // Connections that have no session, and how long one may say nothing.
  uint32_t connections_max = limits::connections_max_default;
  uint32_t connections_of_uid_max = limits::connections_of_uid_max_default;
  uint32_t hello_ms_max = limits::hello_ms_max_default;
  uint32_t log_lines_max = limits::log_lines_max_default;  // in limits::log_period_ns
  // What prefetches of all namespaces may read from below in a second. Not written: no limit.
  uint64_t prefetch_bytes_s = limits::not_limited;
};

struct NamespaceConfig {
  std::string name;
  // Whole 2 MiB units. Not written: an equal share of what [pool] bytes leaves.
  uint64_t bytes = 0;
  // Blocks that the index has room for. Not written: bytes / 64 KiB, at least 1024: right for
  // blocks of 64 KiB and more as stored, at 0.11 % of the pool; with smaller blocks write the
  // number you expect.
  uint64_t index_entries = 0;
  std::string policy;  // a name of KnownNames.policies; not written: by data_threads
  std::string
      preset;  // as written, and its enum speckv_preset; not written: KnownNames.preset_default
  uint32_t preset_id = 0;
  // Who may open a session. All empty and `anyone` false: the daemon's own uid and root. Names are
  // resolved here.
  std::vector<uint32_t> uids, gids;
  bool anyone = false;
  // What its clients may have at once, under the limits of [session]. Not written: an equal share
  // of these, so that no tenant can take all; fds_max: what its sessions_max and layouts_max take;
  // log_lines_max: 30.
  uint32_t sessions_max = 0, layouts_max = 0, fds_max = 0, log_lines_max = 0;
  std::optional<uint32_t> holds_max;  // 0 is a limit, too: no holds
  uint64_t arenas_bytes_max = 0, widths_bytes_max = 0;
  // What its prefetches may read from below in a second (0: nothing), and the keys of its
  // prefetches and loads that may be on their way at once.
  // prefetch_bytes_s_min: of these, that other namespaces leave it.
  uint64_t prefetch_bytes_s = limits::prefetch_bytes_s_default, prefetch_bytes_s_min = 0;
  uint32_t prefetch_keys_max = limits::prefetch_keys_default;
  // What may be retained, as stored. Not written: a quarter of its bytes.
  uint64_t retained_bytes_max = limits::retained_not_written;
  // Near memory: DRAM in which blocks that are read often stand decoded. 0: none. A block comes
  // there when it was read so often.
  uint64_t near_bytes = 0;
  uint32_t near_after_hits = limits::near_after_hits_default;
  // The tier below: a file or a block device. Empty: none. Not written: spill_entries is
  // spill_bytes / 64 KiB. Entries and buffers are memory: of all shards, and of each.
  std::string spill_path;
  uint64_t spill_bytes = 0, spill_entries = 0;
  uint64_t spill_buffer_bytes = limits::spill_buffer_bytes_default;
  uint64_t spill_write_bytes_s = limits::not_limited;  // blocks that are written, of all shards
  // Blocks that `speckvctl size` looks at; 0: none, and it has no answer.
  uint32_t size_samples = limits::size_samples_default;
  // Whether the daemon reads from there what it thinks will be asked for, and how much in a second.
  // Not written: where one data thread sees whole sequences; half of prefetch_bytes_s.
  bool speculation = false;
  uint64_t speculation_bytes_s = 0;
};

struct Config {
  std::string source = "built-in defaults";
  DaemonConfig daemon;
  PoolConfig pool;
  EngineConfig engine;
  SessionConfig session;
  std::vector<NamespaceConfig> namespaces;
};

// What this build has; see known_names(). Tests hand in their own.
struct KnownNames {
  std::vector<std::string> policies;
  std::string policy_default;                             // with one data thread
  std::string policy_spread;                              // with more
  std::vector<std::pair<std::string, uint32_t>> presets;  // name, enum speckv_preset
  std::string preset_default;
};
KnownNames known_names();  // from the registries of predict/ and codec/

// Returns: the checked configuration, or EINVAL with all errors, a line each. load_config: also the
// errno of the file.
Result<Config> parse_config(std::string_view text, const std::string& source_name,
                            const KnownNames& known);
Result<Config> load_config(const std::string& path, const KnownNames& known);
// One namespace "default" of 256 MiB for the daemon's own uid; what runs when no file is given.
Config default_config(const KnownNames& known);
// Its namespace, before it has its share of anything.
NamespaceConfig default_space(const KnownNames& known);

// The configuration as resolved, for --check-config: a line each, with what was derived and the
// memory it can take.
std::string describe(const Config& config);
// Gives namespaces the limits that their configuration leaves open.
void share_limits(Config* config);
// Descriptors that this many sessions and layouts take.
uint64_t fds_for(const Config& config, uint64_t sessions, uint64_t layouts);
// Upper bound of a namespace's index file, whatever rounding its writer does: every bucket at most
// half full.
uint64_t index_bytes_max(const NamespaceConfig& space);
// What a namespace's spill tier takes of the memory: its map, its buffers, and what is known of
// blocks to guess from.
uint64_t spill_memory_bytes(const NamespaceConfig& space, uint32_t shards);
// Of each shard, and what all of a namespace take of the memory, about.
uint32_t size_samples_of_shard(const NamespaceConfig& space, uint32_t shards);
uint64_t size_memory_bytes(const NamespaceConfig& space, uint32_t shards);
uint64_t speculation_memory_bytes(const NamespaceConfig& space);
uint64_t engine_memory_bytes(const Config& config);
// Whether a codec engine is wanted where one can be.
bool may_have_device(const Config& config);
// The most memory that this configuration can ever take: pool, indexes, arenas,
// widths. Bytes.
uint64_t memory_bytes_max(const Config& config);

// Whether a process with these credentials may open a session in this namespace. daemon_uid: the
// daemon's own.
bool may_connect(const NamespaceConfig& space, uid_t uid, std::span<const gid_t> groups,
                 uid_t daemon_uid);

// "2GiB" of 2147483648, "1536 KiB" style: exact, the largest unit that divides.
std::string format_bytes(uint64_t bytes);
// Returns: false when text is no size: digits with an optional fraction and unit, that gives a
// whole number of bytes.
bool parse_bytes(std::string_view text, uint64_t* ret_bytes);
// Returns: the candidate that a person may have meant by `word` (edit distance <= 1/3 of its
// length), or "".
std::string nearest(std::string_view word, std::span<const std::string_view> candidates);

}  // namespace speckv::config
