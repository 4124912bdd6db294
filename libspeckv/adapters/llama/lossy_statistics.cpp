// SPDX-License-Identifier: Apache-2.0
// lossy_statistics.cpp - see lossy_statistics.hpp.
#include "lossy_statistics.hpp"

#include <algorithm>
#include <cmath>

namespace speckv::llama {

namespace {

// ln of the sum of e^logit.
double log_sum(std::span<const float> logits, float top) {
  double sum = 0;
  for (float logit : logits) sum += double(std::exp(logit - top));
  return std::log(sum) + double(top);
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

void Distribution::set(std::span<const float> logits) {
  const auto best = std::max_element(logits.begin(), logits.end());
  const double sum = log_sum(logits, *best);
  top = int32_t(best - logits.begin());
  ln.resize(logits.size());
  p.resize(logits.size());
  for (size_t i = 0; i < logits.size(); i++) {
    ln[i] = float(double(logits[i]) - sum);
    p[i] = std::exp(ln[i]);
  }
}

bool all_finite(std::span<const float> logits) {
  return std::all_of(logits.begin(), logits.end(), [](float each) { return std::isfinite(each); });
}

void Loss::add(const Distribution& reference, std::span<const float> logits, int32_t next) {
  if (!all_finite(logits)) {
    broken++;
    return;
  }
  const auto best = std::max_element(logits.begin(), logits.end());
  const double sum = log_sum(logits, *best);
  double divergence = 0;
  for (size_t i = 0; i < logits.size(); i++) {
    const double difference = double(reference.ln[i]) - (double(logits[i]) - sum);
    divergence += double(reference.p[i]) * difference;
  }
  kld.push_back(float(std::max(divergence, 0.0)));
  same_top1 += reference.top == int32_t(best - logits.begin());
  ln_ppl_sum += double(reference.ln[size_t(next)]) - (double(logits[size_t(next)]) - sum);
}

Summary summarise(const std::vector<Loss>& documents) {
  std::vector<double> kld, top1, ln_ppl;
  std::vector<float> all;
  Summary summary;
  summary.documents = documents.size();
  for (const Loss& loss : documents) {
    summary.broken += loss.broken;
    if (loss.kld.empty()) continue;
    const double count = double(loss.kld.size());
    double sum = 0;
    for (float value : loss.kld) sum += value;
    kld.push_back(sum / count);
    top1.push_back(double(loss.same_top1) / count);
    ln_ppl.push_back(loss.ln_ppl_sum / count);
    all.insert(all.end(), loss.kld.begin(), loss.kld.end());
  }
  summary.positions = all.size() + summary.broken;
  if (all.empty()) return summary;
  mean_and_error(kld, &summary.kld, &summary.kld_se);
  mean_and_error(top1, &summary.top1, &summary.top1_se);
  mean_and_error(ln_ppl, &summary.ln_ppl, &summary.ln_ppl_se);
  const size_t p99 = all.size() * 99 / 100;
  std::nth_element(all.begin(), all.begin() + ptrdiff_t(p99), all.end());
  summary.kld_p99 = all[p99];
  return summary;
}

}  // namespace speckv::llama
