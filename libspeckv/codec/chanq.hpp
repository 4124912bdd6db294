// SPDX-License-Identifier: Apache-2.0
// chanq.hpp - chanq's constants and geometry, shared by the golden model and the fast path, and the
// fast path's two calls.
#pragma once

#include <cstdint>

#include "codec/chan_table.hpp"
#include "codec/codec.hpp"

namespace speckv::codec {

inline constexpr uint16_t chanq_head_dim_max = 256;
inline constexpr size_t chanq_header = 8;
inline constexpr int chanq_width_max = 8;

// A channel's reach is a code 8k + m: (8 + m) * 2^(k-3) units of fixed point to each side of its
// anchor. The page has the largest; a channel has by how many grains of 2^g its own lies below.
inline constexpr int chanq_drop_bits = 5;
inline constexpr int chanq_drop_max = 31;
inline constexpr int chanq_reach_max = 119;  // 30720: more than 14 bits turned and recentred need
inline constexpr int chanq_grain_max = 2;
// Channels of a page that may reach less than its grain can say, and by how much, before a coarser
// grain is taken.
constexpr size_t chanq_lifted_max(size_t head_dim) { return head_dim / 16; }
inline constexpr int chanq_lift_max = 8;  // an octave

// The anchor is a small float in units of 2^(k-4): a sign and a code of 7 bits, below 32 the number
// itself, then four bits behind a leading one, doubled with every 16.
constexpr int chanq_anchor_size(int code) {
  return code < 32 ? code : (16 + code % 16) << (code / 16 - 1);
}
inline constexpr int chanq_anchor_max = 127;

constexpr size_t chanq_index(CodecId id) { return size_t(id) - size_t(CodecId::chanq2_5); }
// Twice the nominal bits of a value: chanq3.5 -> 7.
constexpr size_t chanq_half_bits(CodecId id) {
  constexpr uint8_t half_bits[chanq_codecs] = {5, 6, 7, 8, 9, 10, 14};
  return half_bits[chanq_index(id)];
}
constexpr bool is_chanq(CodecId id) { return chanq_index(id) < chanq_codecs; }

constexpr bool chanq_takes(const PageShape& shape) {
  return shape.dtype != SPECKV_DTYPE_F8 && shape.head_dim % 16 == 0 &&
         shape.head_dim <= chanq_head_dim_max;
}
// chanq-w stores w + 1/2 bits a value, all included.
constexpr size_t chanq_bytes(CodecId id, const PageShape& shape) {
  return (shape.values() * (chanq_half_bits(id) + 1) / 16 + 31) / 32 * 32;
}
// Of a channel beside its codes: an anchor byte, and five bits of how far it reaches.
constexpr size_t chanq_side_bytes(size_t head_dim) {
  return chanq_header + head_dim + head_dim / 8 * chanq_drop_bits;
}
// Bits that the pairs of a page share: what header and channels' sides leave, in units of one bit
// for both channels of a pair over all tokens. May fall short of the payload by less than one unit.
constexpr size_t chanq_budget(CodecId id, size_t tokens, size_t head_dim) {
  const size_t total = tokens * head_dim * (chanq_half_bits(id) + 1) / 16;
  return (total - chanq_side_bytes(head_dim)) / (tokens / 4);
}

// Range, see rowq.hpp: exponent fields at or above the limit are refused, below the floor count as
// the floor.
constexpr int chanq_field_limit(bool bf16) { return bf16 ? 147 : 29; }
constexpr int chanq_field_floor(bool bf16) { return bf16 ? 100 : 1; }
constexpr int chanq_field_ceiling(bool bf16) { return bf16 ? 160 : 31; }  // decoding foreign bytes
// fixed point = value * 2^(this - field), 14 bits and a sign; decoded values have two more bits of
// fraction
constexpr int chanq_exponent_base(bool bf16) { return bf16 ? 140 : 28; }

// The table of a page without one: equal widths for this codec, nothing turned.
ChanTable chanq_plain_table(CodecId id, const PageShape& shape);
// True when the table was made for such pages.
bool chanq_fits(const ChanTable& table, const PageShape& shape);

// Requires: chanq_takes(shape), chanq_fits(table, shape). Returns: false when a value is refused.
[[nodiscard]] bool chanq_encode(CodecId id, const PageShape& shape, const ConstView& in,
                                std::byte* out, const ChanTable& table, ptrdiff_t next_page);
void chanq_decode(CodecId id, const PageShape& shape, const std::byte* in, const View& out,
                  const ChanTable& table, bool stream);

}  // namespace speckv::codec
