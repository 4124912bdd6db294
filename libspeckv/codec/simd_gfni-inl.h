// SPDX-License-Identifier: Apache-2.0
// simd_gfni-inl.h - what the codecs' AVX-512 variants share: bit planes to codes in one
// instruction.
//
// Highway's AVX3_DL target neither names GFNI to the compiler nor asks the CPU for it, and means
// another VNNI than the AVX-512 one that it checks. So these variants lie between
// SPECKV_BEFORE_GFNI and HWY_AFTER_NAMESPACE(), and run only where simd::has_gfni(); the few CPUs
// of AVX3_DL without GFNI, if there are any, run what AVX2 runs.
#if defined(SPECKV_CODEC_SIMD_GFNI_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SPECKV_CODEC_SIMD_GFNI_INL_H_
#undef SPECKV_CODEC_SIMD_GFNI_INL_H_
#else
#define SPECKV_CODEC_SIMD_GFNI_INL_H_
#endif

#include <array>
#include <cstdint>

#include "hwy/highway.h"

#undef SPECKV_GFNI
#if HWY_TARGET == HWY_AVX3_DL
#define SPECKV_GFNI 1
#else
#define SPECKV_GFNI 0
#endif

#ifndef SPECKV_CODEC_SIMD_GFNI_ONCE_
#define SPECKV_CODEC_SIMD_GFNI_ONCE_
#define SPECKV_BEFORE_GFNI()                             \
  HWY_PUSH_ATTRIBUTES(HWY_TARGET_STR ",gfni,avx512vnni") \
  static_assert(true, "For requiring trailing semicolon")

namespace speckv::codec::simd {

#if HWY_ARCH_X86
inline bool has_gfni() {
  return __builtin_cpu_supports("gfni") && __builtin_cpu_supports("avx512vnni");
}
#endif

// A byte permutation of 64: entry i is the byte that comes to place i.
struct alignas(64) ByteOrder {
  uint8_t from[64];
};
template <class Source>
constexpr ByteOrder make_order(Source source) {
  ByteOrder order{};
  for (unsigned i = 0; i < 64; ++i) order.from[i] = static_cast<uint8_t>(source(i));
  return order;
}

// Eight values' codes last first, as rows of a matrix of bits.
inline constexpr ByteOrder last_first = make_order([](unsigned i) { return i ^ 7; });

}  // namespace speckv::codec::simd
#endif

#if SPECKV_GFNI
SPECKV_BEFORE_GFNI();
namespace speckv::codec::HWY_NAMESPACE {

HWY_INLINE __m512i permute_bytes(__m512i v, const simd::ByteOrder& order) {
  return _mm512_permutexvar_epi8(_mm512_load_si512(&order), v);
}

// In each eight bytes, bit planes of eight values: byte j holds their bits 7 - j. Returns: the
// values' codes, with `flipped` bits the other way round.
template <int flipped = 0>
HWY_INLINE __m512i planes_to_codes(__m512i planes) {
  // Multiplies the planes, as a matrix of bits, with the unit vectors.
  const __m512i units = _mm512_set1_epi64(int64_t(0x8040201008040201));
  return _mm512_gf2p8affine_epi64_epi8(units, planes, flipped);
}

// Half a row of rowq: two vectors of 32 words.
struct HalfRow {
  __m512i a, b;
};

HWY_INLINE void butterfly(HalfRow& row) {
  row = {_mm512_add_epi16(row.a, row.b), _mm512_sub_epi16(row.a, row.b)};
}
// Exchanges a bit of the words' numbers with the bit that tells a from b, the next below comes up.
HWY_INLINE void rotate(HalfRow& row) {
  row = {_mm512_unpacklo_epi16(row.a, row.b), _mm512_unpackhi_epi16(row.a, row.b)};
}

}  // namespace speckv::codec::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#endif  // SPECKV_CODEC_SIMD_GFNI_INL_H_
