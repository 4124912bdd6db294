// SPDX-License-Identifier: Apache-2.0
// calibration.cpp - see calibration.hpp.
#include "calibration.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "ggml-backend.h"
#include "ggml.h"
#include "sequence.hpp"

namespace speckv::llama {

namespace {

float half_to_float(uint16_t bits, uint32_t dtype) {
  return dtype == SPECKV_DTYPE_BF16 ? ggml_bf16_to_fp32({bits}) : ggml_fp16_to_fp32(bits);
}

// Sums of q^2 per (layer, kv head, pair), taken from the graph while it runs.
class QuerySums {
 public:
  QuerySums(const speckv_layout& layout, const codec::PairMap& map)
      : layout_(layout), map_(map), sums_(layout.layers * layout.kv_heads * map.pairs()) {}

  static bool on_tensor(ggml_tensor* tensor, bool ask, void* self) {
    auto* sums = static_cast<QuerySums*>(self);
    uint32_t layer = 0;
    if (!sums->is_query(*tensor, &layer)) return !ask;
    if (!ask) sums->add(*tensor, layer);
    return true;
  }
  double mean(size_t index) const { return count_ ? sums_[index] / double(count_) : 0; }
  bool seen() const { return count_ > 0; }

 private:
  // The query after RoPE, [head_dim, heads, tokens].
  bool is_query(const ggml_tensor& tensor, uint32_t* ret_layer) const {
    unsigned layer = 0;
    int end = 0;
    if (tensor.op != GGML_OP_ROPE || std::sscanf(tensor.name, "Qcur-%u%n", &layer, &end) != 1 ||
        tensor.name[end] != 0)
      return false;
    *ret_layer = layer;
    return layer < layout_.layers && tensor.type == GGML_TYPE_F32 &&
           tensor.ne[0] == int64_t(layout_.head_dim) && tensor.ne[1] % layout_.kv_heads == 0;
  }

  void add(const ggml_tensor& tensor, uint32_t layer) {
    std::vector<float> values(size_t(ggml_nelements(&tensor)));
    ggml_backend_tensor_get(&tensor, values.data(), 0, values.size() * sizeof(float));
    const auto heads = size_t(tensor.ne[1]), group = heads / layout_.kv_heads;
    for (int64_t token = 0; token < tensor.ne[2]; token++)
      for (size_t head = 0; head < heads; head++) {
        const float* q = &values[(size_t(token) * heads + head) * layout_.head_dim];
        double* sum = &sums_[(layer * layout_.kv_heads + head / group) * map_.pairs()];
        for (size_t pair = 0; pair < map_.pairs(); pair++) {
          const double a = q[map_.first(pair)], b = q[map_.second(pair)];
          sum[pair] += (a * a + b * b) / (2.0 * double(group));
        }
      }
    if (layer == 0) count_ += uint64_t(tensor.ne[2]);
  }

  const speckv_layout& layout_;
  const codec::PairMap& map_;
  std::vector<double> sums_;
  uint64_t count_ = 0;  // tokens
};

// One page of one head's K, RoPE undone: mean square around each channel's midpoint, by pair.
class ResidualSums {
 public:
  ResidualSums(const speckv_layout& layout, const codec::ChanTables& tables)
      : layout_(layout), tables_(tables) {}

  void add_page(const speckv_view& k, uint32_t layer, uint32_t head, double* sums) const {
    const codec::ChanTable& table = tables_.at(layer, head);
    const auto* base = static_cast<const std::byte*>(k.base) + int64_t(head) * k.head_stride;
    for (size_t pair = 0; pair < table.map.pairs(); pair++) {
      float a[codec::chanq_tokens_max], b[codec::chanq_tokens_max];
      for (uint32_t token = 0; token < layout_.page_tokens; token++) {
        const std::byte* at = base + int64_t(token) * k.token_stride;
        const float x = value(at, k, table.map.first(pair));
        const float y = value(at, k, table.map.second(pair));
        const float c = table.rotation ? table.rotation->cosine(token, pair) / 16384.0f : 1.0f;
        const float s = table.rotation ? table.rotation->sine(token, pair) / 16384.0f : 0.0f;
        a[token] = x * c + y * s;
        b[token] = y * c - x * s;
      }
      sums[pair] += (around_midpoint(a) + around_midpoint(b)) / 2;
    }
  }

 private:
  float value(const std::byte* at, const speckv_view& k, size_t channel) const {
    uint16_t bits;
    std::memcpy(&bits, at + int64_t(channel) * k.channel_stride, 2);
    return half_to_float(bits, layout_.dtype);
  }
  double around_midpoint(const float* values) const {
    const auto [low, high] = std::minmax_element(values, values + layout_.page_tokens);
    const double middle = (double(*low) + double(*high)) / 2;
    double sum = 0;
    for (uint32_t i = 0; i < layout_.page_tokens; i++) {
      sum += (values[i] - middle) * (values[i] - middle);
    }
    return sum / layout_.page_tokens;
  }

  const speckv_layout& layout_;
  const codec::ChanTables& tables_;
};

codec::ChanWeight weight_of(double query, double residual) {
  const double product = query * residual;
  if (!(product > 0)) return codec::chan_weight_dead;
  return codec::ChanWeight(std::clamp(std::lround(256 * std::log2(product)), -32000l, 32000l));
}

bool run_text(llama_context* context, std::span<const llama_token> tokens, std::string* ret_why) {
  constexpr size_t step = 256;
  std::vector<llama_token> copy(tokens.begin(), tokens.end());
  for (size_t at = 0; at < copy.size(); at += step) {
    const auto count = int32_t(std::min(step, copy.size() - at));
    if (llama_decode(context, llama_batch_get_one(&copy[at], count)) == 0) continue;
    *ret_why = "llama_decode failed at token " + std::to_string(at);
    return false;
  }
  return true;
}

struct ContextPtr {
  explicit ContextPtr(llama_context* c) : context(c) {}
  ~ContextPtr() { llama_free(context); }
  ContextPtr(const ContextPtr&) = delete;
  ContextPtr& operator=(const ContextPtr&) = delete;
  llama_context* context;
};

llama_context* make_context(llama_model* model, uint32_t tokens, int threads, void* sums) {
  llama_context_params params = llama_context_default_params();
  params.n_ctx = tokens + 64;
  params.n_batch = params.n_ubatch = 256;
  params.n_threads = params.n_threads_batch = threads;
  params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_ENABLED;
  params.no_perf = true;
  params.cb_eval = sums ? QuerySums::on_tensor : nullptr;
  params.cb_eval_user_data = sums;
  return llama_init_from_model(model, params);
}

bool layout_of(llama_model* model, const CalibrationOptions& options, speckv_layout* ret_layout,
               StateShape* ret_shape, std::string* ret_why) {
  const ContextPtr probe(make_context(model, 64, options.threads, nullptr));
  if (!probe.context) {
    *ret_why = "llama.cpp gave no context for this model";
    return false;
  }
  return probe_shape(probe.context, ret_shape, ret_why) &&
         describe_layout(model, *ret_shape, options.page_tokens, options.page_tokens, ret_layout,
                         ret_why);
}

}  // namespace

bool calibrate(llama_model* model, std::span<const llama_token> tokens,
               const CalibrationOptions& options, codec::ChanWeights* ret_weights,
               std::string* ret_why) {
  speckv_layout layout;
  StateShape shape;
  if (!layout_of(model, options, &layout, &shape, ret_why)) return false;
  const auto tables = codec::ChanTables::make(layout, nullptr, ret_why);
  if (!tables) return false;
  const size_t count = std::min<size_t>(tokens.size(), options.tokens_max);
  const uint32_t pages = uint32_t(count / options.page_tokens);
  if (pages < 4) {
    *ret_why = "the text has " + std::to_string(count) + " tokens; at least four pages are needed";
    return false;
  }
  const codec::PairMap map = tables->at(0, 0).map;
  QuerySums queries(layout, map);
  const ContextPtr run(make_context(model, uint32_t(count), options.threads, &queries));
  if (!run.context || !run_text(run.context, tokens.first(count), ret_why)) return false;
  if (!queries.seen()) {
    *ret_why = "this model's graph has no tensor Qcur after RoPE, so its queries are not known";
    return false;
  }
  std::vector<std::byte> blob(state_bytes(shape, uint32_t(count)));
  StateMap state;
  if (!save_tokens(run.context, shape, 0, -1, 0, uint32_t(count), blob, &state, ret_why))
    return false;
  ret_weights->layers = uint16_t(layout.layers);
  ret_weights->kv_heads = uint16_t(layout.kv_heads);
  ret_weights->pairs = uint16_t(map.pairs());
  ret_weights->weight.clear();
  const ResidualSums residuals(layout, *tables);
  for (uint32_t layer = 0; layer < layout.layers; layer++)
    for (uint32_t head = 0; head < layout.kv_heads; head++) {
      std::vector<double> sums(map.pairs());
      for (uint32_t page = 1; page < pages; page++)  // page 0 is stored otherwise
        residuals.add_page(state.k(layer, page * options.page_tokens), layer, head, sums.data());
      for (size_t pair = 0; pair < map.pairs(); pair++) {
        const size_t index = (layer * layout.kv_heads + head) * map.pairs() + pair;
        ret_weights->weight.push_back(weight_of(queries.mean(index), sums[pair] / (pages - 1)));
      }
    }
  return true;
}

}  // namespace speckv::llama
