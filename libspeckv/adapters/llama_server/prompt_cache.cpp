// SPDX-License-Identifier: Apache-2.0
// prompt_cache.cpp - see prompt_cache.hpp.
#include "prompt_cache.hpp"

#include <algorithm>
#include <cstring>

#include "llama/sequence.hpp"
#include "llama/weights.hpp"
#include "say.hpp"
#include "server-task.h"
#include "slot_tokens.hpp"

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
  fine_ = layout_;
  fine_.block_tokens = fine_.page_tokens = kFineTokens;
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
  if (!store_.open(settings_, layout_, fine_, &why)) return refuse(why);
  if (!was_open)
    say("prompts are kept in namespace " + settings_.name_space + ": blocks of " +
        std::to_string(kBlockTokens) + " tokens, " +
        std::to_string(speckv_block_bytes(&layout_) / 1024) + " KiB each before compression");
  return true;
}

bool PromptCache::save(const server_prompt& prompt, bool has_draft) {
  const Sized slot = EngineWatch::get().last_sized();
  if (!usable(slot.context, slot.seq, prompt.tokens, has_draft)) return false;
  return save_slot(slot.context, slot.seq, prompt.tokens.get_tokens());
}

// tokens: of the sequence, from its beginning. Returns: false where the pool takes none.
bool PromptCache::save_slot(llama_context* context, llama_seq_id slot,
                            std::vector<int32_t> tokens) {
  llama_memory_t memory = llama_get_memory(context);
  const llama_pos held = llama_memory_seq_pos_max(memory, slot) + 1;
  const llama_pos unmoved = EngineWatch::get().unmoved(memory, slot);
  tokens.resize(std::min<size_t>({tokens.size(), size_t(held), size_t(unmoved)}));
  const Chain whole = store_.whole(tokens);
  const auto blocks = uint32_t(whole.keys.size());
  const Chain rest = store_.rest(whole, blocks, tokens);
  const uint32_t stored = store_.stored(whole);
  const uint32_t rest_stored = stored == blocks ? store_.stored(rest) : 0;
  if (stored == blocks && rest_stored == rest.keys.size()) return true;
  blob_.resize(llama::state_bytes(shape_, uint32_t(held)));
  llama::StateMap map;
  std::string why;
  // what was moved lies behind the blocks that are put, so that it need not be turned now
  if (!llama::save_tokens(context, shape_, slot, -1, 0, uint32_t(held), blob_, &map, &why,
                          llama::Moved::no)) {
    say_once("a slot was not saved: " + why);
    return false;
  }
  const uint32_t put = store_.put(whole, stored, map);
  const uint32_t rest_put = stored + put == blocks ? store_.put(rest, rest_stored, map) : 0;
  if (put + rest_put == 0) return false;                           // it was said why
  if (put > 0) store_.remove(store_.rest(whole, stored, tokens));  // an earlier save's end
  say("slot " + std::to_string(slot) + ": " + std::to_string(put) + " blocks saved" +
      (rest_put ? " and " + std::to_string(rest_put * kFineTokens) + " tokens behind them" : "") +
      ", " + std::to_string(stored) + " were there");
  return true;
}

PromptCache::Found PromptCache::look_for(const std::vector<int32_t>& wanted) {
  Found found;
  found.whole = store_.whole(wanted);
  found.blocks = store_.reachable(found.whole);
  found.rest = store_.rest(found.whole, found.blocks, wanted);
  found.rest_blocks = store_.reachable(found.rest);
  return found;
}

// A prompt that another slot holds and that was not saved yet. Returns: whether it is in the pool
// now.
bool PromptCache::save_other(llama_context* context, llama_seq_id slot,
                             const std::vector<int32_t>& wanted, size_t known) {
  llama_seq_id other = -1;
  const size_t held =
      SlotTokens::get().longest_but(slot, llama_get_memory(context), wanted, &other);
  if (held < known + kFineTokens) return false;
  return save_slot(context, other, {wanted.begin(), wanted.begin() + ptrdiff_t(held)});
}

bool PromptCache::restore(server_prompt& prompt, const server_tokens& wanted,
                          llama_context* context, bool has_draft, llama_seq_id slot, bool* ret_ok) {
  if (!usable(context, slot, wanted, has_draft)) return false;
  *ret_ok = true;
  const std::vector<llama_token>& tokens = wanted.get_tokens();
  const size_t has = prompt.tokens.get_common_prefix(wanted);
  Found found = look_for(tokens);
  if (save_other(context, slot, tokens, std::max<size_t>(has, found.tokens())))
    found = look_for(tokens);
  if (found.tokens() <= has) return false;
  blob_.resize(llama::state_bytes(shape_, found.tokens()));
  llama::StateMap map;
  std::string why;
  if (!llama::lay_out_state(shape_, 0, found.tokens(), blob_, &map, &why)) {
    say_once("a prompt was not restored: " + why);
    return false;
  }
  const uint32_t blocks = store_.get(found.whole, found.blocks, map);
  const uint32_t rest = blocks < found.blocks ? 0 : store_.get(found.rest, found.rest_blocks, map);
  const uint32_t arrived = blocks * kBlockTokens + rest * kFineTokens;
  if (arrived <= has) return false;
  if (!llama::restore_tokens(context, blob_, slot, arrived, &why)) {
    say_once("a prompt was not restored: " + why);
    *ret_ok = false;
    return true;
  }
  const llama_tokens restored(tokens.begin(), tokens.begin() + arrived);
  EngineWatch::get().removed(llama_get_memory(context), slot, 0, -1);
  SlotTokens::get().set(llama_get_memory(context), slot, restored);
  prompt.tokens = server_tokens(restored, false);
  prompt.checkpoints.clear();
  say("slot " + std::to_string(slot) + ": " + std::to_string(arrived) + " of " +
      std::to_string(tokens.size()) + " prompt tokens from the pool");
  return true;
}

}  // namespace speckv::llama_server
