// SPDX-License-Identifier: Apache-2.0
// simd_xpack_decode.cpp - xpack's decoder for every vector target; golden_xpack.cpp says what it
// computes.
//
// Nothing branches on the data but what is rare: a row's escapes are counted by its mask and spread
// to their lanes by a table of byte shuffles, whether there are any or not.
#include "codec/golden.hpp"
#include "codec/simd_xpack.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codec/simd_xpack_decode.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#include "codec/simd_xpack-inl.h"

HWY_BEFORE_NAMESPACE();
namespace speckv::codec::HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR
void xpack_decode_rows(const PageShape& shape, const std::byte* in, const View& out,
                       bool /*stream*/) {
  golden::xpack_decode(shape, in, out);
}
#else
// The list as distances, a byte each: what an escape's code becomes. Past its end, nibbles are 0.
struct XpackEscapes {
  alignas(32) uint8_t at[simd::xpack_list_max + simd::xpack_list_slack];
  size_t count;
  bool rare;  // some are more than distances

  XpackEscapes(const XpackMap& map, const std::byte* in) : count(map.escapes_max()) {
    const Q8 d;
    const auto code = hn::Set(d, uint8_t{xpack_escape});
    // What the last vector reads past the list is of the same page, and overwritten below.
    for (size_t i = 0; i < count; i += 32) {
      hn::Vec<Q8> first, second;
      split_nibbles(in + map.nibbles + i / 2, first, second);
      hn::StoreU(hn::Add(first, code), d, at + i);
      hn::StoreU(hn::Add(second, code), d, at + i + 16);
    }
    for (size_t i = 0; i < 96; i += 16) hn::StoreU(code, d, at + count + i);
    auto top = code;
    for (size_t i = 0; i < count; i += 16) top = hn::Max(top, hn::LoadU(d, at + i));
    const auto most = hn::Set(d, uint8_t{xpack_distance_max});
    rare = !hn::AllTrue(d, hn::Eq(hn::Max(top, most), most));
  }
};

template <bool bf16>
HWY_INLINE void xpack_read_bases(const PageShape& shape, const XpackMap& map, const std::byte* in,
                                 XpackBases& bases) {
  const Q8 d;
  const hn::Repartition<uint16_t, Q8> dw;
  const auto top = hn::Set(d, std::to_integer<uint8_t>(in[map.top]));
  const auto base_of = [&](hn::Vec<Q8> offset) {
    const auto low = hn::Eq(offset, hn::Set(d, uint8_t{xpack_offset_max}));
    const auto base =
        hn::IfThenElse(low, hn::Set(d, uint8_t{xpack_escape - 1}), hn::Sub(top, offset));
    if constexpr (bf16) return base;
    return hn::And(hn::BitCast(d, hn::ShiftLeft<3>(hn::BitCast(dw, base))),
                   hn::Set(d, uint8_t{0xf8}));
  };
  for (size_t c = 0; c < shape.head_dim; c += 32) {
    hn::Vec<Q8> first, second;
    split_nibbles(in + c / 2, first, second);
    hn::Store(base_of(first), d, bases.at + c);
    hn::Store(base_of(second), d, bases.at + c + 16);
  }
  bases.finish(shape.head_dim);
}

// Bits of row `row` of a unit, columns from `column` on.
template <int row>
HWY_INLINE V8 xpack_three_bits(const std::byte* planes, size_t column) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(planes) + column;
  const V8 pairs = hn::LoadU(D8(), bytes + row / 4 * xpack_row);
  const V8 top = hn::LoadU(D8(), bytes + 2 * xpack_row);
  const V8 low = hn::And(bytes_right<row % 4 * 2>(pairs), hn::Set(D8(), uint8_t{3}));
  V8 moved;
  if constexpr (row < 2) moved = bytes_left<2 - row>(top);
  else moved = bytes_right<row - 2>(top);
  return hn::Or(low, hn::And(moved, hn::Set(D8(), uint8_t{4})));
}

// Codes of some units, 64 values a word; an escape's code is replaced by its distance. The first
// byte after a word's values takes what is written for want of an escape.
constexpr size_t xpack_turn = 2;  // units
constexpr size_t xpack_word = 96;
struct XpackCodes {
  alignas(32) uint8_t at[xpack_turn * xpack_unit / 64 * xpack_word];
};

// What a page's decoding carries from turn to turn.
struct XpackReader {
  const XpackBases& bases;
  const XpackEscapes& escapes;
  const uint8_t* far;
  size_t far_count;
  size_t channel = 0;
  size_t escape = 0;
  size_t far_seen = 0;
};

// Unpacks two rows. Returns: where their codes are escapes, first value lowest.
template <int row>
HWY_INLINE uint64_t xpack_read_codes(const std::byte* unit, uint8_t* to) {
  const D8 d;
  uint64_t mask = 0;
  const auto part = [&](V8 code, size_t first) {
    hn::Store(code, d, to + first);
    const V8 marked = hn::Add(code, hn::Set(d, uint8_t{128 - xpack_escape}));
    mask |= uint64_t{top_bits(marked)} << first;
  };
  for (size_t column = 0; column < xpack_row; column += lanes8) {
    part(xpack_three_bits<row>(unit, column), column);
    part(xpack_three_bits<row + 1>(unit, column), xpack_row + column);
  }
  return mask;
}

// Place of the lowest bit, 64 if there is none.
HWY_INLINE size_t lowest_bit(uint64_t mask) {
#if SPECKV_X86_WIDE
  return size_t(_tzcnt_u64(mask));  // no comparison that a compiler could make a branch
#else
  return mask == 0 ? 64 : size_t(__builtin_ctzll(mask));
#endif
}

// Writes distances over the escapes of 64 values. Four in any case: fewer is the rule, and a branch
// for each would be guessed wrong every other time.
HWY_INLINE void xpack_fill_escapes(XpackReader& reader, uint64_t mask, uint8_t* codes) {
  const uint8_t* next = reader.escapes.at + reader.escape;
  const size_t seen = reader.escape + size_t(__builtin_popcountll(mask));
  for (int i = 0; i < 4; ++i) {
    codes[lowest_bit(mask)] = *next++;
    mask &= mask - 1;
  }
  for (; mask != 0; mask &= mask - 1) codes[lowest_bit(mask)] = *next++;
  reader.escape = seen < reader.escapes.count ? seen : reader.escapes.count;
}

// Sets the exponents of lanes whose escape is no distance.
template <bool bf16>
HWY_NOINLINE V8 xpack_set_far(XpackReader& reader, V8 distance, V8 upper) {
  alignas(32) uint8_t distances[32], bytes[32];
  hn::StoreU(distance, D8(), distances);
  hn::StoreU(upper, D8(), bytes);
  for (size_t i = 0; i < lanes8; ++i) {
    if (distances[i] <= xpack_distance_max) continue;
    uint8_t exponent = 0;
    if (distances[i] == xpack_escape + xpack_far) {
      exponent = reader.far_seen < reader.far_count ? reader.far[reader.far_seen] : uint8_t{0};
      ++reader.far_seen;
    }
    bytes[i] = bf16 ? exponent : uint8_t(exponent << 3 | (bytes[i] & 7));
  }
  return hn::LoadU(D8(), bytes);
}

template <bool stream>
HWY_INLINE void store_turned(V8 low, V8 upper, std::byte* to) {
  const U16 d;
  const auto turn_back = [&](V8 bytes) {
    const auto x = hn::BitCast(d, bytes);
    return hn::Or(hn::ShiftRight<1>(x), hn::ShiftLeft<15>(x));
  };
  auto first = turn_back(hn::InterleaveLower(D8(), low, upper));
  auto second = turn_back(hn::InterleaveUpper(D8(), low, upper));
#if SPECKV_X86_WIDE
  const auto a = first, b = second;  // interleaved within halves
  first = hn::ConcatLowerLower(d, b, a);
  second = hn::ConcatUpperUpper(d, b, a);
#endif
  auto* target = reinterpret_cast<uint16_t*>(to);
  if constexpr (stream) {
    hn::Stream(first, d, target);
    hn::Stream(second, d, target + lanes16);
  } else {
    hn::StoreU(first, d, target);
    hn::StoreU(second, d, target + lanes16);
  }
}

template <bool bf16, bool stream, int row>
HWY_INLINE void xpack_write_row(const std::byte* unit, const uint8_t* codes, XpackReader& reader,
                                std::byte* to) {
  const D8 d;
  const std::byte* lows = unit + xpack_code_bytes * (bf16 ? 1 : 2) + row * xpack_row;
  for (size_t column = 0; column < xpack_row; column += lanes8) {
    const V8 distance = hn::Load(d, codes + column);
    const V8 base = hn::LoadU(d, reader.bases.at + reader.channel + column);
    V8 upper;
    if constexpr (bf16) {
      upper = hn::Sub(base, distance);
    } else {
      // Base and distance lie three bits up; a distance has five, so none reaches its neighbour.
      upper = hn::Or(hn::Sub(base, bytes_left<3>(distance)),
                     xpack_three_bits<row>(unit + xpack_code_bytes, column));
    }
    if (HWY_UNLIKELY(reader.escapes.rare)) {
      const uint8_t to_top = 128 - xpack_distance_max - 1;
      if (top_bits(hn::Add(distance, hn::Set(d, to_top))) != 0)
        upper = xpack_set_far<bf16>(reader, distance, upper);
    }
    const V8 low = hn::LoadU(d, reinterpret_cast<const uint8_t*>(lows) + column);
    store_turned<stream>(low, upper, to + 2 * column);
  }
  reader.channel = reader.bases.next(reader.channel);
}

// Rows row and row + 1 of a unit, twice: first the codes, then the values.
template <int row>
HWY_INLINE void xpack_read_rows(const std::byte* unit, XpackReader& reader, uint8_t* codes) {
  xpack_fill_escapes(reader, xpack_read_codes<row>(unit, codes), codes);
}
template <bool bf16, bool stream, int row>
HWY_INLINE void xpack_write_rows(const std::byte* unit, const uint8_t* codes, XpackReader& reader,
                                 RowWalk<std::byte>& rows) {
  xpack_write_row<bf16, stream, row>(unit, codes, reader, rows.next());
  xpack_write_row<bf16, stream, row + 1>(unit, codes + xpack_row, reader, rows.next());
}

// Some units at a time: by the time that their codes are read as vectors again, the bytes written
// over them have left the store buffer.
template <bool bf16, bool stream>
void xpack_decode_page(const PageShape& shape, const std::byte* in, const View& out) {
  const XpackMap map = xpack_map(shape);
  const XpackEscapes escapes(map, in);
  XpackBases bases;
  xpack_read_bases<bf16>(shape, map, in, bases);
  XpackReader reader{bases, escapes, reinterpret_cast<const uint8_t*>(in + map.far), map.units};
  auto rows = walk_rows<std::byte>(shape, out);
  XpackCodes codes;
  for (size_t first = 0; first < map.units; first += xpack_turn) {
    const size_t units = map.units - first < xpack_turn ? map.units - first : xpack_turn;
    const std::byte* unit = in + map.body + first * map.unit_bytes;
    uint8_t* to = codes.at;
    for (size_t u = 0; u < units; ++u, to += 4 * xpack_word) {
      xpack_read_rows<0>(unit + u * map.unit_bytes, reader, to);
      xpack_read_rows<2>(unit + u * map.unit_bytes, reader, to + xpack_word);
      xpack_read_rows<4>(unit + u * map.unit_bytes, reader, to + 2 * xpack_word);
      xpack_read_rows<6>(unit + u * map.unit_bytes, reader, to + 3 * xpack_word);
    }
    const uint8_t* from = codes.at;
    for (size_t u = 0; u < units; ++u, unit += map.unit_bytes, from += 4 * xpack_word) {
      xpack_write_rows<bf16, stream, 0>(unit, from, reader, rows);
      xpack_write_rows<bf16, stream, 2>(unit, from + xpack_word, reader, rows);
      xpack_write_rows<bf16, stream, 4>(unit, from + 2 * xpack_word, reader, rows);
      xpack_write_rows<bf16, stream, 6>(unit, from + 3 * xpack_word, reader, rows);
    }
  }
}

void xpack_decode_rows(const PageShape& shape, const std::byte* in, const View& out, bool stream) {
  if (shape.dtype == SPECKV_DTYPE_BF16) {
    if (stream) xpack_decode_page<true, true>(shape, in, out);
    else xpack_decode_page<true, false>(shape, in, out);
  } else {
    if (stream) xpack_decode_page<false, true>(shape, in, out);
    else xpack_decode_page<false, false>(shape, in, out);
  }
}
#endif  // HWY_TARGET != HWY_SCALAR

}  // namespace speckv::codec::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace speckv::codec {
HWY_EXPORT(xpack_decode_rows);
namespace simd {

void xpack_decode_rows(const PageShape& shape, const std::byte* in, const View& out, bool stream) {
  HWY_DYNAMIC_DISPATCH(xpack_decode_rows)(shape, in, out, stream);
}

}  // namespace simd
}  // namespace speckv::codec
#endif
