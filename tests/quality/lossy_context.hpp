// SPDX-License-Identifier: Apache-2.0
// lossy_context.hpp - a llama.cpp context that sees its past as the pool would give it back.
//
// step() computes one page of tokens and returns their logits; then the page's K and V are encoded
// and decoded by the preset and written back, so that every later token reads decompressed pages
// while the open page stays as computed: what a server with speckv does. Page 0 is stored as a
// sequence's first page is. Without a preset nothing is written back (fp16, or ggml's own types).
// Threading: one thread.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "codec/chan_table.hpp"
#include "llama/sequence.hpp"
#include "speckv/speckv.h"

namespace speckv::quality {

struct Variant {
  std::string name;
  uint32_t preset = 0;  // 0: KV stays as the engine keeps it
  const codec::ChanWeights* weights = nullptr;
  ggml_type kv_type = GGML_TYPE_F16;  // of the engine's own cache
};

class LossyContext {
 public:
  // Throws std::runtime_error with one sentence.
  LossyContext(llama_model* model, const Variant& variant, uint32_t tokens_max,
               uint32_t page_tokens, int threads);
  ~LossyContext();
  LossyContext(const LossyContext&) = delete;
  LossyContext& operator=(const LossyContext&) = delete;

  void clear();
  // Requires: tokens.size() == page_tokens. Returns: logits, page_tokens x vocabulary.
  std::span<const float> step(std::span<const llama_token> tokens);
  // Stored and raw bytes of all pages so far; equal without a preset.
  double ratio() const { return stored_ ? double(raw_) / double(stored_) : 0; }

 private:
  void write_back();
  void round_trip(uint32_t layer);

  llama_context* context_ = nullptr;
  Variant variant_;
  uint32_t page_tokens_, vocabulary_;
  llama::StateShape shape_;
  speckv_layout layout_{};
  codec::Preset preset_{};
  std::unique_ptr<codec::ChanTables> tables_;
  std::vector<std::byte> page_blob_, blob_, stored_bytes_;
  llama::StateMap page_, all_;
  uint32_t tokens_ = 0, tokens_max_;
  uint64_t raw_ = 0, stored_ = 0;
};

}  // namespace speckv::quality
