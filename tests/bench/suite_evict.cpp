// SPDX-License-Identifier: Apache-2.0
// suite_evict.cpp - rows evict/{lru,s3fifo,ours,belady}/{1000..50000}: which policy keeps what is
// asked again.
//
// The policies are the daemon's own objects; the trace drives them as the data thread would
// (replay.hpp). Value: leading hits without block 0, in per cent, over the second half of the
// requests. `ours` is the policy `continuation`; its parameters were chosen on the first half. All
// is counted, nothing timed, so one pass says it.
#include <algorithm>

#include "bench.hpp"
#include "replay.hpp"
#include "trace_choice.hpp"

namespace speckv::bench {
namespace {

constexpr double kShortBy = 0.5;  // points below the better of both that are still "never below"

void add_row(Report& report, const std::string& name, double percent, double lru,
             const std::string& goal, const Trace& trace) {
  Row row;
  row.name = name;
  row.value = percent;
  row.unit = "%";
  row.against = "lru";
  if (lru > 0) row.ratio = percent / lru;
  row.goal = goal;
  row.setting = "trace " + trace.name + ", second half, leading hits without block 0";
  row.samples = 1;
  report.add(row);
}

// Where room is shortest each trace has a goal of its own; elsewhere ours is never clearly below
// the better of LRU and S3-FIFO.
std::string goal_of_ours(uint32_t capacity, const Trace& trace, double better) {
  if (capacity == 5000 && !trace.name.starts_with("agentic")) return ">= 1.5";
  if (capacity == 1000 && trace.name.starts_with("agentic")) return ">= 1.15";
  char text[64];
  std::snprintf(text, sizeof text, "value >= %.2f", std::max(0.0, better - kShortBy));
  return text;
}

}  // namespace

void suite_evict(Report& report) {
  Trace trace;
  if (!find_trace(report, "evict/*", &trace)) return;
  for (uint32_t capacity : {1000u, 2000u, 5000u, 10'000u, 20'000u, 50'000u}) {
    const std::string at = "/" + std::to_string(capacity);
    report.progress("evict" + at);
    auto percent_of = [&](std::string_view policy) {
      const auto made = predict::make_policy(policy, capacity);
      return replay(*made, trace, capacity).percent(1);
    };
    const double lru = percent_of("lru");
    add_row(report, "evict/lru" + at, lru, lru, "", trace);
    const double s3fifo = percent_of("s3fifo");
    add_row(report, "evict/s3fifo" + at, s3fifo, lru, "", trace);
    add_row(report, "evict/ours" + at, percent_of("continuation"), lru,
            goal_of_ours(capacity, trace, std::max(lru, s3fifo)), trace);
    add_row(report, "evict/belady" + at, replay_belady(trace, capacity).percent(1), lru, "", trace);
  }
}

}  // namespace speckv::bench
