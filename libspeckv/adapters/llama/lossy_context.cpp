// SPDX-License-Identifier: Apache-2.0
// lossy_context.cpp - see lossy_context.hpp.
#include "lossy_context.hpp"

#include <algorithm>
#include <stdexcept>

#include "codec/segment.hpp"

namespace speckv::llama {

namespace {

void require(bool good, const std::string& why) {
  if (!good) throw std::runtime_error(why);
}

codec::Plane plane(const speckv_view& view) {
  return {static_cast<std::byte*>(view.base), view.token_stride, view.head_stride,
          view.channel_stride};
}
codec::ConstPlane const_plane(const speckv_view& view) {
  return {static_cast<const std::byte*>(view.base), view.token_stride, view.head_stride,
          view.channel_stride};
}

}  // namespace

LossyContext::LossyContext(llama_model* model, const Variant& variant, uint32_t tokens_max,
                           int threads)
    : tap_(model),
      variant_(variant),
      vocabulary_(uint32_t(llama_vocab_n_tokens(llama_model_get_vocab(model)))),
      tokens_max_(tokens_max) {
  open(model, threads);
  try {
    if (variant.preset) describe();
  } catch (...) {
    llama_free(context_);
    throw;
  }
}

LossyContext::~LossyContext() { llama_free(context_); }

void LossyContext::open(llama_model* model, int threads) {
  llama_context_params params = llama_context_default_params();
  params.n_ctx = tokens_max_;
  params.n_batch = params.n_ubatch = step_tokens;
  params.n_threads = params.n_threads_batch = threads;
  params.type_k = params.type_v = variant_.kv_type;
  params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_ENABLED;
  params.swa_full = true;  // pages are changed where their positions say
  params.no_perf = true;
  if (variant_.preset) tap_.attach(&params);
  context_ = llama_init_from_model(model, params);
  require(context_, "llama.cpp gave no context for " + variant_.name);
}

void LossyContext::describe() {
  std::string why;
  const llama_token token = 0;
  step({&token, 1}, false);
  require(tap_.describe(variant_.page_tokens, &layout_, &why), why);
  clear();
  if (variant_.weights)
    std::copy_n(variant_.weights->weights_digest, SPECKV_DIGEST_BYTES, layout_.weights_digest);
  choose_presets();
  tables_ = codec::ChanTables::make(layout_, variant_.weights, &why);
  require(tables_ != nullptr, why);
  for (const codec::Preset& preset : presets_)
    for (bool first : {false, true})
      stored_bytes_.resize(
          std::max(stored_bytes_.size(), codec::segment_bytes(layout_, preset, first)));
  if (!variant_.strict) return;
  require(variant_.page_tokens == step_tokens && !variant_.block_tokens,
          "strict needs pages of 32 tokens, each a block");
  tap_.on_stored = [this](uint32_t layer) { round_trip(layer, tokens_); };
}

void LossyContext::choose_presets() {
  for (uint32_t layer = 0; layer < layout_.layers; layer++) {
    uint32_t chosen = variant_.preset;
    for (const LayerPreset& other : variant_.layers)
      if (layer >= other.first && layer <= other.last && (layer - other.first) % other.step == 0)
        chosen = other.preset;
    presets_.emplace_back();
    codec::Preset& preset = presets_.back();
    require(codec::preset_for(layout_, chosen, &preset), "no such preset");
    preset.k = variant_.k.value_or(preset.k);
    preset.v = variant_.v.value_or(preset.v);
    require(codec::segment_bytes(layout_, preset, true) > 0, "a codec does not take these pages");
  }
}

void LossyContext::clear() {
  llama_memory_clear(llama_get_memory(context_), false);
  tokens_ = 0;
  raw_ = stored_ = refused_ = 0;
}

std::span<const float> LossyContext::step(std::span<const llama_token> tokens, bool logits) {
  const uint32_t count = uint32_t(tokens.size());
  const uint32_t room = step_tokens - tokens_ % step_tokens;
  require(count > 0 && count <= room && tokens_ + count <= tokens_max_, "a step of wrong length");
  llama_batch batch = llama_batch_init(int32_t(count), 0, 1);
  for (uint32_t i = 0; i < count; i++) {
    batch.token[i] = tokens[i];
    batch.pos[i] = llama_pos(tokens_ + i);
    batch.n_seq_id[i] = 1;
    batch.seq_id[i][0] = 0;
    batch.logits[i] = logits || i + 1 == count;
  }
  batch.n_tokens = int32_t(count);
  tap_.expect(tokens_);
  const int error = llama_decode(context_, batch);
  llama_batch_free(batch);
  require(error == 0, "llama_decode gave " + std::to_string(error));
  require(tap_.in_order(), "llama.cpp did not put the tokens into its cache in order");
  tokens_ += count;
  const uint32_t block = std::max(variant_.block_tokens, variant_.page_tokens);
  if (tables_ && !variant_.strict && tokens_ % block == 0)
    for (uint32_t first = tokens_ - block; first < tokens_; first += variant_.page_tokens)
      for (uint32_t layer = 0; layer < layout_.layers; layer++) round_trip(layer, first);
  if (!logits) return {};
  return {llama_get_logits(context_), size_t(count) * vocabulary_};
}

void LossyContext::round_trip(uint32_t layer, uint32_t first) {
  const speckv_view k = tap_.k(layer, first), v = tap_.v(layer, first);
  const bool opening = first == 0 && variant_.first_apart;
  const codec::Preset& preset = presets_[layer];
  const size_t bytes = codec::segment_bytes(layout_, preset, opening);
  const uint64_t raw = uint64_t(4) * layout_.kv_heads * layout_.head_dim * variant_.page_tokens;
  raw_ += raw;
  for (uint32_t i = 0; i < variant_.generations; i++) {
    uint64_t sum = 0;
    const codec::Refusal refusal =
        codec::encode_segment(layout_, preset, layer, opening, {const_plane(k), const_plane(v)},
                              stored_bytes_, &sum, tables_->data());
    if (refusal != codec::Refusal::none) {  // the daemon would keep it raw
      stored_ += raw;
      refused_++;
      return;
    }
    codec::decode_segment(layout_, preset, layer, opening, std::span(stored_bytes_).first(bytes),
                          {plane(k), plane(v)}, false, tables_->data());
  }
  stored_ += bytes;
  disturb(k);
  disturb(v);
}

void LossyContext::disturb(const speckv_view& view) const {
  if (!variant_.noise) return;
  const uint32_t channels = layout_.head_dim, page = variant_.page_tokens * channels;
  for (uint32_t i = 0; i < layout_.kv_heads * page; i += variant_.noise) {
    const ptrdiff_t head = i / page, token = i % page / channels, channel = i % channels;
    auto* value = static_cast<uint16_t*>(static_cast<void*>(
        static_cast<std::byte*>(view.base) + head * ptrdiff_t(view.head_stride) +
        token * ptrdiff_t(view.token_stride) + channel * ptrdiff_t(view.channel_stride)));
    *value ^= 1;
  }
}

}  // namespace speckv::llama
