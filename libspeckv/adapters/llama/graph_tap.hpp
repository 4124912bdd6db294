// SPDX-License-Identifier: Apache-2.0
// graph_tap.hpp - watches a llama_context's graph as it runs: where each layer's K and V cache
// lies, how K is turned there, and, for who asks, queries and fresh KV as they come by.
//
// What for: calibration and quality tables, on any model that llama.cpp runs with flash attention
// on the CPU: sliding windows too, whose state blobs hold two caches. Who calls it: calibration and
// lossy_context. Never: serves requests; a server reads and writes sequences (sequence.hpp).
// Threading: as its context's. Lifetime: longer than its context.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "ggml.h"
#include "llama.h"
#include "speckv/speckv.h"

namespace speckv::llama {

class GraphTap {
 public:
  explicit GraphTap(const llama_model* model) : model_(model) {}

  // Called with the queries of a layer after RoPE, [head_dim, heads, tokens] of F32.
  std::function<void(uint32_t layer, const ggml_tensor& query)> on_query;
  // Called when the newest tokens' K and V are in their cache and nothing has read them yet. May
  // change them: attention then sees what it left.
  std::function<void(uint32_t layer)> on_stored;

  // Sets the two callback fields; the caller makes its context with them.
  void attach(llama_context_params* params);

  // After one llama_decode(): describes the cache as a layout with blocks of one page. How K is
  // turned (pairing, channels, base of each layer) is what the graph did; the model file answers
  // where the graph shows no RoPE before the cache. Returns: false with one sentence when the
  // layers differ, are not 16-bit rows in memory of the CPU, or nothing says how K is turned.
  [[nodiscard]] bool describe(uint32_t page_tokens, speckv_layout* ret_layout,
                              std::string* ret_why) const;

  // After describe(): one sentence on layers whose K is turned as no layout can say (factors on the
  // angles, no RoPE beside layers that have it, other channels than layer 0's), empty when there
  // are none. Pages stay within their codec's bounds; such layers compress worse.
  std::string rope_note() const;

  // One layer's K or V from token `first` on. Requires: describe() was true. Tokens lie where their
  // positions say; in_order() is false once llama.cpp put one elsewhere.
  speckv_view k(uint32_t layer, uint32_t first) const { return view(caches_[layer].k, first); }
  speckv_view v(uint32_t layer, uint32_t first) const { return view(caches_[layer].v, first); }
  bool in_order() const { return in_order_; }

  // Tell how many tokens the cache holds before the next llama_decode().
  void expect(uint32_t tokens) { tokens_ = tokens; }

 private:
  // How a layer's K is turned before the cache takes it.
  struct Turn {
    enum { unseen, none, seen } how = unseen;
    int dims = 0, mode = 0;
    float theta = 0;
    bool factors = false;  // angles that are more than position * theta^(-2i / dims)
  };
  struct LayerCache {
    const ggml_tensor* k = nullptr;
    const ggml_tensor* v = nullptr;
    Turn turn;
    uint32_t fresh = 0;
  };

  static bool on_tensor(ggml_tensor* tensor, bool ask, void* self);
  bool ask(const ggml_tensor& tensor);
  void done(const ggml_tensor& tensor);
  void learn_cache(const ggml_tensor& tensor);
  void check_rows(const ggml_tensor& tensor);
  static Turn turn_of(const ggml_tensor* stored);
  static bool strays(const ggml_tensor& rope);
  const Turn* model_turn() const;
  void take_turns(speckv_layout* layout) const;
  LayerCache& cache(uint32_t layer);
  speckv_view view(const ggml_tensor* rows, uint32_t first) const;
  bool one_shape(std::string* ret_why) const;

  const llama_model* model_;
  std::vector<LayerCache> caches_;
  uint32_t tokens_ = 0;
  bool in_order_ = true;
};

}  // namespace speckv::llama
