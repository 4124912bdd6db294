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

HWY_BEFORE_NAMESPACE();
namespace speckv::codec::HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR
bool rowq_encode_rows(int bits, const PageShape& shape, const ConstView& in, std::byte* out,
                      ptrdiff_t /*ahead*/) {
  return golden::rowq_encode(bits, shape, in, out) == Refusal::none;
}
#else
template <bool bf16>
HWY_INLINE uint32_t row_field(const std::byte* const runs[2]) {
  const V16 mask = hn::Set(D16(), int16_t{0x7fff});
  V16 top = hn::Zero(D16());
  for (size_t r = 0; r < 2; ++r) {
    for (size_t i = 0; i < block_vectors; ++i) {
      top = hn::Max(top, hn::And(load_bits(runs[r] + 2 * lanes16 * i), mask));
    }
  }
  return largest16(top) >> (bf16 ? 7 : 10);
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
  V8 rank;       // 3 - i, the smaller index wins a tie
};

HWY_INLINE Quads make_quads() {
  alignas(32) uint8_t opposite[32], neighbour[32], rank[32];
  for (uint8_t i = 0; i < 32; ++i) {
    opposite[i] = (i % 16) ^ 2;
    neighbour[i] = (i % 16) ^ 1;
    rank[i] = 3 - i % 4;
  }
  const D8 d;
  return {hn::Load(d, opposite), hn::Load(d, neighbour), hn::Load(d, rank)};
}

// Makes the lowest bits of every quad of codes even; see golden's make_even().
HWY_INLINE V8 make_even(int bits, V8 code, V8 fraction, const Quads& quads) {
  const D8 d;
  const V8 none = hn::Zero(d), all = hn::Set(d, uint8_t{255});
  const V8 top = hn::Set(d, uint8_t((1 << bits) - 1));
  const auto up_half = hn::Eq(hn::And(fraction, hn::Set(d, uint8_t{64})), hn::Set(d, uint8_t{64}));
  V8 up = hn::VecFromMask(d, up_half);
  const V8 flip = hn::IfThenElse(up_half, hn::Set(d, uint8_t{64}), hn::Set(d, uint8_t{63}));
  V8 merit = hn::Xor(fraction, flip);
  const V8 edge = hn::Or(hn::And(up, hn::VecFromMask(d, hn::Eq(code, top))),
                         hn::AndNot(up, hn::VecFromMask(d, hn::Eq(code, none))));
  merit = hn::AndNot(edge, merit);
  up = hn::Xor(up, edge);
  V8 key = hn::Add(merit, merit);
  key = hn::Or(hn::Add(key, key), quads.rank);
  V8 best = hn::Max(key, hn::TableLookupBytes(key, quads.opposite));
  best = hn::Max(best, hn::TableLookupBytes(best, quads.neighbour));
  V8 parity = hn::Xor(code, hn::TableLookupBytes(code, quads.opposite));
  parity = hn::Xor(parity, hn::TableLookupBytes(parity, quads.neighbour));
  const V8 one = hn::Set(d, uint8_t{1});
  const V8 odd = hn::VecFromMask(d, hn::Eq(hn::And(parity, one), one));
  const V8 chosen = hn::And(odd, hn::VecFromMask(d, hn::Eq(key, best)));
  // +1 = minus all ones where up, -1 = all ones elsewhere
  const V8 step = hn::Or(hn::And(up, one), hn::AndNot(up, all));
  return hn::Add(code, hn::And(chosen, step));
}

// Where one row's parts lie in the page.
struct RowPlanes {
  std::byte* side;
  std::byte* plane[8];  // by bit; plane 0 has 12 bytes a row, the others 16
};

// Writes a row of zeros. Returns: true, as a row that is in range.
HWY_INLINE bool store_zero_row(int bits, const RowPlanes& out) {
  const uint32_t side = rowq_zero_row;
  std::memcpy(out.side, &side, 4);
  std::memset(out.plane[0], 0, 12);
  for (int p = 1; p < bits; ++p) std::memset(out.plane[p], 0, 16);
  return true;
}

// Codes of one group of 32 transformed values; returns the words of its bit planes, [bit].
HWY_INLINE void quantise_group(int bits, const V16* values, const RowqScaling& scaling,
                               const Quads& quads, size_t group, const RowPlanes& out,
                               uint32_t* low_word) {
  const D16 d;
  const V16 reciprocal = hn::Set(d, int16_t(scaling.reciprocal));
  const V16 middle = hn::Set(d, int16_t((1 << (6 + bits)) + !rowq_has_widths(bits)));
  const V16 cell = hn::Set(d, int16_t{127});
  for (size_t h = 0; h < group_bytes; ++h) {
    V16 fine[2];
    for (size_t i = 0; i < 2; ++i) {
      const V16 scaled = hn::ShiftLeftSame(values[2 * h + i], scaling.shift);
      const V16 place = hn::MulHigh(scaled, reciprocal);
      fine[i] = hn::Add(rowq_has_widths(bits) ? place : hn::Add(place, place), middle);
    }
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
HWY_INLINE bool encode_row(int bits, const std::byte* const runs[2], size_t block,
                           const Quads& quads, const RowPlanes& out) {
  const int seen = int(row_field<bf16>(runs));
  if (seen >= rowq_field_limit(bf16)) return false;
  const int field = seen < rowq_field_floor(bf16) ? rowq_field_floor(bf16) : seen;
  V16 row[row_vectors];
  load_row<bf16>(runs, field, row);
  transform(row, block);
  transform(row + block_vectors, block);
  uint32_t group_top[4], top = 0;
  for (size_t g = 0; g < 4; ++g) {
    V16 most = hn::Abs(row[g * group_vectors]);
    for (size_t i = 1; i < group_vectors; ++i)
      most = hn::Max(most, hn::Abs(row[g * group_vectors + i]));
    group_top[g] = largest16(most);
    top = top > group_top[g] ? top : group_top[g];
  }
  if (top == 0) return store_zero_row(bits, out);
  const int kappa = int(std::bit_width(top)) - 8;
  const int exponent = kappa + field + rowq_exponent_base(bf16) - std::countr_zero(uint32_t(block));
  if (exponent > rowq_exponent_max(bf16)) return false;
  uint32_t side = static_cast<uint8_t>(exponent - rowq_scale_bits(bits)), low_words[4] = {};
  RowqScaling scaling[4];
  side |= rowq_scale_groups(bits, group_top, kappa, scaling);
  for (size_t g = 0; g < 4; ++g)
    quantise_group(bits, row + g * group_vectors, scaling[g], quads, g, out, &low_words[g]);
  std::memcpy(out.side, &side, 4);
  store_low_plane(low_words, out.plane[0]);
  return true;
}

template <bool bf16>
bool encode_page(int bits, const PageShape& shape, const ConstView& in, std::byte* out,
                 ptrdiff_t ahead) {
  const Quads quads = make_quads();
  const size_t rows = rowq_rows(shape);
  RowPlanes planes;
  planes.side = out;
  for (int b = 0; b < bits; ++b) planes.plane[b] = out + rowq_plane_offset(rows, bits, b);
  bool accepted = true;
  for (int p = 0; p < 3; ++p) {
    const RowqPart part = rowq_part(shape, p);
    BlockWalk walk(part, in.base, in.token_stride);
    for (size_t r = 0; r < part.rows; ++r) {
      alignas(32) std::byte copy[2 * rowq_row];  // of blocks shorter than 64
      const std::byte* runs[2] = {copy, copy + rowq_row};
      for (size_t i = 0; i < rowq_row / part.block; ++i) {
        const std::byte* block = walk.next();
        if (part.block == 64) runs[i] = block;
        else std::memcpy(copy + i * 2 * part.block, block, 2 * part.block);
        if (ahead != 0) __builtin_prefetch(block + ahead, 0, 2);
        if (ahead != 0 && part.block == 64) __builtin_prefetch(block + ahead + 64, 0, 2);
      }
      accepted &= encode_row<bf16>(bits, runs, part.block, quads, planes);
      planes.side += 4;
      planes.plane[0] += 12;
      for (int b = 1; b < bits; ++b) planes.plane[b] += 16;
    }
  }
  return accepted;
}

bool rowq_encode_rows(int bits, const PageShape& shape, const ConstView& in, std::byte* out,
                      ptrdiff_t ahead) {
  return is_bf16(shape.dtype) ? encode_page<true>(bits, shape, in, out, ahead)
                              : encode_page<false>(bits, shape, in, out, ahead);
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
