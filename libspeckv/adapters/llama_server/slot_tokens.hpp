// SPDX-License-Identifier: Apache-2.0
// slot_tokens.hpp - which tokens each sequence of a context holds, as llama_decode() was given
// them: so that a prompt is found, too, that lies in another slot and was never saved.
//
// The server tells its cache of one slot at a time, and never what the others hold. Who calls it:
// interpose.cpp reports, prompt_cache asks. What is known of a sequence is its beginning: whatever
// is not certain ends it, and nothing is guessed. Threading: the server's one loop decodes and
// asks; every call takes one lock all the same, none holds it while llama.cpp runs.
#pragma once

#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "llama.h"

namespace speckv::llama_server {

class SlotTokens {
 public:
  static SlotTokens& get();

  // ---- reports ----
  void decoded(llama_memory_t memory, const llama_batch& batch, int32_t result);
  // [first, last) as llama.h has it: first < 0 is 0, last < 0 the end, seq < 0 every sequence.
  void removed(llama_memory_t memory, llama_seq_id seq, llama_pos first, llama_pos last);
  // Nothing is known of the sequence from this position on.
  void lost(llama_memory_t memory, llama_seq_id seq, llama_pos first);
  void copied(llama_memory_t memory, llama_seq_id from, llama_seq_id to, llama_pos first,
              llama_pos last);
  void kept_only(llama_memory_t memory, llama_seq_id seq);
  // It holds these.
  void set(llama_memory_t memory, llama_seq_id seq, std::vector<llama_token> tokens);

  // ---- question ----
  // Of the sequences but this one, that which begins like `wanted` for longest. Returns: for how
  // many tokens; ret_seq is set where that is not 0.
  size_t longest_but(llama_seq_id but, llama_memory_t memory,
                     const std::vector<llama_token>& wanted, llama_seq_id* ret_seq);

 private:
  void append(llama_memory_t memory, llama_seq_id seq, llama_pos pos, llama_token token);
  void cut(llama_memory_t memory, llama_seq_id seq, llama_pos first);

  std::mutex lock_;
  std::map<std::pair<llama_memory_t, llama_seq_id>, std::vector<llama_token>> known_;
};

}  // namespace speckv::llama_server
