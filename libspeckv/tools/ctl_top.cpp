// SPDX-License-Identifier: Apache-2.0
// ctl_top.cpp - the daemon live: the same figures as /metrics, counters as rates between two
// answers.
//
// On a terminal it redraws in place on the alternate screen; into a pipe it prints one table a
// turn. A daemon that restarts is waited for; counters that went back start anew.
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <optional>
#include <unistd.h>

#include "tools/ctl.hpp"

namespace speckv::ctl {
namespace {

using nlohmann::ordered_json;

volatile std::sig_atomic_t interrupted = 0;
void on_interrupt(int) { interrupted = 1; }

double now_s() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return double(now.tv_sec) + double(now.tv_nsec) / 1e9;
}

// The alternate screen for as long as this lives, where there is a terminal.
class Screen {
 public:
  Screen() : live_(isatty(STDOUT_FILENO)) {
    if (live_) std::fputs("\x1b[?1049h\x1b[?25l", stdout);
  }
  ~Screen() {
    if (live_) std::fputs("\x1b[?25h\x1b[?1049l", stdout);
    std::fflush(stdout);
  }
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  // Draws over what was there: each line cleared to its end, then the rest of the screen.
  void show(const std::string& text) const {
    if (live_) std::fputs("\x1b[H", stdout);
    for (char c : text) {
      if (live_ && c == '\n') std::fputs("\x1b[K", stdout);
      std::fputc(c, stdout);
    }
    if (live_) std::fputs("\x1b[J", stdout);
    std::fflush(stdout);
  }

 private:
  bool live_;
};

struct Moment {
  double at_s = 0;
  ordered_json status;
};

double value(const ordered_json& object, const char* field) {
  return object.at(field).get<double>();
}

// Of one counter of the i-th element of a list, per second; 0 at first and after a restart.
double rate(const Moment* before, const Moment& now, const char* list, size_t i,
            const char* field) {
  if (!before || i >= before->status.at(list).size() || now.at_s <= before->at_s) return 0;
  const double step =
      value(now.status.at(list).at(i), field) - value(before->status.at(list).at(i), field);
  return step > 0 ? step / (now.at_s - before->at_s) : 0;
}

// The same of a part of the i-th one, which may be null.
double part_rate(const Moment* before, const Moment& now, const char* list, size_t i,
                 const char* part, const char* field) {
  if (!before || i >= before->status.at(list).size() || now.at_s <= before->at_s) return 0;
  const ordered_json old = before->status.at(list).at(i).value(part, ordered_json());
  if (old.is_null()) return 0;
  const double step = value(now.status.at(list).at(i).at(part), field) - value(old, field);
  return step > 0 ? step / (now.at_s - before->at_s) : 0;
}

double tier_rate(const Moment* before, const Moment& now, size_t i, const char* tier,
                 const char* field) {
  return part_rate(before, now, "namespaces", i, tier, field);
}

std::string share_of(const ordered_json& tier) {
  char full[16];
  std::snprintf(full, sizeof full, "%.1f %%",
                100 * value(tier, "live_bytes") / value(tier, "bytes"));
  return full;
}

// Memory above the pool, of the namespaces that have some.
std::string draw_near(const Moment* before, const Moment& now) {
  std::vector<std::vector<std::string>> rows{
      {"NEAR", "BLOCKS", "BYTES", "FULL", "HIT/s", "IN/s", "OUT/s", "REFUSED/s", "STATE"}};
  const ordered_json& spaces = now.status.at("namespaces");
  for (size_t i = 0; i < spaces.size(); i++) {
    const ordered_json& near = spaces.at(i).at("near");
    if (near.is_null()) continue;
    const auto per_s = [&](const char* field) {
      return human_count(tier_rate(before, now, i, "near", field));
    };
    rows.push_back({spaces.at(i).at("name").get<std::string>(), human_count(value(near, "blocks")),
                    human_bytes(value(near, "live_bytes")), share_of(near), per_s("read_touches"),
                    per_s("brought_blocks"), per_s("evicted_blocks"), per_s("refused_blocks"),
                    value(near, "blind_sessions") > 0 ? "off: an old client" : "ok"});
  }
  return rows.size() == 1 ? "" : table(rows) + "\n";
}

// The tiers below, of the namespaces that have one.
std::string draw_spill(const Moment* before, const Moment& now) {
  std::vector<std::vector<std::string>> rows{
      {"SPILL", "BLOCKS", "BYTES", "FULL", "DOWN/s", "UP/s", "FAIL/s", "UNWRITTEN/s", "STATE"}};
  const ordered_json& spaces = now.status.at("namespaces");
  for (size_t i = 0; i < spaces.size(); i++) {
    const ordered_json& spill = spaces.at(i).at("spill");
    if (spill.is_null()) continue;
    const auto per_s = [&](const char* field) { return tier_rate(before, now, i, "spill", field); };
    const bool reads = value(spill, "read_breaker") == 0,
               writes = value(spill, "write_breaker") == 0;
    rows.push_back({spaces.at(i).at("name").get<std::string>(), human_count(value(spill, "blocks")),
                    human_bytes(value(spill, "live_bytes")), share_of(spill),
                    human_bytes(per_s("demoted_bytes")), human_bytes(per_s("promoted_bytes")),
                    human_count(per_s("failed_blocks")), human_count(per_s("unwritten_blocks")),
                    value(spill, "scanning") > 0 ? "starting"
                    : !reads                     ? "does not answer"
                    : !writes                    ? "takes no writes"
                                                 : "ok"});
  }
  return rows.size() == 1 ? "" : table(rows) + "\n";
}

// Codec engines, of threads that have one.
std::string draw_engines(const Moment* before, const Moment& now) {
  std::vector<std::vector<std::string>> rows{{"ENGINE", "STATE", "SEGMENTS/s", "RAW/s", "STORED/s",
                                              "BY CPU/s", "COMPARED/s", "ERRORS", "SET ASIDE"}};
  const ordered_json& threads = now.status.at("threads");
  for (size_t i = 0; i < threads.size(); i++) {
    const ordered_json engine = threads.at(i).value("engine", ordered_json::object());
    const std::string state = engine.value("state", "none");
    if (state == "none") continue;
    const auto per_s = [&](const char* field) {
      return part_rate(before, now, "threads", i, "engine", field);
    };
    rows.push_back(
        {threads.at(i).at("shard").dump(), state, human_count(per_s("encoded_segments")),
         human_bytes(per_s("encoded_raw_bytes")), human_bytes(per_s("encoded_stored_bytes")),
         human_count(per_s("segments_by_cpu")), human_count(per_s("checked_segments")),
         human_count(value(engine, "lies") + value(engine, "late") + value(engine, "errors")),
         human_count(value(engine, "set_aside"))});
  }
  return rows.size() == 1 ? "" : table(rows) + "\n";
}

std::string draw(const Moment* before, const Moment& now) {
  const ordered_json& daemon = now.status.at("daemon");
  std::string text = "speckvd " + daemon.at("version").get<std::string>() + "   up " +
                     human_time(value(daemon, "uptime_ns") / 1e9) + "   " +
                     daemon.at("medium").get<std::string>() + "   isolation " +
                     daemon.at("isolation").get<std::string>() + "\n\n";
  std::vector<std::vector<std::string>> rows{{"NAMESPACE", "SESS", "BLOCKS", "RAW", "STORED",
                                              "FREE", "HELD", "PUT/s", "RAW/s", "STORED/s", "HIT/s",
                                              "EVICT/s", "FAIL/s"}};
  const ordered_json& spaces = now.status.at("namespaces");
  for (size_t i = 0; i < spaces.size(); i++) {
    const ordered_json& space = spaces.at(i);
    const auto per_s = [&](const char* field) { return rate(before, now, "namespaces", i, field); };
    char free[16];
    std::snprintf(free, sizeof free, "%.1f %%",
                  100 * value(space, "free_units") / value(space, "units"));
    rows.push_back(
        {space.at("name").get<std::string>(), space.at("sessions").dump(),
         human_count(value(space, "blocks")), human_bytes(value(space, "raw_bytes")),
         human_bytes(value(space, "stored_bytes")), free, human_count(value(space, "held_blocks")),
         human_count(per_s("written_blocks")), human_bytes(per_s("compressed_raw_bytes")),
         human_bytes(per_s("compressed_stored_bytes")), human_count(per_s("read_touches")),
         human_count(per_s("evicted_blocks")), human_count(per_s("failed_blocks"))});
  }
  text += table(rows) + "\n" + draw_near(before, now) + draw_spill(before, now) +
          draw_engines(before, now);
  rows = {{"THREAD", "WAKEUPS/s", "ENTRIES/s", "REJECTED/s"}};
  const ordered_json& threads = now.status.at("threads");
  for (size_t i = 0; i < threads.size(); i++)
    rows.push_back({threads.at(i).at("shard").dump(),
                    human_count(rate(before, now, "threads", i, "wakeups")),
                    human_count(rate(before, now, "threads", i, "submissions")),
                    human_count(rate(before, now, "threads", i, "rejected"))});
  return text + table(rows);
}

// Sleeps, but not past an interrupt.
void pause_s(double seconds) {
  timespec wait{time_t(seconds), long((seconds - double(time_t(seconds))) * 1e9)};
  nanosleep(&wait, nullptr);
}

}  // namespace

int show_top(const Options& options) {
  struct sigaction action {};
  action.sa_handler = on_interrupt;  // no SA_RESTART: a sleep ends
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  ask(options, "status");  // a daemon that is not there is an error now, not a screen that waits
  std::optional<Screen> screen;
  if (!options.json) screen.emplace();
  std::optional<Moment> before;
  for (int64_t turn = 0; !interrupted && (options.turns < 0 || turn < options.turns); turn++) {
    if (turn > 0) pause_s(options.interval_s);
    if (interrupted) break;
    try {
      Moment now{now_s(), ask(options, "status")};
      if (options.json) {
        std::puts(now.status.dump(-1, ' ', false, ordered_json::error_handler_t::replace).c_str());
        std::fflush(stdout);
      } else {
        screen->show(draw(before ? &*before : nullptr, now) + "\n");
      }
      before = std::move(now);
    } catch (const Failure& failure) {
      if (options.json) throw;
      screen->show(failure.text + "\nwaiting for it to come back\n");
      before.reset();
    }
  }
  return 0;
}

}  // namespace speckv::ctl
