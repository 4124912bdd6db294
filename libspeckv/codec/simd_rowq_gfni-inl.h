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
template <int bits>
inline constexpr ByteOrder levels = make_order([](unsigned code) {
  return code < (1U << bits) ? unsigned(rowq_level(bits, int(code))) : 0;
});

}  // namespace speckv::codec::simd
#endif

#if SPECKV_GFNI
SPECKV_BEFORE_GFNI();
namespace speckv::codec::HWY_NAMESPACE {

// Codes of a row's halves, in order. plane[0] has all 16 bytes here.
template <int bits>
HWY_INLINE HalfRow load_row_codes(const std::byte* const plane[8]) {
  const auto four = [&](int top) {
    const auto load = [&](int p) {
      return p < bits ? _mm_loadu_si128(reinterpret_cast<const __m128i*>(plane[p]))
                      : _mm_setzero_si128();
    };
    __m512i v = _mm512_castsi128_si512(load(top));
    v = _mm512_inserti32x4(v, load(top - 1), 1);
    v = _mm512_inserti32x4(v, load(top - 2), 2);
    return permute_bytes(_mm512_inserti32x4(v, load(top - 3), 3), simd::gather_planes);
  };
  const __m512i high = bits > 4 ? four(7) : _mm512_setzero_si512(), low = four(3);
  return {planes_to_codes(_mm512_unpacklo_epi32(high, low)),
          planes_to_codes(_mm512_unpackhi_epi32(high, low))};
}

// Each byte's width.
template <int bits, int half>
HWY_INLINE __m512i load_widths(uint32_t side) {
  constexpr int mask = (1 << rowq_width_bits(bits)) - 1;
  const __m512i shift = _mm512_load_si512(&simd::width_shift<bits, half>);
  const __m512i field = _mm512_multishift_epi64_epi8(shift, _mm512_set1_epi32(int(side)));
  return _mm512_add_epi8(_mm512_and_si512(field, _mm512_set1_epi8(char(mask))),
                         _mm512_set1_epi8(1));
}

// Bytes with every second, odd one negated: sums of neighbours become differences.
HWY_INLINE __m512i negate_odd(__m512i bytes) {
  return _mm512_mask_sub_epi8(bytes, 0xaaaaaaaaaaaaaaaa, _mm512_setzero_si512(), bytes);
}

// Changes the signs of 32 values as store_32() takes them: nibbles of the first and of the second
// 16 in turn.
HWY_INLINE __m512i change_signs(__m512i words, uint32_t signs) {
  const __mmask32 which = _pdep_u32(signs, 0x0f0f0f0f) | _pdep_u32(signs >> 16, 0xf0f0f0f0);
  return _mm512_mask_sub_epi16(words, which, _mm512_setzero_si512(), words);
}

// What codes stand for, of two neighbours their sum and their difference.
template <int bits>
HWY_INLINE HalfRow expand_codes(__m512i codes, __m512i widths) {
  if constexpr (rowq_has_widths(bits)) {
    const __m512i level = _mm512_permutexvar_epi8(codes, _mm512_load_si512(&simd::levels<bits>));
    return {_mm512_maddubs_epi16(widths, level), _mm512_maddubs_epi16(widths, negate_odd(level))};
  }
  // 2u, less 2^bits - 1: twice in the sum, not at all in the difference.
  const __m512i two = _mm512_set1_epi8(2);
  const __m512i least = _mm512_set1_epi16(2 * (1 - (1 << bits)));
  return {_mm512_add_epi16(_mm512_maddubs_epi16(codes, two), least),
          _mm512_maddubs_epi16(codes, negate_odd(two))};
}

// Codes to transformed values; after it, a has values 0-31, b the others, as store_32() takes them.
template <int bits>
HWY_INLINE HalfRow transform_codes(__m512i codes, __m512i widths, size_t block) {
  codes = permute_bytes(codes, simd::transform_order);
  HalfRow row = expand_codes<bits>(codes, widths);
  row = {_mm512_shuffle_i64x2(row.a, row.b, 0x44), _mm512_shuffle_i64x2(row.a, row.b, 0xee)};
  butterfly(row);  // bit 3
  row = {_mm512_shuffle_i64x2(row.a, row.b, 0x88), _mm512_shuffle_i64x2(row.a, row.b, 0xdd)};
  if (block >= 32) butterfly(row);  // bit 4
  rotate(row);
  butterfly(row);  // bit 1
  rotate(row);
  butterfly(row);  // bit 0
  rotate(row);
  if (block == 64) butterfly(row);  // bit 5
  return row;
}

// As store_words() for 32 values: a vector's lower words are the first 16.
template <bool bf16>
HWY_INLINE void store_32(__m512i value, __m512 factor, __m512 bias, std::byte* to, bool stream) {
  const __m512i word = _mm512_xor_si512(value, _mm512_set1_epi16(int16_t(0x8000)));
  const __m512i above = _mm512_set1_epi16(0x4b00);
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

// One row to its two halves.
template <int bits, bool bf16>
HWY_INLINE void decode_row_gfni(const std::byte* const plane[8], uint32_t side, size_t block,
                                size_t number, std::byte* const to[2], bool stream) {
  HalfRow half[2] = {};
  if ((side & 0xff) != rowq_zero_row) {
    const HalfRow codes = load_row_codes<bits>(plane);
    half[0] = transform_codes<bits>(codes.a, load_widths<bits, 0>(side), block);
    half[1] = transform_codes<bits>(codes.b, load_widths<bits, 1>(side), block);
  }
  const float power = simd::exp2_float(rowq_decode_exponent(side));
  for (size_t h = 0; h < 2; ++h) {
    if constexpr (rowq_has_signs(bits)) {
      const uint64_t signs = rowq_signs(2 * number + h);
      half[h] = {change_signs(half[h].a, uint32_t(signs)),
                 change_signs(half[h].b, uint32_t(signs >> 32))};
    }
    const float scale = power * float(rowq_scale(bits, side, h));
    const __m512 factor = _mm512_set1_ps(scale);
    const __m512 bias = _mm512_set1_ps(scale * (8388608.0F + 32768));
    store_32<bf16>(half[h].a, factor, bias, to[h], stream);
    store_32<bf16>(half[h].b, factor, bias, to[h] + 64, stream);
  }
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
  const size_t rows = rowq_rows(shape);
  alignas(64) std::byte low_plane[size_t{16} * 64 * rowq_head_dim_max / rowq_row];
  restore_low_plane(in + rowq_plane_offset(rows, bits, 0), rows, low_plane);
  const std::byte* plane[8] = {low_plane};
  for (int b = 1; b < bits; ++b) plane[b] = in + rowq_plane_offset(rows, bits, b);
  for (int p = 0; p < 3; ++p) {
    const RowqPart part = rowq_part(shape, p);
    BlockWalk walk(part, out.base, out.token_stride);
    const auto next = [&] { return const_cast<std::byte*>(walk.next()); };
    for (size_t r = 0; r < part.rows; ++r, in += 4) {
      uint32_t side;
      std::memcpy(&side, in, 4);
      if (part.block == 64) {
        std::byte* const to[2] = {next(), next()};
        decode_row_gfni<bits, bf16>(plane, side, 64, part.first_row + r, to, stream);
      } else {
        alignas(64) std::byte copy[2 * rowq_row];
        std::byte* const to[2] = {copy, copy + rowq_row};
        decode_row_gfni<bits, bf16>(plane, side, part.block, part.first_row + r, to, false);
        for (size_t i = 0; i < 2 * rowq_row; i += 2 * part.block)
          std::memcpy(next(), copy + i, 2 * part.block);
      }
      for (int b = 0; b < bits; ++b) plane[b] += 16;
    }
  }
}

}  // namespace speckv::codec::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#endif  // SPECKV_CODEC_SIMD_ROWQ_GFNI_INL_H_
