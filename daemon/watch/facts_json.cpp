// SPDX-License-Identifier: Apache-2.0
// facts_json.cpp - see facts_json.hpp.
#include "watch/facts_json.hpp"

#include <cstdio>

#include "codec/codec.hpp"

namespace speckv::watch {

using nlohmann::ordered_json;

namespace {

ordered_json daemon_json(const DaemonFacts& facts) {
  return {{"version", facts.version},
          {"pid", facts.pid},
          {"uptime_ns", facts.uptime_ns},
          {"config_source", facts.config_source},
          {"socket", facts.socket},
          {"medium", facts.medium},
          {"isolation", facts.isolation},
          {"medium_kind", facts.medium_kind},
          {"isolation_kind", facts.isolation_kind},
          {"engine_wanted", facts.engine_wanted},
          {"survives_daemon", facts.survives_daemon},
          {"emulated", facts.emulated},
          {"codec_isa", facts.codec_isa},
          {"shards", facts.shards},
          {"sessions_max", facts.sessions_max},
          {"sessions_opened", facts.sessions_opened},
          {"sessions_refused", facts.sessions_refused},
          {"sessions_closed", facts.sessions_closed},
          {"malformed_messages", facts.malformed_messages},
          {"widths_measured", facts.widths_measured},
          {"layouts_substituted", facts.layouts_substituted},
          {"arenas_bytes", facts.arenas_bytes},
          {"arenas_bytes_max", facts.arenas_bytes_max},
          {"layouts", facts.layouts},
          {"layouts_max", facts.layouts_max},
          {"widths_bytes", facts.widths_bytes},
          {"widths_bytes_max", facts.widths_bytes_max},
          {"waiting", facts.waiting},
          {"connections_max", facts.connections_max},
          {"connections_ended", facts.connections_ended},
          {"unclosed", facts.unclosed},
          {"shut_out", facts.shut_out},
          {"log_lines_left_out", facts.log_lines_left_out},
          {"held_blocks", facts.held_blocks},
          {"holds_max", facts.holds_max},
          {"client_fds", facts.client_fds},
          {"client_fds_max", facts.client_fds_max},
          {"scrapers", facts.scrapers},
          {"metrics_connections_max", facts.metrics_connections_max},
          {"fds", facts.fds},
          {"fds_max", facts.fds_max},
          {"fds_wanted", facts.fds_wanted},
          {"memory_limit_bytes", facts.memory_limit_bytes},
          {"memory_left_bytes", facts.memory_left_bytes},
          {"memory_at_most_bytes", facts.memory_at_most_bytes},
          {"pinned_bytes", facts.pinned_bytes},
          {"pinner_bytes", facts.pinner_bytes},
          {"pinner_pid", facts.pinner_pid},
          {"pinner_uid", facts.pinner_uid}};
}

// null: there is no such tier.
ordered_json spill_json(const SpillFacts& facts) {
  if (facts.bytes == 0) return nullptr;
  return {{"path", facts.path},
          {"bytes", facts.bytes},
          {"memory_bytes", facts.memory_bytes},
          {"blocks", facts.blocks},
          {"live_bytes", facts.live_bytes},
          {"scanning", facts.scanning},
          {"found_blocks", facts.found_blocks},
          {"demoted_blocks", facts.demoted_blocks},
          {"demoted_bytes", facts.demoted_bytes},
          {"written_bytes", facts.written_bytes},
          {"copied_blocks", facts.copied_blocks},
          {"copied_bytes", facts.copied_bytes},
          {"syncs", facts.syncs},
          {"promoted_blocks", facts.promoted_blocks},
          {"promoted_bytes", facts.promoted_bytes},
          {"read_bytes", facts.read_bytes},
          {"failed_blocks", facts.failed_blocks},
          {"damaged_blocks", facts.damaged_blocks},
          {"reclaimed_blocks", facts.reclaimed_blocks},
          {"removed_blocks", facts.removed_blocks},
          {"unwritten_blocks", facts.unwritten_blocks},
          {"unwanted_blocks", facts.unwanted_blocks},
          {"too_large_blocks", facts.too_large_blocks},
          {"dropped_blocks", facts.dropped_blocks},
          {"damaged_pages", facts.damaged_pages},
          {"failed_parcels", facts.failed_parcels},
          {"read_errors", facts.read_errors},
          {"write_errors", facts.write_errors},
          {"overdue", facts.overdue},
          {"stuck", facts.stuck},
          {"read_breaker", facts.read_breaker},
          {"write_breaker", facts.write_breaker},
          {"opened", facts.opened}};
}

ordered_json point_json(const SizeFacts::Point& point) {
  return {{"bytes", point.bytes}, {"uses", point.uses}, {"hits", point.hits}};
}

// null: nobody looks.
ordered_json size_json(const SizeFacts& facts) {
  if (facts.samples == 0) return nullptr;
  ordered_json pools = ordered_json::array();
  for (const SizeFacts::Point& point : facts.pools) pools.push_back(point_json(point));
  return {{"samples", facts.samples},
          {"one_in", facts.one_in},
          {"memory_bytes", facts.memory_bytes},
          {"pools", std::move(pools)},
          {"with_spill", facts.with_spill.bytes ? point_json(facts.with_spill) : nullptr}};
}

// By source; null: nobody guesses.
ordered_json guesses_json(const std::vector<GuessFacts>& all) {
  if (all.empty()) return nullptr;
  ordered_json json = ordered_json::object();
  for (const GuessFacts& facts : all)
    json[facts.source] = {{"fetched", facts.fetched},
                          {"bytes", facts.bytes},
                          {"useful", facts.useful},
                          {"late", facts.late},
                          {"wasted", facts.wasted},
                          {"refused", facts.refused},
                          {"off", facts.off},
                          {"times_off", facts.times_off},
                          {"off_useful", facts.off_useful},
                          {"off_seen", facts.off_seen}};
  return json;
}

ordered_json near_json(const NearFacts& facts) {
  if (facts.bytes == 0) return nullptr;
  return {{"bytes", facts.bytes},
          {"page_bytes", facts.page_bytes},
          {"blocks", facts.blocks},
          {"live_bytes", facts.live_bytes},
          {"limbo_blocks", facts.limbo_blocks},
          {"under_way", facts.under_way},
          {"blind_sessions", facts.blind_sessions},
          {"brought_blocks", facts.brought_blocks},
          {"evicted_blocks", facts.evicted_blocks},
          {"refused_blocks", facts.refused_blocks},
          {"failed_blocks", facts.failed_blocks},
          {"read_touches", facts.read_touches}};
}

ordered_json space_json(const SpaceFacts& facts) {
  return {{"name", facts.name},
          {"policy", facts.policy},
          {"preset", facts.preset},
          {"pool_bytes", facts.pool_bytes},
          {"pool_page_bytes", facts.pool_page_bytes},
          {"index_bytes", facts.index_bytes},
          {"index_entries", facts.index_entries},
          {"units", facts.units},
          {"free_units", facts.free_units},
          {"waste", facts.waste},
          {"blocks", facts.blocks},
          {"raw_bytes", facts.raw_bytes},
          {"stored_bytes", facts.stored_bytes},
          {"held_blocks", facts.held_blocks},
          {"limbo_blocks", facts.limbo_blocks},
          {"sessions", facts.sessions},
          {"sessions_max", facts.sessions_max},
          {"sessions_refused", facts.sessions_refused},
          {"arenas_bytes", facts.arenas_bytes},
          {"arenas_bytes_max", facts.arenas_bytes_max},
          {"arenas_refused", facts.arenas_refused},
          {"layouts", facts.layouts},
          {"layouts_max", facts.layouts_max},
          {"widths_bytes", facts.widths_bytes},
          {"widths_bytes_max", facts.widths_bytes_max},
          {"layouts_refused", facts.layouts_refused},
          {"holds_max", facts.holds_max},
          {"holds_refused", facts.holds_refused},
          {"fds", facts.fds},
          {"fds_max", facts.fds_max},
          {"fds_refused", facts.fds_refused},
          {"log_lines_left_out", facts.log_lines_left_out},
          {"log_lines_max", facts.log_lines_max},
          {"written_blocks", facts.written_blocks},
          {"existed_blocks", facts.existed_blocks},
          {"failed_blocks", facts.failed_blocks},
          {"compressed_raw_bytes", facts.compressed_raw_bytes},
          {"compressed_stored_bytes", facts.compressed_stored_bytes},
          {"refused_segments", facts.refused_segments},
          {"bounded_segments", facts.bounded_segments},
          {"read_touches", facts.read_touches},
          {"evicted_blocks", facts.evicted_blocks},
          {"guarded_blocks", facts.guarded_blocks},
          {"removed_blocks", facts.removed_blocks},
          {"restored_blocks", facts.restored_blocks},
          {"lost_blocks", facts.lost_blocks},
          {"puts_under_way", facts.puts_under_way},
          {"puts_quarantined", facts.puts_quarantined},
          {"overdue_blocks", facts.overdue_blocks},
          {"lost_bytes", facts.lost_bytes},
          {"prefetch_keys", facts.prefetch_keys},
          {"prefetch_ready", facts.prefetch_ready},
          {"prefetch_missing", facts.prefetch_missing},
          {"prefetch_clipped", facts.prefetch_clipped},
          {"prefetch_rejected", facts.prefetch_rejected},
          {"prefetch_over_limit", facts.prefetch_over_limit},
          {"prefetch_cancelled", facts.prefetch_cancelled},
          {"prefetch_bytes", facts.prefetch_bytes},
          {"prefetches_under_way", facts.prefetches_under_way},
          {"prefetch_keys_max", facts.prefetch_keys_max},
          {"prefetch_bytes_s", facts.prefetch_bytes_s},
          {"retained_blocks", facts.retained_blocks},
          {"retained_bytes", facts.retained_bytes},
          {"retained_bytes_max", facts.retained_bytes_max},
          {"retain_refused", facts.retain_refused},
          {"hints", facts.hints}};
}

ordered_json with_tiers(ordered_json space, const SpaceFacts& facts) {
  space["near"] = near_json(facts.near);
  space["spill"] = spill_json(facts.spill);
  space["size"] = size_json(facts.size);
  space["guesses"] = guesses_json(facts.guesses);
  space["given_up_slots"] = facts.given_up_slots;
  return space;
}

// 64-bit fingerprints do not survive a JSON reader that has doubles only.
std::string hex64(uint64_t value) {
  char text[24];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(value));
  return text;
}

}  // namespace

ordered_json engine_json(const DeviceFacts& device) {
  return {{"state", device.state},
          {"reason", device.reason},
          {"engines_live", int(device.state[0] == 'l')},
          {"commands", device.commands},
          {"commands_under_way", device.under_way},
          {"encoded_segments", device.segments},
          {"encoded_raw_bytes", device.raw_bytes},
          {"encoded_stored_bytes", device.stored_bytes},
          {"decoded_segments", device.decoded},
          {"decoded_raw_bytes", device.decoded_bytes},
          {"segments_by_cpu", device.by_cpu},
          {"segments_again", device.again},
          {"checked_segments", device.checked},
          {"lies", device.lies},
          {"late", device.late},
          {"errors", device.errors},
          {"tables", device.tables},
          {"set_aside", device.set_aside},
          {"self_tests", device.self_tests}};
}

ordered_json status_json(const DaemonView& view) {
  ordered_json status{{"daemon", daemon_json(view.daemon())},
                      {"namespaces", ordered_json::array()},
                      {"sessions", ordered_json::array()},
                      {"threads", ordered_json::array()}};
  for (const SpaceFacts& space : view.spaces())
    status["namespaces"].push_back(with_tiers(space_json(space), space));
  for (const SessionFacts& session : view.sessions())
    status["sessions"].push_back({{"id", session.id},
                                  {"uid", session.uid},
                                  {"pid", session.pid},
                                  {"namespace", session.space},
                                  {"arena_bytes", session.arena_bytes},
                                  {"dropped_completions", session.dropped_completions}});
  for (const ThreadFacts& thread : view.threads())
    status["threads"].push_back({{"shard", thread.shard},
                                 {"wakeups", thread.wakeups},
                                 {"submissions", thread.submissions},
                                 {"rejected", thread.rejected},
                                 {"stalled_ms", thread.stalled_ms},
                                 {"encode_threads", thread.encode_threads},
                                 {"encode_busy", thread.encode_busy},
                                 {"encode_mistaken", thread.encode_mistaken},
                                 {"io_errors", thread.io_errors},
                                 {"engine", engine_json(thread.device)}});
  return status;
}

ordered_json block_json(const BlockSummary& block) {
  ordered_json json{{"key", key_hex(block.key)},
                    {"layout", hex64(block.identity)},
                    {"fingerprint", hex64(block.entry.fingerprint)},
                    {"layers", block.entry.layers}};
  if (!block.has_meta) return json;
  json["raw_bytes"] = block.raw_bytes;
  json["position"] = block.position == UINT32_MAX ? ordered_json() : ordered_json(block.position);
  json["parent"] = block.parent.is_zero() ? ordered_json() : ordered_json(key_hex(block.parent));
  return json;
}

ordered_json detail_json(const BlockDetail& detail) {
  ordered_json json = block_json(detail.summary);
  json["block"] = detail.summary.entry.block;
  json["region"] = shm::is_near(detail.summary.entry.ref) ? "near" : "pool";
  json["offset"] = shm::ref_offset(detail.summary.entry.ref);
  json["gen"] = detail.summary.entry.gen;
  json["state"] = detail.state;
  const bool record = detail.summary.entry.flags & shm::entry_record;
  const uint32_t tail = shm::slot_tail_bytes(record ? 0 : shm::slot_single);
  uint64_t stored_bytes = 0;
  ordered_json segments = ordered_json::array();
  for (const SegmentState& segment : detail.segments) {
    stored_bytes += shm::slot_bytes_for(uint64_t(segment.payload_bytes) + tail);
    segments.push_back({{"layer", segment.layer},
                        {"offset", shm::ref_offset(segment.offset)},
                        {"gen", segment.gen},
                        {"preset", codec::preset_name(segment.preset)},
                        {"first", segment.first},
                        {"side", segment.side},
                        {"payload_bytes", segment.payload_bytes},
                        {"state", segment.state}});
  }
  if (record)
    stored_bytes += shm::slot_bytes_for(shm::record_payload_bytes(detail.summary.entry.layers));
  json["stored_bytes"] = stored_bytes;
  json["segments"] = std::move(segments);
  return json;
}

}  // namespace speckv::watch
