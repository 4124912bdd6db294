// SPDX-License-Identifier: Apache-2.0
// simd_chanq_gfni-inl.h - chanq's decoder for AVX-512 with GFNI: pages of 32 tokens as encoders
// write them. Included by simd_chanq_decode.cpp, which has the same for whatever bytes and
// every other target; golden_chanq.cpp says what both compute.
//
// What differs: the planes of a pair become codes in one matrix transposition; and values before
// the turn are never made. Of a value z = anchor + q, q nearly always fits a word, and the anchor
// is 256 times another and a byte: sums of z are sums of q and that byte, shifted down by 8, plus
// sums of the other. Where a channel moves so far that q needs more bits, its low end has as many
// zeros: what lies above bit 8 joins the anchor. Two tokens fill a vector, and four granules whole
// lines, which may go past the caches as they are made: a page made first and moved then makes the
// next one's stores wait behind 64 lines.
#if defined(SPECKV_CODEC_SIMD_CHANQ_GFNI_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SPECKV_CODEC_SIMD_CHANQ_GFNI_INL_H_
#undef SPECKV_CODEC_SIMD_CHANQ_GFNI_INL_H_
#else
#define SPECKV_CODEC_SIMD_CHANQ_GFNI_INL_H_
#endif

#include <type_traits>

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
SPECKV_BEFORE_GFNI();
namespace speckv::codec::HWY_NAMESPACE {

// True where each four granules' channels follow each other.
inline bool whole_lines(const ChanTable& table) {
  return table.map.pairs() % (4 * granule) == 0 &&
         (!table.map.half_split || table.map.rotated % (8 * granule) == 0);
}

// What is read of a page.
struct PageIn {
  const simd::ChanPlan& plan;
  const std::byte* in;
  const uint8_t* reach;  // by channel
  size_t bytes;
  float factor;
};

// A granule's constants: words of (second, first) channel pair by pair, twice for two tokens.
struct WordGranule {
  __m512i slope, least;     // code in its byte's high end, less 128, to 2^(12-k) * q
  __m512i down;             // 12 - k or 0
  __m512i high, low;        // the anchor over 256, and its low byte
  __mmask32 wide;           // where k > 12
  __m512i up, above, mask;  // k - 12 or 0; 8 - up; the bits below `above`, all where not wide
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

// Anchors of a granule, in z's units. Requires: k of 2 and more.
HWY_INLINE __m512i make_anchors(__m128i bytes, __m256i octave) {
  const __m512i code = _mm512_cvtepu8_epi32(_mm_and_si128(bytes, _mm_set1_epi8(127)));
  const __m512i exponent = _mm512_srli_epi32(code, 4);
  const __m512i mantissa = _mm512_and_si512(code, _mm512_set1_epi32(15));
  const __mmask16 leading = _mm512_test_epi32_mask(exponent, exponent);
  const __m512i size = _mm512_mask_or_epi32(mantissa, leading, mantissa, _mm512_set1_epi32(16));
  const __m512i k = _mm512_cvtepu16_epi32(octave);
  // (exponent or 1) - 1 + k - 2
  const __m512i power = _mm512_sub_epi32(
      _mm512_add_epi32(_mm512_max_epu32(exponent, _mm512_set1_epi32(1)), k), _mm512_set1_epi32(3));
  const __m512i apart = _mm512_sllv_epi32(size, power);
  return _mm512_mask_sub_epi32(apart, _mm_movepi8_mask(bytes), _mm512_setzero_si512(), apart);
}

// Returns: false for a channel that reaches less than a page's words tell; an encoder hardly ever
// writes it.
HWY_INLINE bool make_words(const Granule& g, const PageIn& page, WordGranule& ret) {
  const auto word = [](int i) { return _mm256_set1_epi16(int16_t(i)); };
  const auto twice = [](__m256i v) { return _mm512_broadcast_i64x4(v); };
  const __m256i reach = _mm256_cvtepu8_epi16(load_pair_bytes(g, page.reach));
  const __m256i width = _mm256_cvtepu8_epi16(load_pair_bytes(g, page.plan.width));
  const __m256i size = _mm256_add_epi16(_mm256_and_si256(reach, word(7)), word(8));
  const __m256i k = _mm256_srli_epi16(reach, 3);
  if (_mm256_cmplt_epi16_mask(k, word(2)) != 0) return false;
  const __m512i anchor = make_anchors(load_pair_bytes(g, page.in + chanq_header), k);
  const __m256i least = _mm256_maskz_sllv_epi16(_mm256_test_epi16_mask(width, width), size,
                                                _mm256_sub_epi16(word(11), width));
  ret.slope = twice(_mm256_slli_epi16(size, 4));
  ret.least = twice(least);
  ret.down = twice(_mm256_subs_epu16(word(12), k));
  ret.high = twice(_mm512_cvtepi32_epi16(_mm512_srai_epi32(anchor, 8)));
  ret.low = twice(_mm512_cvtepi32_epi16(_mm512_and_si512(anchor, _mm512_set1_epi32(255))));
  const __m256i up = _mm256_subs_epu16(k, word(12));
  const __mmask16 wide = _mm256_test_epi16_mask(up, up);
  ret.wide = uint32_t{wide} << 16 | wide;
  const __m256i above = _mm256_sub_epi16(word(8), up);
  const __m256i below = _mm256_sub_epi16(_mm256_sllv_epi16(word(1), above), word(1));
  ret.up = twice(up);
  ret.above = twice(above);
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

// Codes of a granule, each in its byte's high end, less 128: vector q has tokens 4q and 4q + 2,
// then 4q + 1 and 4q + 3, pair by pair.
HWY_INLINE void load_granule_codes(const Granule& g, const PageIn& page, __m512i ret_codes[8]) {
  const size_t step = g.half_split ? 1 : 2;
  for (size_t i = 0; i < granule; ++i) {
    const size_t first = g.first + i * step, second = g.second + i * step;
    const __m512i planes = _mm512_inserti64x4(_mm512_castsi256_si512(load_planes(page, first)),
                                              load_planes(page, second), 1);
    const __m512i codes = planes_to_codes<0x80>(permute_bytes(planes, simd::gather_pair));
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

// A granule ready to be turned.
struct GranuleCodes {
  Granule g;
  WordGranule words;
  simd::Turns turns;
  __m512i codes[8];
};

// Words of two tokens: z is 256 * high + low. wide: of a page with such a channel.
template <bool wide>
HWY_INLINE void make_two_tokens(const GranuleCodes& from, size_t t, __m512i& ret_high,
                                __m512i& ret_low) {
  const WordGranule& w = from.words;
  const __m512i slope = t & 2 ? _mm512_slli_epi16(w.slope, 8) : w.slope;
  const __m512i value = _mm512_add_epi16(_mm512_maddubs_epi16(slope, from.codes[t / 4]), w.least);
  ret_high = w.high;
  ret_low = _mm512_srav_epi16(value, w.down);
  if constexpr (wide) {
    ret_high = _mm512_mask_add_epi16(w.high, w.wide, w.high, _mm512_srav_epi16(value, w.above));
    ret_low = _mm512_sllv_epi16(_mm512_and_si512(ret_low, w.mask), w.up);
  }
  ret_low = _mm512_add_epi16(ret_low, w.low);
}

// Eight pairs of two tokens, turned: 16 bytes for each token of the first eight channels that lie
// together (first channels where halves are split), and of the second.
struct TwoTokens {
  __m256i first, second;
};
template <bool bf16, bool half_split, bool wide>
HWY_INLINE TwoTokens turn_two_tokens(const GranuleCodes& from, size_t t, __m512 factor) {
  __m512i high, low;
  make_two_tokens<wide>(from, t, high, low);
  const hn::CappedTag<float, 16> df;
  const auto sum = [&](const int16_t* turn) {
    const __m512i by = _mm512_loadu_si512(turn + t * from.turns.step);
    const __m512i fine = _mm512_dpwssd_epi32(_mm512_set1_epi32(8192), low, by);
    const __m512i all = _mm512_dpwssd_epi32(_mm512_srai_epi32(fine, 8), high, by);
    // Six bits lie below the point; they are cut off, not shifted out.
    const __m512 value = _mm512_cvtepi32_ps(_mm512_and_si512(all, _mm512_set1_epi32(-64)));
    return round_half<bf16>(df, hn::Vec<decltype(df)>{_mm512_mul_ps(value, factor)}).raw;
  };
  const __m256i first = sum(from.turns.quarter), second = sum(from.turns.turn);
  if constexpr (half_split) return {first, second};
  return {_mm256_unpacklo_epi16(first, second), _mm256_unpackhi_epi16(first, second)};
}

template <bool bf16, bool half_split, bool wide>
HWY_INLINE void turn_granule(const GranuleCodes& from, __m512 factor, const View& out) {
  const auto put = [](std::byte* to, __m128i v) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), v);
  };
  const size_t first = 2 * from.g.first;
  const size_t second = half_split ? 2 * from.g.second : first + 16;
  std::byte* row = out.base;
  for (size_t t = 0; t < 32; t += 2, row += 2 * out.token_stride) {
    const TwoTokens two = turn_two_tokens<bf16, half_split, wide>(from, t, factor);
    put(row + first, _mm256_castsi256_si128(two.first));
    put(row + second, _mm256_castsi256_si128(two.second));
    put(row + out.token_stride + first, _mm256_extracti128_si256(two.first, 1));
    put(row + out.token_stride + second, _mm256_extracti128_si256(two.second, 1));
  }
}

// Four granules whose channels follow each other: two whole lines of every token.
template <bool bf16, bool half_split, bool wide, bool stream>
HWY_INLINE void turn_lines(const GranuleCodes from[4], __m512 factor, const View& out) {
  const auto put = [](std::byte* to, __m512i v) {
    if constexpr (stream) _mm512_stream_si512(reinterpret_cast<__m512i*>(to), v);
    else _mm512_storeu_si512(to, v);
  };
  const size_t first = 2 * from[0].g.first;
  const size_t second = half_split ? 2 * from[0].g.second : first + 64;
  std::byte* row = out.base;
  for (size_t t = 0; t < 32; t += 2, row += 2 * out.token_stride) {
    TwoTokens two[4];
    for (size_t i = 0; i < 4; ++i)
      two[i] = turn_two_tokens<bf16, half_split, wide>(from[i], t, factor);
    const auto line = [&](__m256i a, __m256i b, __m256i c, __m256i d, size_t at) {
      const __m512i ab = _mm512_inserti64x4(_mm512_castsi256_si512(a), b, 1);
      const __m512i cd = _mm512_inserti64x4(_mm512_castsi256_si512(c), d, 1);
      put(row + at, _mm512_shuffle_i64x2(ab, cd, 0x88));
      put(row + out.token_stride + at, _mm512_shuffle_i64x2(ab, cd, 0xdd));
    };
    if constexpr (half_split) {
      line(two[0].first, two[1].first, two[2].first, two[3].first, first);
      line(two[0].second, two[1].second, two[2].second, two[3].second, second);
    } else {
      line(two[0].first, two[0].second, two[1].first, two[1].second, first);
      line(two[2].first, two[2].second, two[3].first, two[3].second, second);
    }
  }
}

template <bool bf16, bool half_split, bool wide>
void turn_page(GranuleCodes* all, size_t n, const PageIn& page, const View& out, bool lines,
               bool stream) {
  const __m512 factor = _mm512_set1_ps(page.factor / 64);
  const size_t together = lines ? 4 : 1;
  for (size_t i = 0; i < n; i += together) {
    for (size_t j = i; j < i + together; ++j) load_granule_codes(all[j].g, page, all[j].codes);
    if (!lines) turn_granule<bf16, half_split, wide>(all[i], factor, out);
    else if (stream) turn_lines<bf16, half_split, wide, true>(all + i, factor, out);
    else turn_lines<bf16, half_split, wide, false>(all + i, factor, out);
  }
}

// Requires: 32 tokens; stream: whole_lines(), rows of whole lines. Returns: false, and nothing is
// written, where the page takes the general way.
template <bool bf16>
bool decode_page_gfni(const PageIn& page, const View& out, const ChanTable& table, bool stream) {
  GranuleCodes all[chanq_pairs_max / granule];
  const size_t n = table.map.pairs() / granule;
  __mmask32 wide = 0;
  for (size_t i = 0; i < n; ++i) {
    all[i].g = granule_at(table, i * granule);
    all[i].turns = simd::turns_of(table, i * granule);
    if (!make_words(all[i].g, page, all[i].words)) return false;
    wide |= all[i].words.wide;
  }
  const bool lines = whole_lines(table);
  const auto turn = [&](auto half_split) {
    if (wide != 0) turn_page<bf16, half_split, true>(all, n, page, out, lines, stream);
    else turn_page<bf16, half_split, false>(all, n, page, out, lines, stream);
  };
  if (table.map.half_split) turn(std::true_type());
  else turn(std::false_type());
  return true;
}

}  // namespace speckv::codec::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#endif  // SPECKV_CODEC_SIMD_CHANQ_GFNI_INL_H_
