// SPDX-License-Identifier: Apache-2.0
// simd_xpack_encode.cpp - xpack's encoder for every vector target; golden_xpack.cpp says what it
// computes.
//
// Two passes over the page: the channels' largest exponents, then codes and escapes. Nothing but
// the bases depends on the first, so values that change in between make a page of other values.
#include <algorithm>

#include "codec/golden.hpp"
#include "codec/simd_xpack.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codec/simd_xpack_encode.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#include "codec/simd_xpack-inl.h"

#ifndef SPECKV_CODEC_SIMD_XPACK_TABLES_
#define SPECKV_CODEC_SIMD_XPACK_TABLES_
namespace speckv::codec::simd {

// For a mask of eight lanes: those that are set, in order.
struct SetLanes {
  uint8_t of[256][8];
};
constexpr SetLanes make_set_lanes() {
  SetLanes made{};
  for (int mask = 0; mask < 256; ++mask) {
    size_t seen = 0;
    for (uint8_t lane = 0; lane < 8; ++lane)
      if ((mask >> lane & 1) != 0) made.of[mask][seen++] = lane;
  }
  return made;
}
inline constexpr SetLanes set_lanes = make_set_lanes();

}  // namespace speckv::codec::simd
#endif

HWY_BEFORE_NAMESPACE();
namespace speckv::codec::HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR
bool xpack_encode_rows(const PageShape& shape, const ConstView& in, std::byte* out,
                       ptrdiff_t /*next_page*/) {
  return golden::xpack_encode(shape, in, out) == Refusal::none;
}
#else
// Largest magnitudes of the channels from `first` on, `vectors` of them.
template <size_t vectors>
HWY_INLINE void xpack_largest(const PageShape& shape, const ConstView& in, size_t first,
                              uint16_t* largest) {
  const U16 d;
  const auto mask = hn::Set(d, uint16_t{0x7fff});
  hn::Vec<U16> top[vectors];
  for (auto& v : top) v = hn::Zero(d);
  const std::byte* from = in.base + 2 * first;
  for (size_t t = 0; t < shape.tokens; ++t, from += in.token_stride) {
    for (size_t i = 0; i < vectors; ++i) {
      const auto* values = reinterpret_cast<const uint16_t*>(from) + i * lanes16;
      top[i] = hn::Max(top[i], hn::And(hn::LoadU(d, values), mask));
    }
  }
  for (size_t i = 0; i < vectors; ++i) hn::StoreU(top[i], d, largest + first + i * lanes16);
}

// Writes offsets and the largest exponent, and the bases.
template <bool bf16>
void xpack_write_bases(const PageShape& shape, const XpackMap& map, const ConstView& in,
                       std::byte* out, XpackBases& bases) {
  uint16_t largest[xpack_head_dim_max];
  size_t c = 0;
  for (; c + 4 * lanes16 <= shape.head_dim; c += 4 * lanes16)
    xpack_largest<4>(shape, in, c, largest);
  for (; c < shape.head_dim; c += lanes16) xpack_largest<1>(shape, in, c, largest);
  const int shift = bf16 ? 7 : 10;
  const int top = *std::max_element(largest, largest + shape.head_dim) >> shift;
  out[map.top] = std::byte(uint8_t(top));
  for (c = 0; c < shape.head_dim; c += 2) {
    const int low = std::min(top - (largest[c] >> shift), xpack_offset_max);
    const int high = std::min(top - (largest[c + 1] >> shift), xpack_offset_max);
    out[c / 2] = std::byte(uint8_t(low | high << 4));
    bases.at[c] = uint8_t(xpack_base(top, low));
    bases.at[c + 1] = uint8_t(xpack_base(top, high));
  }
  bases.finish(shape.head_dim);
}

// What a page's encoding carries from row to row.
struct XpackWriter {
  const XpackBases& bases;
  std::byte* far;
  size_t far_max;
  uint8_t* list;  // escapes, a byte a nibble
  size_t channel = 0;
  size_t escapes = 0;
  size_t far_count = 0;
};

// Replaces distances that no nibble holds by what the list says instead.
HWY_NOINLINE V8 xpack_name_far(XpackWriter& writer, V8 distance, V8 exponent) {
  alignas(32) uint8_t distances[32], exponents[32];
  hn::StoreU(distance, D8(), distances);
  hn::StoreU(exponent, D8(), exponents);
  for (size_t i = 0; i < lanes8; ++i) {
    if (distances[i] <= xpack_distance_max) continue;
    distances[i] = xpack_escape + (exponents[i] == 0 ? xpack_zero : xpack_far);
    if (exponents[i] == 0) continue;
    if (writer.far_count < writer.far_max) writer.far[writer.far_count] = std::byte(exponents[i]);
    ++writer.far_count;
  }
  return hn::LoadU(D8(), distances);
}

HWY_INLINE size_t ones(uint32_t mask) { return size_t(__builtin_popcount(mask)); }

// Appends the lanes of `mask` to the list. Writes up to eight bytes more than there are lanes.
HWY_INLINE void xpack_append(XpackWriter& writer, V8 nibbles, uint32_t mask) {
  const hn::Half<Q8> half;
  const auto eight = hn::Set(half, uint8_t{8});
  uint8_t* to = writer.list + writer.escapes;
  const auto part = [&](hn::Vec<Q8> bytes, uint32_t lanes) {
    const auto low = hn::LoadU(half, simd::set_lanes.of[lanes & 255]);
    const auto high = hn::LoadU(half, simd::set_lanes.of[lanes >> 8 & 255]);
    const auto order = hn::Combine(Q8(), hn::Add(high, eight), low);
    const auto packed = hn::TableLookupBytes(bytes, order);
    hn::StoreU(hn::LowerHalf(half, packed), half, to);
    to += ones(lanes & 255);
    hn::StoreU(hn::UpperHalf(half, packed), half, to);
    to += ones(lanes >> 8 & 255);
  };
#if SPECKV_X86_WIDE
  part(hn::LowerHalf(Q8(), nibbles), mask & 0xffff);
  part(hn::UpperHalf(Q8(), nibbles), mask >> 16);
#else
  part(nibbles, mask);
#endif
  writer.escapes += ones(mask);
}

// Packs three bits of each value of a unit, given as bytes.
HWY_INLINE void xpack_pack_three(const uint8_t* bits, std::byte* planes) {
  const D8 d;
  const V8 three = hn::Set(d, uint8_t{3}), four = hn::Set(d, uint8_t{4});
  for (size_t column = 0; column < xpack_row; column += lanes8) {
    const auto row = [&](size_t r) { return hn::Load(d, bits + r * xpack_row + column); };
    const V8 a = row(0), b = row(1), c = row(2), e = row(3);
    const V8 f = row(4), g = row(5), h = row(6), i = row(7);
    const auto pairs = [&](V8 p, V8 q, V8 r, V8 s) {
      return hn::Or(hn::Or(hn::And(p, three), bytes_left<2>(hn::And(q, three))),
                    hn::Or(bytes_left<4>(hn::And(r, three)), bytes_left<6>(hn::And(s, three))));
    };
    const auto tops = [&](V8 p, V8 q, V8 r, V8 s) {  // in bits 2, 3, 4, 5
      return hn::Or(hn::Or(hn::And(p, four), bytes_left<1>(hn::And(q, four))),
                    hn::Or(bytes_left<2>(hn::And(r, four)), bytes_left<3>(hn::And(s, four))));
    };
    auto* to = reinterpret_cast<uint8_t*>(planes) + column;
    hn::StoreU(pairs(a, b, c, e), d, to);
    hn::StoreU(pairs(f, g, h, i), d, to + xpack_row);
    hn::StoreU(hn::Or(bytes_right<2>(tops(a, b, c, e)), bytes_left<2>(tops(f, g, h, i))), d,
               to + 2 * xpack_row);
  }
}

// One row: codes and middle bits as bytes, the values' low bytes where they are stored.
template <bool bf16>
HWY_INLINE void xpack_encode_row(const std::byte* from, XpackWriter& writer, uint8_t* codes,
                                 uint8_t* middle, std::byte* lows) {
  const D8 d;
  const U16 d16;
  for (size_t column = 0; column < xpack_row; column += lanes8) {
    const auto turned = [&](size_t i) {
      const auto x = hn::LoadU(d16, reinterpret_cast<const uint16_t*>(from) + column + i);
      return hn::BitCast(d, hn::Or(hn::ShiftLeft<1>(x), hn::ShiftRight<15>(x)));
    };
    const V8 first = turned(0), second = turned(lanes16);
    const V8 upper = hn::ConcatOdd(d, second, first);
    hn::StoreU(hn::ConcatEven(d, second, first), d, reinterpret_cast<uint8_t*>(lows) + column);
    V8 exponent = upper;
    if constexpr (!bf16) {
      exponent = hn::And(bytes_right<3>(upper), hn::Set(d, uint8_t{31}));
      hn::Store(hn::And(upper, hn::Set(d, uint8_t{7})), d, middle + column);
    }
    V8 distance = hn::Sub(hn::LoadU(d, writer.bases.at + writer.channel + column), exponent);
    const V8 code = hn::Min(distance, hn::Set(d, uint8_t{xpack_escape}));
    hn::Store(code, d, codes + column);
    const uint8_t to_top = 128 - xpack_distance_max - 1;
    if (HWY_UNLIKELY(top_bits(hn::SaturatedAdd(distance, hn::Set(d, to_top))) != 0))
      distance = xpack_name_far(writer, distance, exponent);
    xpack_append(writer, hn::Sub(distance, hn::Set(d, uint8_t{xpack_escape})),
                 top_bits(hn::Add(code, hn::Set(d, uint8_t{128 - xpack_escape}))));
  }
  writer.channel = writer.bases.next(writer.channel);
}

// Two nibbles a byte. Requires: zeros past the end of the list.
void xpack_write_nibbles(const XpackMap& map, const uint8_t* list, std::byte* out) {
  for (size_t i = 0; i < map.body - map.nibbles; ++i)
    out[map.nibbles + i] = std::byte(uint8_t(list[2 * i] | list[2 * i + 1] << 4));
}

template <bool bf16>
bool xpack_encode_page(const PageShape& shape, const ConstView& in, std::byte* out,
                       ptrdiff_t ahead) {
  const XpackMap map = xpack_map(shape);
  XpackBases bases;
  xpack_write_bases<bf16>(shape, map, in, out, bases);
  std::memset(out + map.far, 0, map.units);
  alignas(32) uint8_t list[simd::xpack_list_max + simd::xpack_list_slack];
  alignas(32) uint8_t codes[xpack_unit], middle[xpack_unit];
  XpackWriter writer{bases, out + map.far, map.units, list};
  auto rows = walk_rows<const std::byte>(shape, in);
  std::byte* unit = out + map.body;
  for (size_t u = 0; u < map.units; ++u, unit += map.unit_bytes) {
    std::byte* lows = unit + map.unit_bytes - xpack_unit;
    for (size_t i = 0; i < xpack_unit; i += xpack_row) {
      const std::byte* row = rows.next();
      if (ahead != 0) __builtin_prefetch(row + ahead, 0, 2);
      xpack_encode_row<bf16>(row, writer, codes + i, middle + i, lows + i);
    }
    if (writer.escapes > map.escapes_max()) return false;
    xpack_pack_three(codes, unit);
    if constexpr (!bf16) xpack_pack_three(middle, unit + xpack_code_bytes);
  }
  if (writer.far_count > map.units) return false;
  std::memset(list + writer.escapes, 0, map.escapes_max() - writer.escapes);
  xpack_write_nibbles(map, list, out);
  return true;
}

bool xpack_encode_rows(const PageShape& shape, const ConstView& in, std::byte* out,
                       ptrdiff_t next_page) {
  return shape.dtype == SPECKV_DTYPE_BF16 ? xpack_encode_page<true>(shape, in, out, next_page)
                                          : xpack_encode_page<false>(shape, in, out, next_page);
}
#endif  // HWY_TARGET != HWY_SCALAR

}  // namespace speckv::codec::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace speckv::codec {
HWY_EXPORT(xpack_encode_rows);
namespace simd {

bool xpack_encode_rows(const PageShape& shape, const ConstView& in, std::byte* out,
                       ptrdiff_t next_page) {
  return HWY_DYNAMIC_DISPATCH(xpack_encode_rows)(shape, in, out, next_page);
}

}  // namespace simd
}  // namespace speckv::codec
#endif
