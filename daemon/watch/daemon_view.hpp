// SPDX-License-Identifier: Apache-2.0
// daemon_view.hpp - what a person or a scraper may know of the running daemon, as plain structs.
//
// What it is: the interface between those who look (watch/, control requests) and what is looked
// at. The daemon
//   implements it in loop/live_view; tests with a few constants.
// Threading: called on the control thread. Counters of data threads are read with relaxed loads:
// each is right, sums
//   may be one step apart.
// Never: changes anything, blocks a data thread, shows bytes of stored KV. Only root and the
// daemon's own user get here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace speckv::watch {

struct DaemonFacts {
  std::string version, codec_isa, config_source, socket;
  std::string medium, isolation;            // Medium::describe() and isolation(), for people
  std::string medium_kind, isolation_kind;  // for programs
  std::string engine_wanted;                // [engine] kind
  bool survives_daemon = false;             // stored blocks outlive the process
  bool emulated = false;  // the medium is throttled: no figure of it is a measurement
  int32_t pid = 0;
  uint64_t uptime_ns = 0;
  uint32_t shards = 0;  // = data threads
  uint32_t sessions_max = 0;
  uint64_t sessions_opened = 0, sessions_refused = 0, sessions_closed = 0;
  uint64_t malformed_messages = 0;   // on the socket
  uint64_t widths_measured = 0;      // layouts whose measured widths were taken into use
  uint64_t layouts_substituted = 0;  // registrations whose preset does not take such heads
  uint64_t arenas_bytes = 0, arenas_bytes_max = 0;
  uint64_t layouts = 0, layouts_max = 0;            // that open sessions name
  uint64_t widths_bytes = 0, widths_bytes_max = 0;  // of these
  uint64_t waiting = 0, connections_max = 0;        // connections without a session
  uint64_t connections_ended = 0;           // of these, that said nothing, or were one too many
  uint64_t unclosed = 0;                    // connections that ended and whose closing still waits
  uint64_t shut_out = 0;                    // users who may not connect until they are
  uint64_t log_lines_left_out = 0;          // that clients caused too fast
  uint64_t held_blocks = 0, holds_max = 0;  // each as often as it is held
  uint64_t client_fds = 0, client_fds_max = 0;         // of sessions and layouts
  uint64_t scrapers = 0, metrics_connections_max = 0;  // connections to the metrics server
  // Descriptors: open now, the process's limit, and what all sessions at once would take.
  uint64_t fds = 0, fds_max = 0, fds_wanted = 0;
  // Of the control group that leaves the least, and what it leaves; 0: none has a limit.
  uint64_t memory_limit_bytes = 0, memory_left_bytes = 0;
  uint64_t memory_at_most_bytes = 0;  // what the configuration can ever take
  // Of the medium's device: freed and still pinned, and who has most of it.
  uint64_t pinned_bytes = 0, pinner_bytes = 0;
  uint32_t pinner_pid = 0, pinner_uid = 0;
};

// The tier below a namespace's pool; bytes 0: it has none.
struct SpillFacts {
  std::string path;
  uint64_t bytes = 0, memory_bytes = 0;  // of the medium; of its map and buffers
  // gauges
  uint64_t blocks = 0, live_bytes = 0, scanning = 0, stuck = 0;
  uint64_t read_breaker = 0, write_breaker = 0;  // 0 closed, 1 open, 2 half open: the worst shard's
  uint64_t found_blocks = 0;                     // by the scan at start
  // counters
  uint64_t demoted_blocks = 0, demoted_bytes = 0, written_bytes = 0;
  uint64_t copied_blocks = 0, copied_bytes = 0, syncs = 0;
  uint64_t promoted_blocks = 0, promoted_bytes = 0, read_bytes = 0;
  uint64_t failed_blocks = 0, damaged_blocks = 0, reclaimed_blocks = 0;
  uint64_t removed_blocks = 0, unwritten_blocks = 0, unwanted_blocks = 0, too_large_blocks = 0;
  uint64_t dropped_blocks = 0, damaged_pages = 0;  // by the scan
  uint64_t failed_parcels = 0, read_errors = 0, write_errors = 0, overdue = 0, opened = 0;
};

// What pools of other sizes would have had of the blocks that were asked for lately.
struct SizeFacts {
  struct Point {
    uint64_t bytes = 0;           // of the pool, or of pool and tier below
    uint64_t uses = 0, hits = 0;  // blocks
  };
  uint64_t samples = 0;  // 0: nobody looks
  uint64_t one_in = 0;   // one key in so many is looked at
  uint64_t memory_bytes = 0;
  std::vector<Point> pools;
  Point with_spill;  // bytes 0: there is none
};

// What was read from the tier below before anybody asked, by who had thought so
// (predict/speculator.hpp).
struct GuessFacts {
  std::string space, source;
  uint64_t fetched = 0, bytes = 0;        // reads that began
  uint64_t useful = 0, late = 0;          // blocks that were read; of these, waited for
  uint64_t wasted = 0, refused = 0;       // that went unread; that were not begun
  uint64_t off = 0, times_off = 0;        // shards where it is off; how often it was turned off
  uint64_t off_useful = 0, off_seen = 0;  // of the outcomes that turned it off last
};

// Memory above the pool, in which blocks stand decoded. bytes 0: there is none.
struct NearFacts {
  uint64_t bytes = 0, page_bytes = 0;
  uint64_t blind_sessions = 0;  // that cannot read it: nothing is published meanwhile
  // gauges
  uint64_t blocks = 0, live_bytes = 0, limbo_blocks = 0, under_way = 0;
  // counters. refused: blocks not read more than those that would go; failed: decoded in vain.
  uint64_t brought_blocks = 0, evicted_blocks = 0, refused_blocks = 0, failed_blocks = 0;
  uint64_t read_touches = 0;  // of read_touches, those of blocks that stood there
};

// One namespace, its shards summed up. Words are the stations'.
struct SpaceFacts {
  std::string name, policy, preset;
  uint64_t pool_bytes = 0, pool_page_bytes = 0;
  uint64_t index_bytes = 0, index_entries = 0;  // entries that the index has room for
  uint64_t units = 0, free_units = 0;           // of 2 MiB
  uint64_t lost_bytes = 0;                      // of the pool: poison, or the device is gone
  double waste = 0;                             // share of the pool that no slot can use
  // gauges
  uint64_t blocks = 0, raw_bytes = 0, stored_bytes = 0, held_blocks = 0, limbo_blocks = 0;
  uint64_t sessions = 0, arenas_bytes = 0, layouts = 0, widths_bytes = 0, fds = 0;
  // limits of these, and of held_blocks
  uint64_t sessions_max = 0, arenas_bytes_max = 0, layouts_max = 0, widths_bytes_max = 0;
  uint64_t holds_max = 0, fds_max = 0, log_lines_max = 0;
  // counters
  // by these limits
  uint64_t sessions_refused = 0, arenas_refused = 0, layouts_refused = 0, fds_refused = 0;
  uint64_t holds_refused = 0;
  uint64_t log_lines_left_out = 0;  // that its clients caused too fast
  uint64_t written_blocks = 0;      // puts that ended well, those that were there already included
  uint64_t existed_blocks = 0, failed_blocks = 0;
  uint64_t compressed_raw_bytes = 0, compressed_stored_bytes = 0;
  uint64_t refused_segments = 0;  // stored raw since the codec refused a page
  uint64_t bounded_segments = 0;  // stored as q8 since a token would have lost too much
  uint64_t read_touches = 0;      // hits that clients reported (lossy)
  uint64_t evicted_blocks = 0, guarded_blocks = 0, removed_blocks = 0, restored_blocks = 0;
  uint64_t lost_blocks = 0;                           // their memory went
  uint64_t puts_under_way = 0, puts_quarantined = 0;  // gauges; the engine works on them
  uint64_t overdue_blocks = 0;  // puts that failed since the engine did not answer
  uint64_t given_up_slots = 0;  // that a device may still write to: out of use until a restart
  // Keys that prefetches and loads asked for, and what became of them.
  uint64_t prefetch_keys = 0, prefetch_ready = 0, prefetch_missing = 0, prefetch_clipped = 0;
  uint64_t prefetch_rejected = 0, prefetch_over_limit = 0, prefetch_cancelled = 0;
  uint64_t prefetch_bytes = 0;  // read from below for them
  uint64_t prefetches_under_way = 0, prefetch_keys_max = 0, prefetch_bytes_s = 0;
  uint64_t retained_blocks = 0, retained_bytes = 0, retained_bytes_max = 0, retain_refused = 0;
  uint64_t hints = 0;
  NearFacts near;
  SpillFacts spill;
  SizeFacts size;
  std::vector<GuessFacts> guesses;  // none: nobody guesses
};

struct SessionFacts {
  uint64_t id = 0;
  uint32_t uid = 0;
  int32_t pid = 0;
  std::string space;
  uint64_t arena_bytes = 0;
  uint64_t dropped_completions = 0;  // its ring was full: it did not reap
};

// A codec engine's work for one data thread (engine/engine.hpp has what each means).
struct DeviceFacts {
  const char* state = "none";  // "live", "aside"
  const char* reason = "";     // why it was set aside last, for people
  bool is_gone = false;        // that was it: there is no such engine any more
  uint64_t commands = 0, under_way = 0;
  uint64_t segments = 0, raw_bytes = 0, stored_bytes = 0;
  uint64_t decoded = 0, decoded_bytes = 0;
  uint64_t by_cpu = 0, again = 0, checked = 0;
  uint64_t lies = 0, late = 0, errors = 0;
  uint64_t tables = 0, set_aside = 0, self_tests = 0;
};

struct ThreadFacts {
  uint32_t shard = 0;
  uint64_t wakeups = 0, submissions = 0, rejected = 0;
  uint64_t stalled_ms = 0;  // since its last turn; 50 at most in a thread that sleeps
  uint64_t encode_threads = 0, encode_busy = 0;
  uint64_t encode_mistaken = 0;  // jobs that the engine gave back and did not have
  uint64_t io_errors = 0;        // of its calls to the kernel: none should fail
  DeviceFacts device;
};

class DaemonView {
 public:
  virtual ~DaemonView() = default;
  virtual DaemonFacts daemon() const = 0;
  virtual std::vector<SpaceFacts> spaces() const = 0;
  virtual std::vector<SessionFacts> sessions() const = 0;
  virtual std::vector<ThreadFacts> threads() const = 0;
  // The files of the n-th namespace as they are mapped. Data threads write there meanwhile:
  // read them as a client would (shm/index.hpp, pool_format.hpp).
  virtual std::span<const std::byte> index_file(size_t space) const = 0;
  virtual std::span<const std::byte> pool_file(size_t space) const = 0;
  virtual std::span<const std::byte> near_file(size_t) const { return {}; }  // empty: none
};

}  // namespace speckv::watch
