// SPDX-License-Identifier: Apache-2.0
// metrics.cpp - see metrics.hpp. A new figure is one line in a table below.
#include "watch/metrics.hpp"

#include <cstdio>
#include <functional>

#include "watch/metrics_engine.hpp"
#include "watch/metrics_near.hpp"
#include "watch/metrics_speculate.hpp"
#include "watch/metrics_spill.hpp"

namespace speckv::watch {
namespace {

// A label's value: backslash, quote and newline escaped.
std::string escaped(const std::string& value) {
  std::string text;
  for (char c : value) {
    if (c == '\\' || c == '"') text += '\\';
    if (c == '\n') text += "\\n";
    else text += c;
  }
  return text;
}

std::string number(double value) {
  char text[40];
  if (value >= 0 && value < 9e15 && value == double(uint64_t(value)))
    std::snprintf(text, sizeof text, "%llu", static_cast<unsigned long long>(value));
  else std::snprintf(text, sizeof text, "%.9g", value);
  return text;
}

void describe(std::string* text, const char* name, const char* type, const char* help) {
  *text += std::string("# HELP ") + name + " " + help + "\n# TYPE " + name + " " + type + "\n";
}

void sample(std::string* text, const char* name, const std::string& labels, double value) {
  *text += name + (labels.empty() ? "" : "{" + labels + "}") + " " + number(value) + "\n";
}

constexpr Metric<DaemonFacts> of_daemon[] = {
    {"speckv_uptime_seconds", "gauge", "Time since the daemon started.",
     [](const DaemonFacts& f) { return double(f.uptime_ns) / 1e9; }},
    {"speckv_medium_emulated", "gauge",
     "1 if the medium is throttled, so that no figure of it is a measurement.",
     [](const DaemonFacts& f) { return double(f.emulated); }},
    {"speckv_sessions_max", "gauge", "Sessions that may be open at once.",
     [](const DaemonFacts& f) { return double(f.sessions_max); }},
    {"speckv_sessions_opened_total", "counter", "Sessions opened.",
     [](const DaemonFacts& f) { return double(f.sessions_opened); }},
    {"speckv_sessions_refused_total", "counter", "Connections refused: no right, no room.",
     [](const DaemonFacts& f) { return double(f.sessions_refused); }},
    {"speckv_sessions_closed_total", "counter", "Sessions ended.",
     [](const DaemonFacts& f) { return double(f.sessions_closed); }},
    {"speckv_malformed_messages_total", "counter",
     "Messages on the socket that were not understood.",
     [](const DaemonFacts& f) { return double(f.malformed_messages); }},
    {"speckv_widths_measured_total", "counter",
     "Layouts that were measured and are stored with their own widths since.",
     [](const DaemonFacts& f) { return double(f.widths_measured); }},
    {"speckv_layouts_substituted_total", "counter",
     "Registrations whose preset takes no head of that size, so that q8 or exact stores it.",
     [](const DaemonFacts& f) { return double(f.layouts_substituted); }},
    {"speckv_arenas_bytes", "gauge",
     "Staging memory of all sessions, ended ones included until their memory is back.",
     [](const DaemonFacts& f) { return double(f.arenas_bytes); }},
    {"speckv_arenas_max_bytes", "gauge", "Limit of it.",
     [](const DaemonFacts& f) { return double(f.arenas_bytes_max); }},
    {"speckv_waiting_connections", "gauge",
     "Connections without a session: clients before their hello, and speckvctl.",
     [](const DaemonFacts& f) { return double(f.waiting); }},
    {"speckv_waiting_connections_max", "gauge", "Limit of it.",
     [](const DaemonFacts& f) { return double(f.connections_max); }},
    {"speckv_connections_ended_total", "counter",
     "Of these, that said nothing in time or were one too many of their user.",
     [](const DaemonFacts& f) { return double(f.connections_ended); }},
    {"speckv_unclosed_connections", "gauge",
     "Connections that ended and whose closing waits for what their clients sent along.",
     [](const DaemonFacts& f) { return double(f.unclosed); }},
    {"speckv_users_shut_out", "gauge",
     "Users who have too many of these: the socket's access list keeps them out until few are "
     "left.",
     [](const DaemonFacts& f) { return double(f.shut_out); }},
    {"speckv_all_held_blocks", "gauge", "Blocks that holds of all namespaces keep.",
     [](const DaemonFacts& f) { return double(f.held_blocks); }},
    {"speckv_all_held_blocks_max", "gauge", "Limit of it.",
     [](const DaemonFacts& f) { return double(f.holds_max); }},
    {"speckv_client_fds", "gauge", "Descriptors of sessions and layouts, ended ones as above.",
     [](const DaemonFacts& f) { return double(f.client_fds); }},
    {"speckv_client_fds_max", "gauge", "Limit of it.",
     [](const DaemonFacts& f) { return double(f.client_fds_max); }},
    {"speckv_metrics_connections", "gauge", "Connections to this server.",
     [](const DaemonFacts& f) { return double(f.scrapers); }},
    {"speckv_metrics_connections_max", "gauge",
     "Limit of it: the one that was silent longest goes for a new one.",
     [](const DaemonFacts& f) { return double(f.metrics_connections_max); }},
    {"speckv_fds", "gauge", "Open descriptors.",
     [](const DaemonFacts& f) { return double(f.fds); }},
    {"speckv_fds_max", "gauge", "Limit of it: RLIMIT_NOFILE.",
     [](const DaemonFacts& f) { return double(f.fds_max); }},
    {"speckv_fds_wanted", "gauge", "What all limits together would take.",
     [](const DaemonFacts& f) { return double(f.fds_wanted); }},
    {"speckv_log_lines_left_out_total", "counter",
     "Lines that clients caused too fast to be written.",
     [](const DaemonFacts& f) { return double(f.log_lines_left_out); }},
    {"speckv_memory_limit_bytes", "gauge",
     "Of the control group that leaves the least; 0: none has a limit.",
     [](const DaemonFacts& f) { return double(f.memory_limit_bytes); }},
    {"speckv_memory_left_bytes", "gauge", "What that group leaves.",
     [](const DaemonFacts& f) { return double(f.memory_left_bytes); }},
    {"speckv_medium_pinned_bytes", "gauge",
     "Memory of the device that was freed and that somebody keeps pinned.",
     [](const DaemonFacts& f) { return double(f.pinned_bytes); }},
};

constexpr double unit_bytes = 2 << 20;

constexpr Metric<SpaceFacts> of_space[] = {
    {"speckv_pool_bytes", "gauge", "Size of the namespace's pool.",
     [](const SpaceFacts& f) { return double(f.pool_bytes); }},
    {"speckv_pool_free_bytes", "gauge", "Of whole units that no slab uses.",
     [](const SpaceFacts& f) { return double(f.free_units) * unit_bytes; }},
    {"speckv_pool_page_bytes", "gauge", "Page size of the daemon's map of the pool.",
     [](const SpaceFacts& f) { return double(f.pool_page_bytes); }},
    {"speckv_pool_waste_ratio", "gauge",
     "Share of the pool that no slot can use: slab headers and tails.",
     [](const SpaceFacts& f) { return f.waste; }},
    {"speckv_index_bytes", "gauge", "Size of the namespace's index.",
     [](const SpaceFacts& f) { return double(f.index_bytes); }},
    {"speckv_index_entries", "gauge", "Blocks that the index has room for.",
     [](const SpaceFacts& f) { return double(f.index_entries); }},
    {"speckv_blocks", "gauge", "Published blocks.",
     [](const SpaceFacts& f) { return double(f.blocks); }},
    {"speckv_blocks_raw_bytes", "gauge", "Their size as the engine holds them.",
     [](const SpaceFacts& f) { return double(f.raw_bytes); }},
    {"speckv_blocks_stored_bytes", "gauge", "Their size as stored, headers included.",
     [](const SpaceFacts& f) { return double(f.stored_bytes); }},
    {"speckv_held_blocks", "gauge", "Blocks that holds keep from eviction.",
     [](const SpaceFacts& f) { return double(f.held_blocks); }},
    {"speckv_limbo_blocks", "gauge",
     "Blocks that are gone but whose slots a reader's guard still names.",
     [](const SpaceFacts& f) { return double(f.limbo_blocks); }},
    {"speckv_sessions", "gauge", "Open sessions.",
     [](const SpaceFacts& f) { return double(f.sessions); }},
    {"speckv_sessions_limit", "gauge", "Limit of speckv_sessions.",
     [](const SpaceFacts& f) { return double(f.sessions_max); }},
    {"speckv_sessions_over_limit_total", "counter", "Sessions refused by it.",
     [](const SpaceFacts& f) { return double(f.sessions_refused); }},
    {"speckv_session_arenas_bytes", "gauge", "Staging memory of the namespace's sessions.",
     [](const SpaceFacts& f) { return double(f.arenas_bytes); }},
    {"speckv_session_arenas_limit_bytes", "gauge", "Limit of it.",
     [](const SpaceFacts& f) { return double(f.arenas_bytes_max); }},
    {"speckv_session_arenas_over_limit_total", "counter", "Sessions refused by it.",
     [](const SpaceFacts& f) { return double(f.arenas_refused); }},
    {"speckv_layouts", "gauge", "Layouts that open sessions name.",
     [](const SpaceFacts& f) { return double(f.layouts); }},
    {"speckv_layouts_limit", "gauge", "Limit of it.",
     [](const SpaceFacts& f) { return double(f.layouts_max); }},
    {"speckv_layouts_widths_bytes", "gauge", "Memory of their widths.",
     [](const SpaceFacts& f) { return double(f.widths_bytes); }},
    {"speckv_layouts_widths_limit_bytes", "gauge", "Limit of it.",
     [](const SpaceFacts& f) { return double(f.widths_bytes_max); }},
    {"speckv_layouts_over_limit_total", "counter", "Layouts refused by these two limits.",
     [](const SpaceFacts& f) { return double(f.layouts_refused); }},
    {"speckv_held_blocks_limit", "gauge", "Limit of speckv_held_blocks.",
     [](const SpaceFacts& f) { return double(f.holds_max); }},
    {"speckv_held_blocks_over_limit_total", "counter",
     "Blocks that were not held: its limit, or that of all namespaces.",
     [](const SpaceFacts& f) { return double(f.holds_refused); }},
    {"speckv_session_fds", "gauge", "Descriptors of its sessions and layouts.",
     [](const SpaceFacts& f) { return double(f.fds); }},
    {"speckv_session_fds_limit", "gauge", "Limit of it.",
     [](const SpaceFacts& f) { return double(f.fds_max); }},
    {"speckv_session_fds_over_limit_total", "counter", "Sessions and layouts refused by it.",
     [](const SpaceFacts& f) { return double(f.fds_refused); }},
    {"speckv_session_log_lines_left_out_total", "counter",
     "Lines of the log that its clients caused too fast to be written.",
     [](const SpaceFacts& f) { return double(f.log_lines_left_out); }},
    {"speckv_write_blocks_total", "counter", "Blocks stored by puts.",
     [](const SpaceFacts& f) { return double(f.written_blocks); }},
    {"speckv_write_existed_total", "counter", "Puts of a block that was there already.",
     [](const SpaceFacts& f) { return double(f.existed_blocks); }},
    {"speckv_write_failed_total", "counter", "Puts that failed.",
     [](const SpaceFacts& f) { return double(f.failed_blocks); }},
    {"speckv_compress_raw_bytes_total", "counter", "Bytes into the encoder.",
     [](const SpaceFacts& f) { return double(f.compressed_raw_bytes); }},
    {"speckv_compress_stored_bytes_total", "counter", "Bytes out of it, headers included.",
     [](const SpaceFacts& f) { return double(f.compressed_stored_bytes); }},
    {"speckv_compress_refused_segments_total", "counter",
     "Segments stored raw since the codec refused a page.",
     [](const SpaceFacts& f) { return double(f.refused_segments); }},
    {"speckv_compress_bounded_segments_total", "counter",
     "Segments stored as q8 since a token would have lost more than near-lossless promises.",
     [](const SpaceFacts& f) { return double(f.bounded_segments); }},
    {"speckv_read_touches_total", "counter",
     "Hits that clients reported; reads themselves make no call.",
     [](const SpaceFacts& f) { return double(f.read_touches); }},
    {"speckv_evict_blocks_total", "counter", "Blocks evicted to make room.",
     [](const SpaceFacts& f) { return double(f.evicted_blocks); }},
    {"speckv_evict_guarded_total", "counter",
     "Of these, blocks that a reader's guard named at that moment.",
     [](const SpaceFacts& f) { return double(f.guarded_blocks); }},
    {"speckv_remove_blocks_total", "counter", "Blocks removed by clients.",
     [](const SpaceFacts& f) { return double(f.removed_blocks); }},
    {"speckv_restored_blocks", "gauge", "Blocks found in the pool when the daemon started.",
     [](const SpaceFacts& f) { return double(f.restored_blocks); }},
    {"speckv_lost_blocks_total", "counter",
     "Blocks whose memory went: poison, or a removed device.",
     [](const SpaceFacts& f) { return double(f.lost_blocks); }},
    {"speckv_puts_under_way", "gauge", "Puts whose layers are being encoded.",
     [](const SpaceFacts& f) { return double(f.puts_under_way); }},
    {"speckv_puts_quarantined", "gauge",
     "Of these, puts that failed and whose slots the engine may still write to.",
     [](const SpaceFacts& f) { return double(f.puts_quarantined); }},
    {"speckv_puts_overdue_total", "counter",
     "Puts that failed since the engine did not answer in time.",
     [](const SpaceFacts& f) { return double(f.overdue_blocks); }},
    {"speckv_slots_given_up_total", "counter",
     "Slots that a codec engine may still write to: out of use until a restart.",
     [](const SpaceFacts& f) { return double(f.given_up_slots); }},
    {"speckv_pool_lost_bytes", "gauge", "Memory of the pool that went so.",
     [](const SpaceFacts& f) { return double(f.lost_bytes); }},
    {"speckv_prefetch_keys_total", "counter",
     "Keys that prefetches and loads asked the daemon for.",
     [](const SpaceFacts& f) { return double(f.prefetch_keys); }},
    {"speckv_prefetch_ready_total", "counter",
     "Of these, keys whose block can be read, at once or after a fetch.",
     [](const SpaceFacts& f) { return double(f.prefetch_ready); }},
    {"speckv_prefetch_missing_total", "counter", "Keys that no tier has.",
     [](const SpaceFacts& f) { return double(f.prefetch_missing); }},
    {"speckv_prefetch_clipped_total", "counter",
     "Keys beyond the asker's budget, or without room in the pool.",
     [](const SpaceFacts& f) { return double(f.prefetch_clipped); }},
    {"speckv_prefetch_rejected_total", "counter",
     "Keys refused by a limit, too late, or of a tier that did not answer.",
     [](const SpaceFacts& f) { return double(f.prefetch_rejected); }},
    {"speckv_prefetch_over_limit_total", "counter",
     "Of these, keys refused by the namespace's limits.",
     [](const SpaceFacts& f) { return double(f.prefetch_over_limit); }},
    {"speckv_prefetch_cancelled_total", "counter",
     "Keys that nobody wanted any more while they were on their way.",
     [](const SpaceFacts& f) { return double(f.prefetch_cancelled); }},
    {"speckv_prefetch_bytes_total", "counter", "Bytes read from a tier below for them.",
     [](const SpaceFacts& f) { return double(f.prefetch_bytes); }},
    {"speckv_prefetch_keys_under_way", "gauge", "Keys on their way.",
     [](const SpaceFacts& f) { return double(f.prefetches_under_way); }},
    {"speckv_prefetch_keys_limit", "gauge", "Limit of it.",
     [](const SpaceFacts& f) { return double(f.prefetch_keys_max); }},
    {"speckv_prefetch_limit_bytes_per_second", "gauge",
     "Bytes that prefetches may read in a second.",
     [](const SpaceFacts& f) { return double(f.prefetch_bytes_s); }},
    {"speckv_retained_blocks", "gauge",
     "Blocks that clients retain, each as often as it is retained.",
     [](const SpaceFacts& f) { return double(f.retained_blocks); }},
    {"speckv_retained_bytes", "gauge", "Their size as stored.",
     [](const SpaceFacts& f) { return double(f.retained_bytes); }},
    {"speckv_retained_limit_bytes", "gauge", "Limit of it.",
     [](const SpaceFacts& f) { return double(f.retained_bytes_max); }},
    {"speckv_retained_over_limit_total", "counter", "Blocks refused by it.",
     [](const SpaceFacts& f) { return double(f.retain_refused); }},
    {"speckv_hints_total", "counter", "Hints that clients gave of keys.",
     [](const SpaceFacts& f) { return double(f.hints); }},
};

constexpr Metric<ThreadFacts> of_thread[] = {
    {"speckv_data_thread_wakeups_total", "counter", "Returns from the wait.",
     [](const ThreadFacts& f) { return double(f.wakeups); }},
    {"speckv_data_thread_submissions_total", "counter", "Ring entries served.",
     [](const ThreadFacts& f) { return double(f.submissions); }},
    {"speckv_data_thread_rejected_total", "counter", "Ring entries answered with an error at once.",
     [](const ThreadFacts& f) { return double(f.rejected); }},
    {"speckv_data_thread_stalled_seconds", "gauge",
     "Time since its last turn: 0.05 at most while it sleeps; from 5 on it "
     "counts as stuck.",
     [](const ThreadFacts& f) { return double(f.stalled_ms) / 1e3; }},
    {"speckv_encode_threads", "gauge",
     "Threads that encode beside the data thread; 0: it encodes itself.",
     [](const ThreadFacts& f) { return double(f.encode_threads); }},
    {"speckv_encode_busy_threads", "gauge", "Of these, threads that encode just now.",
     [](const ThreadFacts& f) { return double(f.encode_busy); }},
    {"speckv_encode_mistaken_total", "counter",
     "Jobs that the engine gave back and did not have: none should be.",
     [](const ThreadFacts& f) { return double(f.encode_mistaken); }},
    {"speckv_data_thread_io_errors_total", "counter",
     "Calls to the kernel (polls, signals, waits) that failed and should not have.",
     [](const ThreadFacts& f) { return double(f.io_errors); }},
};

template <typename Facts, size_t n>
void append(std::string* text, const Metric<Facts> (&metrics)[n], const std::vector<Facts>& all,
            const std::function<std::string(const Facts&)>& labels) {
  for (const Metric<Facts>& metric : metrics) {
    if (all.empty()) continue;
    describe(text, metric.name, metric.type, metric.help);
    for (const Facts& facts : all) sample(text, metric.name, labels(facts), metric.value(facts));
  }
}

}  // namespace

std::string metrics_text(const DaemonView& view) {
  std::string text;
  const DaemonFacts daemon = view.daemon();
  describe(&text, "speckv_build_info", "gauge", "Constant 1; the labels say what runs.");
  sample(&text, "speckv_build_info",
         "version=\"" + escaped(daemon.version) + "\",isa=\"" + escaped(daemon.codec_isa) +
             "\",medium=\"" + escaped(daemon.medium) + "\",isolation=\"" +
             escaped(daemon.isolation) + "\"",
         1);
  append<DaemonFacts>(&text, of_daemon, {daemon}, [](const DaemonFacts&) { return std::string(); });
  append<SpaceFacts>(&text, of_space, view.spaces(),
                     [](const SpaceFacts& f) { return "namespace=\"" + escaped(f.name) + "\""; });
  std::vector<SpaceFacts> near = view.spaces();
  std::erase_if(near, [](const SpaceFacts& f) { return f.near.bytes == 0; });
  append<SpaceFacts>(&text, of_near, near,
                     [](const SpaceFacts& f) { return "namespace=\"" + escaped(f.name) + "\""; });
  std::vector<SpaceFacts> spilled = view.spaces();
  std::erase_if(spilled, [](const SpaceFacts& f) { return f.spill.bytes == 0; });
  append<SpaceFacts>(&text, of_spill, spilled,
                     [](const SpaceFacts& f) { return "namespace=\"" + escaped(f.name) + "\""; });
  std::vector<GuessFacts> guesses;
  for (const SpaceFacts& space : view.spaces())
    guesses.insert(guesses.end(), space.guesses.begin(), space.guesses.end());
  append<GuessFacts>(&text, of_guesses, guesses, [](const GuessFacts& f) {
    return "namespace=\"" + escaped(f.space) + "\",source=\"" + f.source + "\"";
  });
  append<ThreadFacts>(&text, of_thread, view.threads(), [](const ThreadFacts& f) {
    return "thread=\"" + std::to_string(f.shard) + "\"";
  });
  std::vector<ThreadFacts> with_engine = view.threads();
  std::erase_if(with_engine, [](const ThreadFacts& f) { return f.device.state[0] == 'n'; });
  append<ThreadFacts>(&text, of_engine, with_engine, [](const ThreadFacts& f) {
    return "thread=\"" + std::to_string(f.shard) + "\"";
  });
  return text;
}

}  // namespace speckv::watch
