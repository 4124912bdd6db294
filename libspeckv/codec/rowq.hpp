// SPDX-License-Identifier: Apache-2.0
// rowq.hpp - rowq's constants and geometry, shared by the golden model and the fast path, and the
// fast path's two calls.
//
// A page is cut into blocks of 64 consecutive channels of one token; what head_dim leaves over into
// a block of 32, then one of 16. Blocks of one size, token by token, fill rows of 128 values: the
// unit that has a side word. First the rows of 64-blocks, then of 32, then of 16.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

#include "codec/codec.hpp"

namespace speckv::codec {

inline constexpr size_t rowq_row = 128;   // values under one side word
inline constexpr size_t rowq_group = 32;  // values under one width
inline constexpr uint16_t rowq_head_dim_max = 256;
inline constexpr uint8_t rowq_zero_row = 0x80;  // exponent byte of a row of zeros

constexpr int rowq_bits(CodecId id) { return static_cast<int>(id); }
// Bits of one group's width in the side word.
constexpr int rowq_width_bits(int bits) { return bits < 4 ? 5 : 8 - bits; }
// dividend / n for n up to `most`.
template <size_t most>
constexpr std::array<int32_t, most + 1> rowq_quotients(int32_t dividend) {
  std::array<int32_t, most + 1> table{};
  for (size_t n = 1; n <= most; ++n) table[n] = dividend / int32_t(n);
  return table;
}
inline constexpr auto rowq_width_reciprocals = rowq_quotients<32>(32767);
inline constexpr auto rowq_scale_reciprocals = rowq_quotients<256>(1 << 22);

// Each half row has a scale, which multiplies what comes out of the transform: tokens differ in
// size, and attention may rest on a small one. A power of two, 1 to 8; but eight bits leave a code
// no room for a width, so there it is any number up to 256.
inline constexpr size_t rowq_half = rowq_row / 2;
constexpr bool rowq_has_widths(int bits) { return bits < 8; }
constexpr int rowq_scale(int bits, uint32_t side, size_t half) {
  return rowq_has_widths(bits) ? 8 >> (side >> (28 + 2 * half) & 3)
                               : int(side >> (8 + 8 * half) & 0xff) + 1;
}
// log2 of the largest.
constexpr int rowq_scale_bits(int bits) { return rowq_has_widths(bits) ? 3 : 8; }

constexpr bool rowq_takes(const PageShape& shape) {
  return shape.dtype != SPECKV_DTYPE_F8 && shape.head_dim % 16 == 0 &&
         shape.head_dim <= rowq_head_dim_max;
}
constexpr size_t rowq_rows(const PageShape& shape) { return shape.values() / rowq_row; }
constexpr size_t rowq_bytes(int bits, const PageShape& shape) {
  return rowq_rows(shape) * 16 * size_t(bits);
}

// Offsets in an encoded page of `rows` rows: side words, planes b-1 .. 1, plane 0.
constexpr size_t rowq_plane_offset(size_t rows, int bits, int plane) {
  return rows * 4 + rows * 16 * size_t(bits - 1 - plane);
}

// The rows that blocks of one size fill.
struct RowqPart {
  size_t block;      // 64, 32 or 16 values under one Walsh-Hadamard transform
  size_t channel;    // of the token's first such block
  size_t per_token;  // blocks of this size in a token
  size_t first_row;
  size_t rows;
};
// Part i of 0..2; rows == 0 where head_dim has no such block.
constexpr RowqPart rowq_part(const PageShape& shape, int i) {
  const size_t d = shape.head_dim, t = shape.tokens;
  const size_t whole = d / 64 * 64, half = d % 64 / 32 * 32;
  const size_t rows64 = whole * t / rowq_row, rows32 = half * t / rowq_row;
  if (i == 0) return {64, 0, d / 64, 0, rows64};
  if (i == 1) return {32, whole, 1, rows64, rows32};
  return {16, whole + half, 1, rows64 + rows32, d % 32 / 16 * 16 * t / rowq_row};
}

// Range. A page is refused when a value's exponent field reaches this, or (fp16) when a row's
// output exponent exceeds 1, so that no decoded value can overflow. The floor keeps bf16's scale
// factors clear of subnormal floats.
constexpr int rowq_field_limit(bool bf16) { return bf16 ? 147 : 29; }
constexpr int rowq_field_floor(bool bf16) { return bf16 ? 100 : 1; }
// value = X * 2^K with K = kappa + E + this - log2(block)
constexpr int rowq_exponent_base(bool bf16) { return bf16 ? -135 : -23; }
// What a transform of 64 takes in 16 bits: 64 * 511 = 32704.
inline constexpr int16_t rowq_input_max = 511;
constexpr int rowq_exponent_max(bool bf16) { return bf16 ? 127 : 1; }

// How one group of transformed values is scaled: v << shift, times reciprocal / 2^16 (2^15 without
// widths), is its place among the cells, in 1/128 cells from the middle one's lower edge.
struct RowqScaling {
  int shift, reciprocal;
};
// From the groups' largest magnitudes; kappa: bit_width(the largest of all) - 8. Returns: the side
// word but for its exponent.
constexpr uint32_t rowq_scale_groups(int bits, const uint32_t group_top[4], int kappa,
                                     RowqScaling ret_scaling[4]) {
  uint32_t side = 0;
  for (uint32_t h = 0; h < 2; ++h) {
    const uint32_t a = group_top[2 * h], b = group_top[2 * h + 1], top = a > b ? a : b;
    const int below = kappa + 8 - int(std::bit_width(top));  // in octaves
    if (!rowq_has_widths(bits)) {
      const uint32_t scale = ((top << (7 - kappa)) >> 7) + 1;
      // Too large in a half of zeros only.
      const int reciprocal = rowq_scale_reciprocals[scale] >> below;
      ret_scaling[2 * h] = {7 - kappa + below, reciprocal > 32767 ? 32767 : reciprocal};
      ret_scaling[2 * h + 1] = ret_scaling[2 * h];
      side |= (scale - 1) << (8 + 8 * h);
      continue;
    }
    const int octaves = below < 3 ? below : 3;
    side |= uint32_t(octaves) << (28 + 2 * h);
    for (uint32_t g = 2 * h; g < 2 * h + 2; ++g) {
      const uint32_t width = ((group_top[g] << (7 - kappa + octaves)) >> (7 + bits)) + 1;
      side |= (width - 1) << (8 + int(g) * rowq_width_bits(bits));
      ret_scaling[g] = {7 - kappa + octaves, rowq_width_reciprocals[width]};
    }
  }
  return side;
}

// The exponent that a side word's first byte means to a decoder: what no encoder writes is brought
// into range.
constexpr int rowq_decode_exponent(uint32_t side) {
  const int exponent = static_cast<int8_t>(side & 0xff);
  return exponent < -100 ? -100 : exponent > 64 ? 64 : exponent;
}

// Requires: rowq_takes(shape). Returns: false when a value is refused.
[[nodiscard]] bool rowq_encode(int bits, const PageShape& shape, const ConstView& in,
                               std::byte* out, ptrdiff_t next_page);
void rowq_decode(int bits, const PageShape& shape, const std::byte* in, const View& out,
                 bool stream);

}  // namespace speckv::codec
