// SPDX-License-Identifier: Apache-2.0
// lossy_context.hpp - a llama.cpp context that sees its past as the pool would give it back.
//
// step() computes a few tokens; as soon as a page (or a block of them) is full its K and V are
// encoded and decoded by the preset, in the cache itself, so that every later token reads
// decompressed pages while the open one stays as computed: what a server with speckv does. The
// first page is stored as a sequence's first page is. Without a preset nothing is written back
// (fp16, or ggml's own types). Who calls it: speckv-calibrate --validate and tests/quality.
// Threading: one thread a context.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "codec/chan_table.hpp"
#include "codec/codec.hpp"
#include "ggml.h"
#include "graph_tap.hpp"

namespace speckv::llama {

inline constexpr uint32_t step_tokens = 32;  // at most, and never past a multiple of it

// Layers first, first + step, ... up to last take another preset.
struct LayerPreset {
  uint32_t first, last, step, preset;
};

struct Variant {
  std::string name;
  uint32_t preset = 0;  // 0: KV stays as the engine keeps it
  const codec::ChanWeights* weights = nullptr;
  ggml_type kv_type = GGML_TYPE_F16;  // of the engine's own cache
  uint32_t page_tokens = 32;          // 32 or 64
  uint32_t block_tokens = 0;          // pages are stored when so many tokens are; 0: each at once
  uint32_t generations = 1;           // times a page is encoded and decoded again
  std::vector<LayerPreset> layers = {};  // the later one counts; needs a preset for the others
  bool strict = false;  // even the newest page is compressed before anything reads it
  std::optional<codec::CodecId> k = {}, v = {};  // instead of the preset's, of all layers
  bool first_apart = true;  // false: the first page is stored as all others are
  uint32_t noise = 0;  // every so-many-th value comes back with its lowest bit flipped; 0: none
};

class LossyContext {
 public:
  // Throws std::runtime_error with one sentence.
  LossyContext(llama_model* model, const Variant& variant, uint32_t tokens_max, int threads);
  ~LossyContext();
  LossyContext(const LossyContext&) = delete;
  LossyContext& operator=(const LossyContext&) = delete;

  void clear();
  // Requires: no more tokens than are missing to the next multiple of step_tokens; whole steps when
  // strict. Returns: logits, tokens x vocabulary, empty when they are not wanted; valid until the
  // next call.
  std::span<const float> step(std::span<const llama_token> tokens, bool logits = true);
  uint32_t tokens() const { return tokens_; }
  // Raw and stored bytes of all full pages; 0 without a preset.
  double ratio() const { return stored_ ? double(raw_) / double(stored_) : 0; }
  uint64_t refused_segments() const { return refused_; }

 private:
  void open(llama_model* model, int threads);
  void describe();
  void choose_presets();
  void round_trip(uint32_t layer, uint32_t first);
  void disturb(const speckv_view& view) const;

  GraphTap tap_;
  llama_context* context_ = nullptr;
  Variant variant_;
  uint32_t vocabulary_;
  speckv_layout layout_{};
  std::vector<codec::Preset> presets_;  // of each layer
  std::unique_ptr<codec::ChanTables> tables_;
  std::vector<std::byte> stored_bytes_;
  uint32_t tokens_ = 0, tokens_max_;
  uint64_t raw_ = 0, stored_ = 0, refused_ = 0;
};

}  // namespace speckv::llama
