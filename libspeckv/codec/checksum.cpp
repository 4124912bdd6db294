// SPDX-License-Identifier: Apache-2.0
// checksum.cpp - the four lanes, their tail and their end.
//
// The end: low = CRC-32C over three words (lane 0, lane 1, byte count), high = the same of lanes 2
// and 3, each lane widened to 64 bits, init ~0, no final xor; the checksum is low | high << 32.
#include "codec/checksum.hpp"

#include <cstring>

#include "codec/checksum_kernels.hpp"

namespace speckv::codec {
namespace {

const ChecksumKernel& kernel() {
  static const ChecksumKernel& chosen = checksum_kernels().front();
  return chosen;
}

void feed(Checksum& state, std::byte* to, const std::byte* from, size_t n, bool stream) {
  const size_t whole = n / 32 * 32;
  if (whole > 0) kernel().feed(state.lane, {to, 0, from, 0, whole, 1}, stream);
  if (whole < n) {
    std::byte padded[32] = {};
    std::memcpy(padded, from + whole, n - whole);
    kernel().feed(state.lane, {nullptr, 0, padded, 0, 32, 1}, false);
    if (to != nullptr) std::memcpy(to + whole, padded, n - whole);
  }
  state.bytes += n;
}

}  // namespace

void checksum_update(Checksum& state, const void* data, size_t n) {
  feed(state, nullptr, static_cast<const std::byte*>(data), n, false);
}

void checksum_copy(Checksum& state, void* dst, const void* src, size_t n, bool stream) {
  feed(state, static_cast<std::byte*>(dst), static_cast<const std::byte*>(src), n, stream);
  if (stream) stream_fence();
}

void checksum_copy_rows(Checksum& state, void* dst, ptrdiff_t dst_stride, const void* src,
                        ptrdiff_t src_stride, size_t row_bytes, size_t rows, bool stream) {
  kernel().feed(state.lane,
                {static_cast<std::byte*>(dst), dst_stride, static_cast<const std::byte*>(src),
                 src_stride, row_bytes, rows},
                stream);
  state.bytes += row_bytes * rows;
}

uint64_t checksum_final(const Checksum& state) {
  uint64_t half[2];
  for (size_t i = 0; i < 2; ++i) {
    uint32_t crc = ~0u;
    for (const uint64_t word :
         {uint64_t{state.lane[2 * i]}, uint64_t{state.lane[2 * i + 1]}, state.bytes}) {
      crc = kernel().word(crc, word);
    }
    half[i] = crc;
  }
  return half[0] | half[1] << 32;
}

}  // namespace speckv::codec
