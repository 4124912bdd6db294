// SPDX-License-Identifier: Apache-2.0
// simd_q8.hpp - q8's inner loops with run-time dispatch. Called by q8.cpp only.
#pragma once

#include <cstddef>
#include <cstdint>

namespace speckv::codec::simd {

// Rows of 16-bit values in the caller's memory. Requires: values % 32 == 0.
// ahead: what will be read next lies this many bytes behind what is read now; 0: not known.
struct ConstRows {
  const std::byte* base;
  ptrdiff_t stride;
  size_t values;
  size_t rows;
  ptrdiff_t ahead;
};
struct Rows {
  std::byte* base;
  ptrdiff_t stride;
  size_t values;
  size_t rows;
};

// Writes one scale byte for each 32 values and one code for each value. Returns: false when a value
// is refused; the output is then undefined.
[[nodiscard]] bool q8_encode_rows(const ConstRows& in, bool bf16, uint8_t* scales, int8_t* codes);

// stream: non-temporal stores. Requires then: base and stride are multiples of 64.
void q8_decode_rows(const uint8_t* scales, const int8_t* codes, bool bf16, const Rows& out,
                    bool stream);

}  // namespace speckv::codec::simd
