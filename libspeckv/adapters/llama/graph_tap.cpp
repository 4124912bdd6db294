// SPDX-License-Identifier: Apache-2.0
// graph_tap.cpp - see graph_tap.hpp. Names of tensors are llama.cpp's: cache_k_l3, Qcur-3, Kcur-3.
#include "graph_tap.hpp"

#include <cstdio>
#include <cstring>

#include "ggml-backend.h"
#include "sequence.hpp"

namespace speckv::llama {

namespace {

constexpr uint32_t kLayersMax = SPECKV_LAYERS_MAX;

// Returns: whether `name` is prefix and a layer's number.
bool layer_of(const char* name, const char* format, uint32_t* ret_layer) {
  unsigned layer = 0;
  int end = -1;
  char whole[64];
  std::snprintf(whole, sizeof whole, "%s%%n", format);
  if (std::sscanf(name, whole, &layer, &end) != 1 || end < 0 || name[end] != 0) return false;
  *ret_layer = layer;
  return layer < kLayersMax;
}

// The cache that a SET_ROWS writes, below its views.
const ggml_tensor& root_of(const ggml_tensor& tensor) {
  return tensor.view_src ? root_of(*tensor.view_src) : tensor;
}

bool is_rope_of(const ggml_tensor& tensor, const char* format, uint32_t* ret_layer) {
  return tensor.op == GGML_OP_ROPE && layer_of(tensor.name, format, ret_layer);
}

}  // namespace

void GraphTap::attach(llama_context_params* params) {
  params->cb_eval = on_tensor;
  params->cb_eval_user_data = this;
}

bool GraphTap::on_tensor(ggml_tensor* tensor, bool ask, void* self) {
  auto* tap = static_cast<GraphTap*>(self);
  if (ask) return tap->ask(*tensor);
  tap->done(*tensor);
  return true;
}

GraphTap::LayerCache& GraphTap::cache(uint32_t layer) {
  if (caches_.size() <= layer) caches_.resize(layer + 1);
  return caches_[layer];
}

// Before a node runs; its inputs are there. Returns: whether to stop after it.
bool GraphTap::ask(const ggml_tensor& tensor) {
  uint32_t layer = 0;
  if (is_rope_of(tensor, "Kcur-%u", &layer)) {
    std::memcpy(&cache(layer).theta, &tensor.op_params[5], sizeof(float));
    return false;
  }
  if (tensor.op == GGML_OP_SET_ROWS) {
    learn_cache(tensor);
    return bool(on_stored);
  }
  return on_query && is_rope_of(tensor, "Qcur-%u", &layer);
}

void GraphTap::done(const ggml_tensor& tensor) {
  uint32_t layer = 0;
  if (on_query && is_rope_of(tensor, "Qcur-%u", &layer)) return on_query(layer, tensor);
  const char* name = root_of(tensor).name;
  const bool stored = tensor.op == GGML_OP_SET_ROWS && (layer_of(name, "cache_k_l%u", &layer) ||
                                                        layer_of(name, "cache_v_l%u", &layer));
  if (on_stored && stored && ++cache(layer).fresh % 2 == 0) on_stored(layer);
}

void GraphTap::learn_cache(const ggml_tensor& tensor) {
  const ggml_tensor& rows = root_of(tensor);
  uint32_t layer = 0;
  if (layer_of(rows.name, "cache_k_l%u", &layer)) {
    cache(layer).k = &rows;
  } else if (layer_of(rows.name, "cache_v_l%u", &layer)) {
    cache(layer).v = &rows;
  } else {
    return;
  }
  check_rows(tensor);
}

void GraphTap::check_rows(const ggml_tensor& tensor) {
  const ggml_tensor* where = tensor.src[1];
  if (!where || where->type != GGML_TYPE_I64 || !where->data) {
    in_order_ = false;
    return;
  }
  const auto* rows = static_cast<const int64_t*>(where->data);
  for (int64_t i = 0; i < where->ne[0]; i++) {
    in_order_ = in_order_ && rows[i] == int64_t(tokens_) + i;
  }
}

speckv_view GraphTap::view(const ggml_tensor* rows, uint32_t first) const {
  const int64_t row_bytes = int64_t(rows->nb[1]);
  const int64_t heads = llama_model_n_head_kv(model_);
  return {static_cast<std::byte*>(rows->data) + row_bytes * int64_t(first), row_bytes,
          row_bytes / heads, 2};
}

bool GraphTap::one_shape(std::string* ret_why) const {
  const int64_t heads = llama_model_n_head_kv(model_);
  for (const LayerCache& layer : caches_) {
    const bool both = layer.k && layer.v;
    if (!both || layer.k->ne[0] != caches_[0].k->ne[0] || layer.v->ne[0] != layer.k->ne[0] ||
        layer.k->type != caches_[0].k->type || layer.v->type != layer.k->type) {
      *ret_why = "the KV of layer " + std::to_string(&layer - caches_.data()) +
                 " has another shape than layer 0's or none; speckv's layouts have one for all";
      return false;
    }
    if (!ggml_backend_buffer_is_host(layer.k->buffer)) {
      *ret_why = "the KV cache is not in the CPU's memory";
      return false;
    }
  }
  if (caches_.empty() || heads < 1 || caches_[0].k->ne[0] % heads != 0) {
    *ret_why = "no K and V caches were seen; they need flash attention, and a token decoded";
    return false;
  }
  return true;
}

bool GraphTap::describe(uint32_t page_tokens, speckv_layout* ret_layout,
                        std::string* ret_why) const {
  if (!one_shape(ret_why)) return false;
  const ggml_tensor& k = *caches_[0].k;
  if (k.type != GGML_TYPE_F16 && k.type != GGML_TYPE_BF16) {
    *ret_why = "the KV cache is of type " + std::string(ggml_type_name(k.type)) +
               "; open the context with f16 or bf16";
    return false;
  }
  StateShape shape;
  shape.layers = uint32_t(caches_.size());
  shape.kv_heads = uint32_t(llama_model_n_head_kv(model_));
  shape.head_dim = uint32_t(k.ne[0]) / shape.kv_heads;
  shape.dtype = k.type == GGML_TYPE_BF16 ? SPECKV_DTYPE_BF16 : SPECKV_DTYPE_F16;
  if (!describe_layout(model_, shape, page_tokens, page_tokens, ret_layout, ret_why)) return false;
  for (uint32_t layer = 0; layer < shape.layers; layer++)
    if (caches_[layer].theta > 0) ret_layout->rope_theta[layer] = caches_[layer].theta;
  return true;
}

}  // namespace speckv::llama
