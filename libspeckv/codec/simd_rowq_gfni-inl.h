// SPDX-License-Identifier: Apache-2.0
// simd_rowq_gfni-inl.h - rowq's decoder for AVX-512 with GFNI. Included by simd_rowq_decode.cpp,
// which has the same for every other target; golden_rowq.cpp says what both compute.
//
// What differs: all planes of 64 values become codes in one matrix transposition, where the other
// takes a step for each plane; a block of 64 is two vectors of 64 bytes; and since any order of
// bytes is one permutation, the codes are put where the transform's exchanges, one for each
// butterfly, bring them out in order.
//
// The order, as bits of a value's number in its half row, from the byte's number: 3 4 | 1 0 5 | 2.
// The multiplication by the widths sums neighbouring bytes: that is the butterfly over bit 2.
#if defined(SPECKV_CODEC_SIMD_ROWQ_GFNI_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SPECKV_CODEC_SIMD_ROWQ_GFNI_INL_H_
#undef SPECKV_CODEC_SIMD_ROWQ_GFNI_INL_H_
#else
#define SPECKV_CODEC_SIMD_ROWQ_GFNI_INL_H_
#endif

#include "codec/simd_gfni-inl.h"
#include "codec/simd_rowq-inl.h"

#ifndef SPECKV_CODEC_SIMD_ROWQ_GFNI_ONCE_
#define SPECKV_CODEC_SIMD_ROWQ_GFNI_ONCE_
namespace speckv::codec::simd {

// Four planes of a row, 16 bytes each, to 16 groups of four bytes: groups 0 1 8 9 | 2 3 10 11 | ...
inline constexpr ByteOrder gather_planes = make_order([](unsigned i) {
  const unsigned group = i / 16 * 2 + i / 4 % 2 + i / 8 % 2 * 8;
  return 16 * (i % 4) + group;
});
// Bit 1 of a byte's number is bit 5 of the value's.
constexpr unsigned group_of(unsigned i) { return i / 2 % 2; }
inline constexpr ByteOrder transform_order = make_order([](unsigned i) {
  return (i >> 5 & 1) << 3 | (i >> 4 & 1) << 4 | (i >> 3 & 1) << 1 | (i >> 2 & 1) |
         group_of(i) << 5 | (i & 1) << 2;
});
// Where a side word has the width of a byte's group: half row h.
template <int bits, int h>
inline constexpr ByteOrder width_shift = make_order([](unsigned i) {
  return 8 + (2 * h + group_of(i)) * rowq_width_bits(bits);
});
// Which value the words of both vectors are when store_32() takes them.
inline constexpr ByteOrder word_order = make_order(
    [](unsigned i) { return (i & 32) | (i >> 2 & 1) << 4 | (i >> 3 & 3) << 2 | (i & 3); });
template <int bits>
inline constexpr ByteOrder levels = make_order([](unsigned code) {
  return code < (1U << bits) ? unsigned(rowq_level(bits, int(code))) : 0;
});

}  // namespace speckv::codec::simd
#endif

#if SPECKV_GFNI
SPECKV_BEFORE_GFNI();
namespace speckv::codec::HWY_NAMESPACE {

// A constant that stays in its register: the compiler would make it anew for each row.
HWY_INLINE __m512i kept(__m512i v) {
  asm("" : "+v"(v));
  return v;
}

// What the rows of a page share, but for where they lie.
struct RowConstants {
  __m512i units, gather, order, width_shift[2], width_mask, one, level, word_order, middle, above;
  __m512 bias;
};
template <int bits>
HWY_INLINE RowConstants row_constants() {
  const auto table = [](const simd::ByteOrder& order) { return kept(_mm512_load_si512(&order)); };
  return {kept(_mm512_set1_epi64(int64_t(0x8040201008040201))),
          table(simd::gather_planes),
          table(simd::transform_order),
          {table(simd::width_shift<bits, 0>), table(simd::width_shift<bits, 1>)},
          kept(_mm512_set1_epi8(char((1 << rowq_width_bits(bits)) - 1))),
          kept(_mm512_set1_epi8(1)),
          table(simd::levels<bits>),
          table(simd::word_order),
          kept(_mm512_set1_epi16(int16_t(0x8000))),
          kept(_mm512_set1_epi16(0x4b00)),
          _mm512_castsi512_ps(kept(_mm512_castps_si512(_mm512_set1_ps(8388608.0F + 32768))))};
}

// Codes of a row's halves, in order. plane: its 16 bytes of each, plane 0 too.
template <int bits>
HWY_INLINE HalfRow load_row_codes(const std::byte* const plane[8], const RowConstants& by) {
  const auto four = [&](int top) {
    const auto load = [&](int p) {
      return p < bits ? _mm_loadu_si128(reinterpret_cast<const __m128i*>(plane[p]))
                      : _mm_setzero_si128();
    };
    __m512i v = _mm512_castsi128_si512(load(top));
    v = _mm512_inserti32x4(v, load(top - 1), 1);
    v = _mm512_inserti32x4(v, load(top - 2), 2);
    return _mm512_permutexvar_epi8(by.gather, _mm512_inserti32x4(v, load(top - 3), 3));
  };
  const __m512i high = bits > 4 ? four(7) : _mm512_setzero_si512(), low = four(3);
  return {_mm512_gf2p8affine_epi64_epi8(by.units, _mm512_unpacklo_epi32(high, low), 0),
          _mm512_gf2p8affine_epi64_epi8(by.units, _mm512_unpackhi_epi32(high, low), 0)};
}

// Each byte's width.
HWY_INLINE __m512i load_widths(__m512i side, int half, const RowConstants& by) {
  const __m512i field = _mm512_multishift_epi64_epi8(by.width_shift[half], side);
  return _mm512_add_epi8(_mm512_and_si512(field, by.width_mask), by.one);
}

// Bytes with every second, odd one negated: sums of neighbours become differences.
HWY_INLINE __m512i negate_odd(__m512i bytes) {
  return _mm512_mask_sub_epi8(bytes, 0xaaaaaaaaaaaaaaaa, _mm512_setzero_si512(), bytes);
}

// What codes stand for, of two neighbours their sum and their difference.
template <int bits>
HWY_INLINE HalfRow expand_codes(__m512i codes, __m512i widths, const RowConstants& by) {
  if constexpr (rowq_has_widths(bits)) {
    const __m512i level = _mm512_permutexvar_epi8(codes, by.level);
    return {_mm512_maddubs_epi16(widths, level), _mm512_maddubs_epi16(widths, negate_odd(level))};
  }
  // 2u, less 2^bits - 1: twice in the sum, not at all in the difference.
  const __m512i two = _mm512_set1_epi8(2);
  const __m512i least = _mm512_set1_epi16(2 * (1 - (1 << bits)));
  return {_mm512_add_epi16(_mm512_maddubs_epi16(codes, two), least),
          _mm512_maddubs_epi16(codes, negate_odd(two))};
}

// Codes to transformed values plus 2^15, modulo 2^16; after it, a has values 0-31, b the others, as
// store_32() takes them.
template <int bits>
HWY_INLINE HalfRow transform_codes(__m512i codes, __m512i widths, size_t block,
                                   const RowConstants& by) {
  HalfRow row = expand_codes<bits>(_mm512_permutexvar_epi8(by.order, codes), widths, by);
  row = {_mm512_shuffle_i64x2(row.a, row.b, 0x44), _mm512_shuffle_i64x2(row.a, row.b, 0xee)};
  butterfly(row);  // bit 3
  row = {_mm512_shuffle_i64x2(row.a, row.b, 0x88), _mm512_shuffle_i64x2(row.a, row.b, 0xdd)};
  if (block >= 32) butterfly(row);  // bit 4
  rotate(row);
  butterfly(row);  // bit 1
  rotate(row);
  butterfly(row);  // bit 0
  rotate(row);
  // Modulo 2^16 it comes to both once it is in a alone.
  row.a = _mm512_xor_si512(row.a, by.middle);
  if (block == 64) butterfly(row);  // bit 5
  else row.b = _mm512_xor_si512(row.b, by.middle);
  return row;
}

// Words from 0 as 16-bit floats: word * factor, less what 2^15 and the float's own 2^23 make of it.
// A word under 0x4b00 in a float's upper half is the float 2^23 + word. A vector's lower words are
// the first 16.
template <bool bf16>
HWY_INLINE void store_32(__m512i word, __m512 factor, __m512 bias, __m512i above, std::byte* to,
                         bool stream) {
  const auto halves = [&](__m512i number) {
    const __m512 scaled = _mm512_fmsub_ps(_mm512_castsi512_ps(number), factor, bias);
    const hn::CappedTag<float, 16> df;
    return round_half<bf16>(df, hn::Vec<decltype(df)>{scaled}).raw;
  };
  const __m256i low = halves(_mm512_unpacklo_epi16(word, above));
  const __m256i high = halves(_mm512_unpackhi_epi16(word, above));
  auto* target = reinterpret_cast<__m256i*>(to);
  if (stream) {
    _mm256_stream_si256(target, low);
    _mm256_stream_si256(target + 1, high);
  } else {
    _mm256_storeu_si256(target, low);
    _mm256_storeu_si256(target + 1, high);
  }
}

// What the values of 16 rows' half h are multiplied with; 0 in a row of zeros.
template <int bits>
HWY_INLINE __m512 factors_of(__m512i sides, int h) {
  const __m512i own = _mm512_srai_epi32(_mm512_slli_epi32(sides, 24), 24);
  const __m512i exponent = _mm512_min_epi32(_mm512_max_epi32(own, _mm512_set1_epi32(-100)),
                                            _mm512_set1_epi32(64));  // rowq_decode_exponent()
  const __mmask16 some = _mm512_cmpneq_epi32_mask(own, _mm512_set1_epi32(int8_t(rowq_zero_row)));
  const __m512 power = _mm512_castsi512_ps(
      _mm512_maskz_slli_epi32(some, _mm512_add_epi32(exponent, _mm512_set1_epi32(127)), 23));
  __m512i scale;  // rowq_scale()
  if constexpr (rowq_has_widths(bits)) {
    const __m512i octaves = _mm512_srli_epi32(_mm512_slli_epi32(sides, 2 - 2 * h), 30);
    scale = _mm512_srlv_epi32(_mm512_set1_epi32(8), octaves);
  } else {
    const __m512i field = _mm512_srli_epi32(_mm512_slli_epi32(sides, 16 - 8 * h), 24);
    scale = _mm512_add_epi32(field, _mm512_set1_epi32(1));
  }
  return _mm512_mul_ps(power, _mm512_cvtepi32_ps(scale));
}

// One row to its two halves. signs: of the first.
template <int bits, bool bf16>
HWY_INLINE void decode_row_gfni(const std::byte* const plane[8], const std::byte* side,
                                size_t block, const __m512i signs[2], const float factors[2],
                                std::byte* const to[2], bool stream, const RowConstants& by) {
  int32_t word;
  std::memcpy(&word, side, 4);
  const __m512i widths = _mm512_set1_epi32(word);
  const HalfRow codes = load_row_codes<bits>(plane, by);
  const auto half_row = [&](__m512i code, int h) {
    HalfRow half = transform_codes<bits>(code, load_widths(widths, h, by), block, by);
    if constexpr (rowq_has_signs(bits)) {
      const __mmask64 changed = _mm512_bitshuffle_epi64_mask(signs[h], by.word_order);
      const __m512i zero = _mm512_setzero_si512();  // 2^15 less 2^15 is itself, modulo 2^16
      half = {
          _mm512_mask_sub_epi16(half.a, __mmask32(changed), zero, half.a),
          _mm512_mask_sub_epi16(half.b, __mmask32(_kshiftri_mask64(changed, 32)), zero, half.b)};
    }
    const __m512 factor = _mm512_set1_ps(factors[h]), bias = _mm512_mul_ps(factor, by.bias);
    store_32<bf16>(half.a, factor, bias, by.above, to[h], stream);
    store_32<bf16>(half.b, factor, bias, by.above, to[h] + 64, stream);
  };
  half_row(codes.a, 0);
  half_row(codes.b, 1);
}

// Plane 0 of all rows with its fourth bits, so that it is a plane like the others.
HWY_INLINE void restore_low_plane(const std::byte* from, size_t rows, std::byte* ret_plane) {
  for (size_t r = 0; r < rows; ++r, from += 12, ret_plane += 16) {
    uint32_t word[4];
    load_low_plane(from, word);
    std::memcpy(ret_plane, word, 16);
  }
}

template <int bits, bool bf16>
void decode_page_gfni(const PageShape& shape, const std::byte* in, const View& out, bool stream) {
  constexpr size_t rows_max = size_t{64} * rowq_head_dim_max / rowq_row;
  const size_t rows = rowq_rows(shape);
  const RowConstants by = row_constants<bits>();
  alignas(64) std::byte low_plane[16 * rows_max];
  restore_low_plane(in + rowq_plane_offset(rows, bits, 0), rows, low_plane);
  alignas(64) float factors[2][rows_max];
  for (size_t r = 0; r < rows; r += 16) {
    const __mmask16 there = rows - r < 16 ? (1U << (rows - r)) - 1 : 0xffff;
    const __m512i sides = _mm512_maskz_loadu_epi32(there, in + 4 * r);
    for (int h = 0; h < 2; ++h) _mm512_store_ps(factors[h] + r, factors_of<bits>(sides, h));
  }
  const std::byte* const planes = in + 4 * rows;
  __m512i signs[2] = {_mm512_set1_epi64(int64_t(rowq_signs(0))),
                      _mm512_set1_epi64(int64_t(rowq_signs(1)))};
  const __m512i next_signs = kept(_mm512_set1_epi64(int64_t(rowq_signs(1))));
  size_t row = 0;
  for (int p = 0; p < 3; ++p) {
    const RowqPart part = rowq_part(shape, p);
    BlockWalk walk(part, out.base, out.token_stride);
    const auto next = [&] { return const_cast<std::byte*>(walk.next()); };
    for (size_t r = 0; r < part.rows; ++r, ++row) {
      const std::byte* plane[8] = {low_plane + 16 * row};
      for (int b = 1; b < bits; ++b) plane[b] = planes + 16 * (rows * size_t(bits - 1 - b) + row);
      const float factor[2] = {factors[0][row], factors[1][row]};
      const auto decode = [&](size_t block, std::byte* const to[2], bool streamed) {
        decode_row_gfni<bits, bf16>(plane, in + 4 * row, block, signs, factor, to, streamed, by);
      };
      if (part.block == 64) {
        std::byte* const to[2] = {next(), next()};
        decode(64, to, stream);
      } else {
        alignas(64) std::byte copy[2 * rowq_row];
        std::byte* const to[2] = {copy, copy + rowq_row};
        decode(part.block, to, false);
        for (size_t i = 0; i < 2 * rowq_row; i += 2 * part.block)
          std::memcpy(next(), copy + i, 2 * part.block);
      }
      for (__m512i& half : signs) half = _mm512_add_epi64(half, next_signs);
    }
  }
}

}  // namespace speckv::codec::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#endif  // SPECKV_CODEC_SIMD_ROWQ_GFNI_INL_H_
