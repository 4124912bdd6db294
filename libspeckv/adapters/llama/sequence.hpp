// SPDX-License-Identifier: Apache-2.0
// sequence.hpp - takes the KV of a llama_context's sequence out as blocks, and puts restored blocks
// back.
//
// What it is: the half of the adapter that calls libllama (pinned to the build that
// tests/bench/engine/setup makes). Who calls it: tests/bench/qa and servers that link libllama.
// Never: keeps a copy, allocates a blob itself, or calls llama_state_seq_get_size (25 ms where
// state_bytes() is free). Threading: as llama_context: one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "llama.h"
#include "state.hpp"

namespace speckv::llama {

// Finds the shape of this context's blobs by decoding one token and parsing the result. Clears the
// context's memory.
[[nodiscard]] bool probe_shape(llama_context* context, StateShape* ret_shape, std::string* ret_why);

// The same without touching other sequences: from what `seq` holds, or, where it is empty, from one
// token that is decoded into it and removed. For a server that runs.
[[nodiscard]] bool learn_shape(llama_context* context, llama_seq_id seq, StateShape* ret_shape,
                               std::string* ret_why);

// Whether positions may have been moved (llama_memory_seq_add, _div) since the last llama_decode().
// llama.cpp turns K to its new positions only then, and tells nobody that it still has to.
enum class Moved {
  perhaps,  // a token is decoded and removed again first; logits of the last decode are then gone
  no,       // the caller knows; saves that decode
};

// Copies the KV of positions [first, first + count) of sequence `seq` into blob, whose size must be
// state_bytes(shape, count), in order of position wherever its cells lie. With a unified KV,
// `spare_seq` names an empty sequence id that is lent to the range meanwhile, so only the range is
// copied; -1: the range must be the whole sequence. Returns: false with one sentence.
// KV that was moved belongs to the positions it has now, but was computed with what stood before
// it then: never store it under the key of the tokens that are left.
[[nodiscard]] bool save_tokens(llama_context* context, const StateShape& shape, llama_seq_id seq,
                               llama_seq_id spare_seq, int32_t first, uint32_t count,
                               std::span<std::byte> blob, StateMap* ret_map, std::string* ret_why,
                               Moved moved = Moved::perhaps);

// Replaces sequence `seq` by the first `keep` tokens of a blob that was laid out by lay_out_state()
// and filled, or saved by llama.cpp itself. Returns: false with one sentence; what is wrong with
// the arguments is seen before the sequence is touched.
[[nodiscard]] bool restore_tokens(llama_context* context, std::span<const std::byte> blob,
                                  llama_seq_id seq, uint32_t keep, std::string* ret_why);

}  // namespace speckv::llama
