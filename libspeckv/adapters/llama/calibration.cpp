// SPDX-License-Identifier: Apache-2.0
// calibration.cpp - see calibration.hpp.
#include "calibration.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "codec/chan_residual.hpp"
#include "ggml-backend.h"
#include "graph_tap.hpp"

namespace speckv::llama {

namespace {

// Sums of q^2 per (layer, kv head, pair).
class QuerySums {
 public:
  QuerySums(const speckv_layout& layout, const codec::PairMap& map)
      : layout_(layout), map_(map), sums_(layout.layers * layout.kv_heads * map.pairs()) {}

  void add(uint32_t layer, const ggml_tensor& query) {
    if (layer >= layout_.layers || query.type != GGML_TYPE_F32 ||
        query.ne[0] != int64_t(layout_.head_dim) || query.ne[1] % layout_.kv_heads != 0)
      return;
    std::vector<float> values(size_t(ggml_nelements(&query)));
    ggml_backend_tensor_get(&query, values.data(), 0, values.size() * sizeof(float));
    const auto heads = size_t(query.ne[1]), group = heads / layout_.kv_heads;
    for (int64_t token = 0; token < query.ne[2]; token++)
      for (size_t head = 0; head < heads; head++) {
        const float* q = &values[(size_t(token) * heads + head) * layout_.head_dim];
        double* sum = &sums_[(layer * layout_.kv_heads + head / group) * map_.pairs()];
        for (size_t pair = 0; pair < map_.pairs(); pair++) {
          const double a = q[map_.first(pair)], b = q[map_.second(pair)];
          sum[pair] += (a * a + b * b) / (2.0 * double(group));
        }
      }
    if (layer == 0) count_ += uint64_t(query.ne[2]);
  }
  double mean(size_t index) const { return count_ ? sums_[index] / double(count_) : 0; }
  bool seen() const { return count_ > 0; }

 private:
  const speckv_layout& layout_;
  const codec::PairMap& map_;
  std::vector<double> sums_;
  uint64_t count_ = 0;  // tokens
};

struct Run {
  explicit Run(llama_model* m) : tap(m) {}
  ~Run() { llama_free(context); }
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

  bool open(llama_model* model, uint32_t tokens, int threads, std::string* ret_why) {
    llama_context_params params = llama_context_default_params();
    params.n_ctx = tokens + 64;
    params.n_batch = params.n_ubatch = 256;
    params.n_threads = params.n_threads_batch = threads;
    params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_ENABLED;
    params.swa_full = true;  // or a window's older tokens are overwritten before they are measured
    params.no_perf = true;
    tap.attach(&params);
    context = llama_init_from_model(model, params);
    if (!context) *ret_why = "llama.cpp gave no context for this model";
    return context != nullptr;
  }

  bool decode(std::span<const llama_token> tokens, std::string* ret_why) {
    constexpr size_t step = 256;
    std::vector<llama_token> copy(tokens.begin(), tokens.end());
    llama_memory_clear(llama_get_memory(context), false);
    for (size_t at = 0; at < copy.size(); at += step) {
      const auto count = int32_t(std::min(step, copy.size() - at));
      tap.expect(uint32_t(at));
      if (llama_decode(context, llama_batch_get_one(&copy[at], count)) != 0) {
        *ret_why = "llama_decode failed at token " + std::to_string(at);
        return false;
      }
    }
    if (!tap.in_order()) *ret_why = "llama.cpp did not put the tokens into its cache in order";
    return tap.in_order();
  }

  GraphTap tap;
  llama_context* context = nullptr;
};

// Mean residual of each pair of one head over pages 1 and up: page 0 is stored otherwise. Returns:
// false when one of these pages holds NaN or infinity.
bool residuals(const GraphTap& tap, const speckv_layout& layout, const codec::ChanTable& table,
               uint32_t layer, uint32_t head, uint32_t pages, std::vector<double>* ret_means) {
  std::vector<double> sums(table.map.pairs());
  for (uint32_t page = 1; page < pages; page++) {
    const speckv_view k = tap.k(layer, page * layout.page_tokens);
    const codec::ConstView view{
        static_cast<const std::byte*>(k.base) + int64_t(head) * k.head_stride, k.token_stride,
        k.channel_stride};
    if (!codec::add_chan_residual(table, uint8_t(layout.dtype), view, sums)) return false;
  }
  for (double& sum : sums) sum /= pages - 1;
  *ret_means = std::move(sums);
  return true;
}

// Weights of all pairs. Returns: false with one sentence where K or the queries are no numbers: a
// table of them would say that no channel matters.
bool weigh(const GraphTap& tap, const speckv_layout& layout, const codec::ChanTables& tables,
           const QuerySums* queries, uint32_t pages, std::vector<codec::ChanWeight>* ret_weights,
           std::string* ret_why) {
  ret_weights->clear();
  std::vector<double> left;
  for (uint32_t layer = 0; layer < layout.layers; layer++)
    for (uint32_t head = 0; head < layout.kv_heads; head++) {
      const codec::ChanTable& table = tables.at(layer, head);
      bool finite = residuals(tap, layout, table, layer, head, pages, &left);
      const size_t pairs = table.map.pairs(), first = (layer * layout.kv_heads + head) * pairs;
      for (size_t pair = 0; finite && pair < pairs; pair++) {
        const double importance = (queries ? queries->mean(first + pair) : 1) * left[pair];
        finite = std::isfinite(importance);
        ret_weights->push_back(codec::chan_weight(importance));
      }
      if (finite) continue;
      *ret_why = "K or the queries of layer " + std::to_string(layer) + ", KV head " +
                 std::to_string(head) +
                 " are not finite (NaN or infinity) on this text, so nothing can be measured; is "
                 "the model file whole?";
      return false;
    }
  return true;
}

}  // namespace

bool calibrate(llama_model* model, std::span<const llama_token> tokens,
               const CalibrationOptions& options, codec::ChanWeights* ret_weights,
               std::string* ret_why) {
  const size_t count = std::min<size_t>(tokens.size(), options.tokens_max);
  const uint32_t pages = uint32_t(count / options.page_tokens);
  if (pages < 4) {
    *ret_why = "the text has " + std::to_string(count) + " tokens; at least four pages are needed";
    return false;
  }
  Run run(model);
  speckv_layout layout;
  if (!run.open(model, uint32_t(count), options.threads, ret_why) ||
      !run.decode(tokens.first(1), ret_why) ||
      !run.tap.describe(options.page_tokens, &layout, ret_why))
    return false;
  const auto tables = codec::ChanTables::make(layout, nullptr, ret_why);
  if (!tables) return false;
  const codec::PairMap map = tables->at(0, 0).map;
  QuerySums queries(layout, map);
  if (options.queries)
    run.tap.on_query = [&](uint32_t layer, const ggml_tensor& query) { queries.add(layer, query); };
  if (!run.decode(tokens.first(count), ret_why)) return false;
  if (options.queries && !queries.seen()) {
    *ret_why = "this model's graph has no tensor Qcur after RoPE, so its queries are not known";
    return false;
  }
  ret_weights->layers = uint16_t(layout.layers);
  ret_weights->kv_heads = uint16_t(layout.kv_heads);
  ret_weights->pairs = uint16_t(map.pairs());
  if (!weigh(run.tap, layout, *tables, options.queries ? &queries : nullptr, pages,
             &ret_weights->weight, ret_why))
    return false;
  *ret_why = run.tap.rope_note();
  return true;
}

}  // namespace speckv::llama
