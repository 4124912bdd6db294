// SPDX-License-Identifier: Apache-2.0
// simd_chanq.cpp - chanq's inner loops for every vector target; golden_chanq.cpp says what they
// compute.
//
// A granule is lanes32 RoPE pairs: eight on 32-byte targets, four elsewhere. Its words lie, in each
// 16-byte block, as four first channels, then the four second ones of the same pairs: what packing
// two vectors of 32-bit values gives. A turn is one multiply-add of word pairs (first, second) with
// (cos, sin). Codes are bytes; four channels by many tokens are transposed where bit planes meet
// tokens.
#include "codec/simd_chanq.hpp"

#include <bit>
#include <cstring>

#include "codec/golden.hpp"
#include "codec/half.hpp"
#include "codec/q8.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codec/simd_chanq.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#include "codec/simd_int-inl.h"

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

inline ChanPlan make_plan(CodecId id, const PageShape& shape, const ChanTable& table) {
  ChanPlan plan;
  plan.head_dim = shape.head_dim;
  plan.tokens = shape.tokens;
  plan.plane_bytes = shape.tokens / 8u;
  plan.width_max = 0;
  const auto& widths = table.widths[chanq_index(id)];
  for (size_t pair = 0; pair < table.map.pairs(); ++pair) {
    plan.width[table.map.first(pair)] = plan.width[table.map.second(pair)] = widths[pair];
    if (widths[pair] > plan.width_max) plan.width_max = widths[pair];
  }
  size_t at = chanq_header + 2 * plan.head_dim;
  for (size_t c = 0; c < plan.head_dim; ++c) {
    plan.plane[c] = static_cast<uint16_t>(at);
    at += plan.width[c] * plan.plane_bytes;
  }
  return plan;
}

// A table without rotation: cos 1, sin 0 for every token.
struct StillBlock {
  int16_t turn[16], quarter[16];
};
inline constexpr StillBlock still = {
    {16384, 0, 16384, 0, 16384, 0, 16384, 0, 16384, 0, 16384, 0, 16384, 0, 16384, 0},
    {0, 16384, 0, 16384, 0, 16384, 0, 16384, 0, 16384, 0, 16384, 0, 16384, 0, 16384}};

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
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR
bool chanq_encode_page(CodecId id, const PageShape& shape, const ConstView& in, std::byte* out,
                       const ChanTable& table, ptrdiff_t /*ahead*/) {
  return golden::chanq_encode(id, shape, in, out, table) == Refusal::none;
}
void chanq_decode_page(CodecId id, const PageShape& shape, const std::byte* in, const View& out,
                       const ChanTable& table) {
  golden::chanq_decode(id, shape, in, out, table);
}
#else

inline constexpr size_t granule = lanes32;      // pairs
inline constexpr size_t round_tokens = lanes8;  // tokens whose codes fill a vector

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

// Bytes of a granule's channels, widened: anchors, steps, widths.
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

HWY_INLINE void store_channel_bytes(const Granule& g, V32 first, V32 second,
                                    std::byte* by_channel) {
  alignas(32) int32_t a[granule], b[granule];
  hn::Store(first, D32(), a);
  hn::Store(second, D32(), b);
  const size_t step = g.half_split ? 1 : 2;
  for (size_t i = 0; i < granule; ++i) {
    by_channel[g.first + i * step] = static_cast<std::byte>(a[i]);
    by_channel[g.second + i * step] = static_cast<std::byte>(b[i]);
  }
}

// ---- encode

template <bool bf16>
HWY_INLINE uint32_t page_top(const PageShape& shape, const ConstView& in, ptrdiff_t ahead) {
  const V16 mask = hn::Set(D16(), int16_t{0x7fff});
  V16 top = hn::Zero(D16());
  for (size_t t = 0; t < shape.tokens; ++t) {
    const std::byte* row = in.base + ptrdiff_t(t) * in.token_stride;
    for (size_t c = 0; c < shape.head_dim; c += lanes16) {
      top = hn::Max(top, hn::And(load_bits(row + 2 * c), mask));
      if (ahead != 0 && c % 32 == 0) __builtin_prefetch(row + 2 * c + ahead, 0, 2);
    }
  }
  return largest16(top);
}

// A token's fixed-point pairs (first, second).
template <bool bf16>
HWY_INLINE V16 load_pairs(const Granule& g, const std::byte* row, VF factor) {
  const DF df;
  const auto scaled = [&](size_t channel) {
    return truncate_int(df, hn::Mul(load_half<bf16>(df, row + 2 * channel), factor));
  };
  V16 doubled;
  if (g.half_split) {
    doubled = join_words(scaled(g.first), scaled(g.second));
  } else {
    doubled = pack32(scaled(g.first), scaled(g.first + granule));
#if SPECKV_X86_WIDE
    doubled = V16{_mm256_permute4x64_epi64(doubled.raw, 0xd8)};
#endif
  }
  return halve_words(doubled, hn::Set(D16(), int16_t{32767}));
}

// Turns a granule's tokens back and finds each channel's range.
template <bool bf16>
HWY_INLINE void turn_back(const Granule& g, const PageShape& shape, const ConstView& in, VF factor,
                          const simd::Turns& turns, int16_t* words, V16& ret_low, V16& ret_high) {
  const D16 d;
  const V32 half = hn::Set(D32(), 8192);
  ret_low = hn::Set(d, int16_t{32767});
  ret_high = hn::Set(d, int16_t{-32768});
  for (size_t t = 0; t < shape.tokens; ++t) {
    const V16 pairs = load_pairs<bf16>(g, in.base + ptrdiff_t(t) * in.token_stride, factor);
    const V16 turn = hn::LoadU(d, turns.turn + t * turns.step);
    const V16 quarter = hn::LoadU(d, turns.quarter + t * turns.step);
    const V32 first = hn::ShiftRight<14>(hn::Add(multiply_pairs(pairs, turn), half));
    const V32 second = hn::ShiftRight<14>(hn::Add(multiply_pairs(pairs, quarter), half));
    const V16 both = pack32(first, second);
    hn::Store(both, d, words + t * lanes16);
    ret_low = hn::Min(ret_low, both);
    ret_high = hn::Max(ret_high, both);
  }
}

// What quantising a granule needs: code = ((((word - anchor) * up) * reciprocal >> 16) * 4 * down
// >> 16) + half, clamped to 0..top.
struct Quantiser {
  V16 anchor, up, reciprocal, down, half;
  V8 top;
};

// Anchors, steps and the quantiser of a granule; writes the page's side bytes.
HWY_INLINE Quantiser make_quantiser(const Granule& g, const simd::ChanPlan& plan, V16 low, V16 high,
                                    V16 middle, int shift, std::byte* out) {
  const D16 d;
  const D32 dw;
  const V16 zero = hn::Zero(d);
  Quantiser q;
  const V16 rounding = hn::Set(d, int16_t(shift > 0 ? 1 << (shift - 1) : 0));
  V16 anchor = hn::ShiftRightSame(hn::Add(middle, rounding), shift);
  anchor = hn::Min(hn::Max(anchor, hn::Set(d, int16_t{-127})), hn::Set(d, int16_t{127}));
  q.anchor = hn::ShiftLeftSame(anchor, shift);
  const V16 reach = hn::Max(hn::Sub(high, q.anchor), hn::Sub(q.anchor, low));

  V32 width[2], code[2], up[2], down[2];
  load_channel_bytes(g, plan.width, width[0], width[1]);
  const V32 reaches[2] = {hn::BitCast(dw, hn::InterleaveLower(d, reach, zero)),
                          hn::BitCast(dw, hn::InterleaveUpper(d, reach, zero))};
  for (size_t i = 0; i < 2; ++i) {
    // (reach + 1) * 2^(9 - width) as a float; its exponent and three bits of mantissa, rounded up,
    // are the step.
    const VF scale = hn::BitCast(DF(), hn::ShiftLeft<23>(hn::Sub(hn::Set(dw, 127 + 9), width[i])));
    const VF size = hn::ConvertTo(DF(), hn::Add(reaches[i], hn::Set(dw, 1)));
    const V32 bits = hn::BitCast(dw, hn::Mul(size, scale));
    const V32 rounded = hn::ShiftRight<20>(hn::Add(bits, hn::Set(dw, 0xfffff)));
    code[i] = hn::Max(hn::Sub(rounded, hn::Set(dw, 130 * 8)), hn::Zero(dw));
    code[i] = hn::IfThenZeroElse(hn::Eq(width[i], hn::Zero(dw)), code[i]);
    const V32 k = hn::ShiftRight<3>(code[i]), nine = hn::Set(dw, 9);
    up[i] = hn::Shl(hn::Set(dw, 1), hn::Max(hn::Sub(nine, k), hn::Zero(dw)));
    down[i] =
        hn::Shl(hn::Set(dw, 1), hn::Sub(hn::Set(dw, 14), hn::Max(hn::Sub(k, nine), hn::Zero(dw))));
  }
  q.up = pack32(up[0], up[1]);
  q.down = pack32(down[0], down[1]);
  const V16 widths = pack32(width[0], width[1]);
  const V16 codes = pack32(code[0], code[1]);
  // reciprocal[m] from a table of eight words
  alignas(32) int16_t table[16];
  for (size_t i = 0; i < 16; ++i) table[i] = int16_t(q8_reciprocal[i % 8]);
  const V16 m = hn::And(codes, hn::Set(d, int16_t{7}));
  const V16 index = hn::Add(hn::Mul(m, hn::Set(d, int16_t{0x0202})), hn::Set(d, int16_t{0x0100}));
  q.reciprocal = hn::TableLookupBytes(hn::Load(d, table), index);
  const V16 cells = pack32(hn::Shl(hn::Set(dw, 1), width[0]), hn::Shl(hn::Set(dw, 1), width[1]));
  q.half = hn::ShiftRight<1>(cells);
  const V16 top = hn::Sub(cells, hn::Set(d, int16_t{1}));
  q.top = pack_codes(top, top);
  (void)widths;

  const V32 first = hn::ShiftRight<16>(hn::BitCast(dw, hn::InterleaveLower(d, zero, anchor)));
  const V32 second = hn::ShiftRight<16>(hn::BitCast(dw, hn::InterleaveUpper(d, zero, anchor)));
  store_channel_bytes(g, first, second, out + chanq_header);
  store_channel_bytes(g, code[0], code[1], out + chanq_header + plan.head_dim);
  return q;
}

HWY_INLINE V16 quantise(const Quantiser& q, const int16_t* word) {
  const V16 apart = hn::Sub(hn::Load(D16(), word), q.anchor);
  const V16 fine = hn::MulHigh(hn::Mul(apart, q.up), q.reciprocal);
  return hn::Add(hn::MulHigh(hn::ShiftLeft<2>(fine), q.down), q.half);
}

// Codes of four tokens of a granule, regrouped: four channels of one token are a 32-bit value;
// [quad of channels][token].
HWY_INLINE void store_quads(V8 early, V8 late, uint32_t (*quads)[chanq_tokens_max], size_t token) {
  const hn::Repartition<uint32_t, D8> dw;
  // Blocks hold (first, second) of two tokens.
  const auto a = hn::BitCast(dw, early), b = hn::BitCast(dw, late);
  const auto even = hn::InterleaveLower(dw, a, b), odd = hn::InterleaveUpper(dw, a, b);
  const auto first = hn::InterleaveLower(dw, even, odd),
             second = hn::InterleaveUpper(dw, even, odd);
  const hn::CappedTag<uint32_t, 4> dq;
#if SPECKV_X86_WIDE
  hn::StoreU(hn::LowerHalf(dq, first), dq, quads[0] + token);
  hn::StoreU(hn::LowerHalf(dq, second), dq, quads[1] + token);
  hn::StoreU(hn::UpperHalf(dq, first), dq, quads[2] + token);
  hn::StoreU(hn::UpperHalf(dq, second), dq, quads[3] + token);
#else
  hn::StoreU(first, dq, quads[0] + token);
  hn::StoreU(second, dq, quads[1] + token);
#endif
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

// Tokens [from, from + round_tokens) of a quad of channels: block L of vector i has tokens 16L + 4i
// ...
HWY_INLINE V8 load_quad_tokens(const uint32_t* tokens, size_t i) {
  const hn::CappedTag<uint32_t, 4> dq;
#if SPECKV_X86_WIDE
  const hn::Repartition<uint32_t, D8> dw;
  return hn::BitCast(
      D8(), hn::Combine(dw, hn::LoadU(dq, tokens + 16 + 4 * i), hn::LoadU(dq, tokens + 4 * i)));
#else
  return hn::BitCast(D8(), hn::LoadU(dq, tokens + 4 * i));
#endif
}

using ChannelCodes = uint8_t[2 * chanq_pairs_max][chanq_tokens_max];

// A granule's channel number for slot: quads in the order of store_quads().
HWY_INLINE size_t quad_channel(const Granule& g, size_t quad) {
  const size_t step = g.half_split ? 4 : 8;
  return (quad % 2 == 0 ? g.first : g.second) + quad / 2 * step;
}

HWY_INLINE void encode_granule(const Granule& g, const Quantiser& q, size_t tokens,
                               const int16_t* words, ChannelCodes& codes) {
  alignas(32) uint32_t quads[4][chanq_tokens_max];
  for (size_t t = 0; t < tokens; t += 4) {
    const auto two = [&](size_t at) {
      const V16 even = quantise(q, words + at * lanes16);
      const V16 odd = quantise(q, words + (at + 1) * lanes16);
      return hn::Min(pack_codes(even, odd), q.top);
    };
    store_quads(two(t), two(t + 2), quads, t);
  }
  const size_t step = g.half_split ? 1 : 2;
  for (size_t quad = 0; quad < lanes16 / 4; ++quad) {
    const size_t channel = quad_channel(g, quad);
    for (size_t t = 0; t < tokens; t += round_tokens) {
      V8 v[4];
      for (size_t i = 0; i < 4; ++i) v[i] = transpose_bytes(load_quad_tokens(quads[quad] + t, i));
      transpose_words(v);
      for (size_t i = 0; i < 4; ++i) hn::StoreU(v[i], D8(), codes[channel + i * step] + t);
    }
  }
}

// Writes every channel's bit planes, as many for each as the widest has: the next channel
// overwrites what is too much.
HWY_INLINE void store_planes(const simd::ChanPlan& plan, const ChannelCodes& codes,
                             std::byte* out) {
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

template <bool bf16>
bool encode_page(CodecId id, const PageShape& shape, const ConstView& in, std::byte* out,
                 const ChanTable& table, ptrdiff_t ahead) {
  const int seen = int(page_top<bf16>(shape, in, ahead) >> (bf16 ? 7 : 10));
  if (seen >= chanq_field_limit(bf16)) return false;
  const int field = seen < chanq_field_floor(bf16) ? chanq_field_floor(bf16) : seen;
  const int power = chanq_exponent_base(bf16) + 1 - field;
  const VF factor = hn::Set(DF(), std::bit_cast<float>(uint32_t(power + 127) << 23));
  const simd::ChanPlan plan = simd::make_plan(id, shape, table);

  // Zeros to the end of the payload: header and what the planes leave.
  std::memset(out, 0, chanq_header);
  const size_t last =
      plan.plane[plan.head_dim - 1] + plan.width[plan.head_dim - 1] * plan.plane_bytes;

  constexpr size_t granules_max = chanq_pairs_max / granule;
  alignas(32) int16_t words[granules_max][chanq_tokens_max * lanes16];
  alignas(32) int16_t lows[granules_max][lanes16], highs[granules_max][lanes16];
  const size_t granules = table.map.pairs() / granule;
  const D16 d;
  V16 top = hn::Zero(d);
  const auto middle_of = [&](V16 low, V16 high) {
    return hn::Add(hn::ShiftRight<1>(hn::Xor(low, high)), hn::And(low, high));
  };
  for (size_t i = 0; i < granules; ++i) {
    V16 low, high;
    turn_back<bf16>(granule_at(table, i * granule), shape, in, factor,
                    simd::turns_of(table, i * granule), words[i], low, high);
    hn::Store(low, d, lows[i]);
    hn::Store(high, d, highs[i]);
    top = hn::Max(top, hn::Abs(middle_of(low, high)));
  }
  const int middle_max = int(largest16(top));
  int shift = 0;
  while (((middle_max + (shift > 0 ? 1 << (shift - 1) : 0)) >> shift) > 127) ++shift;
  out[0] = std::byte(field);
  out[1] = std::byte(shift);

  alignas(32) ChannelCodes codes;
  for (size_t i = 0; i < granules; ++i) {
    const Granule g = granule_at(table, i * granule);
    const V16 low = hn::Load(d, lows[i]), high = hn::Load(d, highs[i]);
    const Quantiser q = make_quantiser(g, plan, low, high, middle_of(low, high), shift, out);
    encode_granule(g, q, plan.tokens, words[i], codes);
  }
  store_planes(plan, codes, out);
  std::memset(out + last, 0, chanq_bytes(id, shape) - last);
  return true;
}

// ---- decode

// Codes of one channel over a round of tokens. Reads as many planes as the widest channel has and
// drops the surplus, so that the loop always runs alike; the last channels, whose surplus would lie
// past the page, read their own.
HWY_INLINE V8 load_codes(const simd::ChanPlan& plan, const BitSpread& spread, size_t channel,
                         size_t token, const std::byte* in, size_t bytes) {
  const std::byte* plane = in + plan.plane[channel] + token / 8;
  const size_t width = plan.width[channel];
  const bool room = plan.plane[channel] + plan.width_max * plan.plane_bytes <= bytes;
  const size_t planes = room ? plan.width_max : width;
  V8 code = hn::Zero(D8());
  for (size_t p = 0; p < planes; ++p, plane += plan.plane_bytes) {
    uint32_t word = 0;
    if (plan.plane_bytes >= 4 && lanes8 == 32) std::memcpy(&word, plane, 4);
    else std::memcpy(&word, plane, 2);
    code = hn::Sub(hn::Add(code, code), spread(word));
  }
  const hn::Repartition<uint16_t, D8> dw;
  const V8 shifted =
      hn::BitCast(D8(), hn::ShiftRightSame(hn::BitCast(dw, code), int(planes - width)));
  return hn::And(shifted, hn::Set(D8(), uint8_t((1u << width) - 1)));
}

// How a granule's codes become values before the turn: ((code * twice + least) << k >> 7) + anchor.
struct Expander {
  V32 twice, least, k, anchor;
};
HWY_INLINE void make_expanders(const Granule& g, const simd::ChanPlan& plan, const std::byte* in,
                               Expander ret_expanders[2]) {
  const D32 d;
  const int shift = std::to_integer<int>(in[1]) & 15;
  V32 anchor[2], step[2], width[2];
  load_channel_bytes(g, in + chanq_header, anchor[0], anchor[1]);
  load_channel_bytes(g, in + chanq_header + plan.head_dim, step[0], step[1]);
  load_channel_bytes(g, plan.width, width[0], width[1]);
  for (size_t i = 0; i < 2; ++i) {
    Expander& e = ret_expanders[i];
    const V32 size = hn::Add(hn::And(step[i], hn::Set(d, 7)), hn::Set(d, 8));
    e.twice = hn::Add(size, size);
    e.least = hn::Sub(size, hn::Shl(size, width[i]));
    e.k = hn::ShiftRight<3>(step[i]);
    const V32 signed_anchor = hn::ShiftRight<24>(hn::ShiftLeft<24>(anchor[i]));
    e.anchor = hn::ShiftLeftSame(signed_anchor, shift + 2);
  }
}

HWY_INLINE V32 expand(const Expander& e, const uint8_t* codes) {
  const hn::Rebind<uint8_t, D32> d;
  const V32 code = hn::PromoteTo(D32(), hn::LoadU(d, codes));
#if SPECKV_X86_WIDE
  const V32 scaled{_mm256_mullo_epi16(code.raw, e.twice.raw)};  // 255 * 30 fits a word
#else
  const V32 scaled = hn::Mul(code, e.twice);
#endif
  return hn::Add(hn::ShiftRight<7>(hn::Shl(hn::Add(scaled, e.least), e.k)), e.anchor);
}

// Sums of 24-bit values times turns: (high * 256 + low + 8192) >> 14 without leaving 32 bits.
HWY_INLINE V32 turn_sum(V16 high, V16 low, V16 turn) {
  const V32 carried = hn::Add(multiply_pairs(low, turn), hn::Set(D32(), 8192));
  return hn::ShiftRight<6>(hn::Add(multiply_pairs(high, turn), hn::ShiftRight<8>(carried)));
}

template <bool bf16>
HWY_INLINE void store_pairs(const Granule& g, V32 first, V32 second, VF factor, std::byte* row) {
  const DF df;
  const hn::Rebind<uint16_t, DF> dh;
  const auto a = round_half<bf16>(df, hn::Mul(hn::ConvertTo(df, first), factor));
  const auto b = round_half<bf16>(df, hn::Mul(hn::ConvertTo(df, second), factor));
  if (g.half_split) {
    hn::StoreU(a, dh, reinterpret_cast<uint16_t*>(row + 2 * g.first));
    hn::StoreU(b, dh, reinterpret_cast<uint16_t*>(row + 2 * g.second));
  } else {
#if SPECKV_X86_WIDE
    auto* to = reinterpret_cast<uint16_t*>(row + 2 * g.first);
    hn::StoreU(hn::InterleaveLower(dh, a, b), dh, to);
    hn::StoreU(hn::InterleaveUpper(dh, a, b), dh, to + granule);
#else
    hn::StoreInterleaved2(a, b, dh, reinterpret_cast<uint16_t*>(row + 2 * g.first));
#endif
  }
}

// Codes of a granule over a round of tokens, regrouped: the first channels of a token together,
// then the second ones.
struct TokenCodes {
  alignas(32) uint8_t first[round_tokens][granule];
  alignas(32) uint8_t second[round_tokens][granule];
};

HWY_INLINE void regroup(const V8 quads[4][4], TokenCodes& ret_codes) {
  const hn::Repartition<uint32_t, D8> dw;
  for (size_t half = 0; half < 2; ++half) {
    auto* to = half == 0 ? ret_codes.first : ret_codes.second;
    for (size_t i = 0; i < 4; ++i) {
#if SPECKV_X86_WIDE
      const auto low = hn::BitCast(dw, quads[half][i]), high = hn::BitCast(dw, quads[half + 2][i]);
      const auto even = hn::InterleaveLower(dw, low, high),
                 odd = hn::InterleaveUpper(dw, low, high);
      const hn::CappedTag<uint32_t, 4> dq;
      const auto put = [&](hn::Vec<decltype(dq)> v, size_t token) {
        hn::StoreU(v, dq, reinterpret_cast<uint32_t*>(to[token]));
      };
      put(hn::LowerHalf(dq, even), 4 * i);
      put(hn::LowerHalf(dq, odd), 4 * i + 2);
      put(hn::UpperHalf(dq, even), 16 + 4 * i);
      put(hn::UpperHalf(dq, odd), 16 + 4 * i + 2);
#else
      hn::StoreU(hn::BitCast(dw, quads[half][i]), dw, reinterpret_cast<uint32_t*>(to[4 * i]));
#endif
    }
  }
}

template <bool bf16>
HWY_INLINE void decode_granule(const Granule& g, const simd::ChanPlan& plan,
                               const BitSpread& spread, const simd::Turns& turns, VF factor,
                               const std::byte* in, size_t bytes, const View& out) {
  const D16 d;
  Expander expander[2];
  make_expanders(g, plan, in, expander);
  const size_t step = g.half_split ? 1 : 2;
  for (size_t from = 0; from < plan.tokens; from += round_tokens) {
    V8 quads[4][4];
    for (size_t quad = 0; quad < lanes16 / 4; ++quad) {
      const size_t channel = quad_channel(g, quad);
      for (size_t i = 0; i < 4; ++i) {
        quads[quad][i] = load_codes(plan, spread, channel + i * step, from, in, bytes);
      }
      transpose_words(quads[quad]);
      for (size_t i = 0; i < 4; ++i) quads[quad][i] = transpose_bytes(quads[quad][i]);
    }
    TokenCodes codes;
    regroup(quads, codes);
    const size_t n = plan.tokens - from < round_tokens ? plan.tokens - from : round_tokens;
    for (size_t i = 0; i < n; ++i) {
      const V32 first = expand(expander[0], codes.first[i]);
      const V32 second = expand(expander[1], codes.second[i]);
      // Pairs the other way round than on encode: the same tables turn the other way.
      const V16 high =
          hn::BitCast(d, hn::Or(hn::And(hn::ShiftRight<8>(second), hn::Set(D32(), 0xffff)),
                                hn::ShiftLeft<16>(hn::ShiftRight<8>(first))));
      const V16 low = hn::And(join_words(second, first), hn::Set(d, int16_t{255}));
      const size_t t = from + i;
      const V16 turn = hn::LoadU(d, turns.turn + t * turns.step);
      const V16 quarter = hn::LoadU(d, turns.quarter + t * turns.step);
      store_pairs<bf16>(g, turn_sum(high, low, quarter), turn_sum(high, low, turn), factor,
                        out.base + ptrdiff_t(t) * out.token_stride);
    }
  }
}

template <bool bf16>
void decode_page(CodecId id, const PageShape& shape, const std::byte* in, const View& out,
                 const ChanTable& table) {
  int field = std::to_integer<int>(in[0]);
  field = field < chanq_field_floor(bf16) ? chanq_field_floor(bf16) : field;
  field = field > chanq_field_ceiling(bf16) ? chanq_field_ceiling(bf16) : field;
  const int power = field - chanq_exponent_base(bf16) - 2;
  const VF factor = hn::Set(DF(), std::bit_cast<float>(uint32_t(power + 127) << 23));
  const simd::ChanPlan plan = simd::make_plan(id, shape, table);
  const BitSpread spread = make_spread(false);
  for (size_t pair = 0; pair < table.map.pairs(); pair += granule) {
    decode_granule<bf16>(granule_at(table, pair), plan, spread, simd::turns_of(table, pair), factor,
                         in, chanq_bytes(id, shape), out);
  }
}

bool chanq_encode_page(CodecId id, const PageShape& shape, const ConstView& in, std::byte* out,
                       const ChanTable& table, ptrdiff_t ahead) {
  return is_bf16(shape.dtype) ? encode_page<true>(id, shape, in, out, table, ahead)
                              : encode_page<false>(id, shape, in, out, table, ahead);
}

void chanq_decode_page(CodecId id, const PageShape& shape, const std::byte* in, const View& out,
                       const ChanTable& table) {
  if (is_bf16(shape.dtype)) decode_page<true>(id, shape, in, out, table);
  else decode_page<false>(id, shape, in, out, table);
}
#endif  // HWY_TARGET != HWY_SCALAR

}  // namespace speckv::codec::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace speckv::codec {
HWY_EXPORT(chanq_encode_page);
HWY_EXPORT(chanq_decode_page);
namespace simd {

bool chanq_encode_page(CodecId id, const PageShape& shape, const ConstView& in, std::byte* out,
                       const ChanTable& table, ptrdiff_t ahead) {
  return HWY_DYNAMIC_DISPATCH(codec::chanq_encode_page)(id, shape, in, out, table, ahead);
}

void chanq_decode_page(CodecId id, const PageShape& shape, const std::byte* in, const View& out,
                       const ChanTable& table) {
  HWY_DYNAMIC_DISPATCH(codec::chanq_decode_page)(id, shape, in, out, table);
}

}  // namespace simd
}  // namespace speckv::codec
#endif
