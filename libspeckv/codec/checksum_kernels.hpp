// SPDX-License-Identifier: Apache-2.0
// checksum_kernels.hpp - the checksum's inner loop, once per instruction set. Called by
// checksum.cpp and its test.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace speckv::codec {

// Rows of bytes to feed and, where to != nullptr, to copy. Requires: row_bytes % 32 == 0.
struct ChecksumRows {
  std::byte* to;
  ptrdiff_t to_stride;
  const std::byte* from;
  ptrdiff_t from_stride;
  size_t row_bytes;
  size_t rows;
};

// A byte may be loaded twice, once to be summed and once to be moved: if its owner writes
// meanwhile, the copy and its checksum may differ, which a reader takes for a miss.
struct ChecksumKernel {
  std::string_view name;
  void (*feed)(uint32_t lane[4], const ChecksumRows& rows, bool stream);
  uint32_t (*word)(uint32_t crc, uint64_t word);
};

// Those that run on this CPU, fastest first; the last is plain C++.
std::span<const ChecksumKernel> checksum_kernels();

// Makes stores of a `stream` copy visible before later stores, as plain stores are.
void stream_fence();

// Copies rows with non-temporal stores where the CPU has them. Requires: to and to_stride multiples
// of 32, row_bytes of 32; the caller ends with stream_fence().
void stream_rows(std::byte* to, ptrdiff_t to_stride, const std::byte* from, size_t row_bytes,
                 size_t rows);

}  // namespace speckv::codec
