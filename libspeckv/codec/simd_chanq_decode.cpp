// SPDX-License-Identifier: Apache-2.0
// simd_chanq_decode.cpp - chanq's decoder for every vector target; golden_chanq.cpp says what it
// computes.
#include "codec/golden.hpp"
#include "codec/half.hpp"
#include "codec/simd_chanq.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codec/simd_chanq_decode.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#include "codec/simd_chanq-inl.h"
#include "codec/simd_chanq_gfni-inl.h"

HWY_BEFORE_NAMESPACE();
namespace speckv::codec::HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR
void chanq_decode_page(CodecId id, const PageShape& shape, const std::byte* in, const View& out,
                       const ChanTable& table, bool /*stream*/) {
  golden::chanq_decode(id, shape, in, out, table);
}
#else
#if SPECKV_X86_WIDE
// Planes as they lie, four bytes each of 32 tokens, to codes with the first plane highest: bytes of
// one group of eight tokens come together, then each group's 8 x 8 bits are transposed in three
// exchanges.
HWY_INLINE V8 transpose_planes(__m256i planes) {
  const __m256i by_byte = _mm256_setr_epi8(12, 8, 4, 0, 13, 9, 5, 1, 14, 10, 6, 2, 15, 11, 7, 3,  //
                                           12, 8, 4, 0, 13, 9, 5, 1, 14, 10, 6, 2, 15, 11, 7, 3);
  // Dword j of each half: bytes j of its four planes, last plane lowest; the second half's planes
  // belong below.
  const __m256i gathered = _mm256_shuffle_epi8(planes, by_byte);
  __m256i x = _mm256_permutevar8x32_epi32(gathered, _mm256_setr_epi32(4, 0, 5, 1, 6, 2, 7, 3));
  const auto exchange = [&](int shift, uint64_t mask) {
    const __m256i differ = _mm256_and_si256(_mm256_xor_si256(x, _mm256_srli_epi64(x, shift)),
                                            _mm256_set1_epi64x(int64_t(mask)));
    x = _mm256_xor_si256(x, _mm256_xor_si256(differ, _mm256_slli_epi64(differ, shift)));
  };
  exchange(7, 0x00aa00aa00aa00aa);
  exchange(14, 0x0000cccc0000cccc);
  exchange(28, 0x00000000f0f0f0f0);
  return V8{x};
}
#endif

// Codes of one channel over a round of tokens, from its own planes.
HWY_INLINE V8 load_own_planes(const simd::ChanPlan& plan, const BitSpread& spread, size_t channel,
                              size_t token, const std::byte* in) {
  const std::byte* plane = in + plan.plane[channel] + token / 8;
  const bool wide = plan.plane_bytes >= 4 && lanes8 == 32;
  V8 code = hn::Zero(D8());
  for (size_t p = 0; p < plan.width[channel]; ++p, plane += plan.plane_bytes) {
    uint32_t word = 0;
    if (wide) std::memcpy(&word, plane, 4);
    else std::memcpy(&word, plane, 2);
    code = hn::Sub(hn::Add(code, code), spread(word));
  }
  return code;
}

// The same for whatever width without a loop, where 32 bytes from its first plane on lie within the
// page: what is not the channel's own falls off at the low end.
HWY_INLINE V8 load_codes(const simd::ChanPlan& plan, const BitSpread& spread, size_t channel,
                         size_t token, const std::byte* in, size_t bytes) {
#if SPECKV_X86_WIDE
  if (plan.plane_bytes == 4 && plan.plane[channel] + size_t{32} <= bytes) {
    const auto* at = reinterpret_cast<const __m256i*>(in + plan.plane[channel]);
    const V8 code = transpose_planes(_mm256_loadu_si256(at));
    const int width = plan.width[channel];
    const __m256i shifted = _mm256_srl_epi16(code.raw, _mm_cvtsi32_si128(8 - width));
    return hn::And(V8{shifted}, hn::Set(D8(), uint8_t((1u << width) - 1)));
  }
#endif
  return load_own_planes(plan, spread, channel, token, in);
}

// How far each channel reaches, from the page's largest and the planes that say what it lacks.
HWY_INLINE void load_reaches(const simd::ChanPlan& plan, const std::byte* in,
                             ChannelBytes& ret_reaches) {
  const D8 d;
  const int seen = std::to_integer<int>(in[1]), grain = std::to_integer<int>(in[2]);
  const V8 top = hn::Set(d, uint8_t(seen < chanq_reach_max ? seen : chanq_reach_max));
  const int shift = grain < chanq_grain_max ? grain : chanq_grain_max;
  const auto* planes = reinterpret_cast<const uint8_t*>(in + chanq_header + plan.head_dim);
  for (size_t c = 0; c < plan.head_dim; c += lanes8) {
    const uint8_t* plane = planes + c / 8;
    V8 drop = hn::Zero(d);
    for (int bit = chanq_drop_bits - 1; bit >= 0; --bit, plane += plan.head_dim / 8) {
      const V8 weight = hn::Set(d, uint8_t(1 << bit));
      drop = hn::Or(drop, hn::IfThenElseZero(hn::LoadMaskBits(d, plane), weight));
    }
    hn::Store(hn::SaturatedSub(top, hn::ShiftLeftSame(drop, shift)), d, ret_reaches + c);
  }
}

// How a granule's codes become values before the turn, 2^8 times them: code * slope + base, modulo
// 2^32, so that the 24 bits that count are the upper ones.
struct Expander {
  V32 slope, base;
};
HWY_INLINE void make_expanders(const Granule& g, const simd::ChanPlan& plan, const std::byte* in,
                               const ChannelBytes& reaches, Expander ret_expanders[2]) {
  const D32 d;
  V32 anchor[2], reach[2], width[2];
  load_channel_bytes(g, in + chanq_header, anchor[0], anchor[1]);
  load_channel_bytes(g, reaches, reach[0], reach[1]);
  load_channel_bytes(g, plan.width, width[0], width[1]);
  for (size_t i = 0; i < 2; ++i) {
    const V32 size = hn::Add(hn::And(reach[i], hn::Set(d, 7)), hn::Set(d, 8));
    const V32 k = hn::ShiftRight<3>(reach[i]);
    const V32 cell = hn::Shl(size, hn::Sub(hn::Set(d, 8), width[i]));
    const V32 apart = anchor_size(hn::And(anchor[i], hn::Set(d, 127)));
    const V32 middle = hn::IfThenElse(hn::Gt(anchor[i], hn::Set(d, 127)), hn::Neg(apart), apart);
    const V32 base = hn::Add(hn::Sub(cell, hn::ShiftLeft<8>(size)), hn::ShiftLeft<7>(middle));
    // Times 2^(k-1).
    const auto halved = hn::Eq(k, hn::Zero(d));
    ret_expanders[i].slope = hn::Shl(cell, k);
    ret_expanders[i].base =
        hn::IfThenElse(halved, hn::ShiftRight<1>(base),
                       hn::Shl(base, hn::Max(hn::Sub(k, hn::Set(d, 1)), hn::Zero(d))));
  }
}

HWY_INLINE V32 expand(const Expander& e, const uint8_t* codes) {
  const hn::Rebind<uint8_t, D32> d;
  return hn::Add(hn::Mul(hn::PromoteTo(D32(), hn::LoadU(d, codes)), e.slope), e.base);
}

// The upper 16 bits of two values as signed words and the 8 below as others. Pairs are the other
// way round than on encode, (second, first): so the same tables turn the other way.
HWY_INLINE V16 high_words(V32 first, V32 second) {
  return hn::OddEven(hn::BitCast(D16(), first), hn::BitCast(D16(), hn::ShiftRight<16>(second)));
}
HWY_INLINE V16 low_words(V32 first, V32 second) {
  const hn::RebindToUnsigned<D16> unsigned_words;
  const auto both = hn::OddEven(hn::BitCast(unsigned_words, hn::ShiftLeft<16>(first)),
                                hn::BitCast(unsigned_words, second));
  return hn::BitCast(D16(), hn::ShiftRight<8>(both));
}

// Sums of 24-bit values times turns: (high * 256 + low + 8192) >> 14 without leaving 32 bits.
HWY_INLINE V32 turn_sum(V16 high, V16 low, V16 turn) {
  const V32 carried = hn::Add(hn::ShiftRight<8>(multiply_pairs(low, turn)), hn::Set(D32(), 32));
  return hn::ShiftRight<6>(hn::Add(multiply_pairs(high, turn), carried));
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
                               const ChannelBytes& reaches, const BitSpread& spread,
                               const simd::Turns& turns, VF factor, const std::byte* in,
                               size_t bytes, const View& out) {
  const D16 d;
  Expander expander[2];
  make_expanders(g, plan, in, reaches, expander);
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
      const V16 high = high_words(first, second), low = low_words(first, second);
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
                 const ChanTable& table, bool stream) {
  int field = std::to_integer<int>(in[0]);
  field = field < chanq_field_floor(bf16) ? chanq_field_floor(bf16) : field;
  field = field > chanq_field_ceiling(bf16) ? chanq_field_ceiling(bf16) : field;
  const int power = field - chanq_exponent_base(bf16) - 2;
  const float factor = std::bit_cast<float>(uint32_t(power + 127) << 23);
  const simd::ChanPlan plan = simd::make_plan(id, shape, table);
  const size_t bytes = chanq_bytes(id, shape);
  alignas(32) ChannelBytes reaches;
  load_reaches(plan, in, reaches);
#if SPECKV_GFNI
  if (shape.tokens == 32 && simd::has_gfni() &&
      decode_page_gfni<bf16>({plan, in, reaches, bytes, factor}, out, table, stream))
    return;
#endif
  const BitSpread spread = make_spread(false);
  for (size_t pair = 0; pair < table.map.pairs(); pair += granule) {
    const Granule g = granule_at(table, pair);
    const simd::Turns turns = simd::turns_of(table, pair);
    decode_granule<bf16>(g, plan, reaches, spread, turns, hn::Set(DF(), factor), in, bytes, out);
  }
}

void chanq_decode_page(CodecId id, const PageShape& shape, const std::byte* in, const View& out,
                       const ChanTable& table, bool stream) {
  if (is_bf16(shape.dtype)) decode_page<true>(id, shape, in, out, table, stream);
  else decode_page<false>(id, shape, in, out, table, stream);
}
#endif  // HWY_TARGET != HWY_SCALAR

bool chanq_streams(const PageShape& shape, const View& out, const ChanTable& table) {
#if SPECKV_GFNI
  const auto to = reinterpret_cast<uintptr_t>(out.base) | static_cast<uintptr_t>(out.token_stride);
  return shape.tokens == 32 && whole_lines(table) && to % 64 == 0 && simd::has_gfni();
#else
  return false;
#endif
}

}  // namespace speckv::codec::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace speckv::codec {
HWY_EXPORT(chanq_decode_page);
HWY_EXPORT(chanq_streams);
namespace simd {

void chanq_decode_page(CodecId id, const PageShape& shape, const std::byte* in, const View& out,
                       const ChanTable& table, bool stream) {
  HWY_DYNAMIC_DISPATCH(chanq_decode_page)(id, shape, in, out, table, stream);
}

bool chanq_streams(const PageShape& shape, const View& out, const ChanTable& table) {
  return HWY_DYNAMIC_DISPATCH(chanq_streams)(shape, out, table);
}

}  // namespace simd
}  // namespace speckv::codec
#endif
