// SPDX-License-Identifier: Apache-2.0
// simd_chanq_gfni-inl.h - chanq's decoder for AVX-512 with GFNI: a granule of pages of 32 tokens as
// encoders write them. Included by simd_chanq_decode.cpp, which has the same for whatever bytes and
// every other target; golden_chanq.cpp says what both compute.
//
// What differs: the planes of a pair become codes in one matrix transposition; and values before
// the turn are never made. With c = anchor shift + 2 a value is z = anchor * 2^c + q, where
// q = ((2u + 1 - 2^b) * (8 + m) << k) >> 7 nearly always fits a word: sums of z are sums of q,
// shifted down by c, plus sums of anchors. Where a channel moves so far that q needs more bits, its
// low end has as many zeros: what lies above bit c joins the anchor. Two tokens fill a vector.
#if defined(SPECKV_CODEC_SIMD_CHANQ_GFNI_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SPECKV_CODEC_SIMD_CHANQ_GFNI_INL_H_
#undef SPECKV_CODEC_SIMD_CHANQ_GFNI_INL_H_
#else
#define SPECKV_CODEC_SIMD_CHANQ_GFNI_INL_H_
#endif

#include "codec/simd_chanq-inl.h"
#include "codec/simd_gfni-inl.h"

#ifndef SPECKV_CODEC_SIMD_CHANQ_GFNI_ONCE_
#define SPECKV_CODEC_SIMD_CHANQ_GFNI_ONCE_
namespace speckv::codec::simd {

// Eight planes of four bytes for each of two channels, to eight bytes a group of eight tokens.
inline constexpr ByteOrder gather_pair =
    make_order([](unsigned i) { return i / 32 * 32 + i % 8 * 4 + i / 8 % 4; });
// Codes of a pair's first channel for tokens 0-31, then the second's, to 16 groups of four: second
// and first channel's at tokens t, t + 2. t is 4q + h; the group's number has the bits of q and h
// in the order 2 h 1 0, so that three exchanges of pairs and tokens end in order.
inline constexpr ByteOrder pair_order = make_order([](unsigned i) {
  const unsigned group = i / 4, q = (group >> 3 & 1) << 2 | (group & 3), h = group >> 2 & 1;
  return (i & 2 ? 0 : 32) + 4 * q + h + 2 * (i & 1);
});
// The bits of a channel of b planes, highest first.
inline constexpr uint32_t code_mask[chanq_width_max + 1] = {0,          0x80808080, 0xc0c0c0c0,
                                                            0xe0e0e0e0, 0xf0f0f0f0, 0xf8f8f8f8,
                                                            0xfcfcfcfc, 0xfefefefe, 0xffffffff};

}  // namespace speckv::codec::simd
#endif

#if SPECKV_GFNI
SPECKV_BEFORE_GFNI()
namespace speckv::codec::HWY_NAMESPACE {

// The page's side of a granule.
struct PageIn {
  const simd::ChanPlan& plan;
  const std::byte* in;
  size_t bytes;
  float factor;
};

// A granule's constants: words of (second, first) channel pair by pair, twice for two tokens.
struct WordGranule {
  int shift;             // c
  __m512i slope, least;  // code in its byte's high end to 2^(17-b-k) * q
  __m512i down;          // 17 - b - k or 0
  __m512i anchor;
  __mmask32 wide;          // where b + k > 17
  __m512i up, high, mask;  // b + k - 17 or 0; c - up; the bits below `high`, all where not wide
};

// Bytes of a granule's channels, (second, first) pair by pair.
HWY_INLINE __m128i load_pair_bytes(const Granule& g, const void* by_channel) {
  const auto* bytes = static_cast<const uint8_t*>(by_channel);
  if (g.half_split) {
    const __m128i first = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(bytes + g.first));
    const __m128i second = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(bytes + g.second));
    return _mm_unpacklo_epi8(second, first);
  }
  return _mm_shuffle_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes + g.first)),
                          _mm_setr_epi8(1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14));
}

// Returns: false for what no word holds; an encoder hardly ever writes it.
HWY_INLINE bool make_words(const Granule& g, const PageIn& page, WordGranule& ret) {
  ret.shift = (std::to_integer<int>(page.in[1]) & 15) + 2;
  const auto* side = page.in + chanq_header;
  const auto word = [](int i) { return _mm256_set1_epi16(int16_t(i)); };
  const __m256i anchor = _mm256_cvtepi8_epi16(load_pair_bytes(g, side));
  const __m256i step = _mm256_cvtepu8_epi16(load_pair_bytes(g, side + page.plan.head_dim));
  const __m256i width = _mm256_cvtepu8_epi16(load_pair_bytes(g, page.plan.width));
  const __m256i size = _mm256_add_epi16(_mm256_and_si256(step, word(7)), word(8));
  const __m256i reach = _mm256_add_epi16(_mm256_srli_epi16(step, 3), width);  // k + b
  const __m256i up = _mm256_subs_epu16(reach, word(17));
  // The sums below fit 32 bits, and no z leaves its 24.
  if (ret.shift > 14) return false;
  const int up_max = ret.shift - 1 < 6 ? ret.shift - 1 : 6;
  if (_mm256_cmpgt_epi16_mask(up, word(up_max)) != 0) return false;
  const __m256i high = _mm256_sub_epi16(word(ret.shift), up);
  const __mmask16 wide = _mm256_test_epi16_mask(up, up);
  const __m256i below = _mm256_sub_epi16(_mm256_sllv_epi16(word(1), high), word(1));
  const __m256i least = _mm256_sub_epi16(_mm256_sllv_epi16(size, _mm256_sub_epi16(word(10), width)),
                                         _mm256_slli_epi16(size, 10));
  const auto twice = [](__m256i v) { return _mm512_broadcast_i64x4(v); };
  ret.slope = twice(_mm256_slli_epi16(size, 3));
  ret.least = twice(least);
  ret.down = twice(_mm256_subs_epu16(word(17), reach));
  ret.anchor = twice(anchor);
  ret.wide = uint32_t{wide} << 16 | wide;
  ret.up = twice(up);
  ret.high = twice(high);
  ret.mask = twice(_mm256_mask_mov_epi16(word(-1), wide, below));
  return true;
}

// A channel's planes and what follows, never from outside the page.
HWY_INLINE __m256i load_planes(const PageIn& page, size_t channel) {
  const size_t at = page.plan.plane[channel];
  const size_t left = page.bytes - at;
  const __mmask32 inside = left < 32 ? (1u << left) - 1 : ~0u;
  if (left < 32) return _mm256_maskz_loadu_epi8(inside, page.in + at);
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(page.in + at));
}

// Codes of a granule, each in its byte's high end: vector q has tokens 4q and 4q + 2, then 4q + 1
// and 4q + 3, pair by pair.
HWY_INLINE void load_granule_codes(const Granule& g, const PageIn& page, __m512i ret_codes[8]) {
  const size_t step = g.half_split ? 1 : 2;
  for (size_t i = 0; i < granule; ++i) {
    const size_t first = g.first + i * step, second = g.second + i * step;
    const __m512i planes = _mm512_inserti64x4(_mm512_castsi256_si512(load_planes(page, first)),
                                              load_planes(page, second), 1);
    const __m512i codes = planes_to_codes(permute_bytes(planes, simd::gather_pair));
    const auto mask = int(simd::code_mask[page.plan.width[first]]);
    ret_codes[i] =
        permute_bytes(_mm512_and_si512(codes, _mm512_set1_epi32(mask)), simd::pair_order);
  }
  const auto exchange = [&](size_t i, size_t j) {
    const __m512i a = ret_codes[i], b = ret_codes[j];
    ret_codes[i] = _mm512_unpacklo_epi32(a, b);
    ret_codes[j] = _mm512_unpackhi_epi32(a, b);
  };
  for (size_t i : {0, 1, 4, 5}) exchange(i, i + 2);
  for (size_t i : {0, 2, 4, 6}) exchange(i, i + 1);
  const __m512i low = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
  const __m512i high = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
  for (size_t i = 0; i < 4; ++i) {
    const __m512i a = ret_codes[i], b = ret_codes[i + 4];
    ret_codes[i] = _mm512_permutex2var_epi64(a, low, b);
    ret_codes[i + 4] = _mm512_permutex2var_epi64(a, high, b);
  }
}

// Eight pairs of two tokens.
template <bool bf16, bool half_split>
HWY_INLINE void store_two_tokens(const Granule& g, __m512 first, __m512 second, std::byte* row,
                                 ptrdiff_t stride) {
  const hn::CappedTag<float, 16> df;
  using V = hn::Vec<decltype(df)>;
  __m256i a = round_half<bf16>(df, V{first}).raw, b = round_half<bf16>(df, V{second}).raw;
  if constexpr (!half_split) {
    const __m256i low = _mm256_unpacklo_epi16(a, b);
    b = _mm256_unpackhi_epi16(a, b);
    a = low;
  }
  const auto put = [](std::byte* to, __m128i v) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), v);
  };
  const size_t other = half_split ? 2 * g.second : 2 * g.first + 16;
  put(row + 2 * g.first, _mm256_castsi256_si128(a));
  put(row + other, _mm256_castsi256_si128(b));
  put(row + stride + 2 * g.first, _mm256_extracti128_si256(a, 1));
  put(row + stride + other, _mm256_extracti128_si256(b, 1));
}

template <bool bf16, bool half_split, bool wide>
HWY_INLINE void turn_granule(const Granule& g, const WordGranule& w, const __m512i codes[8],
                             const simd::Turns& turns, float factor, const View& out) {
  const __m512i count = _mm512_set1_epi32(w.shift), half = _mm512_set1_epi32(8192);
  // Sums keep 14 - c bits below the point; they are cut off, not shifted out.
  const __m512i whole = _mm512_set1_epi32(-(1 << (14 - w.shift)));
  const __m512 scale = _mm512_set1_ps(factor / float(1 << (14 - w.shift)));
  for (size_t t = 0; t < 32; t += 2) {
    const __m512i slope = t & 2 ? _mm512_slli_epi16(w.slope, 8) : w.slope;
    const __m512i value = _mm512_add_epi16(_mm512_maddubs_epi16(codes[t / 4], slope), w.least);
    __m512i high = w.anchor, low = value;
    if constexpr (wide) {
      high = _mm512_mask_add_epi16(high, w.wide, high, _mm512_srav_epi16(value, w.high));
      low = _mm512_and_si512(low, w.mask);
    }
    low = _mm512_srav_epi16(low, w.down);
    if constexpr (wide) low = _mm512_sllv_epi16(low, w.up);
    const auto sum = [&](const int16_t* turn) {
      const __m512i by = _mm512_loadu_si512(turn + t * turns.step);
      const __m512i carried = _mm512_srav_epi32(_mm512_dpwssd_epi32(half, low, by), count);
      const __m512i all = _mm512_and_si512(_mm512_dpwssd_epi32(carried, high, by), whole);
      return _mm512_mul_ps(_mm512_cvtepi32_ps(all), scale);
    };
    store_two_tokens<bf16, half_split>(g, sum(turns.quarter), sum(turns.turn),
                                       out.base + ptrdiff_t(t) * out.token_stride,
                                       out.token_stride);
  }
}

// Requires: 32 tokens. Returns: false, and nothing is written, where the granule takes the general
// way.
template <bool bf16>
bool decode_granule_gfni(const Granule& g, const PageIn& page, const simd::Turns& turns,
                         const View& out) {
  WordGranule w;
  if (!make_words(g, page, w)) return false;
  __m512i codes[8];
  load_granule_codes(g, page, codes);
  const auto turn = [&](auto half_split, auto wide) {
    turn_granule<bf16, half_split(), wide()>(g, w, codes, turns, page.factor, out);
  };
  const std::true_type yes;
  const std::false_type no;
  if (g.half_split) w.wide != 0 ? turn(yes, yes) : turn(yes, no);
  else w.wide != 0 ? turn(no, yes) : turn(no, no);
  return true;
}

}  // namespace speckv::codec::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#endif  // SPECKV_CODEC_SIMD_CHANQ_GFNI_INL_H_
