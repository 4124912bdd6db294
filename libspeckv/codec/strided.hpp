// SPDX-License-Identifier: Apache-2.0
// strided.hpp - moves a run of a page's values between the caller's strides and page order.
//
// Used where a codec's fast path cannot read the caller's buffer in place. Handles every stride,
// negative ones too; quick for whole rows (channel stride = one value) and for transposed pages
// (token stride = one value).
#pragma once

#include "codec/codec.hpp"

namespace speckv::codec {

// Values [first, first + count) of the page in page order. Requires: first + count <=
// shape.values().
void gather(const PageShape& shape, const ConstView& in, size_t first, size_t count,
            std::byte* out);
void scatter(const PageShape& shape, const std::byte* in, size_t first, size_t count,
             const View& out);

// True when the page is one run of bytes in page order.
bool contiguous(const PageShape& shape, ptrdiff_t token_stride, ptrdiff_t channel_stride);

}  // namespace speckv::codec
