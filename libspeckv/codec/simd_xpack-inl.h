// SPDX-License-Identifier: Apache-2.0
// simd_xpack-inl.h - what xpack's encoder and decoder share, once per vector target.
//
// Included by simd_xpack_encode.cpp and simd_xpack_decode.cpp under Highway's foreach_target; empty
// on the target without vectors, where the golden model runs instead.
#if defined(SPECKV_CODEC_SIMD_XPACK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SPECKV_CODEC_SIMD_XPACK_INL_H_
#undef SPECKV_CODEC_SIMD_XPACK_INL_H_
#else
#define SPECKV_CODEC_SIMD_XPACK_INL_H_
#endif

#include <cstring>

#include "codec/simd_int-inl.h"
#include "codec/xpack.hpp"

#ifndef SPECKV_CODEC_SIMD_XPACK_SIZES_
#define SPECKV_CODEC_SIMD_XPACK_SIZES_
namespace speckv::codec::simd {

// Most entries of the list of any page that xpack takes, and what may be written behind them: the
// escapes of a whole unit, and a vector.
inline constexpr size_t xpack_list_max =
    xpack_map({64, xpack_head_dim_max, SPECKV_DTYPE_F16, Kind::k}).escapes_max();
inline constexpr size_t xpack_list_slack = xpack_unit + 64;

}  // namespace speckv::codec::simd
#endif

HWY_BEFORE_NAMESPACE();
namespace speckv::codec::HWY_NAMESPACE {

#if HWY_TARGET != HWY_SCALAR
using Q8 = hn::CappedTag<uint8_t, 16>;
using U16 = hn::Repartition<uint16_t, D8>;

template <int bits>
HWY_INLINE V8 bytes_right(V8 v) {  // bits of the neighbour above come in
  return hn::BitCast(D8(), hn::ShiftRight<bits>(hn::BitCast(U16(), v)));
}
template <int bits>
HWY_INLINE V8 bytes_left(V8 v) {  // and of the one below
  return hn::BitCast(D8(), hn::ShiftLeft<bits>(hn::BitCast(U16(), v)));
}

// Two nibbles a byte, the lower first, as sixteen bytes and sixteen more.
HWY_INLINE void split_nibbles(const std::byte* from, hn::Vec<Q8>& first, hn::Vec<Q8>& second) {
  const Q8 d;
  const auto fifteen = hn::Set(d, uint8_t{15});
  const auto bytes = hn::LoadU(d, reinterpret_cast<const uint8_t*>(from));
  const auto words = hn::BitCast(hn::Repartition<uint16_t, Q8>(), bytes);
  const auto low = hn::And(bytes, fifteen);
  const auto high = hn::And(hn::BitCast(d, hn::ShiftRight<4>(words)), fifteen);
  first = hn::InterleaveLower(d, low, high);
  second = hn::InterleaveUpper(d, low, high);
}

// The bases of a page's channels, as long again as a row, so that a row may start anywhere. In fp16
// they are shifted to where the exponent lies in a turned value's upper byte.
struct XpackBases {
  alignas(32) uint8_t at[xpack_head_dim_max + 2 * xpack_row];
  size_t head_dim;
  size_t step;
  HWY_INLINE void finish(size_t channels) {
    head_dim = channels;
    step = xpack_row % channels;
    // In pieces of 16, the least head_dim: where that is shorter than a row, a piece copies the
    // last.
    for (size_t i = 0; i < xpack_row; i += 16) std::memcpy(at + channels + i, at + i, 16);
  }
  HWY_INLINE size_t next(size_t channel) const {
    channel += step;
    return channel >= head_dim ? channel - head_dim : channel;
  }
};

// Where the rows of 32 values in page order lie.
template <typename Byte>
struct RowWalk {
  Byte* token;
  ptrdiff_t stride;
  size_t per_token;
  Byte* at = token;
  size_t left = per_token;
  HWY_INLINE Byte* next() {
    Byte* row = at;
    at += 2 * xpack_row;
    if (--left == 0) token += stride, at = token, left = per_token;
    return row;
  }
};
template <typename Byte, typename AnyView>
RowWalk<Byte> walk_rows(const PageShape& shape, const AnyView& view) {
  if (view.token_stride == ptrdiff_t{2} * shape.head_dim)
    return {view.base, 0, shape.values() / xpack_row};
  return {view.base, view.token_stride, shape.head_dim / xpack_row};
}
#endif  // HWY_TARGET != HWY_SCALAR

}  // namespace speckv::codec::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // SPECKV_CODEC_SIMD_XPACK_INL_H_
