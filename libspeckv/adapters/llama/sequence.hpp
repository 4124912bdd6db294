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

// Describes the model's KV to speckv: RoPE pairing and base come from the model file. The digests,
// preset, rank and world stay the caller's to set.
[[nodiscard]] bool describe_layout(const llama_model* model, const StateShape& shape,
                                   uint32_t block_tokens, uint32_t page_tokens,
                                   speckv_layout* ret_layout, std::string* ret_why);

// Copies the KV of positions [first, first + count) of sequence `seq` into blob, whose size must be
// state_bytes(shape, count). With a unified KV, `spare_seq` names an unused sequence id that is
// lent to the range meanwhile, so only the range is copied; -1: the range must be the whole
// sequence.
[[nodiscard]] bool save_tokens(llama_context* context, const StateShape& shape, llama_seq_id seq,
                               llama_seq_id spare_seq, int32_t first, uint32_t count,
                               std::span<std::byte> blob, StateMap* ret_map, std::string* ret_why);

// Replaces sequence `seq` by the first `keep` tokens of a blob that was laid out by lay_out_state()
// and filled, or saved by llama.cpp itself.
[[nodiscard]] bool restore_tokens(llama_context* context, std::span<const std::byte> blob,
                                  llama_seq_id seq, uint32_t keep, std::string* ret_why);

}  // namespace speckv::llama
