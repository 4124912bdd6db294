// SPDX-License-Identifier: Apache-2.0
// simd_rowq_decode.cpp - rowq's decoder for every vector target; golden_rowq.cpp says what it
// computes.
#include "codec/golden.hpp"
#include "codec/half.hpp"
#include "codec/simd_rowq.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codec/simd_rowq_decode.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#include "codec/simd_rowq-inl.h"
#include "codec/simd_rowq_gfni-inl.h"

HWY_BEFORE_NAMESPACE();
namespace speckv::codec::HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR
void rowq_decode_rows(int bits, const PageShape& shape, const std::byte* in, const View& out,
                      bool /*stream*/) {
  golden::rowq_decode(bits, shape, in, out);
}
#else
// Levels of codes that count from the middle, -1 the first below it.
template <int bits>
HWY_INLINE V8 levels_of(V8 code) {
  const D8 d;
  const hn::RebindToSigned<D8> di;
  const V8 below = hn::BitCast(d, hn::BroadcastSignBit(hn::BitCast(di, code)));
  const V8 j = hn::Xor(code, below);
  const V8 wider = hn::Add(hn::SaturatedSub(j, hn::Set(d, uint8_t{1 << (bits - 2)})),
                           hn::SaturatedSub(j, hn::Set(d, uint8_t{3 << (bits - 3)})));
  const V8 level = hn::Add(hn::Add(hn::Add(j, j), wider), hn::Set(d, uint8_t{1}));
  return hn::Sub(hn::Xor(level, below), below);
}

template <int bits>
HWY_INLINE void expand_group(const std::byte* const plane[8], uint32_t low_word, size_t group,
                             int width, const BitSpread& spread, V16* values) {
  const D8 d8;
  for (size_t h = 0; h < group_bytes; ++h) {
    // Signed codes: the highest bit counts -1 where it is clear.
    V8 code = hn::Set(d8, uint8_t{255});
    for (int p = bits - 1; p >= 0; --p) {
      uint32_t word = low_word;
      if (p > 0) std::memcpy(&word, plane[p] + 4 * group, 4);
      const V8 bit = spread(lanes8 == 32 ? word : word >> (16 * h));
      code = p == bits - 1 ? hn::Sub(code, bit) : hn::Sub(hn::Add(code, code), bit);
    }
    // Level times width, or without widths 2 * code + 1.
    constexpr bool widths = rowq_has_widths(bits);
    if constexpr (widths) code = levels_of<bits>(code);
#if SPECKV_X86_WIDE
    const __m256i weights = _mm256_set1_epi16(int16_t(widths ? width : 2 | 1 << 8));
    const __m256i ones = _mm256_set1_epi8(1);
    const __m256i low = _mm256_unpacklo_epi8(code.raw, ones);
    const __m256i high = _mm256_unpackhi_epi8(code.raw, ones);
    values[2 * h] = V16{_mm256_maddubs_epi16(weights, low)};
    values[2 * h + 1] = V16{_mm256_maddubs_epi16(weights, high)};
#else
    const hn::RebindToSigned<D8> di8;
    const hn::Half<decltype(di8)> half;
    const V16 times = hn::Set(D16(), int16_t(widths ? width : 2));
    const V16 more = hn::Set(D16(), int16_t(widths ? 0 : 1));
    const auto signed_code = hn::BitCast(di8, code);
    const V16 low = hn::PromoteTo(D16(), hn::LowerHalf(half, signed_code));
    const V16 high = hn::PromoteTo(D16(), hn::UpperHalf(half, signed_code));
    values[2 * h] = hn::Add(hn::Mul(low, times), more);
    values[2 * h + 1] = hn::Add(hn::Mul(high, times), more);
#endif
  }
}

template <bool bf16>
HWY_INLINE void store_run(const V16* values, VF factor, VF bias, std::byte* to, bool stream) {
  for (size_t i = 0; i < block_vectors; ++i) {
    store_words<bf16>(values[i], factor, bias, to + 2 * lanes16 * i, stream);
  }
}

template <int bits>
HWY_INLINE void expand_row(uint32_t side, const std::byte* const plane[8], size_t block,
                           size_t number, const BitSpread& spread, V16* row) {
  if ((side & 0xff) == rowq_zero_row) {
    for (size_t i = 0; i < row_vectors; ++i) row[i] = hn::Zero(D16());
    return;
  }
  uint32_t low_words[4];
  load_low_plane(plane[0], low_words);
  constexpr int width_bits = rowq_width_bits(bits);
  for (size_t g = 0; g < 4; ++g) {
    const int width = int(side >> (8 + int(g) * width_bits) & ((1u << width_bits) - 1)) + 1;
    expand_group<bits>(plane, low_words[g], g, width, spread, row + g * group_vectors);
  }
  for (size_t h = 0; h < 2; ++h) {
    transform(row + h * block_vectors, block);
    if (rowq_has_signs(bits)) change_signs(row + h * block_vectors, rowq_signs(2 * number + h));
  }
}

template <int bits, bool bf16>
void decode_page(const PageShape& shape, const std::byte* in, const View& out, bool stream) {
  const BitSpread spread = make_spread(true);
  const size_t rows = rowq_rows(shape);
  const std::byte* plane[8];
  for (int b = 0; b < bits; ++b) plane[b] = in + rowq_plane_offset(rows, bits, b);
  for (int p = 0; p < 3; ++p) {
    const RowqPart part = rowq_part(shape, p);
    BlockWalk walk(part, out.base, out.token_stride);
    for (size_t r = 0; r < part.rows; ++r, in += 4) {
      uint32_t side;
      std::memcpy(&side, in, 4);
      V16 row[row_vectors];
      expand_row<bits>(side, plane, part.block, part.first_row + r, spread, row);
      const float power = simd::exp2_float(rowq_decode_exponent(side));
      VF factor[2], bias[2];
      for (size_t h = 0; h < 2; ++h) {
        factor[h] = hn::Set(DF(), power * float(rowq_scale(bits, side, h)));
        bias[h] = words_bias(factor[h]);
      }
      plane[0] += 12;
      for (int b = 1; b < bits; ++b) plane[b] += 16;
      if (part.block == 64) {
        for (size_t i = 0; i < 2; ++i) {
          auto* to = const_cast<std::byte*>(walk.next());
          store_run<bf16>(row + i * block_vectors, factor[i], bias[i], to, stream);
        }
        continue;
      }
      alignas(32) std::byte copy[2 * rowq_row];
      store_run<bf16>(row, factor[0], bias[0], copy, false);
      store_run<bf16>(row + block_vectors, factor[1], bias[1], copy + rowq_row, false);
      for (size_t i = 0; i < rowq_row / part.block; ++i) {
        std::memcpy(const_cast<std::byte*>(walk.next()), copy + i * 2 * part.block, 2 * part.block);
      }
    }
  }
}

template <int bits>
void decode_bits(const PageShape& shape, const std::byte* in, const View& out, bool stream) {
#if SPECKV_GFNI
  if (simd::has_gfni()) {
    if (is_bf16(shape.dtype)) decode_page_gfni<bits, true>(shape, in, out, stream);
    else decode_page_gfni<bits, false>(shape, in, out, stream);
    return;
  }
#endif
  if (is_bf16(shape.dtype)) decode_page<bits, true>(shape, in, out, stream);
  else decode_page<bits, false>(shape, in, out, stream);
}

// Once for each width: unrolled over the planes, which is a quarter of the time.
void rowq_decode_rows(int bits, const PageShape& shape, const std::byte* in, const View& out,
                      bool stream) {
  switch (bits) {
    case 3:
      return decode_bits<3>(shape, in, out, stream);
    case 4:
      return decode_bits<4>(shape, in, out, stream);
    case 5:
      return decode_bits<5>(shape, in, out, stream);
    case 6:
      return decode_bits<6>(shape, in, out, stream);
    default:
      return decode_bits<8>(shape, in, out, stream);
  }
}
#endif  // HWY_TARGET != HWY_SCALAR

}  // namespace speckv::codec::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace speckv::codec {
HWY_EXPORT(rowq_decode_rows);
namespace simd {

void rowq_decode_rows(int bits, const PageShape& shape, const std::byte* in, const View& out,
                      bool stream) {
  HWY_DYNAMIC_DISPATCH(rowq_decode_rows)(bits, shape, in, out, stream);
}

}  // namespace simd
}  // namespace speckv::codec
#endif
