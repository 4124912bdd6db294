// SPDX-License-Identifier: Apache-2.0
// simd_xpack.hpp - xpack's inner loops with run-time dispatch. Called by xpack.cpp only.
#pragma once

#include "codec/codec.hpp"

namespace speckv::codec::simd {

// As xpack_encode() and xpack_decode(). Requires: channel stride 2; tokens' rows that follow each
// other without a gap, or head_dim % 32 == 0.
[[nodiscard]] bool xpack_encode_rows(const PageShape& shape, const ConstView& in, std::byte* out,
                                     ptrdiff_t next_page);

// stream: non-temporal stores. Requires then: base and token stride are multiples of 32.
void xpack_decode_rows(const PageShape& shape, const std::byte* in, const View& out, bool stream);

}  // namespace speckv::codec::simd
