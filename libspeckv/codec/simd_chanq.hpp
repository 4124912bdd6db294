// SPDX-License-Identifier: Apache-2.0
// simd_chanq.hpp - chanq's inner loops with run-time dispatch. Called by chanq.cpp only.
#pragma once

#include "codec/chanq.hpp"

namespace speckv::codec::simd {

// Room that an encoder may write after the page: it puts as many planes for every channel as the
// widest one has, or eight.
inline constexpr size_t chanq_slack = 64;

// Both require: chanq_takes(shape), channel stride of 2 bytes, the table's rotated channels a
// multiple of 16 where halves are split. The target without vectors runs the golden model. Encode
// requires room for chanq_bytes() + chanq_slack at out, and leaves the slack undefined.
[[nodiscard]] bool chanq_encode_page(CodecId id, const PageShape& shape, const ConstView& in,
                                     std::byte* out, const ChanTable& table, ptrdiff_t ahead);
// stream requires chanq_streams().
void chanq_decode_page(CodecId id, const PageShape& shape, const std::byte* in, const View& out,
                       const ChanTable& table, bool stream);

// True where the decoder makes whole lines, so that it may store past the caches by itself.
// Requires: channel stride of 2 bytes.
bool chanq_streams(const PageShape& shape, const View& out, const ChanTable& table);

}  // namespace speckv::codec::simd
