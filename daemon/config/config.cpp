// SPDX-License-Identifier: Apache-2.0
// config.cpp - the configuration's file, its default, and what it says of itself.
#include "config/config.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "shm/index.hpp"
#include "shm/session_format.hpp"

namespace speckv::config {
namespace {

std::string list_ids(const std::vector<uint32_t>& ids) {
  std::string text;
  for (uint32_t id : ids) text += (text.empty() ? "" : ",") + std::to_string(id);
  return text;
}

std::string describe_access(const NamespaceConfig& space) {
  if (space.anyone) return "anyone who reaches the socket";
  if (space.uids.empty() && space.gids.empty()) return "the daemon's own uid and root";
  std::string text;
  if (!space.uids.empty()) text += "uids " + list_ids(space.uids);
  if (!space.gids.empty())
    text += std::string(text.empty() ? "" : ", ") + "gids " + list_ids(space.gids);
  return text;
}

// Reads an open regular file of bounded size.
Result<std::string> read_all(int fd, const std::string& path) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) return Status::from_errno("cannot read " + path);
  if (!S_ISREG(info.st_mode))
    return Status(EINVAL, path + " is not a regular file: expected a TOML configuration");
  if (uint64_t(info.st_size) > limits::config_file_bytes_max)
    return Status(EFBIG, path + " has " + std::to_string(info.st_size) +
                             " bytes: a configuration has at most " +
                             format_bytes(limits::config_file_bytes_max));
  std::string text(size_t(info.st_size), '\0');
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t got = ::read(fd, text.data() + done, text.size() - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Status::from_errno("cannot read " + path);
    if (got == 0) break;
    done += size_t(got);
  }
  text.resize(done);
  return text;
}

void append(std::string* text, const char* name, const std::string& value) {
  char line[32];
  snprintf(line, sizeof line, "  %-16s ", name);
  *text += line + value + "\n";
}

std::string describe_medium(const PoolConfig& pool) {
  const MediumOptions& medium = pool.medium;
  std::string text = medium.kind;
  if (!medium.path.empty()) text += " at " + medium.path;
  text += medium.huge_pages ? ", 2 MiB pages wanted" : ", 4 KiB pages";
  if (medium.numa_node >= 0) text += ", NUMA node " + std::to_string(medium.numa_node);
  char throttle[96];
  if (medium.emulated_gb_s > 0 || medium.emulated_ns > 0) {
    snprintf(throttle, sizeof throttle, ", *emulated* %g GB/s (0: not limited) + %llu ns",
             medium.emulated_gb_s, static_cast<unsigned long long>(medium.emulated_ns));
    text += throttle;
  }
  return text;
}

std::string describe_engine(const Config& config) {
  const EngineConfig& engine = config.engine;
  if (!may_have_device(config)) return "cpu";
  return engine.kind + ", 1 of " + std::to_string(engine.check_one_in) +
         " segments checked, answers within " + std::to_string(engine.deadline_ms) + " ms, " +
         format_bytes(engine.staging_bytes * config.daemon.data_threads) + " of staging";
}

std::string describe_prefetch(const NamespaceConfig& space) {
  std::string text = format_bytes(space.prefetch_bytes_s) + " a second, ";
  if (space.prefetch_bytes_s_min)
    text += format_bytes(space.prefetch_bytes_s_min) + " of them guaranteed, ";
  return text + std::to_string(space.prefetch_keys_max) + " keys at once";
}

std::string describe_near(const NamespaceConfig& space, const MediumOptions& medium) {
  if (space.near_bytes == 0) return "none: every hit decodes from the pool";
  const std::string node = medium.near_numa_node >= 0
                               ? "NUMA node " + std::to_string(medium.near_numa_node)
                               : "the daemon's own NUMA node";
  return format_bytes(space.near_bytes) + " of DRAM on " + node +
         ", above the pool: blocks decoded, after " + std::to_string(space.near_after_hits) +
         " hits; gone at a restart";
}

// What lies where, and the memory that this takes.
std::string describe_spill(const NamespaceConfig& space, uint32_t shards) {
  if (space.spill_path.empty()) return "none: what is evicted is gone";
  return space.spill_path + ", " + format_bytes(space.spill_bytes) + " below the pool, " +
         std::to_string(space.spill_entries) + " blocks; in memory its map " +
         format_bytes(space.spill_entries * limits::spill_entry_bytes) + " and buffers " +
         format_bytes(shards * space.spill_buffer_bytes) +
         (space.spill_write_bytes_s == limits::not_limited
              ? ""
              : "; at most " + format_bytes(space.spill_write_bytes_s) + " a second are written");
}

std::string describe_size(const NamespaceConfig& space, uint32_t shards) {
  if (space.size_samples == 0) return "none: speckvctl size has no answer";
  return std::to_string(space.size_samples) + " blocks, in memory " +
         format_bytes(size_memory_bytes(space, shards) / limits::kib * limits::kib);
}

std::string describe_speculation(const NamespaceConfig& space, uint32_t shards) {
  if (space.spill_path.empty()) return "none: there is no tier to read from";
  if (space.speculation)
    return "reads ahead by guess, " + format_bytes(space.speculation_bytes_s) +
           " a second; in memory " + format_bytes(speculation_memory_bytes(space));
  return shards > 1 ? "none: with more than one data_threads a sequence is nowhere whole" : "none";
}

std::string describe_space(const NamespaceConfig& space, const Config& config) {
  std::string text = "[[namespace]] " + space.name + "\n";
  append(&text, "bytes", format_bytes(space.bytes));
  append(&text, "index_entries", std::to_string(space.index_entries));
  append(&text, "policy", space.policy);
  append(&text, "preset", space.preset);
  append(&text, "may connect", describe_access(space));
  append(&text, "at once",
         std::to_string(space.sessions_max) + " sessions, arenas " +
             format_bytes(space.arenas_bytes_max) + ", " + std::to_string(space.layouts_max) +
             " layouts, their widths " + format_bytes(space.widths_bytes_max) + ", " +
             std::to_string(*space.holds_max) + " holds, " + std::to_string(space.fds_max) +
             " descriptors, " + std::to_string(space.log_lines_max) + " lines of the log");
  append(&text, "prefetch", describe_prefetch(space));
  append(&text, "retained", "at most " + format_bytes(space.retained_bytes_max));
  append(&text, "near", describe_near(space, config.pool.medium));
  append(&text, "size_samples", describe_size(space, config.daemon.data_threads));
  append(&text, "spill", describe_spill(space, config.daemon.data_threads));
  append(&text, "speculation", describe_speculation(space, config.daemon.data_threads));
  return text;
}

}  // namespace

bool may_have_device(const Config& config) {
  return config.engine.kind != "cpu" && config.pool.medium.kind == "extent";
}

uint64_t index_bytes_max(const NamespaceConfig& space) {
  const uint64_t buckets = 2 * space.index_entries / shm::bucket_entries + limits::data_threads_max;
  return shm::index_header_bytes + buckets * sizeof(shm::Bucket);
}

Result<Config> load_config(const std::string& path, const KnownNames& known) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return Status::from_errno("cannot open the configuration " + path);
  const Result<std::string> text = read_all(fd, path);
  ::close(fd);
  if (!text.ok()) return text.status();
  return parse_config(text.value(), path, known);
}

NamespaceConfig default_space(const KnownNames& known) {
  NamespaceConfig space;
  space.name = "default";
  space.preset = known.preset_default;
  for (const auto& [name, id] : known.presets)
    if (name == space.preset) space.preset_id = id;
  return space;
}

Config default_config(const KnownNames& known) {
  Config config;
  NamespaceConfig space = default_space(known);
  space.bytes = limits::pool_bytes_default;
  space.index_entries =
      std::max(space.bytes / limits::bytes_per_index_entry, limits::index_entries_min);
  space.policy = known.policy_default;
  config.pool.bytes = space.bytes;
  config.namespaces.push_back(std::move(space));
  share_limits(&config);
  return config;
}

uint64_t fds_for(const Config& config, uint64_t sessions, uint64_t layouts) {
  return sessions * (limits::fds_of_session + config.daemon.data_threads) + layouts;
}

void share_limits(Config* config) {
  SessionConfig& all = config->session;
  const uint64_t tenants = config->namespaces.size();
  const bool derived = !all.holds_max;
  if (derived) {
    uint64_t sum = 0;
    for (const NamespaceConfig& space : config->namespaces)
      sum += space.holds_max.value_or(limits::holds_of_namespace_default);
    all.holds_max = uint32_t(std::min<uint64_t>(sum, limits::holds_max_max));
  }
  if (all.fds_max == 0) all.fds_max = uint32_t(fds_for(*config, all.sessions_max, all.layouts_max));
  for (NamespaceConfig& space : config->namespaces) {
    const auto share = [tenants](auto most, uint64_t least) {
      return static_cast<decltype(most)>(std::max<uint64_t>(most / tenants, least));
    };
    if (space.retained_bytes_max == limits::retained_not_written)
      space.retained_bytes_max = space.bytes / 100 * limits::retained_percent_default;
    if (space.sessions_max == 0) space.sessions_max = share(all.sessions_max, 1);
    if (space.layouts_max == 0) space.layouts_max = share(all.layouts_max, 1);
    if (space.arenas_bytes_max == 0)
      space.arenas_bytes_max = share(all.arenas_bytes_max, limits::arena_bytes_min);
    if (space.widths_bytes_max == 0)
      space.widths_bytes_max = share(all.widths_bytes_max, limits::widths_bytes_min);
    if (!space.holds_max)
      space.holds_max = derived ? limits::holds_of_namespace_default : share(*all.holds_max, 0);
    if (space.fds_max == 0)
      space.fds_max = uint32_t(
          std::min<uint64_t>(all.fds_max, fds_for(*config, space.sessions_max, space.layouts_max)));
    if (space.log_lines_max == 0)
      space.log_lines_max = std::min(all.log_lines_max, limits::log_lines_of_namespace_default);
  }
}

uint64_t spill_memory_bytes(const NamespaceConfig& space, uint32_t shards) {
  if (space.spill_path.empty()) return 0;
  return (space.spill_entries + shards) * limits::spill_entry_bytes +
         shards * space.spill_buffer_bytes + speculation_memory_bytes(space);
}

uint64_t speculation_memory_bytes(const NamespaceConfig& space) {
  if (!space.speculation) return 0;
  return (space.index_entries + space.spill_entries + 2) * limits::speculation_block_bytes;
}

uint32_t size_samples_of_shard(const NamespaceConfig& space, uint32_t shards) {
  if (space.size_samples == 0) return 0;
  return std::max(space.size_samples / shards, limits::size_samples_of_shard_min);
}

uint64_t size_memory_bytes(const NamespaceConfig& space, uint32_t shards) {
  if (space.size_samples == 0) return 0;
  const uint64_t samples = uint64_t{size_samples_of_shard(space, shards)} * shards;
  return samples * limits::size_sample_bytes + shards * limits::size_shard_bytes +
         space.index_entries * limits::size_block_bytes;
}

// Of a device: a place of staging memory for each command, and what is encoded again to compare.
uint64_t engine_memory_bytes(const Config& config) {
  if (!may_have_device(config)) return 0;
  return 2 * config.engine.staging_bytes * config.daemon.data_threads;
}

uint64_t memory_bytes_max(const Config& config) {
  const uint64_t rings = shm::session_arena_offset(config.daemon.data_threads);
  uint64_t bytes = config.session.arenas_bytes_max + rings * config.session.sessions_max +
                   config.session.widths_bytes_max + engine_memory_bytes(config);
  for (const NamespaceConfig& space : config.namespaces)
    bytes += space.bytes + space.near_bytes + index_bytes_max(space) +
             spill_memory_bytes(space, config.daemon.data_threads) +
             size_memory_bytes(space, config.daemon.data_threads);
  return bytes;
}

std::string describe(const Config& config) {
  std::string text = "configuration: " + config.source + "\n[daemon]\n";
  char mode[8];
  snprintf(mode, sizeof mode, "%04o", config.daemon.socket_mode);
  append(&text, "socket", config.daemon.socket + ", mode " + mode);
  append(&text, "runtime_dir", config.daemon.runtime_dir);
  append(&text, "data_threads", std::to_string(config.daemon.data_threads));
  append(&text, "encode_threads",
         config.daemon.encode_threads ? std::to_string(*config.daemon.encode_threads)
                                      : "chosen at start, by cores");
  const bool tables = !config.daemon.tables.empty();
  append(&text, "tables", tables ? config.daemon.tables : "none");
  append(&text, "measure_widths",
         config.daemon.measure_widths ? "of layouts without a table" : "no: equal widths");
  append(&text, "log_level", config.daemon.log_level);
  append(&text, "metrics",
         config.daemon.metrics_port ? "http://" + config.daemon.metrics_host + ":" +
                                          std::to_string(config.daemon.metrics_port) + "/metrics"
                                    : "off");
  append(&text, "at once", std::to_string(config.daemon.metrics_connections_max) + " scrapers");
  text += "[pool]\n";
  append(&text, "medium", describe_medium(config.pool));
  append(&text, "bytes", format_bytes(config.pool.bytes));
  text += "[engine]\n";
  append(&text, "kind", describe_engine(config));
  text += "[session]\n";
  append(&text, "arena_bytes",
         format_bytes(config.session.arena_bytes) + ", at most " +
             format_bytes(config.session.arena_bytes_max) + ", all sessions " +
             format_bytes(config.session.arenas_bytes_max));
  append(&text, "sessions_max", std::to_string(config.session.sessions_max));
  append(&text, "hold_ms_max", std::to_string(config.session.hold_ms_max));
  append(&text, "holds_max", std::to_string(*config.session.holds_max) + " blocks");
  append(&text, "layouts_max",
         std::to_string(config.session.layouts_max) + ", their widths " +
             format_bytes(config.session.widths_bytes_max));
  append(&text, "fds_max", std::to_string(config.session.fds_max));
  append(&text, "connections_max",
         std::to_string(config.session.connections_max) + " without a session, of one user " +
             std::to_string(config.session.connections_of_uid_max) + ", for at most " +
             std::to_string(config.session.hello_ms_max) + " ms");
  append(&text, "log_lines_max",
         std::to_string(config.session.log_lines_max) + " in " +
             std::to_string(limits::log_period_ns / 1'000'000'000) + " s");
  if (config.session.prefetch_bytes_s != limits::not_limited)
    append(&text, "prefetch",
           format_bytes(config.session.prefetch_bytes_s) + " a second, of all namespaces");
  for (const NamespaceConfig& space : config.namespaces) text += describe_space(space, config);
  text += "memory at most   " +
          std::to_string((memory_bytes_max(config) + limits::mib - 1) / limits::mib) + " MiB\n";
  return text;
}

bool may_connect(const NamespaceConfig& space, uid_t uid, std::span<const gid_t> groups,
                 uid_t daemon_uid) {
  const auto in = [](const std::vector<uint32_t>& list, uint32_t id) {
    return std::find(list.begin(), list.end(), id) != list.end();
  };
  if (space.anyone) return true;
  if (space.uids.empty() && space.gids.empty()) return uid == daemon_uid || uid == 0;
  if (in(space.uids, uid)) return true;
  return std::any_of(groups.begin(), groups.end(),
                     [&](gid_t group) { return in(space.gids, group); });
}

}  // namespace speckv::config
