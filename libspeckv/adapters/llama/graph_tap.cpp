// SPDX-License-Identifier: Apache-2.0
// graph_tap.cpp - see graph_tap.hpp. Names of tensors are llama.cpp's: cache_k_l3, Qcur-3.
#include "graph_tap.hpp"

#include <cmath>
#include <cstdio>
#include <cstring>

#include "ggml-backend.h"
#include "layout.hpp"

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
    cache(layer).turn = turn_of(tensor.src[0]);
  } else if (layer_of(rows.name, "cache_v_l%u", &layer)) {
    cache(layer).v = &rows;
  } else {
    return;
  }
  check_rows(tensor);
}

// Looks up the graph from what is stored to the RoPE that made it. Between them only what moves
// values or scales whole heads; a sum or product of matrices before any RoPE means there is none.
GraphTap::Turn GraphTap::turn_of(const ggml_tensor* stored) {
  const ggml_tensor* at = stored;
  while (at && (at->op == GGML_OP_VIEW || at->op == GGML_OP_RESHAPE || at->op == GGML_OP_PERMUTE ||
                at->op == GGML_OP_CONT || at->op == GGML_OP_CPY || at->op == GGML_OP_SCALE ||
                at->op == GGML_OP_RMS_NORM))
    at = at->src[0];
  Turn turn;
  if (!at || at->op != GGML_OP_ROPE) {
    const bool plain = at && (at->op == GGML_OP_MUL_MAT || at->op == GGML_OP_ADD ||
                              at->op == GGML_OP_MUL || at->op == GGML_OP_CLAMP);
    turn.how = plain ? Turn::none : Turn::unseen;
    return turn;
  }
  turn.how = Turn::seen;
  turn.dims = at->op_params[1];
  turn.mode = at->op_params[2];
  std::memcpy(&turn.theta, &at->op_params[5], sizeof(float));
  turn.factors = strays(*at);
  return turn;
}

// Whether a RoPE's angles leave position * theta^(-2i / dims) by more than half a radian in a page.
// Factors that stretch only slow pairs (Llama 3's, YaRN's) do not.
bool GraphTap::strays(const ggml_tensor& rope) {
  constexpr double page_tokens = 32, most = 0.5;
  float theta, scale, extrapolation;
  std::memcpy(&theta, &rope.op_params[5], sizeof theta);
  std::memcpy(&scale, &rope.op_params[6], sizeof scale);
  std::memcpy(&extrapolation, &rope.op_params[7], sizeof extrapolation);
  const bool offset = rope.op_params[15] != 0;
  if (extrapolation != 0) scale = 1;  // YaRN leaves fast pairs alone
  const ggml_tensor* table = rope.src[2];
  const bool readable = table && table->data && table->type == GGML_TYPE_F32 &&
                        ggml_backend_buffer_is_host(table->buffer);
  for (int i = 0; i < rope.op_params[1] / 2; i++) {
    const double factor = readable ? double(static_cast<const float*>(table->data)[i]) : 1;
    const double speed = std::pow(double(theta), -2.0 * i / rope.op_params[1]);
    if (page_tokens * speed * std::abs(double(scale) / factor - 1) > most) return true;
  }
  return offset || (table && !readable);
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
  if (!describe_model(model_, shape, page_tokens, page_tokens, ret_layout, ret_why)) return false;
  take_turns(ret_layout);
  return true;
}

// The first layer whose RoPE was seen speaks for the model.
const GraphTap::Turn* GraphTap::model_turn() const {
  for (const LayerCache& layer : caches_)
    if (layer.turn.how == Turn::seen) return &layer.turn;
  return nullptr;
}

void GraphTap::take_turns(speckv_layout* layout) const {
  const Turn* model = model_turn();
  if (!model) return;
  if (model->mode == GGML_ROPE_TYPE_NORMAL) layout->rope = SPECKV_ROPE_INTERLEAVED;
  if (model->mode == GGML_ROPE_TYPE_NEOX) layout->rope = SPECKV_ROPE_HALF;
  layout->rope_dims = uint32_t(model->dims);
  for (uint32_t layer = 0; layer < layout->layers; layer++)
    if (caches_[layer].turn.how == Turn::seen)
      layout->rope_theta[layer] = caches_[layer].turn.theta;
}

std::string GraphTap::rope_note() const {
  const Turn* model = model_turn();
  std::string layers;
  for (size_t layer = 0; model && layer < caches_.size(); layer++) {
    const Turn& turn = caches_[layer].turn;
    const bool same = turn.how == Turn::seen && !turn.factors && turn.dims == model->dims &&
                      turn.mode == model->mode;
    if (!same) layers.append(layers.empty() ? "" : ", ").append(std::to_string(layer));
  }
  if (layers.empty()) return {};
  return "how K is turned in layers " + layers +
         " is more than a base says (factors, or no RoPE at all): their K compresses worse";
}

}  // namespace speckv::llama
