// SPDX-License-Identifier: Apache-2.0
// prompt_cache.cpp - see prompt_cache.hpp.
#include "prompt_cache.hpp"

#include <algorithm>
#include <cstring>

#include "llama/sequence.hpp"
#include "llama/weights.hpp"
#include "say.hpp"
#include "server-task.h"

namespace speckv::llama_server {

PromptCache& PromptCache::get() {
  static PromptCache cache;
  return cache;
}

bool PromptCache::refuse(const std::string& why) {
  if (!why.empty()) say_once(why + "; the server's own prompt cache is used instead");
  return false;
}

// What a context keeps is learnt once, from what the slot holds or from one token. A server that
// sleeps and wakes opens another.
bool PromptCache::learn(llama_context* context, llama_seq_id slot, const Opened& opened) {
  const uint64_t before = learnt_ ? speckv_layout_fingerprint(&layout_) : 0;
  std::string why;
  learnt_ = opened.number;
  good_ = false;
  if (!read_settings(&settings_, &why) || !llama::learn_shape(context, slot, &shape_, &why) ||
      !llama::describe_layout(context, opened.opening, shape_, kBlockTokens, kPageTokens, &layout_,
                              &why) ||
      !llama::weights_digest(opened.model_path, layout_.weights_digest, &why))
    return refuse(why);
  layout_.preset = settings_.preset;
  if (before != 0 && before != speckv_layout_fingerprint(&layout_)) store_.close();
  good_ = true;
  return true;
}

bool PromptCache::usable(llama_context* context, llama_seq_id slot, const server_tokens& tokens,
                         bool has_draft) {
  Opened opened;
  if (!context || !EngineWatch::get().find(context, &opened))
    return refuse("this context was not seen being opened");
  if (!opened.why.empty()) return refuse(opened.why);
  if (has_draft) return refuse("there is a draft model, whose KV must match and is not stored");
  if (tokens.has_mtmd) return refuse("prompts may hold images or sound, which no key covers");
  if (learnt_ != opened.number) (void)learn(context, slot, opened);
  if (!good_) return false;  // it was said why
  std::string why;
  const bool was_open = store_.is_open();
  if (!store_.open(settings_, layout_, &why)) return refuse(why);
  if (!was_open)
    say("prompts are kept in namespace " + settings_.name_space + ": blocks of " +
        std::to_string(kBlockTokens) + " tokens, " +
        std::to_string(speckv_block_bytes(&layout_) / 1024) + " KiB each before compression");
  return true;
}

bool PromptCache::save(const server_prompt& prompt, bool has_draft) {
  const Sized slot = EngineWatch::get().last_sized();
  if (!usable(slot.context, slot.seq, prompt.tokens, has_draft)) return false;
  llama_memory_t memory = llama_get_memory(slot.context);
  const llama_pos held = llama_memory_seq_pos_max(memory, slot.seq) + 1;
  const llama_pos unmoved = EngineWatch::get().unmoved(memory, slot.seq);
  std::vector<llama_token> tokens = prompt.tokens.get_tokens();
  tokens.resize(std::min<size_t>({tokens.size(), size_t(held), size_t(unmoved)}));
  const std::vector<Key> keys = store_.keys(tokens);
  const uint32_t stored = store_.stored(keys);
  if (stored == keys.size()) return true;
  blob_.resize(llama::state_bytes(shape_, uint32_t(held)));
  llama::StateMap map;
  std::string why;
  // what was moved lies behind the blocks that are put, so that it need not be turned now
  if (!llama::save_tokens(slot.context, shape_, slot.seq, -1, 0, uint32_t(held), blob_, &map, &why,
                          llama::Moved::no)) {
    say_once("a slot was not saved: " + why);
    return false;
  }
  const uint32_t put = store_.put(keys, stored, map);
  if (put == 0) return false;  // it was said why
  say("slot " + std::to_string(slot.seq) + ": " + std::to_string(put) + " blocks saved, " +
      std::to_string(stored) + " were there");
  return true;
}

bool PromptCache::restore(server_prompt& prompt, const server_tokens& wanted,
                          llama_context* context, bool has_draft, llama_seq_id slot, bool* ret_ok) {
  if (!usable(context, slot, wanted, has_draft)) return false;
  *ret_ok = true;
  const std::vector<llama_token>& tokens = wanted.get_tokens();
  std::vector<Key> keys = store_.keys(tokens);
  keys.resize(store_.reachable(keys));
  const size_t has = prompt.tokens.get_common_prefix(wanted);
  if (keys.size() * kBlockTokens <= has) return false;
  const auto count = uint32_t(keys.size()) * kBlockTokens;
  blob_.resize(llama::state_bytes(shape_, count));
  llama::StateMap map;
  std::string why;
  if (!llama::lay_out_state(shape_, 0, count, blob_, &map, &why)) {
    say_once("a prompt was not restored: " + why);
    return false;
  }
  const uint32_t arrived = store_.get(keys, map) * kBlockTokens;
  if (arrived <= has) return false;
  if (!llama::restore_tokens(context, blob_, slot, arrived, &why)) {
    say_once("a prompt was not restored: " + why);
    *ret_ok = false;
    return true;
  }
  EngineWatch::get().removed(llama_get_memory(context), slot, 0, -1);
  prompt.tokens = server_tokens(llama_tokens(tokens.begin(), tokens.begin() + arrived), false);
  prompt.checkpoints.clear();
  say("slot " + std::to_string(slot) + ": " + std::to_string(arrived) + " of " +
      std::to_string(tokens.size()) + " prompt tokens from the pool");
  return true;
}

}  // namespace speckv::llama_server
