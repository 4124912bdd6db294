// SPDX-License-Identifier: Apache-2.0
// simd_int-inl.h - the integer steps that rowq and chanq share, once per vector target.
//
// Included by the simd_*.cpp files under Highway's foreach_target; empty on the target without
// vectors, where the golden model runs instead. Vectors have at most 32 bytes: what AVX2 has, the
// same code on AVX-512, and two vectors' worth of work on 16-byte targets.
//
// Word order. On 32-byte targets sixteen 16-bit lanes hold values 0-3, 8-11, 4-7, 12-15: the order
// in which packing two vectors of eight 32-bit values leaves them and in which unpacking takes them
// apart again, so that neither needs a permutation across the vector's halves. Elsewhere lanes are
// in order. load_words() and store_words() agree on it; a Walsh-Hadamard transform does not care,
// as every bit of the lane number is transformed alike.
#if defined(SPECKV_CODEC_SIMD_INT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SPECKV_CODEC_SIMD_INT_INL_H_
#undef SPECKV_CODEC_SIMD_INT_INL_H_
#else
#define SPECKV_CODEC_SIMD_INT_INL_H_
#endif

#include "codec/simd_half-inl.h"

HWY_BEFORE_NAMESPACE();
namespace speckv::codec::HWY_NAMESPACE {

#if HWY_TARGET != HWY_SCALAR
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

HWY_INLINE V16 load_bits(const std::byte* from) {
  return hn::LoadU(D16(), reinterpret_cast<const int16_t*>(from));
}

// Two vectors of 32-bit values as one of words, saturated, in word order.
HWY_INLINE V16 pack32(V32 low, V32 high) {
#if SPECKV_X86_WIDE
  return V16{_mm256_packs_epi32(low.raw, high.raw)};
#else
  const hn::Half<D16> half;
  return hn::Combine(D16(), hn::DemoteTo(half, high), hn::DemoteTo(half, low));
#endif
}

// x * factor toward zero for lanes16 values, in word order. Requires: the results fit 16 bits.
template <bool bf16>
HWY_INLINE V16 load_words(const std::byte* from, VF factor) {
  const DF df;
  const VF low = hn::Mul(load_half<bf16>(df, from), factor);
  const VF high = hn::Mul(load_half<bf16>(df, from + 2 * lanes32), factor);
  return pack32(truncate_int(df, low), truncate_int(df, high));
}

// Halves each value, halves away from zero.
HWY_INLINE V16 halve_words(V16 doubled, V16 size_max) {
  const V16 one = hn::Set(D16(), int16_t{1});
  const V16 size = hn::Min(hn::ShiftRight<1>(hn::Add(hn::Abs(doubled), one)), size_max);
#if SPECKV_X86_WIDE
  return V16{_mm256_sign_epi16(size.raw, doubled.raw)};
#else
  const V16 negative = hn::ShiftRight<15>(doubled);
  return hn::Sub(hn::Xor(size, negative), negative);
#endif
}

// Stores value * factor as 16-bit floats, from word order. Requires: the factor has at most 9
// bits, so that nothing rounds but the last step.
template <bool bf16>
HWY_INLINE void store_words(V16 value, VF factor, VF bias, std::byte* to, bool stream) {
  const DF df;
  const hn::Rebind<uint16_t, DF> dh;
  const hn::Twice<decltype(dh)> both;
#if SPECKV_X86_WIDE
  // A word above 0x4b00 in a float's upper half is the float 2^23 + word; times the factor, less
  // what was added.
  const __m256i word = _mm256_xor_si256(value.raw, _mm256_set1_epi16(int16_t(0x8000)));
  const __m256i above = _mm256_set1_epi16(0x4b00);
  const VF low{_mm256_castsi256_ps(_mm256_unpacklo_epi16(word, above))};
  const VF high{_mm256_castsi256_ps(_mm256_unpackhi_epi16(word, above))};
  const auto halves =
      round_halves<bf16>(df, hn::MulSub(low, factor, bias), hn::MulSub(high, factor, bias));
#else
  const hn::Half<D16> half;
  const V32 low = hn::PromoteTo(D32(), hn::LowerHalf(half, value));
  const V32 high = hn::PromoteTo(D32(), hn::UpperHalf(half, value));
  const auto halves = round_halves<bf16>(df, hn::Mul(hn::ConvertTo(df, low), factor),
                                         hn::Mul(hn::ConvertTo(df, high), factor));
#endif
  auto* target = reinterpret_cast<uint16_t*>(to);
  if (stream) hn::Stream(halves, both, target);
  else hn::StoreU(halves, both, target);
}
// What store_words() takes beside a factor.
HWY_INLINE VF words_bias(VF factor) {
  return hn::Mul(factor, hn::Set(DF(), 8388608.0F + 32768.0F));
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

// Codes of 32 values in word order (two vectors on 32-byte targets, four on others) and back, as
// bytes. Byte order is that of packing; code_order() puts quads of bytes in the order of the
// values.
HWY_INLINE V8 pack_codes(V16 low, V16 high) {
#if SPECKV_X86_WIDE
  return V8{_mm256_packus_epi16(low.raw, high.raw)};
#else
  const hn::Half<D8> half;
  return hn::Combine(D8(), hn::DemoteTo(half, high), hn::DemoteTo(half, low));
#endif
}
HWY_INLINE V8 code_order(V8 packed) {
#if SPECKV_X86_WIDE
  // Quads lie as 0 2 4 6 | 1 3 5 7.
  return V8{_mm256_permutevar8x32_epi32(packed.raw, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7))};
#else
  return packed;
#endif
}
// Which value of 32 (or of lanes8) byte i of packed codes belongs to.
HWY_INLINE uint8_t packed_value(uint8_t i) {
  if (lanes8 != 32) return i;
  const uint8_t quad = i / 4 % 4;
  return uint8_t(8 * quad + (i >= 16 ? 4 : 0) + i % 4);
}

// The sign bits of bytes, lane 0 lowest.
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

// Spreads a bit plane's word over bytes, all ones where a bit is set; bytes in packed order.
struct BitSpread {
  V8 which, mask;
  HWY_INLINE V8 operator()(uint32_t word) const {
    const hn::Repartition<uint32_t, D8> dw;
    const V8 bytes = hn::TableLookupBytes(hn::BitCast(D8(), hn::Set(dw, word)), which);
    return hn::VecFromMask(D8(), hn::Eq(hn::And(bytes, mask), mask));
  }
};
HWY_INLINE BitSpread make_spread(bool packed) {
  alignas(32) uint8_t which[32], mask[32];
  for (uint8_t i = 0; i < 32; ++i) {
    const uint8_t value = packed ? packed_value(i) : i;
    which[i] = value / 8;
    mask[i] = uint8_t(1 << (value % 8));
  }
  return {hn::Load(D8(), which), hn::Load(D8(), mask)};
}
#endif  // HWY_TARGET != HWY_SCALAR

}  // namespace speckv::codec::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // SPECKV_CODEC_SIMD_INT_INL_H_
