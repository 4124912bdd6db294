// SPDX-License-Identifier: Apache-2.0
// quality.cpp - see quality.hpp.
#include "quality.hpp"

#include <algorithm>
#include <cmath>

#include "progress.hpp"

namespace speckv::qa {

namespace {

// Log-probabilities of every position of a window, position by position.
using Distributions = std::vector<float>;

void log_softmax(std::span<const float> logits, float* out) {
  const float top = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (float logit : logits) sum += std::exp(logit - top);
  const float shift = top + float(std::log(sum));
  for (size_t i = 0; i < logits.size(); ++i) out[i] = logits[i] - shift;
}

Distributions window_distributions(Context& context, Store& store, std::span<const Key> before,
                                   std::span<const llama_token> window) {
  context.clear();
  std::string why;
  Found found;
  found.keys.assign(before.begin(), before.end());
  const uint32_t known = uint32_t(before.size()) * store.block_tokens();
  if (store.load(found) != known) {
    throw Failure("quality: the pool lost blocks that were put a moment ago");
  }
  if (!llama::restore_tokens(context.get(), store.blob(), 0, known, &why)) throw Failure(why);
  context.compute(0, known, window, true);
  const size_t words = context.model().vocabulary();
  Distributions all(window.size() * words);
  for (size_t i = 0; i < window.size(); ++i) {
    log_softmax(context.logits(int32_t(i)), all.data() + i * words);
  }
  return all;
}

struct WindowLoss {
  double kld = 0, same = 0;  // means over the window's positions
};

WindowLoss compare(const Distributions& exact, const Distributions& lossy, size_t positions) {
  const size_t words = exact.size() / positions;
  WindowLoss loss;
  for (size_t i = 0; i < positions; ++i) {
    const float* p = exact.data() + i * words;
    const float* q = lossy.data() + i * words;
    double kld = 0;
    for (size_t word = 0; word < words; ++word) {
      kld += double(std::exp(p[word])) * double(p[word] - q[word]);
    }
    loss.kld += kld / double(positions);
    const bool same = std::max_element(p, p + words) - p == std::max_element(q, q + words) - q;
    loss.same += (same ? 1.0 : 0.0) / double(positions);
  }
  return loss;
}

void mean_and_error(const std::vector<double>& values, double* ret_mean, double* ret_error) {
  double sum = 0, squares = 0;
  for (double value : values) sum += value;
  *ret_mean = sum / double(values.size());
  for (double value : values) squares += (value - *ret_mean) * (value - *ret_mean);
  const double count = double(values.size());
  *ret_error = count < 2 ? 0 : std::sqrt(squares / (count - 1) / count);
}

Quality summarise(const std::vector<WindowLoss>& windows, uint32_t window_tokens) {
  std::vector<double> kld, same;
  for (const WindowLoss& window : windows) {
    kld.push_back(window.kld);
    same.push_back(window.same);
  }
  Quality quality;
  mean_and_error(kld, &quality.kld_mean, &quality.kld_se);
  mean_and_error(same, &quality.top1_same, &quality.top1_se);
  quality.positions = uint32_t(windows.size()) * window_tokens;
  return quality;
}

}  // namespace

std::vector<Quality> measure_quality(const Workload& load, Context& context, Store& reference,
                                     const std::vector<Store*>& stores) {
  const uint32_t blocks = load.quality_first_block + load.quality_windows;
  const uint32_t width = reference.block_tokens();
  std::vector<std::vector<WindowLoss>> windows(stores.size());
  Progress progress("measuring quality",
                    uint64_t(load.scale.quality_documents) * load.quality_windows);
  for (uint32_t document = 0; document < load.scale.quality_documents; ++document) {
    const auto text = std::span(load.documents[document]).first(size_t(blocks) * width);
    const std::vector<Key> keys = reference.keys(text);
    context.clear();
    context.compute(0, 0, text);
    reference.save(context, text, 0);
    for (Store* store : stores) store->save(context, text, 0);
    for (uint32_t block = load.quality_first_block; block < blocks; ++block) {
      const auto before = std::span(keys).first(block);
      const auto window = text.subspan(size_t(block) * width, width);
      const Distributions exact = window_distributions(context, reference, before, window);
      for (size_t i = 0; i < stores.size(); ++i) {
        windows[i].push_back(
            compare(exact, window_distributions(context, *stores[i], before, window), width));
      }
      progress.step();
    }
  }
  std::vector<Quality> all;
  for (const std::vector<WindowLoss>& one : windows) all.push_back(summarise(one, width));
  return all;
}

}  // namespace speckv::qa
