// SPDX-License-Identifier: Apache-2.0
// bench.hpp - the harness: contenders that take turns, result rows, and the suites' registry.
//
// How a figure is made: contenders run A B A B ... in short turns, each turn timed; the value is
// the
//   median over the turns, the spread its interquartile range. Only ratios of one run are compared.
// Who calls it: the suites (suite_*.cpp) and bench_main.cpp. A new suite is one file and one line
// in
//   suites() of bench_main.cpp.
// Threading: one thread; a suite may start processes (speckvd, redis-server) and ends them.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace speckv::bench {

// One row of results.json. `ratio` is value / against's value in the same unit, so it is better
// high for GB/s and better low for ns. goal: "" or an operator and a number that ratio (or, where
// the unit says so, value) is held to.
struct Row {
  std::string name;  // "get/1MiB/q8"
  double value = 0;
  std::string unit;     // "GB/s", "ns", "%"
  std::string against;  // "memcpy", "redis", "lru"; "": nothing
  std::optional<double> ratio;
  std::string goal;     // ">= 0.85"
  std::string setting;  // sizes, medium, pages; "emulated" where something is
  uint64_t samples = 0;
  double spread = 0;  // interquartile range / median
};

// Returns: whether the row keeps its goal; nothing when it has none. A goal is one comparison with
// `ratio`, or "value <= 5.2 ..." for one with `value`.
std::optional<bool> reached(const Row& row);

struct Options {
  bool quick = false;
  std::string trace;      // path, "" for the synthetic one
  std::string build_bin;  // where speckvd and the like are
  std::string text;       // only rows whose name holds this
};

class Report {
 public:
  explicit Report(const Options& options) : options_(options) {}
  const Options& options() const { return options_; }
  bool wants(std::string_view name) const;

  void add(Row row);
  // A suite or row that cannot run here: printed, and never silently missing.
  void skip(const std::string& what, const std::string& why);
  void progress(const std::string& what);

  const std::vector<Row>& rows() const { return rows_; }
  std::string json() const;
  std::string table() const;

 private:
  Options options_;
  std::vector<Row> rows_;
  std::vector<std::string> skipped_;
};

// One contender. A turn does some work and says how many operations that was.
struct Contender {
  std::string name;
  std::function<uint64_t()> turn;
};

enum class Clock : uint8_t {
  thread_cpu,  // this thread's own CPU time: what another process takes from it does not count
  wall,        // where another process does part of the work
};

struct Timing {
  double median_s = 0;  // of one operation
  double spread = 0;
  uint64_t samples = 0;  // turns
};

// Runs all contenders in turn, `rounds` times, after one round that is not counted (warm_up).
std::vector<Timing> take_turns(const std::vector<Contender>& contenders, uint32_t rounds,
                               Clock clock, bool warm_up = true);

Timing timing_of(std::vector<double> seconds);

std::string size_text(uint64_t bytes);  // "4KiB", "1MiB"

using Suite = void (*)(Report& report);
void suite_evict(Report& report);
void suite_size(Report& report);
void suite_codec(Report& report);
void suite_get(Report& report);
void suite_near(Report& report);
void suite_put(Report& report);
void suite_exists(Report& report);
void suite_keys(Report& report);
void suite_redis(Report& report);
void suite_speculate(Report& report);
void suite_spill(Report& report);

}  // namespace speckv::bench
