// SPDX-License-Identifier: Apache-2.0
// lossy_context.cpp - see lossy_context.hpp.
#include "lossy_context.hpp"

#include <algorithm>
#include <stdexcept>

#include "codec/segment.hpp"

namespace speckv::quality {

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
                           uint32_t page_tokens, int threads)
    : variant_(variant),
      page_tokens_(page_tokens),
      vocabulary_(uint32_t(llama_vocab_n_tokens(llama_model_get_vocab(model)))),
      tokens_max_(tokens_max) {
  llama_context_params params = llama_context_default_params();
  params.n_ctx = tokens_max;
  params.n_batch = params.n_ubatch = page_tokens;
  params.n_threads = params.n_threads_batch = threads;
  params.type_k = params.type_v = variant.kv_type;
  params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_ENABLED;
  params.no_perf = true;
  context_ = llama_init_from_model(model, params);
  require(context_, "llama.cpp gave no context for " + variant.name);
  if (!variant.preset) return;
  std::string why;
  require(llama::probe_shape(context_, &shape_, &why), why);
  require(llama::describe_layout(model, shape_, page_tokens, page_tokens, &layout_, &why), why);
  if (variant.weights)
    std::copy_n(variant.weights->weights_digest, SPECKV_DIGEST_BYTES, layout_.weights_digest);
  require(codec::preset_for(layout_, variant.preset, &preset_), "no such preset");
  tables_ = codec::ChanTables::make(layout_, variant.weights, &why);
  require(tables_ != nullptr, why);
  page_blob_.resize(llama::state_bytes(shape_, page_tokens));
  stored_bytes_.resize(std::max(codec::segment_bytes(layout_, preset_, true),
                                codec::segment_bytes(layout_, preset_, false)));
}

LossyContext::~LossyContext() { llama_free(context_); }

void LossyContext::clear() {
  llama_memory_clear(llama_get_memory(context_), true);
  tokens_ = 0;
  raw_ = stored_ = 0;
}

std::span<const float> LossyContext::step(std::span<const llama_token> tokens) {
  require(tokens.size() == page_tokens_ && tokens_ + page_tokens_ <= tokens_max_, "a wrong page");
  llama_batch batch = llama_batch_init(int32_t(page_tokens_), 0, 1);
  for (uint32_t i = 0; i < page_tokens_; i++) {
    batch.token[i] = tokens[i];
    batch.pos[i] = llama_pos(tokens_ + i);
    batch.n_seq_id[i] = 1;
    batch.seq_id[i][0] = 0;
    batch.logits[i] = 1;
  }
  batch.n_tokens = int32_t(page_tokens_);
  const int error = llama_decode(context_, batch);
  llama_batch_free(batch);
  require(error == 0, "llama_decode gave " + std::to_string(error));
  tokens_ += page_tokens_;
  const std::span<const float> logits(llama_get_logits(context_),
                                      size_t(page_tokens_) * vocabulary_);
  if (variant_.preset) write_back();
  return logits;
}

// The whole sequence goes out, its newest page through the codec, and comes back: llama.cpp has no
// smaller door. Earlier pages are what the codec made of them, and fp16 copies are exact.
void LossyContext::write_back() {
  std::string why;
  blob_.resize(llama::state_bytes(shape_, tokens_));
  require(llama::save_tokens(context_, shape_, 0, -1, 0, tokens_, blob_, &all_, &why), why);
  for (uint32_t layer = 0; layer < layout_.layers; layer++) round_trip(layer);
  require(llama::restore_tokens(context_, blob_, 0, tokens_, &why), why);
}

void LossyContext::round_trip(uint32_t layer) {
  const uint32_t first = tokens_ - page_tokens_;
  const speckv_view k = all_.k(layer, first), v = all_.v(layer, first);
  const bool opening = first == 0;
  uint64_t sum = 0;
  const codec::Refusal refusal =
      codec::encode_segment(layout_, preset_, layer, opening, {const_plane(k), const_plane(v)},
                            stored_bytes_, &sum, tables_->data());
  const uint64_t raw = 2 * shape_.row_bytes() * page_tokens_;
  raw_ += raw;
  if (refusal != codec::Refusal::none) {  // the daemon would keep it raw
    stored_ += raw;
    return;
  }
  const size_t bytes = codec::segment_bytes(layout_, preset_, opening);
  stored_ += bytes;
  codec::decode_segment(layout_, preset_, layer, opening, std::span(stored_bytes_).first(bytes),
                        {plane(k), plane(v)}, false, tables_->data());
}

}  // namespace speckv::quality
