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
// 2^15 / width, or a little more: levels that are few make values smaller on average, by 3 % where
// there are eight, and attention sums many values.
inline constexpr std::array rowq_width_reciprocals = {
    rowq_quotients<32>(33750), rowq_quotients<32>(33000), rowq_quotients<32>(32767)};
constexpr int32_t rowq_width_reciprocal(int bits, uint32_t width) {
  return rowq_width_reciprocals[bits < 5 ? size_t(bits - 3) : 2][width];
}
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

// What a code stands for, in half innermost cells. Where groups have widths, the cells of the inner
// half of the codes are 2 wide, those of the next quarter 3 and the outermost 4: most values lie
// near the middle. Eight bits have no use for that.
constexpr int rowq_level(int bits, int code) {
  const int half = 1 << (bits - 1), j = code < half ? half - 1 - code : code - half;
  const int a = half / 2, b = half / 4 * 3;
  const int wider = rowq_has_widths(bits) ? (j > a ? j - a : 0) + (j > b ? j - b : 0) : 0;
  return (code < half ? -1 : 1) * (2 * j + 1 + wider);
}
// Such a level's place from the middle in 1/128 cells is the least of y, 2/3 y + this[0] and
// y/2 + this[1], y in 1/64 half cells: straight from level to level. Halves are rounded up.
constexpr std::array<int, 2> rowq_wider(int bits) {
  const int half = 1 << (bits - 1);
  return {(64 * half + 66) / 3, 40 * half + 32};
}
inline constexpr int rowq_two_thirds = 43690;  // of 2^16
// A group's largest value comes to lie within the last cell: a width of 1 reaches this many 32nds
// of what 2^bits half cells would be.
constexpr uint32_t rowq_share(int bits) {
  return bits == 3 ? 27 : bits == 4 ? 25 : rowq_has_widths(bits) ? 24 : 32;
}
// bit_width(a row's largest magnitude, brought to its share) - 8.
constexpr int rowq_octave(int bits, uint32_t top) {
  return int(std::bit_width(top * rowq_share(bits) >> 5)) - 8;
}

// In few bits, what hardly changes from token to token would get the same error in each, and
// attention sums many tokens. So half row number i of a page has its own signs before the transform
// and after it: value c's is changed where bit c of this is set.
constexpr bool rowq_has_signs(int bits) { return rowq_has_widths(bits); }
constexpr uint64_t rowq_signs(size_t half_row) { return (half_row + 1) * 0x9e3779b97f4a7c15; }

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

// The exponent field that a row's integers lie under, from the bits of its largest magnitude.
constexpr int rowq_field(bool bf16, uint32_t magnitude_max) {
  const int field = int(magnitude_max >> (bf16 ? 7 : 10)), least = rowq_field_floor(bf16);
  return field > least ? field : least;
}

// How one group of transformed values is scaled. With widths |v| << shift, times reciprocal / 2^16,
// is its distance from the middle, in 1/64 half cells; without, v << shift times reciprocal / 2^15
// is its place from the lower edge of the upper middle cell, in 1/128 cells.
struct RowqScaling {
  int shift, reciprocal;
};
struct RowqFrame {
  uint32_t side;  // rowq_zero_row: nothing but zeros
  RowqScaling scaling[4];
};
// Scales of a half row from its groups' largest magnitudes; kappa: the row's octave. Returns: its
// part of the side word.
constexpr uint32_t rowq_scale_half(int bits, uint32_t h, const uint32_t group_top[2], int kappa,
                                   RowqScaling ret_scaling[2]) {
  const uint32_t top = group_top[0] > group_top[1] ? group_top[0] : group_top[1];
  const int below = kappa - rowq_octave(bits, top);
  if (!rowq_has_widths(bits)) {
    const uint32_t scale = ((top << (7 - kappa)) >> 7) + 1;
    // Too large in a half of zeros only.
    const int reciprocal = rowq_scale_reciprocals[scale] >> below;
    ret_scaling[0] = {7 - kappa + below, reciprocal > 32767 ? 32767 : reciprocal};
    ret_scaling[1] = ret_scaling[0];
    return (scale - 1) << (8 + 8 * h);
  }
  const int octaves = below < 3 ? below : 3, shift = 7 - kappa + octaves;
  uint32_t side = uint32_t(octaves) << (28 + 2 * h);
  for (uint32_t g = 0; g < 2; ++g) {
    const uint32_t share = (group_top[g] << shift) * rowq_share(bits) >> 5;
    const uint32_t width = (share >> (7 + bits)) + 1;
    side |= (width - 1) << (8 + int(2 * h + g) * rowq_width_bits(bits));
    ret_scaling[g] = {shift, rowq_width_reciprocal(bits, width)};
  }
  return side;
}
// From the groups' largest magnitudes after the transform. Returns: false when the row is out of
// range.
constexpr bool rowq_frame(int bits, bool bf16, size_t block, int field, const uint32_t group_top[4],
                          RowqFrame& ret_frame) {
  uint32_t top = 0;
  for (int g = 0; g < 4; ++g) top = group_top[g] > top ? group_top[g] : top;
  ret_frame.side = rowq_zero_row;
  if (top == 0) return true;
  const int kappa = rowq_octave(bits, top);
  const int exponent = kappa + field + rowq_exponent_base(bf16) - std::countr_zero(block);
  if (exponent > rowq_exponent_max(bf16)) return false;
  ret_frame.side = static_cast<uint8_t>(exponent - rowq_scale_bits(bits)) |
                   rowq_scale_half(bits, 0, group_top, kappa, ret_frame.scaling) |
                   rowq_scale_half(bits, 1, group_top + 2, kappa, ret_frame.scaling + 2);
  return true;
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
