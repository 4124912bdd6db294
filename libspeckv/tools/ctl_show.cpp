// SPDX-License-Identifier: Apache-2.0
// ctl_show.cpp - status, ls and info: one question, one answer, shown.
#include <cstdio>

#include "tools/ctl.hpp"

namespace speckv::ctl {
namespace {

using nlohmann::ordered_json;

int print_json(const ordered_json& value) {
  std::puts(value.dump(2, ' ', false, ordered_json::error_handler_t::replace).c_str());
  return 0;
}

double number(const ordered_json& object, const char* field) {
  return object.at(field).get<double>();
}
std::string text(const ordered_json& object, const char* field) {
  return object.at(field).get<std::string>();
}

std::string percent(double part, double whole) {
  char out[16];
  std::snprintf(out, sizeof out, "%.1f %%", whole > 0 ? 100 * part / whole : 0.0);
  return out;
}

std::string ratio(double raw_bytes, double stored_bytes) {
  char out[16];
  std::snprintf(out, sizeof out, "%.2f", stored_bytes > 0 ? raw_bytes / stored_bytes : 0.0);
  return stored_bytes > 0 ? out : "-";
}

void line(const char* name, const std::string& value) {
  std::printf("%-12s %s\n", name, value.c_str());
}

void print_daemon(const ordered_json& daemon) {
  line("daemon", "speckvd " + text(daemon, "version") + ", pid " + daemon.at("pid").dump() +
                     ", up " + human_time(number(daemon, "uptime_ns") / 1e9) + ", " +
                     daemon.at("shards").dump() + " data thread(s), codec " +
                     text(daemon, "codec_isa"));
  line("config", text(daemon, "config_source"));
  line("medium", text(daemon, "medium") + (daemon.at("survives_daemon").get<bool>()
                                               ? "; blocks survive a restart"
                                               : "; ends with the daemon"));
  line("isolation", text(daemon, "isolation"));
  line("sessions", daemon.at("sessions_opened").dump() + " opened, " +
                       daemon.at("sessions_refused").dump() + " refused; arenas " +
                       human_bytes(number(daemon, "arenas_bytes")) + " of " +
                       human_bytes(number(daemon, "arenas_bytes_max")));
}

// What is stored otherwise than the preset's name says, in a line each.
void print_substitutes(const ordered_json& status) {
  const auto count = [](const ordered_json& object, const char* field) {
    return object.contains(field) ? object.at(field).get<uint64_t>() : 0;
  };
  const uint64_t layouts = count(status.at("daemon"), "layouts_substituted");
  if (layouts > 0)
    line("head sizes", std::to_string(layouts) +
                           " registrations of heads that their preset does not take: q8 stores "
                           "them (of lossless: exact)");
  for (const ordered_json& space : status.at("namespaces")) {
    const uint64_t loud = count(space, "bounded_segments"), raw = count(space, "refused_segments");
    if (loud > 0)
      line("by q8", std::to_string(loud) + " segments in " + text(space, "name") +
                        ": a token too loud for near-lossless");
    if (raw > 0)
      line("raw", std::to_string(raw) + " segments in " + text(space, "name") +
                      ": a page that its codec refused");
  }
}

std::string shortened(const std::string& key) { return key.substr(0, 16); }

}  // namespace

int show_status(const Options& options) {
  const ordered_json status = ask(options, "status");
  if (options.json) return print_json(status);
  print_daemon(status.at("daemon"));
  print_substitutes(status);
  std::vector<std::vector<std::string>> rows{{"namespace", "policy", "preset", "pool", "free",
                                              "blocks", "raw", "stored", "ratio", "held",
                                              "sessions"}};
  for (const ordered_json& space : status.at("namespaces"))
    rows.push_back({text(space, "name"), text(space, "policy"), text(space, "preset"),
                    human_bytes(number(space, "pool_bytes")),
                    percent(number(space, "free_units"), number(space, "units")),
                    human_count(number(space, "blocks")), human_bytes(number(space, "raw_bytes")),
                    human_bytes(number(space, "stored_bytes")),
                    ratio(number(space, "raw_bytes"), number(space, "stored_bytes")),
                    human_count(number(space, "held_blocks")), space.at("sessions").dump()});
  std::printf("\n%s", table(rows).c_str());
  if (status.at("sessions").empty()) return 0;
  rows = {{"session", "uid", "pid", "namespace", "arena", "dropped"}};
  for (const ordered_json& session : status.at("sessions"))
    rows.push_back({session.at("id").dump(), session.at("uid").dump(), session.at("pid").dump(),
                    text(session, "namespace"), human_bytes(number(session, "arena_bytes")),
                    session.at("dropped_completions").dump()});
  std::printf("\n%s", table(rows).c_str());
  return 0;
}

int show_list(const Options& options) {
  std::string name = options.words.size() > 1 ? options.words[1] : "";
  if (name.empty()) name = text(ask(options, "status").at("namespaces").at(0), "name");
  const ordered_json answer = ask(options, "ls " + name + " " + std::to_string(options.limit));
  if (options.json) return print_json(answer);
  std::vector<std::vector<std::string>> rows{{"key", "layers", "position", "raw", "parent"}};
  for (const ordered_json& block : answer.at("blocks")) {
    const bool record = block.contains("raw_bytes");
    const bool placed = record && !block.at("position").is_null();
    const bool follows = record && !block.at("parent").is_null();
    rows.push_back({text(block, "key"), block.at("layers").dump(),
                    placed ? block.at("position").dump() : "-",
                    record ? human_bytes(number(block, "raw_bytes")) : "-",
                    follows ? shortened(text(block, "parent")) : "-"});
  }
  std::fputs(table(rows).c_str(), stdout);
  const auto total = answer.at("total").get<uint64_t>();
  std::printf("%zu of %llu blocks in %s%s\n", rows.size() - 1,
              static_cast<unsigned long long>(total), name.c_str(),
              rows.size() - 1 < total ? " (--limit N shows more)" : "");
  return 0;
}

namespace {

bool is_good(const ordered_json& info) {
  bool good = text(info, "state") == "ok";
  for (const ordered_json& segment : info.at("segments"))
    good = good && text(segment, "state") == "ok";
  return good;
}

void print_block(const ordered_json& info) {
  line("layout", text(info, "layout") + " (widths " + text(info, "fingerprint") + ")");
  if (info.contains("parent") && !info.at("parent").is_null()) line("parent", text(info, "parent"));
  if (info.contains("position") && !info.at("position").is_null())
    line("position", info.at("position").dump());
  const double stored = number(info, "stored_bytes");
  if (info.contains("raw_bytes"))
    line("bytes", human_bytes(number(info, "raw_bytes")) + " raw, " + human_bytes(stored) +
                      " stored, ratio " + ratio(number(info, "raw_bytes"), stored));
  else line("bytes", human_bytes(stored) + " stored");
  line("state", text(info, "state"));
  if (info.contains("region") && info.at("region") == "near")
    line("read from", "near memory: a decoded copy, shown here; the pool has the block, too");
  std::vector<std::vector<std::string>> rows{
      {"layer", "preset", "first", "bytes", "offset", "gen", "state"}};
  for (const ordered_json& segment : info.at("segments"))
    rows.push_back({segment.value("side", false) ? "side" : segment.at("layer").dump(),
                    text(segment, "preset"), segment.at("first").get<bool>() ? "yes" : "-",
                    segment.at("payload_bytes").dump(), segment.at("offset").dump(),
                    segment.at("gen").dump(), text(segment, "state")});
  std::printf("\n%s", table(rows).c_str());
}

}  // namespace

int show_info(const Options& options) {
  if (options.words.size() < 2)
    throw Failure{"info needs a key, or its first digits: info [NAMESPACE] KEY"};
  const std::string space = options.words.size() > 2 ? options.words[1] + " " : "";
  const ordered_json info = ask(options, "info " + space + options.words.back());
  bool good = is_good(info);
  const ordered_json others = info.value("others", ordered_json::array());
  for (const ordered_json& other : others) good = good && is_good(other);
  if (options.json) return print_json(info), good ? 0 : 1;
  line("key", text(info, "key"));
  line("namespace", text(info, "namespace"));
  print_block(info);
  for (const ordered_json& other : others) {
    std::printf("\n");
    print_block(other);
  }
  return good ? 0 : 1;
}

}  // namespace speckv::ctl
