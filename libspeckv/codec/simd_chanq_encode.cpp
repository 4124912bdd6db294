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

#include "codec/simd_chanq_planes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace speckv::codec::HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR
bool chanq_encode_page(CodecId id, const PageShape& shape, const ConstView& in, std::byte* out,
                       const ChanTable& table, ptrdiff_t /*ahead*/) {
  return golden::chanq_encode(id, shape, in, out, table) == Refusal::none;
}
#else
// Bytes of a granule's channels from words.
HWY_INLINE void store_channel_bytes(const Granule& g, V16 words, void* by_channel) {
  alignas(32) static constexpr uint8_t apart[16] = {0, 2, 4, 6, 8, 10, 12, 14};
  alignas(32) static constexpr uint8_t mixed[16] = {0, 8, 2, 10, 4, 12, 6, 14};
  const V8 order = hn::LoadDup128(D8(), g.half_split ? apart : mixed);
  alignas(32) uint8_t bytes[lanes8];
  hn::Store(hn::TableLookupBytes(hn::BitCast(D8(), words), order), D8(), bytes);
  auto* to = static_cast<uint8_t*>(by_channel);
  for (size_t i = 0; i < granule; i += 4) {
    if (g.half_split) {
      std::memcpy(to + g.first + i, bytes + 4 * i, 4);
      std::memcpy(to + g.second + i, bytes + 4 * i + 4, 4);
    } else {
      std::memcpy(to + g.first + 2 * i, bytes + 4 * i, 8);
    }
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

HWY_INLINE V16 middle_of(V16 low, V16 high) {
  return hn::Add(hn::ShiftRight<1>(hn::Xor(low, high)), hn::And(low, high));
}

// Words that are not negative (first channels, second ones) as values.
HWY_INLINE void widen_words(V16 words, V32 ret[2]) {
  const D16 d;
  ret[0] = hn::BitCast(D32(), hn::InterleaveLower(d, words, hn::Zero(d)));
  ret[1] = hn::BitCast(D32(), hn::InterleaveUpper(d, words, hn::Zero(d)));
}

// reach_code() of the golden model: a float's exponent and three bits of mantissa, rounded up.
HWY_INLINE V32 reach_code(V32 reach) {
  const D32 d;
  const V32 bits = hn::BitCast(d, hn::ConvertTo(DF(), hn::Add(reach, hn::Set(d, 1))));
  return hn::Sub(hn::ShiftRight<20>(hn::Add(bits, hn::Set(d, 0xfffff))), hn::Set(d, 127 * 8));
}

// anchor_octave() of the golden model, or less than 0: where a float's mantissa exceeds 31/16, the
// next exponent.
HWY_INLINE V32 anchor_octave(VF size) {
  const D32 d;
  const V32 bits = hn::Add(hn::BitCast(d, size), hn::Set(d, 0x7ffff));
  return hn::Sub(hn::ShiftRight<23>(bits), hn::Set(d, 127 + 6));
}

// The anchor nearest to a midpoint of this size, without a sign. Requires: k of anchor_octave() or
// more.
struct Anchor {
  V32 code, value;
};
HWY_INLINE Anchor make_anchor(VF size, V32 k) {
  const D32 d;
  const DF df;
  const V32 power = hn::ShiftLeft<23>(hn::Sub(k, hn::Set(d, 4)));
  const VF unit = hn::BitCast(df, hn::Add(hn::Set(d, 127 << 23), power));
  const VF units = hn::Mul(size, hn::BitCast(df, hn::Sub(hn::Set(d, 127 << 23), power)));
  const V32 whole = truncate_int(df, hn::Add(units, hn::Set(df, 0.5F)));
  const V32 rounded = hn::ShiftRight<19>(hn::Add(hn::BitCast(d, units), hn::Set(d, 1 << 18)));
  const auto few = hn::Gt(hn::Set(d, 17), whole);
  const V32 code = hn::IfThenElse(few, whole, hn::Sub(rounded, hn::Set(d, 130 * 16)));
  const V32 nearest =
      hn::IfThenElse(few, hn::BitCast(d, hn::ConvertTo(df, whole)), hn::ShiftLeft<19>(rounded));
  return {code, truncate_int(df, hn::Mul(hn::BitCast(df, nearest), unit))};
}

HWY_INLINE V16 with_sign_of(V16 from, V16 size) {
  return hn::IfThenElse(hn::Lt(from, hn::Zero(D16())), hn::Neg(size), size);
}

// The reach codes that a granule's channels ask for: wanted_reach() of the golden model.
HWY_INLINE V16 wanted_reaches(V16 low, V16 high) {
  const V16 middle = middle_of(low, high);
  V32 middles[2], reach[2], k[2], anchor[2];
  widen_words(hn::Abs(middle), middles);
  widen_words(hn::Max(hn::Sub(high, middle), hn::Sub(middle, low)), reach);
  for (size_t i = 0; i < 2; ++i) {
    const VF size = hn::ConvertTo(DF(), middles[i]);
    k[i] = hn::Max(hn::ShiftRight<3>(reach_code(reach[i])), anchor_octave(size));
    anchor[i] = make_anchor(size, k[i]).value;
  }
  const V16 anchors = with_sign_of(middle, pack32(anchor[0], anchor[1]));
  widen_words(hn::Max(hn::Sub(high, anchors), hn::Sub(anchors, low)), reach);
  for (size_t i = 0; i < 2; ++i) k[i] = hn::Max(reach_code(reach[i]), hn::ShiftLeft<3>(k[i]));
  return pack32(k[0], k[1]);
}

// choose_grain() of the golden model.
HWY_INLINE int choose_grain(const simd::ChanPlan& plan, const ChannelBytes& wanted, int top) {
  const hn::CappedTag<uint8_t, 16> d;
  const auto zero = hn::Zero(d);
  for (int grain = 0; grain < chanq_grain_max; ++grain) {
    const int least = top - (chanq_drop_max << grain);
    if (least <= 0) return grain;
    const auto floor = hn::Set(d, uint8_t(least));
    const auto lowest = hn::SaturatedSub(floor, hn::Set(d, uint8_t{chanq_lift_max}));
    size_t lifted = 0, far = 0;
    for (size_t c = 0; c < plan.head_dim; c += 16) {
      const auto own = hn::Load(d, wanted + c), width = hn::LoadU(d, plan.width + c);
      const auto still = hn::Eq(hn::Min(own, width), zero);
      lifted += hn::CountTrue(d, hn::AndNot(still, hn::Lt(own, floor)));
      far += hn::CountTrue(d, hn::AndNot(still, hn::Lt(own, lowest)));
    }
    if (lifted <= chanq_lifted_max(plan.head_dim) && far == 0) return grain;
  }
  return chanq_grain_max;
}

// Writes by how many grains each channel lies below the top, and makes its reach what that says.
HWY_INLINE void store_drops(const simd::ChanPlan& plan, int top, int grain, ChannelBytes& reaches,
                            std::byte* out) {
  alignas(32) ChannelBytes drops;
  const D8 d;
  const V8 tops = hn::Set(d, uint8_t(top));
  for (size_t c = 0; c < plan.head_dim; c += lanes8) {
    V8 drop = hn::ShiftRightSame(hn::SaturatedSub(tops, hn::Load(d, reaches + c)), grain);
    drop = hn::Min(drop, hn::Set(d, uint8_t{chanq_drop_max}));
    hn::Store(drop, d, drops + c);
    hn::Store(hn::Sub(tops, hn::ShiftLeftSame(drop, grain)), d, reaches + c);
  }
  // A vector may reach beyond its plane, into what is written after it.
  auto* plane = reinterpret_cast<uint8_t*>(out + chanq_header + plan.head_dim);
  for (int bit = chanq_drop_bits - 1; bit >= 0; --bit, plane += plan.head_dim / 8) {
    for (size_t c = 0; c < plan.head_dim; c += lanes8) {
      const auto set = hn::TestBit(hn::Load(d, drops + c), hn::Set(d, uint8_t(1 << bit)));
      hn::StoreMaskBits(d, set, plane + c / 8);
    }
  }
}

// What quantising a granule needs: code = ((((word - anchor) * up) * reciprocal >> 16) * 4 * down
// >> 16) + half, clamped to 0..top.
struct Quantiser {
  V16 anchor, up, reciprocal, down, half;
  V8 top;
};

// Anchors and the quantiser of a granule; writes the anchors.
HWY_INLINE Quantiser make_quantiser(const Granule& g, const simd::ChanPlan& plan, V16 low, V16 high,
                                    const ChannelBytes& reaches, std::byte* out) {
  const D16 d;
  const D32 dw;
  const V16 middle = middle_of(low, high);
  V32 middles[2], reach[2], width[2], code[2], anchor[2], up[2], down[2], cells[2];
  widen_words(hn::Abs(middle), middles);
  load_channel_bytes(g, plan.width, width[0], width[1]);
  load_channel_bytes(g, reaches, reach[0], reach[1]);
  const V32 one = hn::Set(dw, 1);
  for (size_t i = 0; i < 2; ++i) {
    const V32 k = hn::ShiftRight<3>(reach[i]);
    const Anchor made = make_anchor(hn::ConvertTo(DF(), middles[i]), k);
    code[i] = made.code;
    anchor[i] = made.value;
    // What a step is above 2^-8 times eight to fifteen, less nine.
    const V32 power = hn::Sub(hn::Sub(k, hn::Set(dw, 3)), width[i]);
    up[i] = hn::Shl(one, hn::Max(hn::Neg(power), hn::Zero(dw)));
    down[i] = hn::Shl(one, hn::Sub(hn::Set(dw, 14), hn::Max(power, hn::Zero(dw))));
    cells[i] = hn::Shl(one, width[i]);
  }
  const V16 sign = hn::And(hn::ShiftRight<8>(middle), hn::Set(d, int16_t{128}));
  store_channel_bytes(g, hn::Or(pack32(code[0], code[1]), sign), out + chanq_header);
  Quantiser q;
  q.anchor = with_sign_of(middle, pack32(anchor[0], anchor[1]));
  q.up = pack32(up[0], up[1]);
  q.down = pack32(down[0], down[1]);
  // reciprocal[m] from a table of eight words
  alignas(32) int16_t table[16];
  for (size_t i = 0; i < 16; ++i) table[i] = int16_t(q8_reciprocal[i % 8]);
  const V16 m = hn::And(pack32(reach[0], reach[1]), hn::Set(d, int16_t{7}));
  const V16 index = hn::Add(hn::Mul(m, hn::Set(d, int16_t{0x0202})), hn::Set(d, int16_t{0x0100}));
  q.reciprocal = hn::TableLookupBytes(hn::Load(d, table), index);
  const V16 count = pack32(cells[0], cells[1]);
  q.half = hn::ShiftRight<1>(count);
  const V16 top = hn::Sub(count, hn::Set(d, int16_t{1}));
  q.top = pack_codes(top, top);
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

// Vector i of a round of tokens of a quad of channels: block L has tokens 16L + 4i to 16L + 4i + 3.
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

HWY_INLINE void encode_granule(const Granule& g, const Quantiser& q, size_t tokens,
                               const int16_t* words, simd::ChannelCodes& codes) {
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
  alignas(32) ChannelBytes reaches;
  const size_t granules = table.map.pairs() / granule;
  const D16 d;
  V16 largest = hn::Zero(d);
  for (size_t i = 0; i < granules; ++i) {
    const Granule g = granule_at(table, i * granule);
    V16 low, high;
    turn_back<bf16>(g, shape, in, factor, simd::turns_of(table, i * granule), words[i], low, high);
    hn::Store(low, d, lows[i]);
    hn::Store(high, d, highs[i]);
    const V16 wanted = wanted_reaches(low, high);
    store_channel_bytes(g, wanted, reaches);
    largest = hn::Max(largest, wanted);
  }
  const int top = int(largest16(largest));
  const int grain = choose_grain(plan, reaches, top);
  out[0] = std::byte(field);
  out[1] = std::byte(top);
  out[2] = std::byte(grain);
  store_drops(plan, top, grain, reaches, out);

  alignas(32) simd::ChannelCodes codes;
  for (size_t i = 0; i < granules; ++i) {
    const Granule g = granule_at(table, i * granule);
    const V16 low = hn::Load(d, lows[i]), high = hn::Load(d, highs[i]);
    const Quantiser q = make_quantiser(g, plan, low, high, reaches, out);
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
