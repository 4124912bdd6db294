// SPDX-License-Identifier: Apache-2.0
// config_parse.cpp - from TOML text to a checked Config: every section's keys, bounds and what they
// mean together.
#include <algorithm>

#include "config/config.hpp"
#include "config/toml_reader.hpp"
#include "config/values.hpp"

namespace speckv::config {
namespace {

constexpr std::string_view log_levels[] = {"trace", "debug", "info", "warn", "error", "off"};
constexpr std::string_view media[] = {"shm", "memfd", "devdax", "extent"};
constexpr std::string_view sections[] = {"daemon", "pool", "engine", "session", "namespace"};
constexpr std::string_view engines[] = {"auto", "cpu", "device"};

void read_path(TableReader& table, std::string_view key, uint32_t bytes_max, std::string* ret) {
  std::string path;
  if (!table.string(key, bytes_max, &path)) return;
  if (path.empty() || path[0] != '/') {
    table.fail(key, " = \"" + path + "\" must be an absolute path");
    return;
  }
  if (path.find('\0') != std::string::npos) {
    table.fail(key, " must not hold a NUL");
    return;
  }
  *ret = path;
}

void read_daemon(TableReader table, DaemonConfig* ret) {
  read_path(table, "runtime_dir", limits::socket_path_bytes_max, &ret->runtime_dir);
  if (table.has("runtime_dir")) ret->socket = ret->runtime_dir + "/speckv.sock";
  read_path(table, "socket", limits::socket_path_bytes_max, &ret->socket);
  if (ret->socket.size() > limits::socket_path_bytes_max)
    table.fail("runtime_dir", " is too long: the socket in it, " + ret->socket + ", may have " +
                                  std::to_string(limits::socket_path_bytes_max) + " bytes");
  table.integer("data_threads", 1, limits::data_threads_max, &ret->data_threads);
  if (table.has("encode_threads"))
    table.integer("encode_threads", 0, limits::encode_threads_max, &ret->encode_threads.emplace(0));
  read_path(table, "tables", limits::path_bytes_max, &ret->tables);
  table.flag("measure_widths", &ret->measure_widths);
  table.one_of("log_level", log_levels, &ret->log_level);
  table.integer("metrics_connections_max", 1, limits::metrics_connections_max_max,
                &ret->metrics_connections_max);
  std::string mode;
  if (table.string("socket_mode", 8, &mode) && !parse_mode(mode, &ret->socket_mode))
    table.fail("socket_mode",
               " = \"" + mode + "\" is no mode: expected octal digits up to \"0777\", as \"0660\"");
  std::string metrics;
  if (table.string("metrics", 64, &metrics) &&
      !parse_endpoint(metrics, &ret->metrics_host, &ret->metrics_port))
    table.fail("metrics", " = \"" + metrics +
                              "\" is no address: expected \"127.0.0.1:9108\", \"[::1]:9108\", " +
                              "or \"\" for none");
  table.finish();
}

void read_pool(TableReader table, PoolConfig* ret) {
  MediumOptions& medium = ret->medium;
  table.one_of("medium", media, &medium.kind);
  read_path(table, "path", limits::path_bytes_max, &medium.path);
  if (medium.kind == "devdax" && medium.path.empty())
    table.fail("path",
               " is missing: medium = \"devdax\" needs the device, as path = \"/dev/dax0.0\"");
  if (medium.kind == "extent" && medium.path.empty())
    table.fail("path",
               " is missing: medium = \"extent\" needs the device, as path = \"/dev/speckv0\"");
  if (medium.kind == "memfd" && !medium.path.empty())
    table.fail("path",
               " has no meaning with medium = \"memfd\", which lives in no file system: remove it");
  table.size("bytes", limits::namespace_bytes_min, limits::pool_bytes_max, &ret->bytes);
  table.integer("numa_node", -1, limits::numa_node_max, &medium.numa_node);
  table.integer("near_numa_node", -1, limits::numa_node_max, &medium.near_numa_node);
  table.flag("huge_pages", &medium.huge_pages);
  table.number("emulated_gb_s", 0, limits::emulated_gb_s_max, &medium.emulated_gb_s);
  table.integer("emulated_ns", 0, limits::emulated_ns_max, &medium.emulated_ns);
  table.finish();
}

void read_engine(TableReader table, const PoolConfig& pool, EngineConfig* ret) {
  table.one_of("kind", engines, &ret->kind);
  if (ret->kind == "device" && pool.medium.kind != "extent")
    table.fail("kind",
               " = \"device\" needs [pool] medium = \"extent\": a codec engine reaches the "
               "driver's extents alone");
  table.integer("check_one_in", 1, limits::check_one_in_max, &ret->check_one_in);
  table.integer("deadline_ms", limits::engine_deadline_ms_min, limits::engine_deadline_ms_max,
                &ret->deadline_ms);
  table.size("staging_bytes", limits::staging_bytes_min, limits::staging_bytes_max,
             &ret->staging_bytes);
  if (ret->staging_bytes % (2 * limits::mib))
    table.fail("staging_bytes", " must be a multiple of 2MiB: a command has so much");
  table.finish();
}

void read_session(TableReader table, uint32_t data_threads, SessionConfig* ret) {
  const uint64_t top = limits::arena_bytes_max_max;
  table.size("arena_bytes_max", limits::arena_bytes_min, top, &ret->arena_bytes_max);
  if (!table.has("arena_bytes"))
    ret->arena_bytes = std::min(ret->arena_bytes, ret->arena_bytes_max);
  table.size("arena_bytes", limits::arena_bytes_min, top, &ret->arena_bytes);
  if (ret->arena_bytes > ret->arena_bytes_max)
    table.fail("arena_bytes", " = " + format_bytes(ret->arena_bytes) +
                                  " is more than arena_bytes_max, " +
                                  format_bytes(ret->arena_bytes_max));
  if (!table.has("arenas_bytes_max"))
    ret->arenas_bytes_max = std::max(ret->arenas_bytes_max, ret->arena_bytes_max);
  table.size("arenas_bytes_max", limits::arena_bytes_min, top, &ret->arenas_bytes_max);
  if (ret->arenas_bytes_max < ret->arena_bytes_max)
    table.fail("arenas_bytes_max", " = " + format_bytes(ret->arenas_bytes_max) +
                                       " is less than one session's arena_bytes_max, " +
                                       format_bytes(ret->arena_bytes_max));
  table.integer("sessions_max", 1, limits::sessions_max_max, &ret->sessions_max);
  table.integer("hold_ms_max", 1, int64_t(limits::hold_ms_max_max), &ret->hold_ms_max);
  uint32_t holds = 0;
  if (table.integer("holds_max", 0, limits::holds_max_max, &holds)) ret->holds_max = holds;
  table.integer("layouts_max", 1, limits::layouts_max_max, &ret->layouts_max);
  table.size("widths_bytes_max", limits::widths_bytes_min, limits::widths_bytes_max_max,
             &ret->widths_bytes_max);
  table.integer("fds_max", limits::fds_of_session + data_threads, limits::fds_max_max,
                &ret->fds_max);
  table.integer("connections_max", limits::connections_max_min, limits::connections_max_max,
                &ret->connections_max);
  const uint32_t users = ret->connections_max - limits::connections_kept;
  ret->connections_of_uid_max = std::min(ret->connections_of_uid_max, users);
  table.integer("connections_of_uid_max", 1, users, &ret->connections_of_uid_max);
  table.integer("hello_ms_max", limits::hello_ms_max_min, limits::hello_ms_max_max,
                &ret->hello_ms_max);
  table.integer("log_lines_max", 1, limits::log_lines_max_max, &ret->log_lines_max);
  table.size("prefetch_bytes_s", limits::bytes_s_min, limits::pool_bytes_max,
             &ret->prefetch_bytes_s);
  table.finish();
}

void read_access(TableReader& table, NamespaceConfig* ret) {
  const uint32_t count_max = limits::access_list_max;
  table.ids("uids", count_max, &ret->uids);
  table.ids("gids", count_max, &ret->gids);
  table.strings("users", count_max, [&](const std::string& name, std::string* error) {
    return resolve_user(name, &ret->uids, error);
  });
  table.strings("groups", count_max, [&](const std::string& name, std::string* error) {
    return resolve_group(name, &ret->gids, error);
  });
  table.flag("anyone", &ret->anyone);
}

// The names of KnownNames as views, for one_of().
std::vector<std::string_view> preset_names(const KnownNames& known) {
  std::vector<std::string_view> names;
  for (const auto& preset : known.presets) names.push_back(preset.first);
  return names;
}

// What one namespace may have is a part of what all may have. 0 stays for what is not written.
void read_limits(TableReader& table, const SessionConfig& all, uint32_t data_threads,
                 NamespaceConfig* ret) {
  table.integer("sessions_max", 1, all.sessions_max, &ret->sessions_max);
  table.size("arenas_bytes_max", limits::arena_bytes_min, all.arenas_bytes_max,
             &ret->arenas_bytes_max);
  table.integer("layouts_max", 1, all.layouts_max, &ret->layouts_max);
  table.size("widths_bytes_max", limits::widths_bytes_min, all.widths_bytes_max,
             &ret->widths_bytes_max);
  uint32_t holds = 0;
  if (table.integer("holds_max", 0, all.holds_max.value_or(limits::holds_max_max), &holds))
    ret->holds_max = holds;
  table.integer("fds_max", limits::fds_of_session + data_threads,
                all.fds_max ? all.fds_max : limits::fds_max_max, &ret->fds_max);
  table.integer("log_lines_max", 1, all.log_lines_max, &ret->log_lines_max);
  table.size("prefetch_bytes_s", 0, limits::pool_bytes_max, &ret->prefetch_bytes_s);
  table.size("prefetch_bytes_s_min", 0, limits::pool_bytes_max, &ret->prefetch_bytes_s_min);
  if (ret->prefetch_bytes_s_min > ret->prefetch_bytes_s)
    table.fail("prefetch_bytes_s_min", " is more than prefetch_bytes_s, " +
                                           format_bytes(ret->prefetch_bytes_s) +
                                           ": what is guaranteed is a part of that");
  table.integer("prefetch_keys_max", 1, limits::prefetch_keys_max_max, &ret->prefetch_keys_max);
  table.size("retained_bytes_max", 0, limits::pool_bytes_max, &ret->retained_bytes_max);
}

// Reading ahead from the tier below by guess.
void read_speculation(TableReader& table, uint32_t shards, NamespaceConfig* ret) {
  ret->speculation_bytes_s = ret->prefetch_bytes_s / limits::speculation_share;
  table.size("speculation_bytes_s", 0, limits::pool_bytes_max, &ret->speculation_bytes_s);
  ret->speculation = table.has("spill_path") && shards == 1;
  if (table.flag("speculation", &ret->speculation) && ret->speculation && shards > 1)
    table.fail("speculation",
               " = true needs data_threads = 1: with more, a sequence's blocks lie "
               "apart and nobody knows which comes next");
  for (const char* key : {"speculation", "speculation_bytes_s"})
    if (table.has(key) && !table.has("spill_path"))
      table.fail(key, " has no meaning without spill_path: there is no tier to read ahead from");
  if (ret->speculation_bytes_s == 0) ret->speculation = false;
}

// Rounded to whole units, as the pool is.
void read_near(TableReader& table, uint32_t shards, NamespaceConfig* ret) {
  const uint64_t unit = 2 * limits::mib;
  const uint64_t least = std::max(limits::near_bytes_min, (1 + uint64_t{shards}) * unit);
  if (table.size("near_bytes", 0, limits::pool_bytes_max, &ret->near_bytes) && ret->near_bytes &&
      ret->near_bytes < least)
    table.fail("near_bytes", " = " + format_bytes(ret->near_bytes) +
                                 " is too little: 0 for none, " + "or at least " +
                                 format_bytes(least));
  ret->near_bytes = ret->near_bytes / unit * unit;
  table.integer("near_after_hits", 1, limits::near_after_hits_max, &ret->near_after_hits);
  if (table.has("near_after_hits") && ret->near_bytes == 0)
    table.fail("near_after_hits", " has no meaning without near memory: set near_bytes");
}

// A tier below the pool: all of it or nothing of it.
void read_spill(TableReader& table, uint32_t shards, NamespaceConfig* ret) {
  read_path(table, "spill_path", limits::path_bytes_max, &ret->spill_path);
  table.size("spill_bytes", shards * limits::spill_bytes_min, limits::spill_bytes_max,
             &ret->spill_bytes);
  table.integer("spill_entries", int64_t(limits::spill_entries_min),
                int64_t(limits::spill_entries_max), &ret->spill_entries);
  table.size("spill_buffer_bytes", limits::spill_buffer_bytes_min, limits::spill_buffer_bytes_max,
             &ret->spill_buffer_bytes);
  table.size("spill_write_bytes_s", limits::bytes_s_min, limits::pool_bytes_max,
             &ret->spill_write_bytes_s);
  if (table.has("spill_path") && !table.has("spill_bytes"))
    table.fail("spill_path", " needs spill_bytes: how much of the file or device to use");
  for (const char* key :
       {"spill_bytes", "spill_entries", "spill_buffer_bytes", "spill_write_bytes_s"})
    if (table.has(key) && !table.has("spill_path"))
      table.fail(key, " has no meaning without spill_path: name the file or device");
  read_speculation(table, shards, ret);
  if (ret->spill_entries == 0)
    ret->spill_entries = std::clamp(ret->spill_bytes / limits::bytes_per_spill_entry,
                                    limits::spill_entries_min, limits::spill_entries_max);
}

void read_namespace(TableReader table, const KnownNames& known, const Config& config,
                    NamespaceConfig* ret) {
  if (!table.has("name")) table.fail("name", " is missing: every namespace needs one");
  if (table.string("name", limits::namespace_name_bytes_max, &ret->name) &&
      !is_plain_name(ret->name))
    table.fail("name", " = \"" + ret->name +
                           "\" must be made of a-z, A-Z, 0-9, '-', '_' and '.', " +
                           "and begin with a letter or digit: it names files");
  table.size("bytes", limits::namespace_bytes_min, limits::pool_bytes_max, &ret->bytes);
  table.integer("index_entries", int64_t(limits::index_entries_min),
                int64_t(limits::index_entries_max), &ret->index_entries);
  const std::vector<std::string_view> policies(known.policies.begin(), known.policies.end());
  table.one_of("policy", policies, &ret->policy);
  ret->preset = known.preset_default;
  table.one_of("preset", preset_names(known), &ret->preset);
  for (const auto& [name, id] : known.presets)
    if (name == ret->preset) ret->preset_id = id;
  read_access(table, ret);
  read_limits(table, config.session, config.daemon.data_threads, ret);
  read_near(table, config.daemon.data_threads, ret);
  read_spill(table, config.daemon.data_threads, ret);
  table.integer("size_samples", 0, limits::size_samples_max, &ret->size_samples);
  table.finish();
}

void read_namespaces(const toml::table& root, const KnownNames& known, Config* ret,
                     Errors* errors) {
  const toml::node* node = root.get("namespace");
  if (!node) {
    ret->namespaces.push_back(default_space(known));
    return;
  }
  const toml::array* array = node->as_array();
  if (!array || array->empty() || !array->is_homogeneous(toml::node_type::table)) {
    errors->add(node->source(),
                "namespace must be written as [[namespace]], with two brackets, once for each");
    return;
  }
  if (array->size() > limits::namespaces_max) {
    errors->add(node->source(), "too many namespaces: " + std::to_string(array->size()) +
                                    ", at most " + std::to_string(limits::namespaces_max));
    return;
  }
  for (const toml::node& item : *array) {
    NamespaceConfig space;
    read_namespace(TableReader(item.as_table(), "[[namespace]]", errors), known, *ret, &space);
    for (const NamespaceConfig& other : ret->namespaces)
      if (!space.spill_path.empty() && other.spill_path == space.spill_path)
        errors->add(item.source(), "[[namespace]] \"" + space.name + "\": spill_path " +
                                       space.spill_path + " is another namespace's, too");
    for (const NamespaceConfig& other : ret->namespaces)
      if (!space.name.empty() && other.name == space.name)
        errors->add(item.source(),
                    "[[namespace]] \"" + space.name + "\" is there twice: rename or merge one");
    ret->namespaces.push_back(std::move(space));
  }
}

// What is guaranteed to each must be there for all.
void check_guarantees(const toml::source_region& where, const Config& config, Errors* errors) {
  uint64_t sum = 0;
  for (const NamespaceConfig& space : config.namespaces) sum += space.prefetch_bytes_s_min;
  if (sum > config.session.prefetch_bytes_s)
    errors->add(where, "the namespaces are guaranteed prefetch_bytes_s_min of " +
                           format_bytes(sum) + " a second together, more than [session] " +
                           "prefetch_bytes_s = " + format_bytes(config.session.prefetch_bytes_s) +
                           ": raise it or guarantee less");
}

// Gives namespaces without `bytes` their equal share, rounds to whole units, derives index_entries.
void share_pool(const toml::source_region& where, Config* config, Errors* errors) {
  uint64_t written = 0;
  uint64_t open = 0;
  for (const NamespaceConfig& space : config->namespaces) {
    written += space.bytes;
    open += space.bytes == 0;
  }
  const bool limited = config->pool.bytes != 0;
  if (!limited) config->pool.bytes = written + open * limits::pool_bytes_default;
  if (written > config->pool.bytes || config->pool.bytes > limits::pool_bytes_max) {
    errors->add(where, "the namespaces want " + format_bytes(written) +
                           ", more than [pool] bytes = " + format_bytes(config->pool.bytes) +
                           ": raise it or give them less");
    return;
  }
  const uint64_t share = open ? (config->pool.bytes - written) / open : 0;
  if (open && share < limits::namespace_bytes_min) {
    errors->add(where, "a namespace without bytes gets " + format_bytes(share) +
                           ", what is left of [pool] bytes; " + "it needs " +
                           format_bytes(limits::namespace_bytes_min) + ": raise [pool] bytes");
    return;
  }
  for (NamespaceConfig& space : config->namespaces) {
    if (space.bytes == 0) space.bytes = share;
    space.bytes = space.bytes / (2 * limits::mib) * (2 * limits::mib);
    if (space.index_entries == 0)
      space.index_entries = std::clamp(space.bytes / limits::bytes_per_index_entry,
                                       limits::index_entries_min, limits::index_entries_max);
    const uint64_t retained_most = space.bytes / 100 * limits::retained_percent_max;
    if (space.retained_bytes_max != limits::retained_not_written &&
        space.retained_bytes_max > retained_most)
      errors->add(where, "namespace \"" + space.name + "\" has retained_bytes_max = " +
                             format_bytes(space.retained_bytes_max) + ": of its " +
                             format_bytes(space.bytes) + " at most " +
                             std::to_string(limits::retained_percent_max) +
                             " % may be retained, so that puts find room");
    const uint64_t least = uint64_t{config->daemon.data_threads + 1} * 2 * limits::mib;
    if (space.bytes < least)
      errors->add(where,
                  "namespace \"" + space.name + "\" has " + format_bytes(space.bytes) +
                      ": with data_threads = " + std::to_string(config->daemon.data_threads) +
                      " it needs " + format_bytes(least) + ", 2MiB for each and 2MiB for itself");
  }
}

// More data threads spread a sequence's blocks over shards, and only some policies rank those well.
void choose_policies(const KnownNames& known, Config* config) {
  const std::string& choice =
      config->daemon.data_threads > 1 ? known.policy_spread : known.policy_default;
  for (NamespaceConfig& space : config->namespaces)
    if (space.policy.empty()) space.policy = choice;
}

const toml::table* section(const toml::table& root, std::string_view name, Errors* errors) {
  const toml::node* node = root.get(name);
  if (!node) return nullptr;
  if (!node->is_table())
    errors->add(node->source(),
                std::string(name) + " must be a section, [" + std::string(name) + "]");
  return node->as_table();
}

// Comments may be in any language; the rest is ASCII: every key and value is, and toml++ 3.3 runs
// into undefined behaviour on other characters where it looks for white space. Replaces the bytes
// of comments. Returns: true, or false and where the first foreign byte outside a comment stands.
bool blank_foreign_comments(std::string* text, toml::source_position* ret_where) {
  toml::source_position at{1, 1};
  bool comment = false;
  char quote = 0;
  for (size_t i = 0; i < text->size(); i++, at.column++) {
    char& c = (*text)[i];
    if (c == '\n') {
      comment = false;
      quote = 0;
      at = {at.line + 1, 0};
    } else if (uint8_t(c) >= 0x80) {
      *ret_where = at;
      if (!comment) return false;
      c = '?';
    } else if (!comment && !quote) {
      comment = c == '#';
      if (c == '"' || c == '\'') quote = c;
    } else if (quote == '"' && c == '\\' && i + 1 < text->size() &&
               ((*text)[i + 1] == '"' || (*text)[i + 1] == '\\')) {
      i++;
      at.column++;
    } else if (c == quote) {
      quote = 0;
    }
  }
  return true;
}

}  // namespace

Result<Config> parse_config(std::string_view text, const std::string& source_name,
                            const KnownNames& known) {
  Errors errors(source_name);
  std::string ascii(text);
  toml::source_position foreign;
  if (!blank_foreign_comments(&ascii, &foreign)) {
    errors.add({foreign, foreign, nullptr},
               "a character that is not ASCII; only comments may hold such");
    return Status(EINVAL, errors.text());
  }
  const toml::parse_result parsed = toml::parse(ascii);
  if (!parsed) {
    const toml::parse_error& error = parsed.error();
    errors.add(error.source(), "no valid TOML: " + std::string(error.description()));
    return Status(EINVAL, errors.text());
  }
  const toml::table& root = parsed.table();
  Config config;
  config.source = source_name;
  for (const auto& [key, node] : root) {
    if (std::find(std::begin(sections), std::end(sections), key.str()) != std::end(sections))
      continue;
    errors.add(key.source(), unknown_key("section", key.str(), sections));
  }
  read_daemon(TableReader(section(root, "daemon", &errors), "[daemon]", &errors), &config.daemon);
  read_pool(TableReader(section(root, "pool", &errors), "[pool]", &errors), &config.pool);
  read_engine(TableReader(section(root, "engine", &errors), "[engine]", &errors), config.pool,
              &config.engine);
  read_session(TableReader(section(root, "session", &errors), "[session]", &errors),
               config.daemon.data_threads, &config.session);
  read_namespaces(root, known, &config, &errors);
  if (config.pool.medium.kind == "devdax" && config.namespaces.size() > 1)
    errors.add(
        root.get("namespace")->source(),
        "medium = \"devdax\" has no isolation between clients, so it takes one namespace, not " +
            std::to_string(config.namespaces.size()));
  choose_policies(known, &config);
  if (errors.empty()) {
    const toml::node* pool = root.get("pool");
    share_pool(pool ? pool->source() : root.source(), &config, &errors);
    check_guarantees(root.source(), config, &errors);
    share_limits(&config);
  }
  if (!errors.empty()) return Status(EINVAL, errors.text());
  return config;
}

}  // namespace speckv::config
