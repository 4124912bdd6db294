// SPDX-License-Identifier: Apache-2.0
// simd_rowq_encode_gfni-inl.h - rowq's encoder for AVX-512 with GFNI. Included by
// simd_rowq_encode.cpp, which has the same for every other target; golden_rowq.cpp says what both
// compute.
//
// Half a row is two vectors of 32 words. The transform exchanges the bit of a value's number that
// tells the vectors apart with one of the words' numbers, so that it leaves even values in one
// vector and odd ones in the other: one vector of 64 bytes when they are codes. Bits of a value's
// number, from that byte's: 4 5 | 3 2 1 0. So quads are neighbours, and a matrix of 8 x 8 bits
// makes planes of eight values.
#if defined(SPECKV_CODEC_SIMD_ROWQ_ENCODE_GFNI_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SPECKV_CODEC_SIMD_ROWQ_ENCODE_GFNI_INL_H_
#undef SPECKV_CODEC_SIMD_ROWQ_ENCODE_GFNI_INL_H_
#else
#define SPECKV_CODEC_SIMD_ROWQ_ENCODE_GFNI_INL_H_
#endif

#include "codec/simd_gfni-inl.h"
#include "codec/simd_rowq-inl.h"

#ifndef SPECKV_CODEC_SIMD_ROWQ_ENCODE_GFNI_ONCE_
#define SPECKV_CODEC_SIMD_ROWQ_ENCODE_GFNI_ONCE_
namespace speckv::codec::simd {

// Planes of groups of eight values, group by group, to groups in order, plane by plane.
inline constexpr ByteOrder rowq_plane_order = make_order([](unsigned i) {
  const unsigned plane = i / 8, eight = i % 8;  // of the half row's eights
  return 8 * ((eight & 1) | (eight >> 2 & 1) << 1 | (eight >> 1 & 1) << 2) + plane;
});

}  // namespace speckv::codec::simd
#endif

#if SPECKV_GFNI
SPECKV_BEFORE_GFNI();
namespace speckv::codec::HWY_NAMESPACE {

HWY_INLINE void transform(HalfRow& half, size_t block) {
  if (block == 64) butterfly(half);  // bit 5
  half = {_mm512_shuffle_i64x2(half.a, half.b, 0x44), _mm512_shuffle_i64x2(half.a, half.b, 0xee)};
  if (block >= 32) butterfly(half);  // bit 4
  half = {_mm512_shuffle_i64x2(half.a, half.b, 0x88), _mm512_shuffle_i64x2(half.a, half.b, 0xdd)};
  butterfly(half);  // bit 3
  for (int bit = 2; bit >= 0; --bit) {
    rotate(half);
    butterfly(half);
  }
}
// Words of a half row's second group, once transformed.
inline constexpr __mmask32 second_group = 0xff00ff00;

HWY_INLINE HalfRow load_half_row(const std::byte* run) {
  return {_mm512_loadu_si512(run), _mm512_loadu_si512(run + 64)};
}

HWY_INLINE __m128i complement(__m128i v) { return _mm_xor_si128(v, _mm_set1_epi16(-1)); }
// Requires: words in 0..32767. Returns: the largest.
HWY_INLINE uint32_t largest_of(__m128i v) {
  return 0xffff ^ static_cast<uint16_t>(_mm_cvtsi128_si32(_mm_minpos_epu16(complement(v))));
}
HWY_INLINE __m256i larger_halves(__m512i v) {
  return _mm256_max_epi16(_mm512_castsi512_si256(v), _mm512_extracti64x4_epi64(v, 1));
}

// Ten-bit integers of 32 values under the row's exponent field, signs changed where bits are set.
template <bool bf16>
HWY_INLINE __m512i integers_of(__m512i bits, int field, __mmask32 signs) {
  constexpr int fraction_bits = bf16 ? 7 : 10;
  const __m512i size = _mm512_and_si512(bits, _mm512_set1_epi16(0x7fff));
  __m512i own = _mm512_srli_epi16(size, fraction_bits);
  const __m512i hidden = _mm512_set1_epi16(1 << fraction_bits);
  const __m512i fraction = _mm512_set1_epi16((1 << fraction_bits) - 1);
  // (size & fraction) | hidden
  __m512i mantissa = _mm512_ternarylogic_epi32(size, fraction, hidden, 0xea);
  // Under a larger field subnormals become 0, with a hidden bit, too.
  if (!bf16 && field <= fraction_bits) {
    const __mmask32 subnormal = _mm512_testn_epi16_mask(own, own);
    mantissa = _mm512_mask_mov_epi16(mantissa, subnormal, size);
    own = _mm512_mask_set1_epi16(own, subnormal, 1);
  }
  if constexpr (bf16) mantissa = _mm512_slli_epi16(mantissa, 3);
  // Eleven bits; twice the value has ten.
  const __m512i below = _mm512_sub_epi16(_mm512_set1_epi16(int16_t(field + 1)), own);
  const __m512i doubled = _mm512_srlv_epi16(mantissa, below);
  const __m512i value = _mm512_min_epi16(_mm512_avg_epu16(doubled, _mm512_setzero_si512()),
                                         _mm512_set1_epi16(rowq_input_max));
  const __mmask32 negative = _mm512_movepi16_mask(bits) ^ signs;
  return _mm512_mask_sub_epi16(value, negative, _mm512_setzero_si512(), value);
}

// See golden's cell_of().
template <int bits>
HWY_INLINE __m512i place_words(__m512i value, __m128i shift, __m512i reciprocal) {
  constexpr int middle = (64 << bits) + !rowq_has_widths(bits);
  if constexpr (!rowq_has_widths(bits)) {
    const __m512i place = _mm512_mulhi_epi16(_mm512_sll_epi16(value, shift), reciprocal);
    return _mm512_add_epi16(_mm512_add_epi16(place, place), _mm512_set1_epi16(middle));
  }
  constexpr auto wider = rowq_wider(bits);
  const __m512i y =
      _mm512_mulhi_epu16(_mm512_sll_epi16(_mm512_abs_epi16(value), shift), reciprocal);
  const __m512i y3 = _mm512_mulhi_epu16(y, _mm512_set1_epi16(int16_t(rowq_two_thirds)));
  __m512i place = _mm512_min_epi16(y, _mm512_add_epi16(y3, _mm512_set1_epi16(wider[0])));
  place = _mm512_min_epi16(place, _mm512_avg_epu16(y, _mm512_set1_epi16(2 * wider[1])));
  return _mm512_add_epi16(_mm512_xor_si512(place, _mm512_srai_epi16(value, 15)),
                          _mm512_set1_epi16(middle));
}

// What a step to the next cell loses, from the distance to it.
template <int bits>
HWY_INLINE __m512i loss_of(__m512i code, __m512i distance) {
  if constexpr (!rowq_has_widths(bits)) return distance;
  constexpr int half = 1 << (bits - 1);
  const auto beyond = [&](int cells) {
    const __m512i from = _mm512_sub_epi8(code, _mm512_set1_epi8(char(half - cells)));
    return _mm512_cmpge_epu8_mask(from, _mm512_set1_epi8(char(2 * cells)));
  };
  // As a matrix of bits: row 7 - i says which bits make bit i.
  const auto shift_right = [](__m512i x, int64_t matrix) {
    return _mm512_gf2p8affine_epi64_epi8(x, _mm512_set1_epi64(matrix), 0);
  };
  const __m512i once = shift_right(distance, 0x0204081020408000);
  const __m512i quarter = shift_right(distance, 0x0408102040800000);
  const __m512i loss = _mm512_mask_add_epi8(once, beyond(half / 2), once, quarter);
  return _mm512_mask_add_epi8(loss, beyond(half / 4 * 3), loss, quarter);
}

// See golden's make_even(); a quad is four neighbouring bytes.
template <int bits>
HWY_INLINE __m512i make_even(__m512i code, __m512i fraction) {
  const __m512i one = _mm512_set1_epi8(1);
  __mmask64 up = _mm512_test_epi8_mask(fraction, _mm512_set1_epi8(64));
  const __m512i distance = _mm512_mask_sub_epi8(fraction, up, _mm512_set1_epi8(127), fraction);
  const __mmask64 edge =
      _mm512_mask_cmpeq_epi8_mask(up, code, _mm512_set1_epi8(char((1 << bits) - 1))) |
      _mm512_mask_testn_epi8_mask(~up, code, code);
  up ^= edge;
  const __m512i loss =
      _mm512_mask_mov_epi8(loss_of<bits>(code, distance), edge, _mm512_set1_epi8(63));
  const __m512i key = _mm512_or_si512(_mm512_slli_epi16(loss, 2), _mm512_set1_epi32(0x03020100));
  const auto across = [](__m512i v, auto join) {
    v = join(v, _mm512_rol_epi32(v, 16));
    return join(v, _mm512_rol_epi32(v, 8));
  };
  const __m512i least = across(key, [](auto a, auto b) { return _mm512_min_epu8(a, b); });
  const __m512i parity = across(code, [](auto a, auto b) { return _mm512_xor_si512(a, b); });
  const __mmask64 moved =
      _mm512_mask_cmpeq_epi8_mask(_mm512_test_epi8_mask(parity, one), key, least);
  code = _mm512_mask_add_epi8(code, moved & up, code, one);
  return _mm512_mask_sub_epi8(code, moved & ~up, code, one);
}

// Codes of half a row; returns its planes, eight bytes each, plane 0 first.
template <int bits>
HWY_INLINE __m512i quantise_half(const HalfRow& half, const RowqScaling by[2]) {
  const __m128i shift = _mm_cvtsi32_si128(by[0].shift);
  const __m512i reciprocal =
      _mm512_mask_mov_epi16(_mm512_set1_epi16(int16_t(by[0].reciprocal)), second_group,
                            _mm512_set1_epi16(int16_t(by[1].reciprocal)));
  const __m512i even = place_words<bits>(half.a, shift, reciprocal);
  const __m512i odd = place_words<bits>(half.b, shift, reciprocal);
  const auto both = [](__m512i low, __m512i high) {
    return _mm512_mask_mov_epi8(low, 0xaaaaaaaaaaaaaaaa, high);
  };
  const __m512i code = both(_mm512_srli_epi16(even, 7), _mm512_slli_epi16(odd, 1));
  const __m512i fraction =
      _mm512_and_si512(both(even, _mm512_slli_epi16(odd, 8)), _mm512_set1_epi8(127));
  const __m512i final = permute_bytes(make_even<bits>(code, fraction), simd::last_first);
  const __m512i picks = _mm512_set1_epi64(int64_t(0x8040201008040201));
  return permute_bytes(_mm512_gf2p8affine_epi64_epi8(picks, final, 0), simd::rowq_plane_order);
}

template <int bits>
HWY_INLINE void store_row_planes(__m512i first, __m512i second, const RowPlanes& out) {
  const __m512i even = _mm512_unpacklo_epi64(first, second);
  const __m512i odd = _mm512_unpackhi_epi64(first, second);
  const auto store = [&](int p, __m128i plane) {
    if (p < bits) _mm_storeu_si128(reinterpret_cast<__m128i*>(out.plane[p]), plane);
  };
  alignas(16) uint32_t low[4];
  _mm_store_si128(reinterpret_cast<__m128i*>(low), _mm512_castsi512_si128(even));
  store_low_plane(low, out.plane[0]);
  store(1, _mm512_castsi512_si128(odd));
  store(2, _mm512_extracti32x4_epi32(even, 1));
  store(3, _mm512_extracti32x4_epi32(odd, 1));
  store(4, _mm512_extracti32x4_epi32(even, 2));
  store(5, _mm512_extracti32x4_epi32(odd, 2));
  store(6, _mm512_extracti32x4_epi32(even, 3));
  store(7, _mm512_extracti32x4_epi32(odd, 3));
}

// A row between its two steps.
struct ScaledRow {
  HalfRow half[2];  // transformed
  RowqFrame frame;
};

// Returns: false when the row is out of range.
template <int bits, bool bf16>
HWY_INLINE bool scale_row(const std::byte* const runs[2], size_t block, size_t number,
                          ScaledRow& ret_row) {
  HalfRow half[2] = {load_half_row(runs[0]), load_half_row(runs[1])};
  const auto size = [](__m512i v) { return _mm512_and_si512(v, _mm512_set1_epi16(0x7fff)); };
  const __m256i sizes =
      larger_halves(_mm512_max_epi16(_mm512_max_epi16(size(half[0].a), size(half[0].b)),
                                     _mm512_max_epi16(size(half[1].a), size(half[1].b))));
  const int field = rowq_field(bf16, largest_of(_mm_max_epi16(_mm256_castsi256_si128(sizes),
                                                              _mm256_extracti128_si256(sizes, 1))));
  ret_row.frame.side = rowq_zero_row;
  if (field >= rowq_field_limit(bf16)) return false;
  uint32_t group_top[4];
  for (size_t h = 0; h < 2; ++h) {
    const uint64_t signs = rowq_has_signs(bits) ? rowq_signs(2 * number + h) : 0;
    half[h] = {integers_of<bf16>(half[h].a, field, __mmask32(signs)),
               integers_of<bf16>(half[h].b, field, __mmask32(signs >> 32))};
    transform(half[h], block);
    const __m256i tops =
        larger_halves(_mm512_max_epi16(_mm512_abs_epi16(half[h].a), _mm512_abs_epi16(half[h].b)));
    group_top[2 * h] = largest_of(_mm256_castsi256_si128(tops));
    group_top[2 * h + 1] = largest_of(_mm256_extracti128_si256(tops, 1));
    ret_row.half[h] = half[h];
  }
  return rowq_frame(bits, bf16, block, field, group_top, ret_row.frame);
}

template <int bits>
HWY_INLINE void store_row(const ScaledRow& row, const RowPlanes& out) {
  if (row.frame.side == rowq_zero_row) {
    store_zero_row(bits, out);
    return;
  }
  store_row_planes<bits>(quantise_half<bits>(row.half[0], row.frame.scaling),
                         quantise_half<bits>(row.half[1], row.frame.scaling + 2), out);
  std::memcpy(out.side, &row.frame.side, 4);
}

template <int bits, bool bf16>
bool encode_page_gfni(const PageShape& shape, const ConstView& in, std::byte* out,
                      ptrdiff_t ahead) {
  // A row's steps wait for each other; of several rows they overlap.
  constexpr size_t at_once = 8;
  ScaledRow rows[at_once];
  RowPlanes planes(bits, shape, out);
  bool accepted = true;
  for (int p = 0; p < 3; ++p) {
    const RowqPart part = rowq_part(shape, p);
    RowWalk walk(part, in, ahead);
    for (size_t done = 0; done < part.rows; done += at_once) {
      const size_t count = part.rows - done < at_once ? part.rows - done : at_once;
      for (size_t r = 0; r < count; ++r)
        accepted &=
            scale_row<bits, bf16>(walk.next(), part.block, part.first_row + done + r, rows[r]);
      for (size_t r = 0; r < count; ++r, planes.next_row()) store_row<bits>(rows[r], planes);
    }
  }
  return accepted;
}

}  // namespace speckv::codec::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#endif  // SPECKV_CODEC_SIMD_ROWQ_ENCODE_GFNI_INL_H_
