// SPDX-License-Identifier: Apache-2.0
// bench_test.cpp - the harness: turns alternate, medians are medians, goals are read as written,
// and the JSON holds what was measured. No clock is asserted.
#include "bench.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace speckv::bench {
namespace {

Row row_with(const std::string& goal, double value, double ratio) {
  Row row;
  row.name = "get/1MiB/q8";
  row.value = value;
  row.ratio = ratio;
  row.goal = goal;
  return row;
}

TEST(Goal, holds_the_ratio_or_the_value_to_what_it_says) {
  EXPECT_FALSE(reached(row_with("", 1, 1)).has_value());
  EXPECT_TRUE(*reached(row_with(">= 0.85", 0, 0.85)));
  EXPECT_FALSE(*reached(row_with(">= 0.85", 9, 0.84)));
  EXPECT_TRUE(*reached(row_with("<= 0.1", 9, -0.2)));
  EXPECT_FALSE(*reached(row_with("<= 0.1", 0, 0.2)));
  EXPECT_TRUE(*reached(row_with("value <= 554", 554, 9)));
  EXPECT_FALSE(*reached(row_with("value <= 554", 555, 0)));
  EXPECT_TRUE(*reached(row_with("value >= 17.36", 20, 0)));
}

TEST(Goal, what_was_not_measured_is_not_reached) {
  Row row = row_with(">= 1.0", 1, 1);
  row.ratio.reset();
  EXPECT_FALSE(*reached(row));
  EXPECT_FALSE(*reached(row_with(">= 1.0", 1, INFINITY)));
}

TEST(Timing, median_and_interquartile_range) {
  const Timing timing = timing_of({5, 1, 4, 2, 3, 100, 3, 3});
  EXPECT_EQ(timing.median_s, 3);
  EXPECT_EQ(timing.samples, 8u);
  EXPECT_NEAR(timing.spread, (5.0 - 3.0) / 3.0, 1e-9);  // sorted: 1 2 3 3 3 4 5 100
  EXPECT_EQ(timing_of({}).samples, 0u);
}

TEST(Turns, alternate_after_one_warm_up) {
  std::string order;
  const auto timings = take_turns({{"a", [&] { return order += 'a', uint64_t(1); }},
                                   {"b", [&] { return order += 'b', uint64_t(0); }}},
                                  3, Clock::thread_cpu);
  EXPECT_EQ(order, "abababab");
  EXPECT_EQ(timings[0].samples, 3u);
  EXPECT_EQ(timings[1].samples, 0u) << "a turn of no operations is no sample";
  order.clear();
  take_turns({{"a", [&] { return order += 'a', uint64_t(1); }}}, 1, Clock::wall, false);
  EXPECT_EQ(order, "a");
}

TEST(Report, json_has_every_key_and_no_bare_infinity) {
  Report report(Options{});
  Row row = row_with(">= 0.85", NAN, 0.9);
  row.setting = "a \"quoted\" \\ setting\n";
  row.against = "memcpy";
  report.add(row);
  row.ratio.reset();
  row.goal.clear();
  report.add(row);
  const std::string json = report.json();
  EXPECT_NE(json.find("\"name\": \"get/1MiB/q8\", \"value\": null, \"unit\": \"\", "
                      "\"against\": \"memcpy\", \"ratio\": 0.9, \"goal\": \">= 0.85\", "
                      "\"reached\": true, \"setting\": \"a \\\"quoted\\\" \\\\ setting \", "
                      "\"samples\": 0, \"spread\": 0}"),
            std::string::npos)
      << json;
  EXPECT_NE(json.find("\"ratio\": null"), std::string::npos);
  EXPECT_EQ(json.find("nan"), std::string::npos);
  EXPECT_EQ(Report(Options{}).json(), "[\n]\n");
}

TEST(Report, rows_can_be_chosen_and_what_is_skipped_is_said) {
  Options options;
  options.text = "1MiB";
  Report report(options);
  Row row;
  row.name = "get/4KiB/exact";
  report.add(row);
  row.name = "get/1MiB/exact";
  report.add(row);
  ASSERT_EQ(report.rows().size(), 1u);
  report.skip("put/*", "no daemon");
  EXPECT_NE(report.table().find("skipped put/*: no daemon"), std::string::npos);
}

TEST(Sizes, are_written_as_in_the_rows) {
  EXPECT_EQ(size_text(4096), "4KiB");
  EXPECT_EQ(size_text(1 << 20), "1MiB");
  EXPECT_EQ(size_text(100), "100B");
}

}  // namespace
}  // namespace speckv::bench
