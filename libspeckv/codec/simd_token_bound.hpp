// SPDX-License-Identifier: Apache-2.0
// simd_token_bound.hpp - token_bound's pass over a page's values, with run-time dispatch. Called by
// token_bound.cpp and its test only.
#pragma once

#include "codec/codec.hpp"

namespace speckv::codec::simd {

// ret_top: of each token, the bits of its largest magnitude. Requires: head_dim % 16 == 0,
// channel_stride == 2, 16-bit floats.
void token_tops(const PageShape& shape, const ConstView& in, uint16_t* ret_top);

}  // namespace speckv::codec::simd
