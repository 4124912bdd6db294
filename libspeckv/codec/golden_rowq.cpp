// SPDX-License-Identifier: Apache-2.0
// golden_rowq.cpp - rowq: per row of 128 values a Walsh-Hadamard transform, then a quantiser onto
// the D4 lattice. The bytes are in docs/codec.md.
//
// In four steps: values become 10-bit integers under the row's largest exponent; each block is
// transformed, which spreads outliers; each half row gets a scale S and each group of 32 a width w,
// and a group's values become codes u that stand for level(u) * w * S, levels further apart at the
// ends than in the middle (codes of 8 bits leave no room for widths and have levels of one
// distance); in every quad of codes the parity of the lowest bits is made even by moving the code
// that loses least. An even quad needs only three of its four lowest bits: the 32 bits saved in a
// row hold its side word, so a row is exactly 128 * b bits.
#include <algorithm>
#include <bit>
#include <cstdlib>

#include "codec/golden.hpp"
#include "codec/half.hpp"
#include "codec/rowq.hpp"

namespace speckv::codec::golden {
namespace {

// Where value i of a row lies in the page.
struct Place {
  size_t token, channel;
};
Place place_of(const RowqPart& part, size_t row, size_t i) {
  const size_t block = (row * rowq_row + i) / part.block;
  return {block / part.per_token,
          part.channel + block % part.per_token * part.block + i % part.block};
}

void walsh_hadamard(int* values, size_t n) {
  for (size_t half = n / 2; half >= 1; half /= 2) {
    for (size_t i = 0; i < n; ++i) {
      if (i & half) continue;
      const int a = values[i], b = values[i + half];
      values[i] = a + b;
      values[i + half] = a - b;
    }
  }
}

// Of a row of this number in its page.
void change_signs(int bits, size_t number, int row[rowq_row]) {
  if (!rowq_has_signs(bits)) return;
  for (size_t i = 0; i < rowq_row; ++i) {
    if (rowq_signs(2 * number + i / rowq_half) >> (i % rowq_half) & 1) row[i] = -row[i];
  }
}

void transform(const RowqPart& part, int row[rowq_row]) {
  for (size_t i = 0; i < rowq_row; i += part.block) walsh_hadamard(row + i, part.block);
}

struct RowCodes {
  uint32_t side = rowq_zero_row;
  int code[rowq_row] = {};
};

// The code of one transformed value and how far it lies above its cell's lower edge, in 1/128
// cells.
struct Cell {
  int code, fraction;
};
Cell cell_of(int bits, int value, RowqScaling by) {
  if (!rowq_has_widths(bits)) {
    const int place = 2 * ((value * (1 << by.shift) * by.reciprocal) >> 16) + 1;
    const int fine = place + (64 << bits);
    return {fine >> 7, fine & 127};
  }
  const auto [wider3, wider4] = rowq_wider(bits);
  const int y = int((int64_t{std::abs(value)} << by.shift) * by.reciprocal >> 16);
  const int place = std::min({y, (y * rowq_two_thirds >> 16) + wider3, ((y + 1) >> 1) + wider4});
  const int fine = (64 << bits) + (value < 0 ? -1 - place : place);
  return {fine >> 7, fine & 127};
}

// Makes the quad's lowest bits even: moves the code that loses least by it to its next cell, the
// first of equals. What is lost goes with the value's distance from that cell and, about, with the
// width of its own.
void make_even(int bits, const Cell cells[4], int* codes) {
  for (int i = 0; i < 4; ++i) codes[i] = cells[i].code;
  if (((codes[0] ^ codes[1] ^ codes[2] ^ codes[3]) & 1) == 0) return;
  const int half = 1 << (bits - 1);
  int best = -1, least = 64, best_step = 0;
  for (int i = 0; i < 4; ++i) {
    const auto [code, fraction] = cells[i];
    int step = fraction >= 64 ? 1 : -1;
    int loss = step > 0 ? 127 - fraction : fraction;
    if (rowq_has_widths(bits)) {
      const int j = code < half ? half - 1 - code : code - half, quarter = loss >> 2;
      loss = (loss >> 1) + (j >= half / 2 ? quarter : 0) + (j >= half / 4 * 3 ? quarter : 0);
    }
    if (code + step < 0 || code + step >= 2 * half) step = -step, loss = 63;
    if (loss < least) best = i, least = loss, best_step = step;
  }
  codes[best] += best_step;
}

// Returns: false when the row is out of range.
bool encode_row(int bits, const RowqPart& part, size_t number, bool bf16,
                const uint16_t values[rowq_row], RowCodes& ret_row) {
  uint16_t most = 0;
  for (size_t i = 0; i < rowq_row; ++i) most = std::max(most, magnitude(values[i]));
  const int field = rowq_field(bf16, most);
  if (field >= rowq_field_limit(bf16)) return false;
  int row[rowq_row];
  for (size_t i = 0; i < rowq_row; ++i) {
    const Unpacked x = unpack(values[i], bf16);
    // |x| / 2^(field - 23) in fp16's terms, halves up.
    const int shift = field + rowq_exponent_base(bf16) - x.exponent;
    const int64_t doubled = shift > 40 ? 0 : (int64_t{x.mantissa} << 6 << 1) >> (shift + 6);
    const int size = std::min<int>(rowq_input_max, int((doubled + 1) >> 1));
    row[i] = x.negative ? -size : size;
  }
  change_signs(bits, number, row);
  transform(part, row);
  uint32_t group_top[4] = {};
  for (size_t i = 0; i < rowq_row; ++i) {
    group_top[i / rowq_group] = std::max(group_top[i / rowq_group], unsigned(std::abs(row[i])));
  }
  RowqFrame frame;
  if (!rowq_frame(bits, bf16, part.block, field, group_top, frame)) return false;
  ret_row = RowCodes{.side = frame.side};
  if (frame.side == rowq_zero_row) return true;
  Cell cells[rowq_row];
  for (size_t i = 0; i < rowq_row; ++i)
    cells[i] = cell_of(bits, row[i], frame.scaling[i / rowq_group]);
  for (size_t i = 0; i < rowq_row; i += 4) make_even(bits, cells + i, ret_row.code + i);
  return true;
}

bool bit_at(const std::byte* plane, size_t i) {
  return (std::to_integer<int>(plane[i / 8]) >> (i % 8) & 1) != 0;
}
void set_bit(std::byte* plane, size_t i) { plane[i / 8] |= std::byte(1 << (i % 8)); }

// Plane 0 keeps three bits of each quad.
size_t low_bit_index(size_t i) { return i / 4 * 3 + i % 4; }

}  // namespace

Refusal rowq_encode(int bits, const PageShape& shape, const ConstView& in, std::byte* out) {
  const bool bf16 = is_bf16(shape.dtype);
  const size_t rows = rowq_rows(shape);
  std::memset(out, 0, rowq_bytes(bits, shape));
  bool in_range = magnitude_max(shape, in) < infinity_bits(bf16);
  if (!in_range) return Refusal::not_finite;
  for (int p = 0; p < 3; ++p) {
    const RowqPart part = rowq_part(shape, p);
    for (size_t r = 0; r < part.rows; ++r) {
      uint16_t values[rowq_row];
      for (size_t i = 0; i < rowq_row; ++i) {
        const Place place = place_of(part, r, i);
        values[i] = load(in, place.token, place.channel);
      }
      RowCodes codes;
      const size_t row = part.first_row + r;
      if (!encode_row(bits, part, row, bf16, values, codes)) return Refusal::out_of_range;
      std::memcpy(out + 4 * row, &codes.side, 4);
      for (size_t i = 0; i < rowq_row; ++i) {
        for (int plane = bits - 1; plane >= 1; --plane) {
          if (codes.code[i] >> plane & 1) {
            set_bit(out + rowq_plane_offset(rows, bits, plane) + 16 * row, i);
          }
        }
        if (i % 4 != 3 && (codes.code[i] & 1)) {
          set_bit(out + rowq_plane_offset(rows, bits, 0) + 12 * row, low_bit_index(i));
        }
      }
    }
  }
  return Refusal::none;
}

void rowq_decode(int bits, const PageShape& shape, const std::byte* in, const View& out) {
  const bool bf16 = is_bf16(shape.dtype);
  const size_t rows = rowq_rows(shape);
  for (int p = 0; p < 3; ++p) {
    const RowqPart part = rowq_part(shape, p);
    for (size_t r = 0; r < part.rows; ++r) {
      const size_t row = part.first_row + r;
      uint32_t side;
      std::memcpy(&side, in + 4 * row, 4);
      const int exponent = rowq_decode_exponent(side);
      const bool zero = (side & 0xff) == rowq_zero_row;
      const std::byte* low = in + rowq_plane_offset(rows, bits, 0) + 12 * row;
      int values[rowq_row];
      for (size_t i = 0; i < rowq_row; ++i) {
        int code = 0;
        for (int plane = bits - 1; plane >= 1; --plane) {
          code |= bit_at(in + rowq_plane_offset(rows, bits, plane) + 16 * row, i) << plane;
        }
        const size_t quad = i - i % 4;
        code |= i % 4 != 3
                    ? bit_at(low, low_bit_index(i))
                    : bit_at(low, low_bit_index(quad)) ^ bit_at(low, low_bit_index(quad + 1)) ^
                          bit_at(low, low_bit_index(quad + 2));
        const int width_bits = rowq_width_bits(bits);
        const int width =
            int(side >> (8 + int(i / rowq_group) * width_bits) & ((1u << width_bits) - 1)) + 1;
        values[i] = zero ? 0 : rowq_level(bits, code) * width;
      }
      transform(part, values);
      change_signs(bits, row, values);
      for (size_t i = 0; i < rowq_row; ++i) {
        const Place place = place_of(part, r, i);
        const int scale = rowq_scale(bits, side, i / rowq_half);
        store(out, place.token, place.channel, round_to_half(values[i] * scale, exponent, bf16));
      }
    }
  }
}

}  // namespace speckv::codec::golden
