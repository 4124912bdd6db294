// SPDX-License-Identifier: Apache-2.0
// simd_rowq.hpp - rowq's inner loops with run-time dispatch. Called by rowq.cpp only.
#pragma once

#include "codec/rowq.hpp"

namespace speckv::codec::simd {

// Both require: rowq_takes(shape), channel stride of 2 bytes. The target without vectors runs the
// golden model.
[[nodiscard]] bool rowq_encode_rows(int bits, const PageShape& shape, const ConstView& in,
                                    std::byte* out, ptrdiff_t ahead);
// stream: non-temporal stores. Requires then: base and token stride are multiples of 32.
void rowq_decode_rows(int bits, const PageShape& shape, const std::byte* in, const View& out,
                      bool stream);

}  // namespace speckv::codec::simd
