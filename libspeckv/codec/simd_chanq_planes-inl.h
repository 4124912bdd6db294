// SPDX-License-Identifier: Apache-2.0
// simd_chanq_planes-inl.h - a page's codes, channel by channel, to chanq's bit planes. Included by
// simd_chanq_encode.cpp only.
#if defined(SPECKV_CODEC_SIMD_CHANQ_PLANES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SPECKV_CODEC_SIMD_CHANQ_PLANES_INL_H_
#undef SPECKV_CODEC_SIMD_CHANQ_PLANES_INL_H_
#else
#define SPECKV_CODEC_SIMD_CHANQ_PLANES_INL_H_
#endif

#include "codec/simd_chanq-inl.h"
#include "codec/simd_gfni-inl.h"

#ifndef SPECKV_CODEC_SIMD_CHANQ_PLANES_ONCE_
#define SPECKV_CODEC_SIMD_CHANQ_PLANES_ONCE_
namespace speckv::codec::simd {

using ChannelCodes = uint8_t[2 * chanq_pairs_max][chanq_tokens_max];

// For store_planes_gfni(): eight planes of four groups of tokens for each of two channels, plane by
// plane.
inline constexpr ByteOrder plane_order =
    make_order([](unsigned i) { return i / 32 * 32 + i % 4 * 8 + i / 4 % 8; });
// One bit a byte: the highest of a width first.
constexpr std::array<int64_t, chanq_width_max + 1> make_bit_picks() {
  std::array<int64_t, chanq_width_max + 1> picks{};
  for (int width = 1; width <= chanq_width_max; ++width)
    for (int i = 0; i < width; ++i) picks[size_t(width)] |= int64_t{1 << (width - 1 - i)} << 8 * i;
  return picks;
}
inline constexpr auto bit_picks = make_bit_picks();

}  // namespace speckv::codec::simd
#endif

#if SPECKV_GFNI
SPECKV_BEFORE_GFNI();
namespace speckv::codec::HWY_NAMESPACE {

// store_planes() for 32 tokens: a matrix of 8 x 8 bits at a time, two channels in a vector. Writes
// eight planes for every channel.
inline void store_planes_gfni(const simd::ChanPlan& plan, const simd::ChannelCodes& codes,
                              std::byte* out) {
  for (size_t c = 0; c < plan.head_dim; c += 2) {
    const auto load = [&](size_t channel) {
      return _mm256_load_si256(reinterpret_cast<const __m256i*>(codes[channel]));
    };
    const __m512i both = _mm512_inserti64x4(_mm512_castsi256_si512(load(c)), load(c + 1), 1);
    const __m512i picks = _mm512_mask_set1_epi64(_mm512_set1_epi64(simd::bit_picks[plan.width[c]]),
                                                 0xf0, simd::bit_picks[plan.width[c + 1]]);
    const __m512i planes =
        _mm512_gf2p8affine_epi64_epi8(picks, permute_bytes(both, simd::last_first), 0);
    const __m512i ordered = permute_bytes(planes, simd::plane_order);
    const auto store = [&](size_t channel, __m256i v) {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + plan.plane[channel]), v);
    };
    store(c, _mm512_castsi512_si256(ordered));
    store(c + 1, _mm512_extracti64x4_epi64(ordered, 1));
  }
}

}  // namespace speckv::codec::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

HWY_BEFORE_NAMESPACE();
namespace speckv::codec::HWY_NAMESPACE {

#if HWY_TARGET != HWY_SCALAR
// Writes every channel's bit planes, as many for each as the widest has: the next channel
// overwrites what is too much.
HWY_INLINE void store_planes(const simd::ChanPlan& plan, const simd::ChannelCodes& codes,
                             std::byte* out) {
#if SPECKV_GFNI
  if (plan.tokens == 32 && simd::has_gfni()) return store_planes_gfni(plan, codes, out);
#endif
  const hn::Repartition<uint16_t, D8> dw;
  for (size_t c = 0; c < plan.head_dim; ++c) {
    for (size_t t = 0; t < plan.tokens; t += round_tokens) {
      const V8 loaded = hn::LoadU(D8(), codes[c] + t);
      V8 v = hn::BitCast(D8(), hn::ShiftLeftSame(hn::BitCast(dw, loaded), 8 - int(plan.width[c])));
      std::byte* plane = out + plan.plane[c] + t / 8;
      const size_t bytes = plan.tokens < round_tokens ? 2 : round_tokens / 8;
      for (size_t p = 0; p < plan.width_max; ++p, plane += plan.plane_bytes) {
        const uint32_t word = top_bits(v);
        if (bytes == 4) std::memcpy(plane, &word, 4);
        else std::memcpy(plane, &word, 2);
        v = hn::Add(v, v);
      }
    }
  }
}
#endif  // HWY_TARGET != HWY_SCALAR

}  // namespace speckv::codec::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // SPECKV_CODEC_SIMD_CHANQ_PLANES_INL_H_
