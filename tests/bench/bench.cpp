// SPDX-License-Identifier: Apache-2.0
// bench.cpp - taking turns, and the result rows as JSON and as a table. See bench.hpp.
#include "bench.hpp"

#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>

namespace speckv::bench {
namespace {

double seconds_of(Clock clock) {
  timespec now{};
  clock_gettime(clock == Clock::wall ? CLOCK_MONOTONIC : CLOCK_THREAD_CPUTIME_ID, &now);
  return double(now.tv_sec) + 1e-9 * double(now.tv_nsec);
}

std::string json_string(std::string_view text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (uint8_t(c) < 0x20) c = ' ';
    out += c;
  }
  return out + "\"";
}

// JSON has no infinities; four digits more than any figure here deserves.
std::string number(double value) {
  if (!std::isfinite(value)) return "null";
  char text[32];
  std::snprintf(text, sizeof text, "%.7g", value);
  return text;
}

std::string fixed(double value) {
  char text[32];
  const double size = std::fabs(value);
  std::snprintf(text, sizeof text, size >= 1000 ? "%.0f" : size >= 10 ? "%.1f" : "%.3f", value);
  return text;
}

}  // namespace

std::optional<bool> reached(const Row& row) {
  std::string_view goal = row.goal;
  if (goal.empty()) return std::nullopt;
  double measured = row.ratio.value_or(NAN);
  if (goal.substr(0, 6) == "value ") {
    measured = row.value;
    goal.remove_prefix(6);
  }
  char op[3] = "";
  double limit = 0;
  if (std::sscanf(std::string(goal).c_str(), "%2[<>=] %lf", op, &limit) != 2) return std::nullopt;
  if (!std::isfinite(measured)) return false;
  return std::strcmp(op, ">=") == 0 ? measured >= limit : measured <= limit;
}

bool Report::wants(std::string_view name) const {
  return options_.text.empty() || name.find(options_.text) != std::string_view::npos;
}

void Report::add(Row row) {
  if (wants(row.name)) rows_.push_back(std::move(row));
}

void Report::skip(const std::string& what, const std::string& why) {
  progress("");
  std::fprintf(stderr, "skipped %s: %s\n", what.c_str(), why.c_str());
  skipped_.push_back(what + ": " + why);
}

void Report::progress(const std::string& what) {
  if (isatty(STDERR_FILENO)) {
    std::fprintf(stderr, "\r\033[K%s", what.empty() ? "" : (what + " ...").c_str());
  } else if (!what.empty()) {
    std::fprintf(stderr, "%s ...\n", what.c_str());
  }
}

std::string Report::json() const {
  std::string out = "[";
  for (const Row& row : rows_) {
    const auto kept = reached(row);
    out += out.size() > 1 ? ",\n " : "\n ";
    out += "{\"name\": " + json_string(row.name) + ", \"value\": " + number(row.value) +
           ", \"unit\": " + json_string(row.unit) + ", \"against\": " + json_string(row.against) +
           ", \"ratio\": " + (row.ratio ? number(*row.ratio) : "null") +
           ", \"goal\": " + json_string(row.goal) +
           ", \"reached\": " + (kept ? (*kept ? "true" : "false") : "null") +
           ", \"setting\": " + json_string(row.setting) +
           ", \"samples\": " + std::to_string(row.samples) + ", \"spread\": " + number(row.spread) +
           "}";
  }
  return out + "\n]\n";
}

std::string Report::table() const {
  size_t width = 4;
  for (const Row& row : rows_) width = std::max(width, row.name.size());
  char line[512];
  std::snprintf(line, sizeof line, "%-*s %11s %-6s %7s %-14s %-18s %-8s %7s\n", int(width), "name",
                "value", "unit", "ratio", "against", "goal", "reached", "spread");
  std::string out = line;
  for (const Row& row : rows_) {
    const auto kept = reached(row);
    std::snprintf(line, sizeof line, "%-*s %11s %-6s %7s %-14s %-18s %-8s %5.1f %%\n", int(width),
                  row.name.c_str(), fixed(row.value).c_str(), row.unit.c_str(),
                  row.ratio ? fixed(*row.ratio).c_str() : "", row.against.c_str(), row.goal.c_str(),
                  kept ? (*kept ? "yes" : "NO") : "", 100 * row.spread);
    out += line;
  }
  for (const std::string& what : skipped_) out += "skipped " + what + "\n";
  return out;
}

Timing timing_of(std::vector<double> seconds) {
  Timing timing;
  timing.samples = seconds.size();
  if (seconds.empty()) return timing;
  std::sort(seconds.begin(), seconds.end());
  timing.median_s = seconds[seconds.size() / 2];
  const double range = seconds[seconds.size() * 3 / 4] - seconds[seconds.size() / 4];
  timing.spread = timing.median_s > 0 ? range / timing.median_s : 0;
  return timing;
}

std::vector<Timing> take_turns(const std::vector<Contender>& contenders, uint32_t rounds,
                               Clock clock, bool warm_up) {
  std::vector<std::vector<double>> seconds(contenders.size());
  for (uint32_t round = warm_up ? 0 : 1; round <= rounds; ++round) {
    for (size_t i = 0; i < contenders.size(); ++i) {
      const double start_s = seconds_of(clock);
      const uint64_t operations = contenders[i].turn();
      const double took_s = seconds_of(clock) - start_s;
      if (round > 0 && operations > 0) seconds[i].push_back(took_s / double(operations));
    }
  }
  std::vector<Timing> timings;
  for (auto& of_one : seconds) timings.push_back(timing_of(std::move(of_one)));
  return timings;
}

std::string size_text(uint64_t bytes) {
  if (bytes >= 1 << 20 && bytes % (1 << 20) == 0) return std::to_string(bytes >> 20) + "MiB";
  if (bytes >= 1 << 10 && bytes % (1 << 10) == 0) return std::to_string(bytes >> 10) + "KiB";
  return std::to_string(bytes) + "B";
}

}  // namespace speckv::bench
