// SPDX-License-Identifier: Apache-2.0
// live_view.cpp - see live_view.hpp.
#include "loop/live_view.hpp"

#include <unistd.h>

#include <algorithm>

#include "codec/codec.hpp"
#include "loop/clock.hpp"
#include "loop/preflight.hpp"
#include "pool/memory_limit.hpp"

namespace speckv {

namespace {

void add_shard(const ShardCounters& from, watch::SpaceFacts* to) {
  const auto add = [](uint64_t* sum, const std::atomic<uint64_t>& part) {
    *sum += part.load(std::memory_order_relaxed);
  };
  add(&to->free_units, from.free_units);
  add(&to->blocks, from.blocks);
  add(&to->raw_bytes, from.raw_bytes);
  add(&to->stored_bytes, from.stored_bytes);
  add(&to->held_blocks, from.held_blocks);
  add(&to->holds_refused, from.holds_refused);
  add(&to->limbo_blocks, from.limbo_blocks);
  add(&to->written_blocks, from.puts);
  add(&to->existed_blocks, from.puts_existed);
  add(&to->failed_blocks, from.puts_failed);
  add(&to->compressed_raw_bytes, from.put_raw_bytes);
  add(&to->compressed_stored_bytes, from.put_stored_bytes);
  add(&to->refused_segments, from.segments_refused);
  add(&to->bounded_segments, from.segments_bounded);
  add(&to->read_touches, from.touches);
  add(&to->evicted_blocks, from.evicted);
  add(&to->guarded_blocks, from.guarded);
  add(&to->removed_blocks, from.removed);
  add(&to->restored_blocks, from.restored);
  add(&to->lost_blocks, from.lost);
  add(&to->puts_under_way, from.puts_under_way);
  add(&to->puts_quarantined, from.puts_quarantined);
  add(&to->overdue_blocks, from.puts_overdue);
  add(&to->given_up_slots, from.slots_given_up);
  add(&to->prefetch_keys, from.fetch_keys);
  add(&to->prefetch_ready, from.fetch_ready);
  add(&to->prefetch_missing, from.fetch_missing);
  add(&to->prefetch_clipped, from.fetch_clipped);
  add(&to->prefetch_rejected, from.fetch_rejected);
  add(&to->prefetch_over_limit, from.fetch_over_limit);
  add(&to->prefetch_cancelled, from.fetch_cancelled);
  add(&to->prefetch_bytes, from.fetch_bytes);
  add(&to->prefetches_under_way, from.fetches_under_way);
  add(&to->retained_blocks, from.retained_blocks);
  add(&to->retained_bytes, from.retained_bytes);
  add(&to->retain_refused, from.retain_refused);
  add(&to->hints, from.hints);
}

void add_sizes(const ShardCounters& from, watch::SizeFacts* to) {
  const auto add = [&from](watch::SizeFacts::Point* point, uint32_t model) {
    point->uses += from.size_uses[model].load(std::memory_order_relaxed);
    point->hits += from.size_hits[model].load(std::memory_order_relaxed);
  };
  to->one_in = std::max(to->one_in, from.size_one_in.load(std::memory_order_relaxed));
  for (uint32_t model = 0; model < to->pools.size(); model++) add(&to->pools[model], model);
  add(&to->with_spill, predict::kSizeModels - 1);
}

watch::SizeFacts sizes_of(const config::NamespaceConfig& config, uint64_t pool_bytes,
                          uint32_t shards) {
  watch::SizeFacts facts;
  facts.samples = config.size_samples;
  facts.memory_bytes = config::size_memory_bytes(config, shards);
  for (double step : predict::kSizeSteps)
    facts.pools.push_back({uint64_t(double(pool_bytes) * step), 0, 0});
  if (!config.spill_path.empty()) facts.with_spill.bytes = pool_bytes + config.spill_bytes;
  return facts;
}

void add_near(const ShardCounters& from, watch::NearFacts* to) {
  const auto add = [](uint64_t* sum, const std::atomic<uint64_t>& part) {
    *sum += part.load(std::memory_order_relaxed);
  };
  add(&to->blocks, from.near_blocks);
  add(&to->live_bytes, from.near_bytes);
  add(&to->limbo_blocks, from.near_limbo);
  add(&to->under_way, from.near_under_way);
  add(&to->brought_blocks, from.near_brought);
  add(&to->evicted_blocks, from.near_evicted);
  add(&to->refused_blocks, from.near_refused);
  add(&to->failed_blocks, from.near_failed);
  add(&to->read_touches, from.near_touches);
}

void add_spill(const SpillStore& from, watch::SpillFacts* to) {
  const auto add = [](uint64_t* sum, const std::atomic<uint64_t>& part) {
    *sum += part.load(std::memory_order_relaxed);
  };
  const SpillCounters& blocks = from.counters();
  add(&to->blocks, blocks.entries);
  add(&to->live_bytes, blocks.live_bytes);
  add(&to->scanning, blocks.scanning);
  add(&to->found_blocks, blocks.found);
  add(&to->demoted_blocks, blocks.demoted);
  add(&to->demoted_bytes, blocks.demoted_bytes);
  add(&to->copied_blocks, blocks.copied);
  add(&to->copied_bytes, blocks.copied_bytes);
  add(&to->syncs, blocks.syncs);
  add(&to->promoted_blocks, blocks.promoted);
  add(&to->promoted_bytes, blocks.promoted_bytes);
  add(&to->failed_blocks, blocks.promote_failed);
  add(&to->damaged_blocks, blocks.damaged);
  add(&to->reclaimed_blocks, blocks.reclaimed);
  add(&to->removed_blocks, blocks.removed);
  add(&to->unwritten_blocks, blocks.not_written);
  add(&to->unwanted_blocks, blocks.not_wanted);
  add(&to->too_large_blocks, blocks.too_large);
  add(&to->dropped_blocks, blocks.scan_dropped);
  add(&to->damaged_pages, blocks.scan_damaged);
  add(&to->failed_parcels, blocks.parcels_failed);
  const SpillIoCounters& io = from.io_counters();
  add(&to->stuck, io.stuck);
  add(&to->read_bytes, io.read_bytes);
  add(&to->written_bytes, io.written_bytes);
  add(&to->read_errors, io.read_errors);
  add(&to->write_errors, io.write_errors);
  add(&to->overdue, io.overdue);
  add(&to->opened, io.opened);
  to->read_breaker = std::max(to->read_breaker, io.read_breaker.load(std::memory_order_relaxed));
  to->write_breaker = std::max(to->write_breaker, io.write_breaker.load(std::memory_order_relaxed));
}

void add_guesses(const GuessesCounters& from, std::vector<watch::GuessFacts>* to) {
  const auto add = [](uint64_t* sum, const std::atomic<uint64_t>& part) {
    *sum += part.load(std::memory_order_relaxed);
  };
  for (size_t i = 0; i < from.size(); i++) {
    watch::GuessFacts& facts = (*to)[i];
    add(&facts.times_off, from[i].times_off);
    add(&facts.off, from[i].off);
    add(&facts.off_useful, from[i].off_useful);
    add(&facts.off_seen, from[i].off_seen);
    add(&facts.fetched, from[i].fetched);
    add(&facts.bytes, from[i].bytes);
    add(&facts.useful, from[i].useful);
    add(&facts.late, from[i].late);
    add(&facts.wasted, from[i].wasted);
    add(&facts.refused, from[i].refused);
  }
}

std::vector<watch::GuessFacts> no_guesses(const std::string& space) {
  std::vector<watch::GuessFacts> all(predict::kSources);
  for (uint32_t i = 0; i < predict::kSources; i++) {
    all[i].space = space;
    all[i].source = predict::source_name(predict::Source(i));
  }
  return all;
}

}  // namespace

watch::DaemonFacts LiveView::daemon() const {
  const config::Config& config = daemon_.config();
  const Sessions& sessions = daemon_.control().sessions();
  const ControlCounters& counters = daemon_.control().counters();
  watch::DaemonFacts facts;
  facts.version = SPECKV_VERSION;
  facts.codec_isa = std::string(codec::isa());
  facts.config_source = config.source;
  facts.socket = config.daemon.socket;
  facts.medium = daemon_.medium().describe();
  facts.isolation = daemon_.medium().isolation();
  facts.medium_kind = daemon_.medium().kind();
  facts.isolation_kind = daemon_.medium().isolation_kind();
  facts.engine_wanted = config.engine.kind;
  facts.survives_daemon = daemon_.medium().survives_daemon();
  facts.emulated = config.pool.medium.emulated_gb_s > 0 || config.pool.medium.emulated_ns > 0;
  facts.pid = getpid();
  facts.uptime_ns = monotonic_ns() - daemon_.started_ns();
  facts.shards = config.daemon.data_threads;
  facts.sessions_max = config.session.sessions_max;
  facts.sessions_opened = sessions.opened();
  facts.sessions_refused = sessions.refused();
  facts.sessions_closed = sessions.closed();
  facts.widths_measured = counters.widths_measured;
  facts.layouts_substituted = counters.layouts_substituted;
  facts.malformed_messages = counters.malformed;
  for (size_t i = 0; i < daemon_.spaces().size(); i++) {
    const SpaceUse use = sessions.use(i);
    facts.arenas_bytes += use.arenas_bytes;
    facts.layouts += use.layouts.layouts;
    facts.widths_bytes += use.layouts.widths_bytes;
    facts.client_fds += use.fds;
  }
  facts.client_fds_max = config.session.fds_max;
  facts.held_blocks = daemon_.held_blocks();
  facts.holds_max = *config.session.holds_max;
  facts.scrapers = scrapers_ ? scrapers_() : 0;
  facts.metrics_connections_max = config.daemon.metrics_connections_max;
  facts.arenas_bytes_max = config.session.arenas_bytes_max;
  facts.layouts_max = config.session.layouts_max;
  facts.widths_bytes_max = config.session.widths_bytes_max;
  facts.waiting = daemon_.control().waiting();
  facts.connections_max = config.session.connections_max;
  facts.connections_ended = counters.connections_ended;
  facts.unclosed = daemon_.control().unclosed();
  facts.shut_out = daemon_.control().shut_out();
  facts.log_lines_left_out = sessions.lines_left_out();
  facts.fds = open_fds();
  facts.fds_max = fd_limit();
  facts.fds_wanted = fds_wanted(config);
  const pool::MemoryLimit memory = pool::cgroup_memory_limit();
  facts.memory_limit_bytes = memory.bytes;
  facts.memory_left_bytes = memory.free_bytes;
  facts.memory_at_most_bytes = config::memory_bytes_max(config);
  const Pinned pinned = daemon_.medium().pinned();
  facts.pinned_bytes = pinned.bytes;
  facts.pinner_bytes = pinned.pinner_bytes;
  facts.pinner_pid = pinned.pinner_pid;
  facts.pinner_uid = pinned.pinner_uid;
  return facts;
}

std::vector<watch::SpaceFacts> LiveView::spaces() const {
  std::vector<watch::SpaceFacts> all;
  for (size_t i = 0; i < daemon_.spaces().size(); i++) {
    const Namespace& space = daemon_.spaces()[i];
    const config::NamespaceConfig& config = daemon_.config().namespaces[i];
    watch::SpaceFacts facts;
    facts.name = space.name;
    facts.policy = config.policy;
    facts.preset = config.preset;
    facts.pool_bytes = space.pool->bytes();
    facts.pool_page_bytes = space.pool->page_bytes();
    facts.index_bytes = space.index->bytes();
    facts.index_entries = config.index_entries;
    facts.units = space.units;
    facts.lost_bytes = space.lost_bytes;
    facts.size = sizes_of(config, facts.pool_bytes, daemon_.config().daemon.data_threads);
    for (const auto& thread : daemon_.threads()) {
      const ShardCounters& counters = thread->counters(uint32_t(i));
      add_shard(counters, &facts);
      add_sizes(counters, &facts.size);
      const double shard = double(space.units_of(uint32_t(&thread - daemon_.threads().data())));
      facts.waste += double(counters.waste_ppm.load(std::memory_order_relaxed)) / 1e6 * shard /
                     double(space.units);
    }
    if (space.near) {
      facts.near.bytes = space.near->bytes();
      facts.near.page_bytes = space.near->page_bytes();
      facts.near.blind_sessions = space.near_gate->blind();
      for (const auto& thread : daemon_.threads())
        add_near(thread->counters(uint32_t(i)), &facts.near);
    }
    if (!config.spill_path.empty()) {
      facts.spill.path = config.spill_path;
      facts.spill.bytes = config.spill_bytes;
      facts.spill.memory_bytes =
          config::spill_memory_bytes(config, daemon_.config().daemon.data_threads);
      for (const auto& thread : daemon_.threads())
        if (const SpillStore* store = thread->spill(uint32_t(i))) add_spill(*store, &facts.spill);
    }
    if (config.speculation) {
      facts.guesses = no_guesses(space.name);
      for (const auto& thread : daemon_.threads())
        add_guesses(thread->counters(uint32_t(i)).guesses, &facts.guesses);
    }
    const SpaceUse use = daemon_.control().sessions().use(i);
    facts.sessions = use.sessions;
    facts.arenas_bytes = use.arenas_bytes;
    facts.layouts = use.layouts.layouts;
    facts.widths_bytes = use.layouts.widths_bytes;
    facts.sessions_refused = use.sessions_refused;
    facts.arenas_refused = use.arenas_refused;
    facts.layouts_refused = use.layouts_refused;
    facts.log_lines_left_out = use.lines_left_out;
    facts.sessions_max = config.sessions_max;
    facts.arenas_bytes_max = config.arenas_bytes_max;
    facts.layouts_max = config.layouts_max;
    facts.widths_bytes_max = config.widths_bytes_max;
    facts.holds_max = *config.holds_max;
    facts.fds = use.fds;
    facts.fds_max = config.fds_max;
    facts.fds_refused = use.fds_refused;
    facts.log_lines_max = config.log_lines_max;
    facts.prefetch_keys_max = config.prefetch_keys_max;
    facts.prefetch_bytes_s = config.prefetch_bytes_s;
    facts.retained_bytes_max = config.retained_bytes_max;
    all.push_back(std::move(facts));
  }
  return all;
}

std::vector<watch::SessionFacts> LiveView::sessions() const {
  std::vector<watch::SessionFacts> all;
  for (const auto& session : daemon_.control().sessions().all()) {
    const Session::Identity& identity = session->identity();
    all.push_back({identity.id, identity.uid, identity.pid, daemon_.spaces()[identity.space].name,
                   session->arena_bytes(), session->dropped_completions()});
  }
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
  return all;
}

static const char* reason_of(Mistrust reason) {
  switch (reason) {
    case Mistrust::nothing:
      return "";
    case Mistrust::late:
      return "it gave no answer within the deadline";
    case Mistrust::reset:
      return "it was reset";
    case Mistrust::gone:
      return "it is gone, or answers no reset";
    case Mistrust::lied:
      return "an answer was wrong";
    case Mistrust::broken:
      return "it met an error of its bus or its memory";
  }
  return "";
}

static watch::DeviceFacts facts_of(const DeviceFacts& device) {
  const auto read = [](const auto& counter) { return counter.load(std::memory_order_relaxed); };
  const Standing standing = read(device.standing);
  watch::DeviceFacts facts;
  facts.state = standing == Standing::none ? "none" : standing == Standing::live ? "live" : "aside";
  facts.reason = reason_of(read(device.reason));
  facts.is_gone = read(device.reason) == Mistrust::gone;
  facts.commands = read(device.commands);
  facts.under_way = read(device.under_way);
  facts.segments = read(device.segments);
  facts.raw_bytes = read(device.raw_bytes);
  facts.stored_bytes = read(device.stored_bytes);
  facts.decoded = read(device.decoded);
  facts.decoded_bytes = read(device.decoded_bytes);
  facts.by_cpu = read(device.by_cpu);
  facts.again = read(device.again);
  facts.checked = read(device.checked);
  facts.lies = read(device.lies);
  facts.late = read(device.late);
  facts.errors = read(device.errors);
  facts.tables = read(device.tables);
  facts.set_aside = read(device.set_aside);
  facts.self_tests = read(device.self_tests);
  return facts;
}

watch::ThreadFacts facts_of(const DataThread& thread, uint32_t shard, uint64_t now_ns) {
  const uint64_t turned_ns = thread.counters().turned_ns.load(std::memory_order_relaxed);
  watch::ThreadFacts facts;
  facts.shard = shard;
  facts.wakeups = thread.counters().wakeups.load(std::memory_order_relaxed);
  facts.submissions = thread.served().submissions.load(std::memory_order_relaxed);
  facts.rejected = thread.served().rejected.load(std::memory_order_relaxed);
  facts.stalled_ms = now_ns > turned_ns ? (now_ns - turned_ns) / 1'000'000 : 0;
  facts.encode_threads = thread.engine().workers;
  facts.encode_busy = thread.engine().busy.load(std::memory_order_relaxed);
  facts.encode_mistaken = thread.served().engine_mistaken.load(std::memory_order_relaxed);
  facts.io_errors = thread.io_errors();
  facts.device = facts_of(thread.engine().device);
  return facts;
}

std::vector<watch::ThreadFacts> LiveView::threads() const {
  std::vector<watch::ThreadFacts> all;
  for (const auto& thread : daemon_.threads())
    all.push_back(facts_of(*thread, uint32_t(all.size()), monotonic_ns()));
  return all;
}

std::span<const std::byte> LiveView::index_file(size_t space) const {
  Region& file = *daemon_.spaces()[space].index;
  return {file.data(), file.bytes()};
}

std::span<const std::byte> LiveView::pool_file(size_t space) const {
  Region& file = *daemon_.spaces()[space].pool;
  return {file.data(), file.bytes()};
}

std::span<const std::byte> LiveView::near_file(size_t space) const {
  Region* const file = daemon_.spaces()[space].near.get();
  if (!file) return {};
  return {file->data(), file->bytes()};
}

}  // namespace speckv
