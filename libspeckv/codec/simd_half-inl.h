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

#undef SPECKV_HAVE_FP16_CONVERT
#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL || \
    HWY_TARGET == HWY_NEON
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
#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL
  if constexpr (sizeof(value.raw) == 32) return {_mm256_cvtps_epi32(value.raw)};
#endif
  return hn::NearestInt(value);
}

// Rounds to the nearest bf16 or fp16, half to even; too large becomes infinity. Requires: no NaN.
template <bool bf16, class DF>
HWY_INLINE hn::Vec<hn::Rebind<uint16_t, DF>> round_half(DF df, hn::Vec<DF> value) {
  const hn::Rebind<uint32_t, DF> du;
  const hn::Rebind<uint16_t, DF> dh;
  if constexpr (bf16) {
    const auto bits = hn::BitCast(du, value);
    const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 1u));
    return hn::TruncateTo(dh,
                          hn::ShiftRight<16>(hn::Add(bits, hn::Add(odd, hn::Set(du, 0x7fffu)))));
  } else {
#if SPECKV_HAVE_FP16_CONVERT
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
    return hn::TruncateTo(dh, hn::Or(out, sign));
#endif
  }
}

// The same, toward zero.
template <class DF>
HWY_INLINE hn::Vec<hn::RebindToSigned<DF>> truncate_int(DF /*df*/, hn::Vec<DF> value) {
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL
  if constexpr (sizeof(value.raw) == 64) return {_mm512_cvttps_epi32(value.raw)};
#endif
#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL
  if constexpr (sizeof(value.raw) == 32) return {_mm256_cvttps_epi32(value.raw)};
#endif
  return hn::ConvertTo(hn::RebindToSigned<DF>(), value);
}

#if HWY_TARGET != HWY_SCALAR
// Vectors of at most 32 bytes: wide enough for AVX2, the same code on AVX-512, two halves' worth on 16-byte targets.
using D8 = hn::CappedTag<uint8_t, 32>;
using D16 = hn::CappedTag<int16_t, 16>;
using D32 = hn::CappedTag<int32_t, 8>;
using DF = hn::CappedTag<float, 8>;
using V8 = hn::Vec<D8>;
using V16 = hn::Vec<D16>;
using V32 = hn::Vec<D32>;
using VF = hn::Vec<DF>;
inline constexpr size_t lanes8 = hn::MaxLanes(D8());
inline constexpr size_t lanes16 = hn::MaxLanes(D16());
inline constexpr size_t lanes32 = hn::MaxLanes(D32());
#define SPECKV_X86_WIDE \
  (HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL)

// Both vectors' lanes in order, saturated.
HWY_INLINE V16 pack32(V32 low, V32 high) {
#if SPECKV_X86_WIDE
  return V16{_mm256_permute4x64_epi64(_mm256_packs_epi32(low.raw, high.raw), 0xd8)};
#else
  const hn::Half<D16> half;
  return hn::Combine(D16(), hn::DemoteTo(half, high), hn::DemoteTo(half, low));
#endif
}

// Both vectors' lanes in order, saturated to 0..255.
HWY_INLINE V8 pack16(V16 low, V16 high) {
#if SPECKV_X86_WIDE
  return V8{_mm256_permute4x64_epi64(_mm256_packus_epi16(low.raw, high.raw), 0xd8)};
#else
  const hn::Half<D8> half;
  return hn::Combine(D8(), hn::DemoteTo(half, high), hn::DemoteTo(half, low));
#endif
}

// size where the 16-bit float's sign is clear, -size where it is set.
HWY_INLINE V16 with_sign(V16 size, V16 half_bits) {
#if HWY_TARGET == HWY_AVX2
  return V16{_mm256_sign_epi16(size.raw, half_bits.raw)};  // +0 has size 0 anyway
#else
  const V16 mask = hn::ShiftRight<15>(half_bits);
  return hn::Sub(hn::Xor(size, mask), mask);
#endif
}

// Requires: lanes in 0..32767. Returns: the largest.
HWY_INLINE uint32_t largest16(V16 v) {
#if SPECKV_X86_WIDE
  const __m128i half =
      _mm_max_epi16(_mm256_castsi256_si128(v.raw), _mm256_extracti128_si256(v.raw, 1));
  const __m128i ones = _mm_set1_epi16(-1);
  return 0xffff ^ static_cast<uint16_t>(_mm_cvtsi128_si32(_mm_minpos_epu16(half ^ ones)));
#else
  return static_cast<uint32_t>(hn::GetLane(hn::MaxOfLanes(D16(), v)));
#endif
}

// The sign bits of bytes, lane 0 lowest. Requires: nothing of the other bits.
HWY_INLINE uint32_t top_bits(V8 v) {
#if HWY_TARGET == HWY_AVX2
  return static_cast<uint32_t>(_mm256_movemask_epi8(v.raw));
#else
  const hn::RebindToSigned<D8> di;
  uint8_t bytes[8] = {};
  hn::StoreMaskBits(di, hn::Lt(hn::BitCast(di, v), hn::Zero(di)), bytes);
  uint32_t bits;
  hwy::CopyBytes<4>(bytes, &bits);
  return bits;
#endif
}

HWY_INLINE V16 load_bits(const std::byte* from) {
  return hn::LoadU(D16(), reinterpret_cast<const int16_t*>(from));
}

// |x| * factor toward zero for lanes16 values. Requires: the results fit 15 bits.
template <bool bf16>
HWY_INLINE V16 scaled_size(const std::byte* from, VF factor) {
  const DF df;
  const VF low = hn::Mul(hn::Abs(load_half<bf16>(df, from)), factor);
  const VF high = hn::Mul(hn::Abs(load_half<bf16>(df, from + 2 * lanes32)), factor);
  return pack32(truncate_int(df, low), truncate_int(df, high));
}

// Stores the integers times factor, rounded to 16-bit floats, lanes in order.
template <bool bf16, bool stream>
HWY_INLINE void store_scaled(V32 low, V32 high, VF factor, std::byte* to) {
  const DF df;
  const hn::Rebind<uint16_t, DF> dh;
  const hn::Twice<decltype(dh)> both;
  const auto a = round_half<bf16>(df, hn::Mul(hn::ConvertTo(df, low), factor));
  const auto b = round_half<bf16>(df, hn::Mul(hn::ConvertTo(df, high), factor));
  const auto halves = hn::Combine(both, b, a);
  auto* target = reinterpret_cast<uint16_t*>(to);
  if constexpr (stream) hn::Stream(halves, both, target);
  else hn::StoreU(halves, both, target);
}
#endif  // HWY_TARGET != HWY_SCALAR

}  // namespace speckv::codec::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // SPECKV_CODEC_SIMD_HALF_INL_H_
