// SPDX-License-Identifier: Apache-2.0
// layout.hpp - describes a llama_context's KV to speckv, so that two contexts share a fingerprint
// only where equal tokens give equal K and V.
//
// What it is: the model file's part (shape, RoPE) and the context's (what it was opened with).
// llama.cpp has no call that tells the latter, so the caller hands in what it opened the context
// with: an argument, because what can be forgotten is wrong KV later. Who calls it: servers and
// tests/bench/qa (describe_layout), graph_tap (describe_model). Never: reads KV. Threading:
// reentrant.
//
// Not part of a layout, because they change K and V by rounding alone: threads, batch sizes,
// devices and what is repacked.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "llama.h"
#include "state.hpp"

namespace speckv::llama {

// An adapter as llama_adapter_lora_init() and llama_set_adapters_lora() got it.
struct Lora {
  std::string path;
  float scale = 1;
};

// Everything a context was opened with, and what was set on it since. A server whose adapters
// change describes the context again.
struct Opening {
  llama_model_params model;      // of llama_model_load_from_file(); kv_overrides are read
  llama_context_params context;  // of llama_init_from_model()
  std::vector<Lora> loras;       // active ones, in llama_set_adapters_lora()'s order
  bool control_vector = false;   // llama_set_adapter_cvec(): its KV is refused
  std::string engine = "llama.cpp b10359";  // enters the digest: another build, other rounding
};

// Describes the KV of `context`. Sets everything but weights_digest, preset, rank, world and
// first_layer, which stay the caller's: variant_digest covers engine, flash attention, RoPE's
// scale and YaRN, long factors, LoRA files and scales, overridden keys; rope_theta is the base in
// use. Returns: false with one sentence when the context keeps what no layout says (a control
// vector, M-RoPE, an MTP context), or `opening` is not what this context was opened with.
[[nodiscard]] bool describe_layout(const llama_context* context, const Opening& opening,
                                   const StateShape& shape, uint32_t block_tokens,
                                   uint32_t page_tokens, speckv_layout* ret_layout,
                                   std::string* ret_why);

// The model file's part alone: no digests, and the file's RoPE base. For who sees the graph itself.
[[nodiscard]] bool describe_model(const llama_model* model, const StateShape& shape,
                                  uint32_t block_tokens, uint32_t page_tokens,
                                  speckv_layout* ret_layout, std::string* ret_why);

}  // namespace speckv::llama
