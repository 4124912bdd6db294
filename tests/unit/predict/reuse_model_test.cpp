// SPDX-License-Identifier: Apache-2.0
// reuse_model_test.cpp - age bins, LRU before anything is learnt, and the learnt order afterwards.
#include "predict/reuse_model.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace speckv::predict {
namespace {

uint32_t bin_of_s(double s) { return ReuseModel::bin_of(uint64_t(s * 1e9)); }

TEST(ReuseModel, bins_are_half_octaves_of_milliseconds) {
  EXPECT_EQ(bin_of_s(0), 0u);
  EXPECT_EQ(bin_of_s(0.000999), 0u);
  EXPECT_EQ(bin_of_s(0.001), 1u);
  EXPECT_EQ(bin_of_s(0.002), 3u);
  EXPECT_EQ(bin_of_s(0.003), 4u);
  EXPECT_EQ(bin_of_s(0.004), 5u);
  EXPECT_EQ(bin_of_s(0.005), 5u);
  EXPECT_EQ(bin_of_s(0.006), 6u);
  uint32_t last = 0;
  for (double s = 0.001; s < 1e5; s *= 1.05) {
    const uint32_t bin = bin_of_s(s);
    EXPECT_GE(bin, last);
    EXPECT_LT(bin, ReuseModel::kBins);
    last = bin;
  }
  EXPECT_EQ(ReuseModel::bin_of(UINT64_MAX), ReuseModel::kBins - 1);
}

TEST(ReuseModel, before_anything_is_learnt_the_older_is_worth_less) {
  const ReuseModel model;
  for (uint32_t cls = 0; cls < ReuseModel::kClasses; ++cls) {
    for (double s = 0.004; s < 4000; s *= 2) {
      EXPECT_GT(model.worth(cls, bin_of_s(s)), model.worth(cls, bin_of_s(2 * s)))
          << cls << " " << s;
    }
  }
}

// People come back after about a minute, or not at all.
class Learnt : public testing::Test {
 protected:
  Learnt() {
    std::mt19937_64 random(5);
    std::lognormal_distribution<double> think_s(std::log(60), 0.3);
    for (uint32_t i = 0; i < 40'000; ++i) {
      model_.on_use(0);
      if (i % 3 == 0) {
        model_.on_return(0, uint64_t(think_s(random) * 1e9));
        model_.on_use(1);
      }
      if (i % 5 == 0) model_.on_return(1, uint64_t(think_s(random) * 1e9));
    }
  }
  ReuseModel model_;
};

TEST_F(Learnt, worth_rises_towards_the_hour_and_falls_after_it) {
  EXPECT_GT(model_.worth(0, bin_of_s(30)), 1.2 * model_.worth(0, bin_of_s(1)));
  EXPECT_GT(model_.worth(0, bin_of_s(45)), 4 * model_.worth(0, bin_of_s(300)));
}

TEST_F(Learnt, a_class_that_comes_back_more_often_is_worth_more) {
  EXPECT_GT(model_.worth(1, bin_of_s(30)), 1.3 * model_.worth(0, bin_of_s(30)));
}

TEST_F(Learnt, the_past_fades) {
  for (uint32_t i = 0; i < 400'000; ++i) {
    model_.on_use(0);
    model_.on_return(0, 2'000'000'000);
  }
  EXPECT_GT(model_.worth(0, bin_of_s(1)), 10 * model_.worth(0, bin_of_s(45)));
  EXPECT_GT(model_.worth(0, bin_of_s(1)), 0.3);  // all of them within 2 s, and no old use counts
}

TEST(ReuseModel, worth_is_of_those_still_waiting) {
  // nine of ten come back after 10 s; the tenth after 300 s. Whoever waited 250 s is the tenth.
  ReuseModel model;
  for (uint32_t i = 0; i < 100'000; ++i) {
    model.on_use(0);
    model.on_return(0, i % 10 ? 10'000'000'000 : 300'000'000'000);
  }
  EXPECT_GT(model.worth(0, bin_of_s(250)), 1.0 / 300);
}

TEST_F(Learnt, worth_is_a_finite_rate) {
  for (uint32_t cls = 0; cls < ReuseModel::kClasses; ++cls) {
    for (uint32_t bin = 0; bin < ReuseModel::kBins; ++bin) {
      EXPECT_GE(model_.worth(cls, bin), 0.f);
      EXPECT_TRUE(std::isfinite(model_.worth(cls, bin)));
    }
  }
}

}  // namespace
}  // namespace speckv::predict
