// SPDX-License-Identifier: Apache-2.0
// suite_size.cpp - rows size/BLOCKS/xSTEP: what `speckvctl size` says of a pool of another size,
// beside a replay of the whole trace through a pool of that size; and what a use costs.
//
// Value: the share of blocks that the curve gives, in per cent; against: replay.hpp's leading hits
// with block 0. The goal is on how far they lie apart, in points, in `points/` rows.
#include <cmath>
#include <cstdio>

#include "bench.hpp"
#include "replay.hpp"
#include "size_feed.hpp"
#include "trace_choice.hpp"

namespace speckv::bench {
namespace {

constexpr uint32_t kBlockBytes = 1 << 20;
constexpr uint32_t kSamples = 2048;  // config/limits.hpp: size_samples_default
constexpr const char* kPolicy = "continuation";

predict::SizeCurveOptions options_of(uint32_t blocks) {
  predict::SizeCurveOptions options;
  options.policy = kPolicy;
  options.pool_bytes = uint64_t{blocks} * kBlockBytes;
  options.samples = kSamples;
  options.half_life = 0;  // as the replay counts
  return options;
}

void add_points(Report& report, const Trace& trace, uint32_t blocks) {
  predict::SizeCurve curve(options_of(blocks));
  SizeFeed(trace, kBlockBytes).play(&curve);
  for (uint32_t model = 0; model < predict::kSizeSteps.size(); model++) {
    const auto capacity = uint32_t(std::lround(blocks * predict::kSizeSteps[model]));
    const auto policy = predict::make_policy(kPolicy, capacity);
    const double truth = replay(*policy, trace, capacity).percent_of_all();
    const auto count = curve.count(model);
    const double said = count.uses > 0 ? 100 * count.hits / count.uses : 0;
    char name[48];
    std::snprintf(name, sizeof name, "size/%u/x%.2f", blocks, predict::kSizeSteps[model]);
    Row row;
    row.name = name;
    row.value = std::abs(said - truth);
    row.unit = "points";
    row.goal = "value <= 2";
    char setting[160];
    std::snprintf(setting, sizeof setting,
                  "trace %s: %.2f %% where a replay of all gives %.2f; 1 key in %llu looked at",
                  trace.name.c_str(), said, truth, static_cast<unsigned long long>(curve.one_in()));
    row.setting = setting;
    row.samples = 1;
    report.add(row);
  }
}

// Of any key that is asked, looked at or not.
void add_cost(Report& report, const Trace& trace, uint32_t blocks) {
  const SizeFeed feed(trace, kBlockBytes);
  const auto timings = take_turns({{"use",
                                    [&] {
                                      predict::SizeCurve curve(options_of(blocks));
                                      feed.play(&curve);
                                      return uint64_t(trace.blocks.size());
                                    }}},
                                  report.options().quick ? 3 : 7, Clock::thread_cpu);
  Row row;
  row.name = "size/" + std::to_string(blocks) + "/cost";
  row.value = timings[0].median_s * 1e9;
  row.unit = "ns";
  row.setting = "a block that is asked; memory " +
                size_text(predict::SizeCurve::memory_bytes(options_of(blocks)));
  row.samples = timings[0].samples;
  row.spread = timings[0].spread;
  report.add(row);
}

}  // namespace

void suite_size(Report& report) {
  Trace trace;
  if (!report.wants("size/") || !find_trace(report, "size/*", &trace)) return;
  for (uint32_t blocks : {5000u, 20'000u, 50'000u}) {
    report.progress("size/" + std::to_string(blocks));
    add_points(report, trace, blocks);
    add_cost(report, trace, blocks);
  }
}

}  // namespace speckv::bench
