// SPDX-License-Identifier: Apache-2.0
// stream.hpp - non-temporal stores outside the vector kernels: rows, and the fence that ends them.
//
// Called by the codecs' fast paths and by checksum.cpp. Without such stores the rows are a plain
// copy and the fence is nothing.
#pragma once

#include <cstddef>
#include <cstring>

#if defined(__x86_64__)
#include <emmintrin.h>
#endif

namespace speckv::codec {

// Makes streamed stores visible before later stores, as plain stores are.
inline void stream_fence() {
#if defined(__x86_64__)
  _mm_sfence();
#endif
}

// Copies rows. Requires: to and to_stride multiples of 16, row_bytes of 16; the caller ends with
// stream_fence().
inline void stream_rows(std::byte* to, ptrdiff_t to_stride, const std::byte* from, size_t row_bytes,
                        size_t rows) {
  for (size_t r = 0; r < rows; ++r, to += to_stride, from += row_bytes) {
#if defined(__x86_64__)
    for (size_t i = 0; i < row_bytes; i += 16) {
      _mm_stream_si128(reinterpret_cast<__m128i*>(to + i),
                       _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i)));
    }
#else
    std::memcpy(to, from, row_bytes);
#endif
  }
}

}  // namespace speckv::codec
