// SPDX-License-Identifier: Apache-2.0
// state.hpp - finds each token's K and V inside a llama.cpp sequence state blob, and lays out new
// blobs.
//
// What it is: pure functions on the caller's memory; no allocation but the map's offsets, no I/O,
// no llama.cpp header. Who calls it: sequence.hpp and servers that hold blobs themselves. Never:
// reads past the span it was given, moves K or V (sort_state() and copy_tokens() do), or accepts a
// blob that differs from what it describes. Threading: reentrant; a StateMap is immutable after it
// was filled and points into the caller's blob.
//
// The blob (b10359): u32 magic, sequence, streams; per stream u32 cells, and unless 0: per cell i32
// position, u32 sequences (1), i32 sequence; u32 v_transposed, u32 layers; per layer i32 type, u64
// row bytes, rows of K; then per layer V: the same, or when transposed (flash attention off) i32
// type, u32 value bytes, u32 channels, then one row of all cells per channel.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "speckv/speckv.h"

namespace speckv::llama {

// More tokens in one sequence than any model's context: refused before anything is sized by it.
inline constexpr uint32_t kTokensMax = 1u << 24;

// What all blobs of one llama_context have in common.
struct StateShape {
  uint32_t streams = 1;  // 1, or n_seq_max when the context's KV is not unified
  uint32_t layers = 0;
  uint32_t kv_heads = 0;
  uint32_t head_dim = 0;
  uint32_t dtype = SPECKV_DTYPE_F16;  // F16 or BF16
  bool v_transposed = false;          // flash attention off
  bool operator==(const StateShape&) const = default;
  uint64_t row_bytes() const { return uint64_t(kv_heads) * head_dim * 2; }
};

// Where the K and V of consecutive tokens lie in one blob.
class StateMap {
 public:
  const StateShape& shape() const { return shape_; }
  uint32_t tokens() const { return tokens_; }
  int32_t first_position() const { return first_position_; }

  // The view of one layer's K or V that begins at token `first` of this blob. Requires: layer <
  // shape().layers, first < tokens().
  speckv_view k(uint32_t layer, uint32_t first) const;
  speckv_view v(uint32_t layer, uint32_t first) const;

  // All layers, views[2*i] is K and views[2*i+1] V, as speckv_buf wants them. Requires:
  // views.size() == 2 * layers.
  void views(uint32_t first, std::span<speckv_view> ret_views) const;

 private:
  friend class StateWalk;
  StateShape shape_;
  uint32_t tokens_ = 0;
  int32_t first_position_ = 0;
  std::byte* blob_ = nullptr;
  std::vector<uint64_t> k_offset_;
  std::vector<uint64_t> v_offset_;
};

// Parses a blob of a model with `kv_heads` KV heads. The blob must hold exactly one sequence at
// consecutive positions in order, one width for all layers, f16 or bf16, and end where it says.
// Returns: false with one sentence in ret_why when it does not; ret_map is then undefined. An empty
// sequence parses to tokens() == 0 and no layers.
[[nodiscard]] bool parse_state(std::span<std::byte> blob, uint32_t kv_heads, StateMap* ret_map,
                               std::string* ret_why);

// As parse_state(), but the blob's cells may lie in any order, as those of a unified KV do once
// sequences came and went: cells, K and V are put into the order of their positions, in place.
[[nodiscard]] bool sort_state(std::span<std::byte> blob, uint32_t kv_heads, StateMap* ret_map,
                              std::string* ret_why);

// How many tokens a blob says that it holds; looks no further. Returns: false with one sentence.
[[nodiscard]] bool state_tokens(std::span<const std::byte> blob, uint32_t* ret_tokens,
                                std::string* ret_why);

// Returns: bytes of a blob of this shape with `tokens` tokens. Exact, and thousands of times
// cheaper than asking llama_state_seq_get_size().
uint64_t state_bytes(const StateShape& shape, uint32_t tokens);

// Writes everything of a blob but K and V themselves: tokens at positions first_position,
// first_position + 1, ... Requires nothing: false with a sentence if blob.size() is not
// state_bytes() or the shape cannot be.
[[nodiscard]] bool lay_out_state(const StateShape& shape, int32_t first_position, uint32_t tokens,
                                 std::span<std::byte> blob, StateMap* ret_map,
                                 std::string* ret_why);

// Copies K and V of `count` tokens from one blob to another of the same layers, heads and dtype;
// streams and V's transposition may differ. Requires: both ranges lie inside their maps.
void copy_tokens(const StateMap& from, uint32_t from_first, const StateMap& to, uint32_t to_first,
                 uint32_t count);

}  // namespace speckv::llama
