// SPDX-License-Identifier: Apache-2.0
// simd_token_bound.cpp - the largest magnitude of each token of a page, for every vector target.
#include "codec/simd_token_bound.hpp"

#include <algorithm>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codec/simd_token_bound.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace speckv::codec::HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR

void token_tops(const PageShape& shape, const ConstView& in, uint16_t* ret_top) {
  for (size_t t = 0; t < shape.tokens; ++t) {
    ret_top[t] = 0;
    for (size_t c = 0; c < shape.head_dim; ++c) {
      uint16_t bits;
      std::memcpy(&bits, in.base + ptrdiff_t(t) * in.token_stride + 2 * c, 2);
      ret_top[t] = std::max<uint16_t>(ret_top[t], bits & 0x7fff);
    }
  }
}

#else

using D8 = hn::CappedTag<uint16_t, 8>;
using V8 = hn::Vec<D8>;
#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL
using DW = hn::CappedTag<uint16_t, 16>;
HWY_INLINE V8 fold(hn::Vec<DW> top) {
  return hn::Max(hn::LowerHalf(D8(), top), hn::UpperHalf(D8(), top));
}
#else
using DW = D8;
HWY_INLINE V8 fold(V8 top) { return top; }
#endif

// Eight maxima over a token's channels.
HWY_INLINE V8 row_tops(const std::byte* row, size_t channels) {
  const DW d;
  const auto mask = hn::Set(d, uint16_t{0x7fff});
  auto top = hn::Zero(d);
  for (size_t c = 0; c < channels; c += hn::Lanes(d))
    top = hn::Max(top, hn::And(hn::LoadU(d, reinterpret_cast<const uint16_t*>(row + 2 * c)), mask));
  return fold(top);
}

// Lanes of `Lane` bits of a and b, alternating, each the larger of two.
template <class Lane>
HWY_INLINE V8 halve(V8 a, V8 b) {
  const hn::Repartition<Lane, D8> d;
  const auto x = hn::BitCast(d, a), y = hn::BitCast(d, b);
  return hn::Max(hn::BitCast(D8(), hn::InterleaveLower(d, x, y)),
                 hn::BitCast(D8(), hn::InterleaveUpper(d, x, y)));
}

void token_tops(const PageShape& shape, const ConstView& in, uint16_t* ret_top) {
  for (size_t t = 0; t < shape.tokens; t += 8) {
    V8 two[4];
    for (size_t i = 0; i < 4; ++i) {
      const std::byte* row = in.base + ptrdiff_t(t + 2 * i) * in.token_stride;
      two[i] = halve<uint16_t>(row_tops(row, shape.head_dim),
                               row_tops(row + in.token_stride, shape.head_dim));
    }
    const V8 early = halve<uint32_t>(two[0], two[1]), late = halve<uint32_t>(two[2], two[3]);
    hn::StoreU(halve<uint64_t>(early, late), D8(), ret_top + t);
  }
}

#endif  // HWY_TARGET == HWY_SCALAR

}  // namespace
}  // namespace speckv::codec::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace speckv::codec {
HWY_EXPORT(token_tops);
namespace simd {

void token_tops(const PageShape& shape, const ConstView& in, uint16_t* ret_top) {
  HWY_DYNAMIC_DISPATCH(token_tops)(shape, in, ret_top);
}

}  // namespace simd
}  // namespace speckv::codec
#endif
