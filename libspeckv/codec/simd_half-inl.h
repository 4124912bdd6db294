// SPDX-License-Identifier: Apache-2.0
// simd_half-inl.h - 16-bit floats to and from vectors of float, the same bits on every target.
//
// Included once per target by the simd_*.cpp files (Highway's foreach_target). Requires
// round-to-nearest-even, the mode every thread starts with. Highway's own fp16 conversions are used
// where the CPU has the instruction; its emulation drops subnormals, so the others have their own.
#if defined(SPECKV_CODEC_SIMD_HALF_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SPECKV_CODEC_SIMD_HALF_INL_H_
#undef SPECKV_CODEC_SIMD_HALF_INL_H_
#else
#define SPECKV_CODEC_SIMD_HALF_INL_H_
#endif

#include <cstddef>
#include <cstdint>

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace speckv::codec::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#undef SPECKV_X86_WIDE
#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL
#define SPECKV_X86_WIDE 1
#else
#define SPECKV_X86_WIDE 0
#endif

#undef SPECKV_HAVE_FP16_CONVERT
#if SPECKV_X86_WIDE || HWY_TARGET == HWY_NEON
#define SPECKV_HAVE_FP16_CONVERT 1
#else
#define SPECKV_HAVE_FP16_CONVERT 0
#endif

// The exact value of each bf16 or fp16 bit pattern. Infinities and NaN may come out as any number
// or NaN.
template <bool bf16, class DF>
HWY_INLINE hn::Vec<DF> load_half(DF df, const std::byte* from) {
  const hn::Rebind<uint32_t, DF> du;
  const hn::Rebind<uint16_t, DF> dh;
  if constexpr (bf16) {
    const auto bits = hn::PromoteTo(du, hn::LoadU(dh, reinterpret_cast<const uint16_t*>(from)));
    return hn::BitCast(df, hn::ShiftLeft<16>(bits));
  } else {
#if SPECKV_HAVE_FP16_CONVERT
    const hn::Rebind<hwy::float16_t, DF> df16;
    return hn::PromoteTo(df,
                         hn::BitCast(df16, hn::LoadU(dh, reinterpret_cast<const uint16_t*>(from))));
#else
    // The fp16 fields as a float's, then the difference of the biases; exact for subnormals too.
    const auto bits = hn::PromoteTo(du, hn::LoadU(dh, reinterpret_cast<const uint16_t*>(from)));
    const auto sign = hn::ShiftLeft<16>(hn::And(bits, hn::Set(du, 0x8000u)));
    const auto size = hn::ShiftLeft<13>(hn::And(bits, hn::Set(du, 0x7fffu)));
    const auto scaled =
        hn::Mul(hn::BitCast(df, size), hn::BitCast(df, hn::Set(du, 0x77800000u)));  // * 2^112
    return hn::Or(scaled, hn::BitCast(df, sign));
#endif
  }
}

// Rounds to the nearest integer, half to even. Requires: the result fits int32 or will not be used.
// Highway's own also saturates, at three times the price.
template <class DF>
HWY_INLINE hn::Vec<hn::RebindToSigned<DF>> nearest_int(DF /*df*/, hn::Vec<DF> value) {
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL
  if constexpr (sizeof(value.raw) == 64) return {_mm512_cvtps_epi32(value.raw)};
#endif
#if SPECKV_X86_WIDE
  if constexpr (sizeof(value.raw) == 32) return {_mm256_cvtps_epi32(value.raw)};
#endif
  return hn::NearestInt(value);
}

// The low halves of lanes below 2^16. Not TruncateTo: Highway 1.0 permutes by the values instead of
// the indices on AVX3_DL.
template <class DF, class VU>
HWY_INLINE hn::Vec<hn::Rebind<uint16_t, DF>> low_halves(DF /*df*/, VU value) {
  return hn::DemoteTo(hn::Rebind<uint16_t, DF>(), hn::BitCast(hn::RebindToSigned<DF>(), value));
}

// Rounds to the nearest bf16 or fp16, half to even; too large becomes infinity. Requires: no NaN.
template <bool bf16, class DF>
HWY_INLINE hn::Vec<hn::Rebind<uint16_t, DF>> round_half(DF df, hn::Vec<DF> value) {
  const hn::Rebind<uint32_t, DF> du;
  if constexpr (bf16) {
    const auto bits = hn::BitCast(du, value);
    const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 1u));
    return low_halves(df, hn::ShiftRight<16>(hn::Add(bits, hn::Add(odd, hn::Set(du, 0x7fffu)))));
  } else {
#if SPECKV_HAVE_FP16_CONVERT
    const hn::Rebind<uint16_t, DF> dh;
    const hn::Rebind<hwy::float16_t, DF> df16;
    return hn::BitCast(dh, hn::DemoteTo(df16, value));
#else
    const auto size = hn::Abs(value);
    const auto bits = hn::BitCast(du, size);
    const auto odd = hn::And(hn::ShiftRight<13>(bits), hn::Set(du, 1u));
    const auto rounded = hn::Add(bits, hn::Add(odd, hn::Set(du, 0xfffu)));
    const auto normal = hn::Sub(hn::ShiftRight<13>(rounded), hn::Set(du, 112u << 10));
    // Adding 0.5 makes the last place of the sum 2^-24, the subnormals' unit: the adder does the
    // rounding.
    const auto half = hn::Set(df, 0.5f);
    const auto tiny = hn::Sub(hn::BitCast(du, hn::Add(size, half)), hn::BitCast(du, half));
    auto out = hn::IfThenElse(hn::Lt(bits, hn::Set(du, 113u << 23)), tiny, normal);
    out = hn::Min(out, hn::Set(du, 0x7c00u));
    const auto sign = hn::And(hn::ShiftRight<16>(hn::BitCast(du, value)), hn::Set(du, 0x8000u));
    return low_halves(df, hn::Or(out, sign));
#endif
  }
}

// Two vectors rounded, lanes in order.
#if HWY_TARGET != HWY_SCALAR
template <bool bf16, class DF>
HWY_INLINE hn::Vec<hn::Twice<hn::Rebind<uint16_t, DF>>> round_halves(DF df, hn::Vec<DF> low,
                                                                     hn::Vec<DF> high) {
  const hn::Twice<hn::Rebind<uint16_t, DF>> both;
#if SPECKV_X86_WIDE
  if constexpr (bf16 && sizeof(low.raw) == 32) {
    const auto upper = [](__m256 value) {
      const __m256i bits = _mm256_castps_si256(value);
      const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
      const __m256i half = _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff));
      return _mm256_srli_epi32(_mm256_add_epi32(bits, half), 16);
    };
    const __m256i packed = _mm256_packus_epi32(upper(low.raw), upper(high.raw));
    return hn::Vec<decltype(both)>{_mm256_permute4x64_epi64(packed, 0xd8)};
  }
#endif
  return hn::Combine(both, round_half<bf16>(df, high), round_half<bf16>(df, low));
}
#endif

// The same as nearest_int, toward zero.
template <class DF>
HWY_INLINE hn::Vec<hn::RebindToSigned<DF>> truncate_int(DF /*df*/, hn::Vec<DF> value) {
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL
  if constexpr (sizeof(value.raw) == 64) return {_mm512_cvttps_epi32(value.raw)};
#endif
#if SPECKV_X86_WIDE
  if constexpr (sizeof(value.raw) == 32) return {_mm256_cvttps_epi32(value.raw)};
#endif
  return hn::ConvertTo(hn::RebindToSigned<DF>(), value);
}

}  // namespace speckv::codec::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // SPECKV_CODEC_SIMD_HALF_INL_H_
