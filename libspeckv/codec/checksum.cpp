// SPDX-License-Identifier: Apache-2.0
// checksum.cpp - the checksum's tail and its end; the beats are in simd_checksum.cpp.
#include "codec/checksum.hpp"

#include <cstring>

#include "codec/simd_checksum.hpp"

namespace speckv::codec {

void checksum_update(Checksum& state, const void* data, size_t n, bool late) {
  const auto* from = static_cast<const std::byte*>(data);
  const size_t whole = n / checksum_beat * checksum_beat;
  if (whole > 0) checksum_rows(state, {nullptr, 0, from, 0, whole, 1, false, late});
  if (whole == n) return;
  std::byte padded[checksum_beat] = {};
  std::memcpy(padded, from + whole, n - whole);
  simd::checksum_feed(state, {nullptr, 0, padded, 0, checksum_beat, 1, false});
  state.bytes += n - whole;
}

void checksum_rows(Checksum& state, const ChecksumRows& rows) {
  simd::checksum_feed(state, rows);
  state.bytes += rows.row_bytes * rows.rows;
}

uint64_t checksum_final(const Checksum& state) {
  uint64_t sums = 0, products = state.bytes * checksum_bytes_factor;
  for (size_t i = 0; i < checksum_lanes; ++i) {
    sums += state.sum[i] * checksum_sum_factor[i];
    products += (state.product[i] ^ state.product[i] >> 32) * checksum_product_factor[i];
  }
  return sums >> 32 | (products >> 32 << 32);
}

}  // namespace speckv::codec
