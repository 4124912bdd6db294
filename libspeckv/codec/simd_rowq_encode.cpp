// SPDX-License-Identifier: Apache-2.0
// simd_rowq_encode.cpp - rowq's encoder for every vector target; golden_rowq.cpp says what it
// computes.
//
// Codes are bytes from the quantiser on: the lattice step and the bit planes take 32 at once.
#include "codec/golden.hpp"
#include "codec/half.hpp"
#include "codec/simd_rowq.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codec/simd_rowq_encode.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#include "codec/simd_rowq-inl.h"
#include "codec/simd_rowq_encode_gfni-inl.h"

HWY_BEFORE_NAMESPACE();
namespace speckv::codec::HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR
bool rowq_encode_rows(int bits, const PageShape& shape, const ConstView& in, std::byte* out,
                      ptrdiff_t /*ahead*/) {
  return golden::rowq_encode(bits, shape, in, out) == Refusal::none;
}
#else
// The bits of the largest magnitude.
HWY_INLINE uint32_t largest_size(const std::byte* const runs[2]) {
  const V16 mask = hn::Set(D16(), int16_t{0x7fff});
  V16 top = hn::Zero(D16());
  for (size_t r = 0; r < 2; ++r) {
    for (size_t i = 0; i < block_vectors; ++i) {
      top = hn::Max(top, hn::And(load_bits(runs[r] + 2 * lanes16 * i), mask));
    }
  }
  return largest16(top);
}

// Ten-bit integers of a row under its exponent field.
template <bool bf16>
HWY_INLINE void load_row(const std::byte* const runs[2], int field, V16* row) {
  const VF factor = hn::Set(DF(), simd::exp2_float(-rowq_exponent_base(bf16) + 1 - field));
  const V16 most = hn::Set(D16(), rowq_input_max);
  for (size_t r = 0; r < 2; ++r) {
    for (size_t i = 0; i < block_vectors; ++i) {
      const V16 doubled = load_words<bf16>(runs[r] + 2 * lanes16 * i, factor);
      row[r * block_vectors + i] = halve_words(doubled, most);
    }
  }
}

struct Quads {
  V8 opposite;   // byte i takes byte i^2 of its quad
  V8 neighbour;  // i^1
  V8 rank;       // i, the smaller index wins a tie
};

HWY_INLINE Quads make_quads() {
  alignas(32) uint8_t opposite[32], neighbour[32], rank[32];
  for (uint8_t i = 0; i < 32; ++i) {
    opposite[i] = (i % 16) ^ 2;
    neighbour[i] = (i % 16) ^ 1;
    rank[i] = i % 4;
  }
  const D8 d;
  return {hn::Load(d, opposite), hn::Load(d, neighbour), hn::Load(d, rank)};
}

// Bytes below 64, halved.
HWY_INLINE V8 halve_bytes(V8 x) {
  const hn::RebindToUnsigned<D16> d16;
  const V8 shifted = hn::BitCast(D8(), hn::ShiftRight<1>(hn::BitCast(d16, x)));
  return hn::And(shifted, hn::Set(D8(), uint8_t{31}));
}

// What a step to the next cell loses, from the distance to it.
HWY_INLINE V8 loss_of(int bits, V8 code, V8 distance) {
  if (!rowq_has_widths(bits)) return distance;
  const hn::RebindToSigned<D8> d;
  const auto beyond = [&](auto j, int cells) {
    return hn::BitCast(D8(), hn::VecFromMask(d, hn::Gt(j, hn::Set(d, int8_t(cells - 1)))));
  };
  const int half = 1 << (bits - 1);
  const auto from_middle = hn::Sub(hn::BitCast(d, code), hn::Set(d, int8_t(half)));
  const auto j = hn::Xor(from_middle, hn::BroadcastSignBit(from_middle));
  const V8 once = halve_bytes(distance), quarter = halve_bytes(once);
  return hn::Add(once, hn::Add(hn::And(quarter, beyond(j, half / 2)),
                               hn::And(quarter, beyond(j, half / 4 * 3))));
}

// Makes the lowest bits of every quad of codes even; see golden's make_even().
HWY_INLINE V8 make_even(int bits, V8 code, V8 fraction, const Quads& quads) {
  const D8 d;
  const V8 none = hn::Zero(d), all = hn::Set(d, uint8_t{255});
  const V8 top = hn::Set(d, uint8_t((1 << bits) - 1));
  const V8 upper = hn::Set(d, uint8_t{64});
  V8 up = hn::VecFromMask(d, hn::Eq(hn::And(fraction, upper), upper));
  const V8 distance = hn::Xor(fraction, hn::And(up, hn::Set(d, uint8_t{127})));
  const V8 edge = hn::Or(hn::And(up, hn::VecFromMask(d, hn::Eq(code, top))),
                         hn::AndNot(up, hn::VecFromMask(d, hn::Eq(code, none))));
  up = hn::Xor(up, edge);
  V8 key = hn::Or(loss_of(bits, code, distance), hn::And(edge, hn::Set(d, uint8_t{63})));
  key = hn::Add(key, key);
  key = hn::Or(hn::Add(key, key), quads.rank);
  V8 best = hn::Min(key, hn::TableLookupBytes(key, quads.opposite));
  best = hn::Min(best, hn::TableLookupBytes(best, quads.neighbour));
  V8 parity = hn::Xor(code, hn::TableLookupBytes(code, quads.opposite));
  parity = hn::Xor(parity, hn::TableLookupBytes(parity, quads.neighbour));
  const V8 one = hn::Set(d, uint8_t{1});
  const V8 odd = hn::VecFromMask(d, hn::Eq(hn::And(parity, one), one));
  const V8 chosen = hn::And(odd, hn::VecFromMask(d, hn::Eq(key, best)));
  // +1 = minus all ones where up, -1 = all ones elsewhere
  const V8 step = hn::Or(hn::And(up, one), hn::AndNot(up, all));
  return hn::Add(code, hn::And(chosen, step));
}

// Values of one group as codes with seven bits of their place in the cell; see golden's cell_of().
class Quantiser {
 public:
  HWY_INLINE Quantiser(int bits, const RowqScaling& by) : widths_(rowq_has_widths(bits)), by_(by) {
    const auto [wider3, wider4] = rowq_wider(bits);
    middle_ = hn::Set(D16(), int16_t((64 << bits) + !widths_));
    wider3_ = hn::Set(D16(), int16_t(wider3));
    wider4_ = wider4;
  }
  HWY_INLINE V16 operator()(V16 value) const {
    const D16 d;
    if (!widths_) {
      const V16 scaled = hn::ShiftLeftSame(value, by_.shift);
      const V16 place = hn::MulHigh(scaled, hn::Set(d, int16_t(by_.reciprocal)));
      return hn::Add(hn::Add(place, place), middle_);
    }
    const hn::RebindToUnsigned<D16> du;
    const auto size = hn::ShiftLeftSame(hn::BitCast(du, hn::Abs(value)), by_.shift);
    const auto y = hn::MulHigh(size, hn::Set(du, uint16_t(by_.reciprocal)));
    const auto y3 = hn::MulHigh(y, hn::Set(du, uint16_t{rowq_two_thirds}));
    V16 place = hn::Min(hn::BitCast(d, y), hn::Add(hn::BitCast(d, y3), wider3_));
    const auto y2 = hn::AverageRound(y, hn::Set(du, uint16_t(2 * wider4_)));
    place = hn::Min(place, hn::BitCast(d, y2));
    return hn::Add(hn::Xor(place, hn::BroadcastSignBit(value)), middle_);
  }

 private:
  const bool widths_;
  const RowqScaling by_;
  V16 middle_, wider3_;
  int wider4_;
};

// Codes of one group of 32 transformed values; returns the words of its bit planes, [bit].
HWY_INLINE void quantise_group(int bits, const V16* values, const RowqScaling& scaling,
                               const Quads& quads, size_t group, const RowPlanes& out,
                               uint32_t* low_word) {
  const D16 d;
  const Quantiser quantise(bits, scaling);
  const V16 cell = hn::Set(d, int16_t{127});
  for (size_t h = 0; h < group_bytes; ++h) {
    const V16 fine[2] = {quantise(values[2 * h]), quantise(values[2 * h + 1])};
    const hn::RebindToUnsigned<D16> du;
    const auto code_of = [&](V16 f) {
      return hn::BitCast(d, hn::ShiftRight<7>(hn::BitCast(du, f)));
    };
    const V8 codes = pack_codes(code_of(fine[0]), code_of(fine[1]));
    const V8 fractions = pack_codes(hn::And(fine[0], cell), hn::And(fine[1], cell));
    V8 even = code_order(make_even(bits, codes, fractions, quads));
    // No code reaches into its neighbour's byte.
    even = hn::BitCast(D8(), hn::ShiftLeftSame(hn::BitCast(du, even), 8 - bits));
    for (int p = bits - 1; p >= 0; --p) {
      const uint32_t word = top_bits(even);
      if (p == 0) *low_word |= lanes8 == 32 ? word : word << (16 * h);
      else std::memcpy(out.plane[p] + 4 * group + 2 * h, &word, lanes8 / 8);
      even = hn::Add(even, even);
    }
  }
}

template <bool bf16>
HWY_INLINE bool encode_row(int bits, const std::byte* const runs[2], size_t block, size_t number,
                           const Quads& quads, const RowPlanes& out) {
  const int field = rowq_field(bf16, largest_size(runs));
  if (field >= rowq_field_limit(bf16)) return false;
  V16 row[row_vectors];
  load_row<bf16>(runs, field, row);
  for (size_t h = 0; h < 2; ++h) {
    if (rowq_has_signs(bits)) change_signs(row + h * block_vectors, rowq_signs(2 * number + h));
    transform(row + h * block_vectors, block);
  }
  uint32_t group_top[4];
  for (size_t g = 0; g < 4; ++g) {
    V16 most = hn::Abs(row[g * group_vectors]);
    for (size_t i = 1; i < group_vectors; ++i)
      most = hn::Max(most, hn::Abs(row[g * group_vectors + i]));
    group_top[g] = largest16(most);
  }
  RowqFrame frame;
  if (!rowq_frame(bits, bf16, block, field, group_top, frame)) return false;
  if (frame.side == rowq_zero_row) return store_zero_row(bits, out);
  uint32_t low_words[4] = {};
  for (size_t g = 0; g < 4; ++g)
    quantise_group(bits, row + g * group_vectors, frame.scaling[g], quads, g, out, &low_words[g]);
  std::memcpy(out.side, &frame.side, 4);
  store_low_plane(low_words, out.plane[0]);
  return true;
}

template <bool bf16>
bool encode_page(int bits, const PageShape& shape, const ConstView& in, std::byte* out,
                 ptrdiff_t ahead) {
  const Quads quads = make_quads();
  RowPlanes planes(bits, shape, out);
  bool accepted = true;
  for (int p = 0; p < 3; ++p) {
    const RowqPart part = rowq_part(shape, p);
    RowWalk walk(part, in, ahead);
    for (size_t r = 0; r < part.rows; ++r, planes.next_row())
      accepted &=
          encode_row<bf16>(bits, walk.next(), part.block, part.first_row + r, quads, planes);
  }
  return accepted;
}

template <bool bf16>
bool encode_any(int bits, const PageShape& shape, const ConstView& in, std::byte* out,
                ptrdiff_t ahead) {
#if SPECKV_GFNI
  if (simd::has_gfni()) {
    switch (bits) {
      case 3:
        return encode_page_gfni<3, bf16>(shape, in, out, ahead);
      case 4:
        return encode_page_gfni<4, bf16>(shape, in, out, ahead);
      case 5:
        return encode_page_gfni<5, bf16>(shape, in, out, ahead);
      case 6:
        return encode_page_gfni<6, bf16>(shape, in, out, ahead);
      default:
        return encode_page_gfni<8, bf16>(shape, in, out, ahead);
    }
  }
#endif
  return encode_page<bf16>(bits, shape, in, out, ahead);
}

bool rowq_encode_rows(int bits, const PageShape& shape, const ConstView& in, std::byte* out,
                      ptrdiff_t ahead) {
  return is_bf16(shape.dtype) ? encode_any<true>(bits, shape, in, out, ahead)
                              : encode_any<false>(bits, shape, in, out, ahead);
}
#endif  // HWY_TARGET != HWY_SCALAR

}  // namespace speckv::codec::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace speckv::codec {
HWY_EXPORT(rowq_encode_rows);
namespace simd {

bool rowq_encode_rows(int bits, const PageShape& shape, const ConstView& in, std::byte* out,
                      ptrdiff_t ahead) {
  return HWY_DYNAMIC_DISPATCH(rowq_encode_rows)(bits, shape, in, out, ahead);
}
}  // namespace simd
}  // namespace speckv::codec
#endif
