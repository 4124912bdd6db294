// SPDX-License-Identifier: Apache-2.0
// statistics.cpp - see statistics.hpp.
#include "statistics.hpp"

#include <algorithm>
#include <cmath>

namespace speckv::quality {

namespace {

double log_sum(std::span<const float> logits, float top) {
  double sum = 0;
  for (float logit : logits) sum += std::exp(double(logit - top));
  return std::log(sum) + top;
}

void mean_and_error(const std::vector<double>& values, double* ret_mean, double* ret_error) {
  double sum = 0, squares = 0;
  for (double value : values) sum += value;
  *ret_mean = sum / double(values.size());
  for (double value : values) squares += (value - *ret_mean) * (value - *ret_mean);
  const double count = double(values.size());
  *ret_error = count < 2 ? 0 : std::sqrt(squares / (count - 1) / count);
}

}  // namespace

void Loss::add(std::span<const float> reference, std::span<const float> variant, int32_t next) {
  const auto p_top = std::max_element(reference.begin(), reference.end());
  const auto q_top = std::max_element(variant.begin(), variant.end());
  const double p_sum = log_sum(reference, *p_top), q_sum = log_sum(variant, *q_top);
  double divergence = 0;
  for (size_t i = 0; i < reference.size(); i++) {
    const double p = double(reference[i]) - p_sum;
    if (p > -30) divergence += std::exp(p) * (p - (double(variant[i]) - q_sum));
  }
  kld.push_back(float(std::max(divergence, 0.0)));
  same_top1 += (p_top - reference.begin()) == (q_top - variant.begin());
  ln_ppl_sum += (double(reference[size_t(next)]) - p_sum) - (double(variant[size_t(next)]) - q_sum);
}

Summary summarise(const std::vector<Loss>& documents) {
  std::vector<double> kld, top1, ln_ppl;
  std::vector<float> all;
  for (const Loss& loss : documents) {
    const double count = double(loss.kld.size());
    double sum = 0;
    for (float value : loss.kld) sum += value;
    kld.push_back(sum / count);
    top1.push_back(double(loss.same_top1) / count);
    ln_ppl.push_back(loss.ln_ppl_sum / count);
    all.insert(all.end(), loss.kld.begin(), loss.kld.end());
  }
  Summary summary;
  mean_and_error(kld, &summary.kld, &summary.kld_se);
  mean_and_error(top1, &summary.top1, &summary.top1_se);
  mean_and_error(ln_ppl, &summary.ln_ppl, &summary.ln_ppl_se);
  const size_t p99 = all.size() * 99 / 100;
  std::nth_element(all.begin(), all.begin() + ptrdiff_t(p99), all.end());
  summary.kld_p99 = all[p99];
  summary.positions = all.size();
  return summary;
}

}  // namespace speckv::quality
