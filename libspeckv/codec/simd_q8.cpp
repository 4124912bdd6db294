// SPDX-License-Identifier: Apache-2.0
// simd_q8.cpp - q8's inner loops for every vector target; golden_q8.cpp says what they compute.
//
// Why floats give the golden model's integers: a mantissa times a reciprocal has at most 23 bits, a
// power of two is exact, and the conversion to int32 rounds half to even; on the way back |q| * (8
// + m) has at most 11 bits.
#include "codec/simd_q8.hpp"

#include <array>
#include <bit>

#include "codec/q8.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codec/simd_q8.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#include "codec/simd_half-inl.h"

#ifndef SPECKV_CODEC_SIMD_Q8_TABLES_
#define SPECKV_CODEC_SIMD_Q8_TABLES_
namespace speckv::codec::simd {

constexpr float power_of_two(int e) { return std::bit_cast<float>(uint32_t(e + 127) << 23); }

// For fraction bits F of a normal fp16 number: 8 * carry + m of the smallest step that holds it.
constexpr std::array<uint8_t, 1024> make_steps() {
  std::array<uint8_t, 1024> steps{};
  for (uint32_t f = 0; f < 1024; ++f) {
    uint8_t step = 0;
    while (127u * (8 + (step & 7)) << (step >> 3) < 1024 + f) ++step;
    steps[f] = step;
  }
  return steps;
}
inline constexpr std::array<uint8_t, 1024> steps = make_steps();

// What a scale byte multiplies by: on encode 2^(-k-15) * reciprocal, on decode (8 + m) * 2^k. Index
// bf16, byte.
struct Factors {
  float encode[256];
  float decode[256];
};
constexpr Factors make_factors(bool bf16) {
  Factors factors{};
  for (int c = 0; c < 256; ++c) {
    const int k = (c >> 3) + q8_exponent_min(bf16);
    factors.encode[c] = float(q8_reciprocal[c & 7]) * power_of_two(-k - 15);
    factors.decode[c] = float(8 + (c & 7)) * power_of_two(k);
  }
  return factors;
}
inline constexpr Factors factors[2] = {make_factors(false), make_factors(true)};

template <bool bf16>
inline uint8_t scale_of(uint32_t top) {
  if constexpr (bf16) {
    const int c = (int(top >> 7) - 115) * 8 + steps[(top & 127) << 3];
    return static_cast<uint8_t>(c < 0 ? 0 : c);
  } else {
    if (top < 1024) return top > 1016;
    return static_cast<uint8_t>(((top >> 10) - 1) * 8 + steps[top & 1023]);
  }
}

}  // namespace speckv::codec::simd
#endif

HWY_BEFORE_NAMESPACE();
namespace speckv::codec::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if SPECKV_X86_WIDE
// Two steps that Highway spells longer than the instruction set needs.
HWY_INLINE uint32_t largest_of(const hn::CappedTag<uint16_t, q8_group / 2> /*d*/, __m256i v) {
  const __m128i half = _mm_max_epu16(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  const __m128i ones = _mm_set1_epi16(-1);
  return 0xffff ^ static_cast<uint16_t>(_mm_cvtsi128_si32(_mm_minpos_epu16(half ^ ones)));
}

HWY_INLINE void store_codes(__m256i a, __m256i b, __m256i c, __m256i d, int8_t* codes) {
  const __m256i words_low = _mm256_packs_epi32(a, b), words_high = _mm256_packs_epi32(c, d);
  const __m256i bytes = _mm256_packs_epi16(words_low, words_high);
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(codes), _mm256_permutevar8x32_epi32(bytes, order));
}
#endif

HWY_INLINE uint32_t group_top(const std::byte* from) {
  const hn::CappedTag<uint16_t, q8_group / 2> d;
  const auto mask = hn::Set(d, uint16_t{0x7fff});
  const auto* values = reinterpret_cast<const uint16_t*>(from);
  auto top = hn::And(hn::LoadU(d, values), mask);
  for (size_t i = hn::Lanes(d); i < q8_group; i += hn::Lanes(d)) {
    top = hn::Max(top, hn::And(hn::LoadU(d, values + i), mask));
  }
#if SPECKV_X86_WIDE
  return largest_of(d, top.raw);
#else
  return hn::GetLane(hn::MaxOfLanes(d, top));
#endif
}

template <bool bf16>
HWY_INLINE void encode_group(const std::byte* from, float factor, int8_t* codes) {
  const hn::CappedTag<float, q8_group / 4> df;
  const auto f = hn::Set(df, factor);
  const auto code = [&](size_t i) {
    return nearest_int(df, hn::Mul(load_half<bf16>(df, from + 2 * i), f));
  };
#if SPECKV_X86_WIDE
  store_codes(code(0).raw, code(8).raw, code(16).raw, code(24).raw, codes);
#else
  const hn::Rebind<int8_t, decltype(df)> db;
  for (size_t i = 0; i < q8_group; i += hn::Lanes(df)) {
    hn::StoreU(hn::DemoteTo(db, code(i)), db, codes + i);
  }
#endif
}

#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL
// Two groups at once fill a vector with codes.
template <bool bf16>
HWY_INLINE void encode_two(const std::byte* const from[2], const float factors[2], int8_t* codes) {
  const hn::CappedTag<float, 16> df;
  const auto code = [&](size_t i) {
    const auto values = load_half<bf16>(df, from[i / 2] + i % 2 * q8_group);
    return nearest_int(df, hn::Mul(values, hn::Set(df, factors[i / 2]))).raw;
  };
  const __m512i low = _mm512_packs_epi32(code(0), code(1));
  const __m512i high = _mm512_packs_epi32(code(2), code(3));
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  const __m512i bytes = _mm512_permutexvar_epi32(order, _mm512_packs_epi16(low, high));
  _mm512_storeu_si512(codes, bytes);
}
#elif SPECKV_X86_WIDE
template <bool bf16>
HWY_INLINE void encode_two(const std::byte* const from[2], const float factors[2], int8_t* codes) {
  for (size_t i = 0; i < 2; ++i) encode_group<bf16>(from[i], factors[i], codes + i * q8_group);
}
#endif

#if SPECKV_X86_WIDE
inline constexpr size_t batch = 8;  // groups whose scales are worked out together

// Largest magnitudes of eight groups, one word each: vectors are merged two by two until each lane
// has one group.
HWY_INLINE __m128i batch_tops(const std::byte* const groups[batch]) {
  __m256i top[batch];
  for (size_t g = 0; g < batch; ++g) {
    const auto* from = reinterpret_cast<const __m256i*>(groups[g]);
    const __m256i mask = _mm256_set1_epi16(0x7fff);
    top[g] = _mm256_max_epu16(_mm256_and_si256(_mm256_loadu_si256(from), mask),
                              _mm256_and_si256(_mm256_loadu_si256(from + 1), mask));
  }
  for (size_t g = 0; g < 4; ++g) {  // words: group g and g + 4 alternate
    top[g] = _mm256_max_epu16(_mm256_unpacklo_epi16(top[g], top[g + 4]),
                              _mm256_unpackhi_epi16(top[g], top[g + 4]));
  }
  for (size_t g = 0; g < 2; ++g) {
    top[g] = _mm256_max_epu16(_mm256_unpacklo_epi16(top[g], top[g + 2]),
                              _mm256_unpackhi_epi16(top[g], top[g + 2]));
  }
  const __m256i all = _mm256_max_epu16(_mm256_unpacklo_epi16(top[0], top[1]),
                                       _mm256_unpackhi_epi16(top[0], top[1]));
  return _mm_max_epu16(_mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1));
}

// Scale bytes as words. A mantissa of 1024 .. 2047 needs ceil(mantissa / 127) - 8 steps above its
// exponent's first, and (mantissa + 127) * 516 >> 16 is that quotient.
template <bool bf16>
HWY_INLINE __m128i batch_scales(__m128i top) {
  const __m128i one = _mm_set1_epi16(1);
  const __m128i field = _mm_max_epu16(_mm_srli_epi16(top, bf16 ? 7 : 10), one);
  const __m128i below = _mm_sub_epi16(field, one);
  __m128i mantissa = _mm_sub_epi16(top, _mm_slli_epi16(below, bf16 ? 7 : 10));
  if (bf16) mantissa = _mm_slli_epi16(mantissa, 3);
  const __m128i quotient =
      _mm_mulhi_epu16(_mm_add_epi16(mantissa, _mm_set1_epi16(127)), _mm_set1_epi16(516));
  const __m128i first =
      _mm_sub_epi16(_mm_slli_epi16(below, 3), _mm_set1_epi16(bf16 ? 114 * 8 + 8 : 8));
  return _mm_max_epi16(_mm_add_epi16(first, quotient), _mm_setzero_si128());
}

// reciprocal[m] * 2^(-k - 15) for eight scale words.
template <bool bf16>
HWY_INLINE __m256 batch_factors(__m128i scales) {
  const __m256 reciprocal = _mm256_setr_ps(4096, 3641, 3277, 2979, 2731, 2521, 2341, 2185);
  const __m256i code = _mm256_cvtepu16_epi32(scales);
  const __m256 by_step = _mm256_permutevar8x32_ps(reciprocal, code);  // takes the low three bits
  const __m256i power = _mm256_slli_epi32(
      _mm256_sub_epi32(_mm256_set1_epi32(-q8_exponent_min(bf16) - 15), _mm256_srli_epi32(code, 3)),
      23);
  return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(by_step), power));
}

// Walks the groups of all rows in order.
struct Groups {
  const simd::ConstRows& in;
  size_t per_row = in.values / q8_group;
  const std::byte *row = in.base, *at = row;
  size_t left = per_row;

  HWY_INLINE const std::byte* next() {
    const std::byte* group = at;
    at += 2 * q8_group;
    if (--left == 0) at = row += in.stride, left = per_row;
    return group;
  }
};

// Eight groups: what multiplies their values. Returns: their largest magnitudes.
template <bool bf16>
HWY_INLINE __m128i scale_batch(Groups& groups, uint8_t* scales, float* ret_factors) {
  const std::byte* eight[batch];
  for (const std::byte*& group : eight) group = groups.next();
  const __m128i tops = batch_tops(eight);
  const __m128i bytes = _mm_and_si128(batch_scales<bf16>(tops), _mm_set1_epi16(255));
  _mm_storel_epi64(reinterpret_cast<__m128i*>(scales), _mm_packus_epi16(bytes, bytes));
  _mm256_store_ps(ret_factors, batch_factors<bf16>(bytes));
  return tops;
}

// Takes the groups of all rows eight at a time, 4 KiB of them twice: first their scales, then,
// from the first-level cache, their codes. A factor comes at the end of a long chain of steps; far
// ahead of its use nothing waits for it: 0.86 of the time of scales and codes batch by batch (Zen
// 3). Returns: how many groups that were.
template <bool bf16>
HWY_INLINE size_t encode_batches(const simd::ConstRows& in, uint8_t* scales, int8_t* codes,
                                 uint32_t& ret_top) {
  constexpr size_t turn = 64;  // groups
  alignas(32) float factors[turn];
  Groups to_scale{in}, to_encode{in};
  const size_t all = to_scale.per_row * in.rows / batch * batch;
  __m128i seen = _mm_setzero_si128();
  for (size_t done = 0; done < all; done += turn) {
    const size_t n = all - done < turn ? all - done : turn;
    for (size_t g = 0; g < n; g += batch) {
      const __m128i tops = scale_batch<bf16>(to_scale, scales + done + g, factors + g);
      seen = _mm_max_epu16(seen, tops);
    }
    for (size_t g = 0; g < n; g += 2) {
      const std::byte* const two[2] = {to_encode.next(), to_encode.next()};
      for (size_t i = 0; i < 2 && in.ahead != 0; ++i) {
        __builtin_prefetch(two[i] + in.ahead, 0, 2);  // memory is idle now
      }
      encode_two<bf16>(two, factors + g, codes + (done + g) * q8_group);
    }
  }
  const __m128i ones = _mm_set1_epi16(-1);
  ret_top = 0xffff ^ static_cast<uint16_t>(_mm_cvtsi128_si32(_mm_minpos_epu16(seen ^ ones)));
  return all;
}
#endif

template <bool bf16>
bool encode_rows(const simd::ConstRows& in, uint8_t* scales, int8_t* codes) {
  uint32_t page_top = 0;
  size_t done = 0;  // groups
#if SPECKV_X86_WIDE
  done = encode_batches<bf16>(in, scales, codes, page_top);
#endif
  const size_t per_row = in.values / q8_group;
  for (; done < per_row * in.rows; ++done) {
    const std::byte* from =
        in.base + ptrdiff_t(done / per_row) * in.stride + done % per_row * 2 * q8_group;
    const uint32_t top = group_top(from);
    page_top = top > page_top ? top : page_top;
    const uint8_t scale = simd::scale_of<bf16>(top);
    scales[done] = scale;
    encode_group<bf16>(from, simd::factors[bf16].encode[scale], codes + done * q8_group);
  }
  return page_top <= q8_magnitude_max(bf16);
}

template <bool bf16, bool stream, class DF>
HWY_INLINE void store_pair(DF df, hn::Vec<DF> low, hn::Vec<DF> high, std::byte* to) {
  auto* target = reinterpret_cast<uint16_t*>(to);
#if HWY_TARGET == HWY_SCALAR
  const hn::Rebind<uint16_t, DF> dh;
  hn::StoreU(round_half<bf16>(df, low), dh, target);
  hn::StoreU(round_half<bf16>(df, high), dh, target + 1);
#else
  const hn::Twice<hn::Rebind<uint16_t, DF>> both;
  const auto halves = round_halves<bf16>(df, low, high);
  if constexpr (stream) hn::Stream(halves, both, target);
  else hn::StoreU(halves, both, target);
#endif
}

template <bool bf16, bool stream>
void decode_rows(const uint8_t* scales, const int8_t* codes, const simd::Rows& out) {
  const hn::CappedTag<float, q8_group / 2> df;
  const hn::RebindToSigned<decltype(df)> di;
  const hn::Rebind<int8_t, decltype(df)> db;
  const size_t n = hn::Lanes(df);
  for (size_t row = 0; row < out.rows; ++row) {
    std::byte* to = out.base + ptrdiff_t(row) * out.stride;
    for (size_t i = 0; i < out.values; i += q8_group) {
      const auto f = hn::Set(df, simd::factors[bf16].decode[*scales++]);
      for (size_t j = 0; j < q8_group; j += 2 * n) {
        const auto a = hn::ConvertTo(df, hn::PromoteTo(di, hn::LoadU(db, codes + j)));
        const auto b = hn::ConvertTo(df, hn::PromoteTo(di, hn::LoadU(db, codes + j + n)));
        store_pair<bf16, stream>(df, hn::Mul(a, f), hn::Mul(b, f), to + 2 * (i + j));
      }
      codes += q8_group;
    }
  }
}

bool q8_encode_rows(const simd::ConstRows& in, bool bf16, uint8_t* scales, int8_t* codes) {
  return bf16 ? encode_rows<true>(in, scales, codes) : encode_rows<false>(in, scales, codes);
}

void q8_decode_rows(const uint8_t* scales, const int8_t* codes, bool bf16, const simd::Rows& out,
                    bool stream) {
  if (bf16) {
    if (stream) decode_rows<true, true>(scales, codes, out);
    else decode_rows<true, false>(scales, codes, out);
  } else {
    if (stream) decode_rows<false, true>(scales, codes, out);
    else decode_rows<false, false>(scales, codes, out);
  }
}

}  // namespace speckv::codec::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace speckv::codec {
HWY_EXPORT(q8_encode_rows);
HWY_EXPORT(q8_decode_rows);
namespace simd {

bool q8_encode_rows(const ConstRows& in, bool bf16, uint8_t* scales, int8_t* codes) {
  return HWY_DYNAMIC_DISPATCH(q8_encode_rows)(in, bf16, scales, codes);
}

void q8_decode_rows(const uint8_t* scales, const int8_t* codes, bool bf16, const Rows& out,
                    bool stream) {
  HWY_DYNAMIC_DISPATCH(q8_decode_rows)(scales, codes, bf16, out, stream);
}

}  // namespace simd
}  // namespace speckv::codec
#endif
