// SPDX-License-Identifier: Apache-2.0
// simd_chanq-inl.h - what chanq's encoder and decoder share, once per vector target.
// golden_chanq.cpp says what they compute.
//
// A granule is lanes32 RoPE pairs: eight on 32-byte targets, four elsewhere. Its words lie, in each
// 16-byte block, as four first channels, then the four second ones of the same pairs: what packing
// two vectors of 32-bit values gives. A turn is one multiply-add of word pairs (first, second) with
// (cos, sin). Codes are bytes; four channels by many tokens are transposed where bit planes meet
// tokens.
#if defined(SPECKV_CODEC_SIMD_CHANQ_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SPECKV_CODEC_SIMD_CHANQ_INL_H_
#undef SPECKV_CODEC_SIMD_CHANQ_INL_H_
#else
#define SPECKV_CODEC_SIMD_CHANQ_INL_H_
#endif

#include <array>
#include <bit>
#include <cstring>

#include "codec/simd_int-inl.h"

#include "codec/chanq.hpp"

#ifndef SPECKV_CODEC_SIMD_CHANQ_ONCE_
#define SPECKV_CODEC_SIMD_CHANQ_ONCE_
namespace speckv::codec::simd {

// Where a page's parts lie and how wide its channels are.
struct ChanPlan {
  size_t head_dim, tokens, plane_bytes;
  size_t width_max;
  uint8_t width[2 * chanq_pairs_max];   // by channel
  uint16_t plane[2 * chanq_pairs_max];  // offset of a channel's highest plane
};

// Each pair's width at its two channels. PairMap says which those are; here they come in runs, for
// this is done for every page.
inline void spread_widths(const PairMap& map, const uint8_t* by_pair, uint8_t* ret_by_channel) {
  if (!map.half_split) {
    for (size_t pair = 0; pair < map.pairs(); ++pair)
      ret_by_channel[2 * pair] = ret_by_channel[2 * pair + 1] = by_pair[pair];
    return;
  }
  const size_t turned = map.rotated / 2u;
  for (size_t half = 0; half < 2; ++half) {
    std::memcpy(ret_by_channel + half * turned, by_pair, turned);
    std::memcpy(ret_by_channel + (half == 0 ? 2 * turned : turned + map.pairs()), by_pair + turned,
                map.pairs() - turned);
  }
}

inline ChanPlan make_plan(CodecId id, const PageShape& shape, const ChanTable& table) {
  ChanPlan plan;
  plan.head_dim = shape.head_dim;
  plan.tokens = shape.tokens;
  plan.plane_bytes = shape.tokens / 8u;
  const auto& widths = table.widths[chanq_index(id)];
  spread_widths(table.map, &widths[0], plan.width);
  plan.width_max = 0;
  size_t at = chanq_side_bytes(plan.head_dim);
  for (size_t c = 0; c < plan.head_dim; ++c) {
    plan.plane[c] = static_cast<uint16_t>(at);
    at += plan.width[c] * plan.plane_bytes;
    if (plan.width[c] > plan.width_max) plan.width_max = plan.width[c];
  }
  return plan;
}

// A table without rotation: cos 1, sin 0 for every token; as many as a vector of two tokens has.
struct StillBlock {
  int16_t turn[32], quarter[32];
};
constexpr StillBlock make_still() {
  StillBlock block{};
  for (size_t i = 0; i < 16; ++i) block.turn[2 * i] = block.quarter[2 * i + 1] = 16384;
  return block;
}
inline constexpr StillBlock still = make_still();

// The turns of one granule: token by token, `step` words apart.
struct Turns {
  const int16_t* turn;
  const int16_t* quarter;
  size_t step;
};
inline Turns turns_of(const ChanTable& table, size_t pair) {
  const size_t inside = pair % 8 * 2;
  if (table.rotation == nullptr) return {still.turn + inside, still.quarter + inside, 0};
  return {table.rotation->turn[pair / 8][0] + inside, table.rotation->quarter[pair / 8][0] + inside,
          16};
}

}  // namespace speckv::codec::simd
#endif
HWY_BEFORE_NAMESPACE();
namespace speckv::codec::HWY_NAMESPACE {

#if HWY_TARGET != HWY_SCALAR
inline constexpr size_t granule = lanes32;      // pairs
inline constexpr size_t round_tokens = lanes8;  // tokens whose codes fill a vector
// A byte for each channel; room for whole vectors.
using ChannelBytes = uint8_t[2 * chanq_pairs_max + lanes8];

// Sums of neighbouring products: lanes 2i and 2i+1.
HWY_INLINE V32 multiply_pairs(V16 a, V16 b) {
#if SPECKV_X86_WIDE
  return V32{_mm256_madd_epi16(a.raw, b.raw)};
#elif HWY_TARGET == HWY_SSE4
  return V32{_mm_madd_epi16(a.raw, b.raw)};
#else
  const D32 d;
  const V32 x = hn::BitCast(d, a), y = hn::BitCast(d, b);
  const V32 even =
      hn::Mul(hn::ShiftRight<16>(hn::ShiftLeft<16>(x)), hn::ShiftRight<16>(hn::ShiftLeft<16>(y)));
  return hn::Add(even, hn::Mul(hn::ShiftRight<16>(x), hn::ShiftRight<16>(y)));
#endif
}

// Word pairs (low, high) of 32-bit values that fit 16 bits.
HWY_INLINE V16 join_words(V32 low, V32 high) {
  const V32 mask = hn::Set(D32(), 0xffff);
  return hn::BitCast(D16(), hn::Or(hn::And(low, mask), hn::ShiftLeft<16>(high)));
}

// Where a granule's channels lie.
struct Granule {
  bool half_split;
  size_t first, second;  // channel of its first pair
};
HWY_INLINE Granule granule_at(const ChanTable& table, size_t pair) {
  return {table.map.half_split, table.map.first(pair), table.map.second(pair)};
}

// Bytes of a granule's channels, widened: anchors, reaches, widths.
HWY_INLINE void load_channel_bytes(const Granule& g, const void* by_channel, V32& ret_first,
                                   V32& ret_second) {
  const auto* bytes = static_cast<const uint8_t*>(by_channel);
  if (g.half_split) {
    const hn::Rebind<uint8_t, D32> d;
    ret_first = hn::PromoteTo(D32(), hn::LoadU(d, bytes + g.first));
    ret_second = hn::PromoteTo(D32(), hn::LoadU(d, bytes + g.second));
  } else {
    const hn::Rebind<uint16_t, D32> d;
    uint16_t words[granule];
    hwy::CopyBytes<2 * granule>(bytes + g.first, words);
    const V32 both = hn::PromoteTo(D32(), hn::LoadU(d, words));
    ret_first = hn::And(both, hn::Set(D32(), 255));
    ret_second = hn::ShiftRight<8>(both);
  }
}

// chanq_anchor_size() of codes.
HWY_INLINE V32 anchor_size(V32 code) {
  const D32 d;
  const V32 exponent = hn::ShiftRight<4>(code), mantissa = hn::And(code, hn::Set(d, 15));
  const V32 scaled = hn::Shl(hn::Or(mantissa, hn::Set(d, 16)),
                             hn::Max(hn::Sub(exponent, hn::Set(d, 1)), hn::Zero(d)));
  return hn::IfThenElse(hn::Eq(exponent, hn::Zero(d)), mantissa, scaled);
}

// 4 x 4 transposition of bytes in each block: its own inverse.
HWY_INLINE V8 transpose_bytes(V8 v) {
  alignas(32) static constexpr uint8_t order[32] = {0,  4,  8, 12, 1,  5,  9, 13, 2,  6, 10,
                                                    14, 3,  7, 11, 15, 0,  4, 8,  12, 1, 5,
                                                    9,  13, 2, 6,  10, 14, 3, 7,  11, 15};
  return hn::TableLookupBytes(v, hn::Load(D8(), order));
}

// 4 x 4 transposition of 32-bit values in each block of four vectors.
HWY_INLINE void transpose_words(V8 v[4]) {
  const hn::Repartition<uint32_t, D8> dw;
  const auto a = hn::BitCast(dw, v[0]), b = hn::BitCast(dw, v[1]);
  const auto c = hn::BitCast(dw, v[2]), d = hn::BitCast(dw, v[3]);
  const auto ac_low = hn::InterleaveLower(dw, a, c), ac_high = hn::InterleaveUpper(dw, a, c);
  const auto bd_low = hn::InterleaveLower(dw, b, d), bd_high = hn::InterleaveUpper(dw, b, d);
  v[0] = hn::BitCast(D8(), hn::InterleaveLower(dw, ac_low, bd_low));
  v[1] = hn::BitCast(D8(), hn::InterleaveUpper(dw, ac_low, bd_low));
  v[2] = hn::BitCast(D8(), hn::InterleaveLower(dw, ac_high, bd_high));
  v[3] = hn::BitCast(D8(), hn::InterleaveUpper(dw, ac_high, bd_high));
}

// A granule's channel number for slot: quads in the order of store_quads().
HWY_INLINE size_t quad_channel(const Granule& g, size_t quad) {
  const size_t step = g.half_split ? 4 : 8;
  return (quad % 2 == 0 ? g.first : g.second) + quad / 2 * step;
}
#endif  // HWY_TARGET != HWY_SCALAR

}  // namespace speckv::codec::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // SPECKV_CODEC_SIMD_CHANQ_INL_H_
