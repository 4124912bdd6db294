// SPDX-License-Identifier: Apache-2.0
// layout_math.hpp - what follows from a layout: is it possible, how large are its parts, what is
// its fingerprint.
//
// Used by library (speckv_layout_check, speckv_block_bytes, ...) and daemon alike, so that both
// mean the same.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstring>

#include "shm/key.hpp"
#include "speckv/layout.h"

namespace speckv::shm {

inline uint32_t value_bytes(const speckv_layout& layout) {
  return layout.dtype == SPECKV_DTYPE_F8 ? 1 : 2;
}

// Raw bytes of K (or V) of one layer of one block.
inline uint64_t half_segment_bytes(const speckv_layout& layout) {
  return uint64_t(layout.block_tokens) * layout.kv_heads * layout.head_dim * value_bytes(layout);
}
// Raw bytes of one layer (K and V).
inline uint64_t raw_segment_bytes(const speckv_layout& layout) {
  return 2 * half_segment_bytes(layout);
}
inline uint64_t raw_block_bytes(const speckv_layout& layout) {
  return layout.layers * raw_segment_bytes(layout) + layout.side_bytes;
}

// Side bytes lie in segments of their own, numbered behind the layers' and all but the last equally
// long: stored raw, and else like any other segment.
constexpr uint32_t side_segment_bytes_max = 1u << 20;
inline uint32_t side_segments(const speckv_layout& layout) {
  return (layout.side_bytes + side_segment_bytes_max - 1) / side_segment_bytes_max;
}
inline uint32_t stored_segments(const speckv_layout& layout) {
  return layout.layers + side_segments(layout);
}
// Bytes of the first of them; whole beats of the checksum. Requires: there are side bytes.
inline uint32_t side_segment_bytes(const speckv_layout& layout) {
  const uint32_t count = side_segments(layout);
  return count == 1 ? layout.side_bytes : ((layout.side_bytes + count - 1) / count + 63) / 64 * 64;
}
struct SidePart {
  uint32_t offset, bytes;  // of the side bytes
};
inline SidePart side_part(const speckv_layout& layout, uint32_t number) {
  const uint32_t each = side_segment_bytes(layout), offset = number * each;
  const uint32_t left = layout.side_bytes - offset;
  return {offset, left < each ? left : each};
}
// What a speckv_buf counts as layers: side bytes are one more, the last.
inline uint32_t buf_layers(const speckv_layout& layout) {
  return layout.layers + (layout.side_bytes != 0);
}

// Everything but size, preset and reserved fields enters. It is the layout's identity: see key.hpp.
inline uint64_t layout_fingerprint(const speckv_layout& layout) {
  const uint32_t fields[] = {
      layout.dtype,        layout.layers,
      layout.kv_heads,     layout.head_dim,
      layout.block_tokens, layout.page_tokens,
      layout.rank,         layout.world ? layout.world : 1,
      layout.rope,         layout.rope_dims ? layout.rope_dims : layout.head_dim,
      layout.first_layer};
  uint64_t sum = mix64(0x53504b564c415931ull);
  for (uint32_t field : fields) sum = mix64(sum ^ field) + sum;
  uint64_t words[8];
  std::memcpy(words, layout.weights_digest, SPECKV_DIGEST_BYTES);
  std::memcpy(words + 4, layout.variant_digest, SPECKV_DIGEST_BYTES);
  for (uint64_t word : words) sum = mix64(sum ^ word) + sum;
  for (uint32_t i = 0; i < layout.layers && i < SPECKV_LAYERS_MAX; i++) {
    const float theta = layout.rope_theta[i] != 0 ? layout.rope_theta[i] : layout.rope_theta[0];
    uint32_t bits = 0;
    std::memcpy(&bits, &theta, 4);
    sum = mix64(sum ^ bits) + sum;
  }
  if (layout.side_bytes) sum = mix64(sum ^ layout.side_bytes) + sum;
  return sum;
}

// What segments carry: a table changes what stored bytes mean, so it is part of the fingerprint.
// table_hash: 0 without a table, else hash_table() of its file.
inline uint64_t stored_fingerprint(uint64_t layout, uint64_t table_hash) {
  return table_hash ? mix64(layout ^ table_hash) : layout;
}
inline uint64_t hash_table(const void* bytes, size_t count) {
  const auto* data = static_cast<const unsigned char*>(bytes);
  uint64_t sum = mix64(count);
  for (size_t at = 0; at < count; at += 8) {
    uint64_t word = 0;
    std::memcpy(&word, data + at, count - at < 8 ? count - at : 8);
    sum = mix64(sum ^ word) + sum;
  }
  return sum ? sum : 1;
}

namespace detail {
inline int layout_no(char* why, size_t why_bytes, int error, const char* field, uint64_t got,
                     const char* expected) {
  if (why && why_bytes)
    std::snprintf(why, why_bytes, "layout.%s is %llu; expected %s", field,
                  static_cast<unsigned long long>(got), expected);
  return error;
}
}  // namespace detail

// Returns: 0, or a positive errno (EINVAL, EPROTOTYPE) and one sentence in why.
inline int check_layout(const speckv_layout& layout, char* why, size_t why_bytes) {
  const auto no = [&](int error, const char* field, uint64_t got, const char* expected) {
    return detail::layout_no(why, why_bytes, error, field, got, expected);
  };
  if (layout.size != sizeof(speckv_layout))
    return no(22, "size", layout.size, "sizeof(struct speckv_layout)");
  if (layout.dtype < SPECKV_DTYPE_F16 || layout.dtype > SPECKV_DTYPE_F8)
    return no(22, "dtype", layout.dtype, "1 (fp16), 2 (bf16) or 3 (fp8)");
  if (layout.layers < 1 || layout.layers > SPECKV_LAYERS_MAX)
    return no(22, "layers", layout.layers, "1..256");
  if (layout.first_layer > SPECKV_LAYERS_MAX - layout.layers)
    return no(22, "first_layer", layout.first_layer, "at most 256 - layers");
  if (layout.kv_heads < 1 || layout.kv_heads > SPECKV_HEADS_MAX)
    return no(22, "kv_heads", layout.kv_heads, "1..256 (of this rank)");
  if (layout.head_dim < 1 || layout.head_dim > SPECKV_HEAD_DIM_MAX)
    return no(22, "head_dim", layout.head_dim, "1..1024");
  if (layout.page_tokens != 16 && layout.page_tokens != 32 && layout.page_tokens != 64)
    return no(22, "page_tokens", layout.page_tokens, "16, 32 or 64");
  if (layout.block_tokens < 1 || layout.block_tokens > SPECKV_BLOCK_TOKENS_MAX ||
      layout.block_tokens % layout.page_tokens)
    return no(22, "block_tokens", layout.block_tokens, "a multiple of page_tokens, at most 4096");
  if (raw_segment_bytes(layout) > SPECKV_SEGMENT_BYTES_MAX)
    return no(22, "block_tokens", layout.block_tokens,
              "fewer tokens: one layer's K and V must fit 2 MiB");
  if (layout.rank >= (layout.world ? layout.world : 1))
    return no(22, "rank", layout.rank, "less than world");
  if (layout.rope > SPECKV_ROPE_HALF)
    return no(22, "rope", layout.rope, "0 (none), 1 (interleaved) or 2 (half)");
  if (layout.rope_dims > layout.head_dim || layout.rope_dims % 2)
    return no(22, "rope_dims", layout.rope_dims, "an even number up to head_dim");
  if (layout.preset > SPECKV_PRESET_LOSSLESS)
    return no(22, "preset", layout.preset, "an enum speckv_preset");
  if (layout.dtype == SPECKV_DTYPE_F8 && layout.preset > SPECKV_PRESET_EXACT &&
      layout.preset != SPECKV_PRESET_LOSSLESS)  // which is the same there
    return no(91, "preset", layout.preset,
              "1 (exact) or 7 (lossless, the same there) for fp8: no codec gains on 8-bit floats");
  for (uint32_t i = 0; i < layout.layers; i++)
    if (!(layout.rope_theta[i] >= 0 && layout.rope_theta[i] < 1e12f))
      return no(22, "rope_theta", i,
                "a finite base >= 0 in every layer (the number given is the layer)");
  if (layout.side_bytes > SPECKV_SIDE_BYTES_MAX)
    return no(22, "side_bytes", layout.side_bytes, "at most 67108864 (64 MiB a block)");
  if (stored_segments(layout) > SPECKV_LAYERS_MAX)
    return no(22, "side_bytes", layout.side_bytes,
              "fewer: a layer is one of 256 segments of a block, and each MiB of these one more");
  for (uint64_t word : layout.reserved)
    if (word) return no(22, "reserved", word, "0");
  return 0;
}

}  // namespace speckv::shm
