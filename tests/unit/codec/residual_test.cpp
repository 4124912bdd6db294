// SPDX-License-Identifier: Apache-2.0
// Proves what calibration measures of a page of K: a signal that only turns with its position costs
// nothing, a swing of +-r costs r^2 whatever its midpoint, pages that are not finite count for
// nothing, and dead pairs are marked as such.
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <vector>

#include "codec/chan_residual.hpp"
#include "codec/half.hpp"

namespace speckv::codec {
namespace {

constexpr size_t tokens = 32, head_dim = 64, pairs = head_dim / 2;

std::unique_ptr<ChanTables> make_tables(uint32_t rope) {
  speckv_layout layout{};
  layout.size = sizeof layout;
  layout.dtype = SPECKV_DTYPE_F16;
  layout.layers = layout.kv_heads = 1;
  layout.head_dim = head_dim;
  layout.block_tokens = layout.page_tokens = tokens;
  layout.rope = rope;
  layout.rope_theta[0] = 1e4F;
  std::string error;
  return ChanTables::make(layout, nullptr, &error);
}

struct Page {
  std::vector<uint16_t> values = std::vector<uint16_t>(tokens * head_dim);
  void set(size_t token, size_t channel, double value) {
    values[token * head_dim + channel] =
        round_to_half(int64_t(std::lround(std::ldexp(value, 20))), -20, false);
  }
  ConstView view() const {
    return {reinterpret_cast<const std::byte*>(values.data()), 2 * head_dim, 2};
  }
};

TEST(ChanResidual, WhatOnlyTurnsWithItsPositionCostsNothing) {
  for (const uint32_t rope : {SPECKV_ROPE_INTERLEAVED, SPECKV_ROPE_HALF}) {
    const auto tables = make_tables(rope);
    const PairMap map = tables->at(0, 0).map;
    Page page;
    for (size_t t = 0; t < tokens; ++t)
      for (size_t pair = 0; pair < pairs; ++pair) {
        const double angle = double(t) * std::pow(1e4, -2.0 * double(pair) / head_dim);
        page.set(t, map.first(pair), 3 * std::cos(angle));
        page.set(t, map.second(pair), 3 * std::sin(angle));
      }
    std::vector<double> sums(pairs);
    ASSERT_TRUE(add_chan_residual(tables->at(0, 0), SPECKV_DTYPE_F16, page.view(), sums));
    for (double sum : sums) EXPECT_LT(sum, 1e-5);
  }
}

TEST(ChanResidual, ASwingCostsItsReachSquaredWhateverItsMidpoint) {
  const auto tables = make_tables(SPECKV_ROPE_NONE);
  Page page;
  for (size_t t = 0; t < tokens; ++t) {
    page.set(t, 0, 5 + (t % 2 == 0 ? 0.5 : -0.5));
    page.set(t, 1, -7);
  }
  std::vector<double> sums(pairs, 1);
  ASSERT_TRUE(add_chan_residual(tables->at(0, 0), SPECKV_DTYPE_F16, page.view(), sums));
  EXPECT_NEAR(sums[0], 1 + 0.25 / 2, 1e-6);  // added, and the mean of the pair's two channels
  EXPECT_EQ(sums[1], 1);
}

TEST(ChanResidual, APageThatIsNotFiniteAddsNothing) {
  const auto tables = make_tables(SPECKV_ROPE_NONE);
  for (const uint16_t bits : {0x7c00, 0xfc00, 0x7e01}) {
    Page page;
    page.set(3, 4, 1);
    page.values.back() = bits;
    std::vector<double> sums(pairs);
    EXPECT_FALSE(add_chan_residual(tables->at(0, 0), SPECKV_DTYPE_F16, page.view(), sums));
    for (double sum : sums) EXPECT_EQ(sum, 0);
  }
}

TEST(ChanResidual, WeightsAre256TimesTheLogarithm) {
  EXPECT_EQ(chan_weight(1), 0);
  EXPECT_EQ(chan_weight(8), 3 * 256);
  EXPECT_EQ(chan_weight(0), chan_weight_dead);
  EXPECT_EQ(chan_weight(std::nan("")), chan_weight_dead);
  EXPECT_EQ(chan_weight(1e300), 32000);  // and never a value that means dead
  EXPECT_EQ(chan_weight(1e-300), -32000);
}

}  // namespace
}  // namespace speckv::codec
