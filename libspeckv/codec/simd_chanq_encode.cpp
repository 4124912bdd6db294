// SPDX-License-Identifier: Apache-2.0
// simd_chanq_encode.cpp - chanq's encoder for every vector target; golden_chanq.cpp says what it
// computes.
#include "codec/golden.hpp"
#include "codec/half.hpp"
#include "codec/q8.hpp"
#include "codec/simd_chanq.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codec/simd_chanq_encode.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#include "codec/simd_chanq-inl.h"

HWY_BEFORE_NAMESPACE();
namespace speckv::codec::HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR
bool chanq_encode_page(CodecId id, const PageShape& shape, const ConstView& in, std::byte* out,
                       const ChanTable& table, ptrdiff_t /*ahead*/) {
  return golden::chanq_encode(id, shape, in, out, table) == Refusal::none;
}
#else
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

bool chanq_encode_page(CodecId id, const PageShape& shape, const ConstView& in, std::byte* out,
                       const ChanTable& table, ptrdiff_t ahead) {
  return is_bf16(shape.dtype) ? encode_page<true>(id, shape, in, out, table, ahead)
                              : encode_page<false>(id, shape, in, out, table, ahead);
}

#endif  // HWY_TARGET != HWY_SCALAR

}  // namespace speckv::codec::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace speckv::codec {
HWY_EXPORT(chanq_encode_page);
namespace simd {

bool chanq_encode_page(CodecId id, const PageShape& shape, const ConstView& in, std::byte* out,
                       const ChanTable& table, ptrdiff_t ahead) {
  return HWY_DYNAMIC_DISPATCH(chanq_encode_page)(id, shape, in, out, table, ahead);
}
}  // namespace simd
}  // namespace speckv::codec
#endif
