// SPDX-License-Identifier: Apache-2.0
// sweep_test.cpp - many segments through the back end, each equal to the codec room's: three
// presets, both dtypes, both directions, first pages among them.
//
// SPECKV_DEVICE_SEGMENTS: how many, where it is not the number that every run does.
#include <cstdlib>

#include "table_fixture.hpp"

namespace speckv::device {
namespace {

using testing::is_stepwise;
using testing::Shape;
using Sweep = testing::TableTest;

constexpr int golden_segments = 20'000, rtl_segments = 40;
constexpr uint16_t slot = 17;

int segments() {
  const char* asked = std::getenv("SPECKV_DEVICE_SEGMENTS");
  if (asked != nullptr) return std::atoi(asked);
  return is_stepwise() ? golden_segments : rtl_segments;
}

TEST_F(Sweep, SegmentsOfThreePresetsBothWays) {
  EXPECT_EQ(load(0, theta()), SPECKV_ENGINE_OK);
  // a golden segment of 4 pages takes microseconds; the RTL's has 64
  const uint32_t heads = is_stepwise() ? 1 : 4, pages = is_stepwise() ? 2 : 8;
  int done = 0;
  for (int part = 0; part < 6; ++part) {
    codec::Preset preset{};
    constexpr uint32_t presets[] = {SPECKV_PRESET_Q8, SPECKV_PRESET_BALANCED,
                                    SPECKV_PRESET_COMPACT};
    ASSERT_TRUE(codec::preset(presets[part % 3], &preset));
    const Shape shape{.k = preset.k,
                      .v = preset.v,
                      .first = preset.first,
                      .heads = heads,
                      .pages = pages,
                      .bf16 = part >= 3};
    set_layout(shape);
    make_tables(shape, part % 2 == 0 ? SPECKV_ROPE_HALF : SPECKV_ROPE_INTERLEAVED);
    if (codec::is_chanq(shape.k)) {
      EXPECT_EQ(
          load(SPECKV_ENGINE_WIDTHS_OFFSET + slot * SPECKV_ENGINE_WIDTHS_BYTES, widths(shape.k)),
          SPECKV_ENGINE_OK);
    }
    const uint16_t widths_slot = codec::is_chanq(shape.k) ? slot : 0;
    for (; done < segments() * (part + 1) / 6 && !HasFailure(); ++done)
      expect_segment(shape, done % 3 == 0, widths_slot, uint32_t(done));
  }
  EXPECT_EQ(done, segments());
  std::printf("%d segments of %u pages, both ways\n", done, 2 * heads * pages);
}

}  // namespace
}  // namespace speckv::device
