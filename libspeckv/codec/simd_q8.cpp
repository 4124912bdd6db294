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

#if HWY_TARGET == HWY_AVX2
// Two steps that Highway spells longer than the instruction set needs.
HWY_INLINE uint32_t largest_of(const hn::CappedTag<uint16_t, q8_group> /*d*/, __m256i v) {
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
  const hn::CappedTag<uint16_t, q8_group> d;
  const auto mask = hn::Set(d, uint16_t{0x7fff});
  const auto* values = reinterpret_cast<const uint16_t*>(from);
  auto top = hn::And(hn::LoadU(d, values), mask);
  for (size_t i = hn::Lanes(d); i < q8_group; i += hn::Lanes(d)) {
    top = hn::Max(top, hn::And(hn::LoadU(d, values + i), mask));
  }
#if HWY_TARGET == HWY_AVX2
  return largest_of(d, top.raw);
#else
  return hn::GetLane(hn::MaxOfLanes(d, top));
#endif
}

template <bool bf16>
HWY_INLINE void encode_group(const std::byte* from, float factor, int8_t* codes) {
  const hn::CappedTag<float, q8_group / 2> df;
  const auto f = hn::Set(df, factor);
  const auto code = [&](size_t i) {
    return nearest_int(df, hn::Mul(load_half<bf16>(df, from + 2 * i), f));
  };
#if HWY_TARGET == HWY_AVX2
  store_codes(code(0).raw, code(8).raw, code(16).raw, code(24).raw, codes);
#else
  const hn::Rebind<int8_t, decltype(df)> db;
  for (size_t i = 0; i < q8_group; i += hn::Lanes(df)) {
    hn::StoreU(hn::DemoteTo(db, code(i)), db, codes + i);
  }
#endif
}

template <bool bf16>
bool encode_rows(const simd::ConstRows& in, uint8_t* scales, int8_t* codes) {
  uint32_t page_top = 0;
  for (size_t row = 0; row < in.rows; ++row) {
    const std::byte* from = in.base + ptrdiff_t(row) * in.stride;
    for (size_t i = 0; i < in.values; i += q8_group) {
      if (in.ahead != 0) __builtin_prefetch(from + 2 * i + in.ahead, 0, 2);
      const uint32_t top = group_top(from + 2 * i);
      page_top = top > page_top ? top : page_top;
      const uint8_t scale = simd::scale_of<bf16>(top);
      *scales++ = scale;
      encode_group<bf16>(from + 2 * i, simd::factors[bf16].encode[scale], codes);
      codes += q8_group;
    }
  }
  return page_top <= q8_magnitude_max(bf16);
}

template <bool stream, class DH>
HWY_INLINE void store_pair(DH dh, hn::Vec<DH> low, hn::Vec<DH> high, uint16_t* to) {
#if HWY_TARGET == HWY_SCALAR
  hn::StoreU(low, dh, to);
  hn::StoreU(high, dh, to + hn::Lanes(dh));
#else
  const hn::Twice<DH> dh2;
  const auto both = hn::Combine(dh2, high, low);
  if constexpr (stream) hn::Stream(both, dh2, to);
  else hn::StoreU(both, dh2, to);
#endif
}

template <bool bf16, bool stream>
void decode_rows(const uint8_t* scales, const int8_t* codes, const simd::Rows& out) {
  const hn::CappedTag<float, q8_group / 2> df;
  const hn::RebindToSigned<decltype(df)> di;
  const hn::Rebind<int8_t, decltype(df)> db;
  const hn::Rebind<uint16_t, decltype(df)> dh;
  const size_t n = hn::Lanes(df);
  for (size_t row = 0; row < out.rows; ++row) {
    std::byte* to = out.base + ptrdiff_t(row) * out.stride;
    for (size_t i = 0; i < out.values; i += q8_group) {
      const auto f = hn::Set(df, simd::factors[bf16].decode[*scales++]);
      for (size_t j = 0; j < q8_group; j += 2 * n) {
        const auto a = hn::ConvertTo(df, hn::PromoteTo(di, hn::LoadU(db, codes + j)));
        const auto b = hn::ConvertTo(df, hn::PromoteTo(di, hn::LoadU(db, codes + j + n)));
        const auto low = round_half<bf16>(df, hn::Mul(a, f));
        const auto high = round_half<bf16>(df, hn::Mul(b, f));
        auto* target = reinterpret_cast<uint16_t*>(to + 2 * (i + j));
        store_pair<stream>(dh, low, high, target);
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
  return HWY_DYNAMIC_DISPATCH(codec::q8_encode_rows)(in, bf16, scales, codes);
}

void q8_decode_rows(const uint8_t* scales, const int8_t* codes, bool bf16, const Rows& out,
                    bool stream) {
  HWY_DYNAMIC_DISPATCH(codec::q8_decode_rows)(scales, codes, bf16, out, stream);
}

}  // namespace simd
}  // namespace speckv::codec
#endif
