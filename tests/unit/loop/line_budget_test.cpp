// SPDX-License-Identifier: Apache-2.0
// line_budget_test.cpp - a few lines at once, then one in a while, and none is left out unseen.
#include "session/line_budget.hpp"

#include <gtest/gtest.h>

namespace speckv {
namespace {

TEST(LineBudget, AFewAtOnceThenOneInAWhile) {
  LineBudget lines(3, 100);
  for (int i = 0; i < 3; i++) EXPECT_TRUE(lines.take(1'000'000));
  for (int i = 0; i < 5; i++) EXPECT_FALSE(lines.take(1'000'050));
  EXPECT_TRUE(lines.take(1'000'100));
  EXPECT_EQ(lines.take_left_out(), 5u);
  EXPECT_EQ(lines.take_left_out(), 0u) << "told once";
  EXPECT_FALSE(lines.take(1'000'100));
  EXPECT_EQ(lines.left_out_total(), 6u);
}

TEST(LineBudget, DoesNotSaveUpMoreThanAtOnce) {
  LineBudget lines(2, 10);
  EXPECT_TRUE(lines.take(10));
  int taken = 0;
  for (int i = 0; i < 10; i++) taken += lines.take(1'000'000'000);
  EXPECT_EQ(taken, 2);
}

}  // namespace
}  // namespace speckv
