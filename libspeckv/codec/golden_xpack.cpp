// SPDX-License-Identifier: Apache-2.0
// golden_xpack.cpp - xpack: every bit of a page, exponents packed. The bytes are in docs/codec.md.
//
// A value is turned left by one bit: its exponent field is on top, its sign at the bottom. The
// lowest byte is stored as it is, and so are the three bits of fp16 between it and the exponent
// ("middle"; bf16 has none).
#include <algorithm>

#include "codec/golden.hpp"
#include "codec/half.hpp"
#include "codec/xpack.hpp"

namespace speckv::codec::golden {
namespace {

int exponent_field(uint16_t bits, bool bf16) { return magnitude(bits) >> (bf16 ? 7 : 10); }
uint16_t turned(uint16_t bits) { return uint16_t(bits << 1 | bits >> 15); }
uint16_t turned_back(uint16_t bits) { return uint16_t(bits >> 1 | bits << 15); }

// Three bits of value `i` of a unit: the lower two share a byte with three more values, the highest
// with seven.
void put_three(std::byte* planes, size_t i, int bits) {
  const size_t row = i / xpack_row, column = i % xpack_row;
  planes[row / 4 * xpack_row + column] |= std::byte(uint8_t((bits & 3) << (row % 4 * 2)));
  planes[2 * xpack_row + column] |= std::byte(uint8_t((bits >> 2) << row));
}
int get_three(const std::byte* planes, size_t i) {
  const size_t row = i / xpack_row, column = i % xpack_row;
  const int low = std::to_integer<int>(planes[row / 4 * xpack_row + column]) >> (row % 4 * 2);
  const int high = std::to_integer<int>(planes[2 * xpack_row + column]) >> row;
  return (low & 3) | (high & 1) << 2;
}

// The two lists of what three bits do not reach, being written and being read. A decoder finds
// zeros past their ends.
struct EscapesOut {
  const XpackMap& map;
  std::byte* page;
  size_t nibbles = 0;
  size_t far = 0;

  bool fit() const { return nibbles <= map.escapes_max() && far <= map.units; }
  void put(int nibble) {
    if (nibbles < map.escapes_max())
      page[map.nibbles + nibbles / 2] |= std::byte(uint8_t(nibble << (nibbles % 2 * 4)));
    ++nibbles;
  }
  void put_far(int exponent) {
    put(xpack_far);
    if (far < map.units) page[map.far + far] = std::byte(uint8_t(exponent));
    ++far;
  }
};
struct EscapesIn {
  const XpackMap& map;
  const std::byte* page;
  size_t nibbles = 0;
  size_t far = 0;

  int next() {
    const size_t at = nibbles++;
    if (at >= map.escapes_max()) return 0;
    return std::to_integer<int>(page[map.nibbles + at / 2]) >> (at % 2 * 4) & 15;
  }
  int next_far() {
    const size_t at = far++;
    return at < map.units ? std::to_integer<int>(page[map.far + at]) : 0;
  }
};

// Writes the page's largest exponent and the channels' offsets below it, and what these mean.
void encode_bases(const PageShape& shape, const ConstView& in, const XpackMap& map, std::byte* out,
                  int* base) {
  const bool bf16 = is_bf16(shape.dtype);
  const int top = exponent_field(magnitude_max(shape, in), bf16);
  out[map.top] = std::byte(uint8_t(top));
  for (size_t c = 0; c < shape.head_dim; ++c) {
    int own = 0;
    for (size_t t = 0; t < shape.tokens; ++t)
      own = std::max(own, exponent_field(load(in, t, c), bf16));
    const int offset = std::min(top - own, xpack_offset_max);
    out[c / 2] |= std::byte(uint8_t(offset << (c % 2 * 4)));
    base[c] = xpack_base(top, offset);
  }
}

}  // namespace

Refusal xpack_encode(const PageShape& shape, const ConstView& in, std::byte* out) {
  const bool bf16 = is_bf16(shape.dtype);
  const XpackMap map = xpack_map(shape);
  std::memset(out, 0, map.bytes);
  int base[xpack_head_dim_max];
  encode_bases(shape, in, map, out, base);
  EscapesOut escapes{map, out};
  for (size_t i = 0; i < shape.values(); ++i) {
    const uint16_t bits = load_at(in, shape, i), x = turned(bits);
    const int exponent = exponent_field(bits, bf16);
    const int distance = (base[i % shape.head_dim] - exponent) & 255;
    std::byte* unit = out + map.body + i / xpack_unit * map.unit_bytes;
    const size_t at = i % xpack_unit;
    put_three(unit, at, std::min(distance, xpack_escape));
    if (!bf16) put_three(unit + xpack_code_bytes, at, x >> 8 & 7);
    unit[map.unit_bytes - xpack_unit + at] = std::byte(uint8_t(x));
    if (distance < xpack_escape) continue;
    if (distance <= xpack_distance_max) escapes.put(distance - xpack_escape);
    else if (exponent == 0) escapes.put(xpack_zero);
    else escapes.put_far(exponent);
  }
  return escapes.fit() ? Refusal::none : Refusal::no_room;
}

void xpack_decode(const PageShape& shape, const std::byte* in, const View& out) {
  const bool bf16 = is_bf16(shape.dtype);
  const XpackMap map = xpack_map(shape);
  const int top = std::to_integer<int>(in[map.top]);
  EscapesIn escapes{map, in};
  for (size_t i = 0; i < shape.values(); ++i) {
    const size_t c = i % shape.head_dim, at = i % xpack_unit;
    const std::byte* unit = in + map.body + i / xpack_unit * map.unit_bytes;
    const int base = xpack_base(top, std::to_integer<int>(in[c / 2]) >> (c % 2 * 4) & 15);
    int exponent = base - get_three(unit, at);
    if (get_three(unit, at) == xpack_escape) {
      const int nibble = escapes.next();
      if (nibble == xpack_far) exponent = escapes.next_far();
      else exponent = nibble == xpack_zero ? 0 : exponent - nibble;
    }
    const int low = std::to_integer<int>(unit[map.unit_bytes - xpack_unit + at]);
    const int middle = bf16 ? 0 : get_three(unit + xpack_code_bytes, at);
    const int x = bf16 ? (exponent & 255) << 8 : (exponent & 31) << 11 | middle << 8;
    store_at(out, shape, i, turned_back(uint16_t(x | low)));
  }
}

}  // namespace speckv::codec::golden
