// SPDX-License-Identifier: Apache-2.0
// arm_speckv.cpp - see arm_speckv.hpp.
#include "arm_speckv.hpp"

#include "workload.hpp"

namespace speckv::qa {

namespace {

constexpr llama_seq_id kSequence = 0;
constexpr llama_seq_id kSpare = 1;

}  // namespace

uint32_t Speckv::restore(uint32_t session, const Tokens& prompt) {
  context_.clear();
  // one token at least is computed: its logits choose the answer's first
  const std::vector<Key> keys = store_->keys(prompt, prompt.size() - 1);
  const uint32_t hits = store_->leading_hits(keys);
  const uint32_t arrived = store_->load(std::span(keys).first(hits));
  if (arrived == 0) return 0;
  const uint32_t known = arrived * store_->block_tokens();
  std::string why;
  if (!llama::restore_tokens(context_.get(), store_->blob(), kSequence, known, &why)) {
    throw Failure(why);
  }
  return known;
}

void Speckv::keep(uint32_t session, const Tokens& tokens, uint32_t reused) {
  const std::vector<Key> keys = store_->keys(tokens, tokens.size());
  const uint32_t first = reused / store_->block_tokens();
  store_->save(context_, kSequence, kSpare, keys, first, uint32_t(keys.size()) - first);
  put_.insert(keys.begin(), keys.end());
}

Holding Speckv::holding() const {
  const std::vector<Key> keys(put_.begin(), put_.end());
  return {store_->hits(keys) * store_->block_bytes(), 0};
}

}  // namespace speckv::qa
