// SPDX-License-Identifier: Apache-2.0
// prompt_cache.hpp - the server's prompt cache on the pool: save() what a slot holds, restore()
// what the pool has of a prompt.
//
// Who calls it: interpose.cpp, where the server calls its own cache. Both return false where this
// library does nothing for the call: the server's own cache then does. Threading: the server's one
// loop.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "engine_watch.hpp"
#include "settings.hpp"
#include "store.hpp"

struct server_prompt;
struct server_tokens;

namespace speckv::llama_server {

class PromptCache {
 public:
  static PromptCache& get();

  // Puts the full blocks of a slot's prompt that the pool has not got. The slot is the one whose
  // state's size was asked for last. Returns: false, too, where the pool takes none of them.
  [[nodiscard]] bool save(const server_prompt& prompt, bool has_draft);

  // Replaces the slot's KV and prompt by the longest stored beginning of `wanted`, where that is
  // longer than what the slot has of it; returns false where there is no such. ret_ok is what the
  // server is to be told: false empties the slot.
  [[nodiscard]] bool restore(server_prompt& prompt, const server_tokens& wanted,
                             llama_context* context, bool has_draft, llama_seq_id slot,
                             bool* ret_ok);

 private:
  bool usable(llama_context* context, llama_seq_id slot, const server_tokens& tokens,
              bool has_draft);
  bool learn(llama_context* context, llama_seq_id slot, const Opened& opened);
  bool refuse(const std::string& why);

  Settings settings_;
  Store store_;
  uint64_t learnt_ = 0;  // number of the context whose layout the session has,
  bool good_ = false;    // and whether it can be stored
  llama::StateShape shape_;
  speckv_layout layout_{};
  std::vector<std::byte> blob_;  // reused, so that it is not mapped anew each time
};

}  // namespace speckv::llama_server
