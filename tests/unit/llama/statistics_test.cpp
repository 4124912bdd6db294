// SPDX-License-Identifier: Apache-2.0
// Proves the statistics under every quality table: KL divergence, same top-1 and Delta ln PPL
// against hand-made distributions, and means and standard errors over documents.
#include <gtest/gtest.h>

#include <cmath>

#include "llama/lossy_row_text.hpp"
#include "llama/lossy_statistics.hpp"

namespace speckv::llama {
namespace {

std::vector<float> logits_of(std::initializer_list<double> chances, double shift = 0) {
  std::vector<float> logits;
  for (double chance : chances) logits.push_back(float(std::log(chance) + shift));
  return logits;
}

Distribution reference_of(std::initializer_list<double> chances) {
  Distribution reference;
  reference.set(logits_of(chances, 5));
  return reference;
}

TEST(LossyStatistics, EqualRunsLoseNothing) {
  Loss loss;
  const Distribution reference = reference_of({0.5, 0.25, 0.125, 0.125});
  EXPECT_EQ(reference.top, 0);
  EXPECT_NEAR(reference.p[1], 0.25, 1e-6);
  loss.add(reference, logits_of({0.5, 0.25, 0.125, 0.125}, -3), 2);
  EXPECT_NEAR(loss.kld[0], 0, 1e-6);
  EXPECT_EQ(loss.same_top1, 1u);
  EXPECT_NEAR(loss.ln_ppl_sum, 0, 1e-6);
}

TEST(LossyStatistics, ADifferenceCountsAsTheFormulaSays) {
  Loss loss;
  loss.add(reference_of({0.75, 0.25}), logits_of({0.25, 0.75}, 9), 0);
  EXPECT_NEAR(loss.kld[0], 0.5 * std::log(3.0), 1e-6);
  EXPECT_EQ(loss.same_top1, 0u);
  EXPECT_NEAR(loss.ln_ppl_sum, std::log(3.0), 1e-6);  // the true token became three times rarer
}

TEST(LossyStatistics, MeansAndErrorsAreOverDocuments) {
  std::vector<Loss> documents(3);
  const float means[] = {1, 2, 6};
  for (size_t i = 0; i < 3; i++) {
    documents[i].kld = {means[i] - 0.5f, means[i] + 0.5f};
    documents[i].same_top1 = i;  // of 2 positions
    documents[i].ln_ppl_sum = 2 * means[i];
  }
  const Summary summary = summarise(documents);
  EXPECT_NEAR(summary.kld, 3, 1e-6);
  EXPECT_NEAR(summary.kld_se, std::sqrt(14.0 / 2 / 3), 1e-6);
  EXPECT_NEAR(summary.kld_p99, 6.5, 1e-6);
  EXPECT_NEAR(summary.top1, 0.5, 1e-6);
  EXPECT_NEAR(summary.ln_ppl, 3, 1e-6);
  EXPECT_EQ(summary.positions, 6u);
}

// NaN has a first place, too: it must not count as the same most likely token.
TEST(LossyStatistics, LogitsThatAreNoNumbersAreNeverTheSame) {
  Loss loss;
  const Distribution reference = reference_of({0.75, 0.25});
  loss.add(reference, std::vector<float>{NAN, NAN}, 0);
  loss.add(reference, std::vector<float>{1, INFINITY}, 0);
  loss.add(reference, logits_of({0.75, 0.25}, 0), 0);
  EXPECT_EQ(loss.broken, 2u);
  EXPECT_EQ(loss.same_top1, 1u);
  const Summary summary = summarise({loss});
  EXPECT_EQ(summary.positions, 3u);
  const std::string row = row_of("x", 2, summary);
  EXPECT_NE(row.find("not finite at 2 of 3 positions"), std::string::npos) << row;
  EXPECT_EQ(row.find('%'), std::string::npos) << row;
  Loss nothing;
  nothing.add(reference, std::vector<float>{NAN, NAN}, 0);
  EXPECT_NE(row_of("x", 2, summarise({nothing})).find("1 of 1"), std::string::npos);
}

TEST(LossyStatistics, OneDocumentHasNoError) {
  Summary summary{.kld = 0.0000421, .kld_se = 0, .kld_p99 = 0.00031, .top1 = 0.9962};
  summary.documents = 1;
  EXPECT_EQ(row_of("near-lossless", 2.06, summary).find("±"), std::string::npos);
  summary.documents = 2;
  summary.kld_se = 0.0000023;
  const std::string row = row_of("near-lossless", 2.06, summary);
  EXPECT_NE(row.find("| 0.0000421 ± 0.0000023 | 0.000310 | 99.62 ± 0.00 %"), std::string::npos)
      << row;
}

}  // namespace
}  // namespace speckv::llama
