// SPDX-License-Identifier: Apache-2.0
// checksum.hpp - the checksum of stored bytes: a product sum, made to be computed while bytes are
// moved.
//
// Definition (docs/codec.md §8): the bytes, padded with zeros to whole beats of 32, are four lanes
// of little-endian 64-bit words. For each beat, in each lane
//   sum += word + checksum_step;   t = sum ^ checksum_mask;
//   product += (t mod 2^32) * (t div 2^32)                                        modulo 2^64.
// checksum_final() folds the eight words and the byte count into 64 bits. Six operations a vector
// on any instruction set; two adders and a 32-bit multiplier a lane in hardware.
// It is no signature: who wants to forge one can.
// Who calls it: segment.cpp, the daemon for records, tests. Reentrant, never allocates.
#pragma once

#include <cstddef>
#include <cstdint>

namespace speckv::codec {

constexpr size_t checksum_beat = 32;  // bytes
constexpr size_t checksum_lanes = 4;

// Fractions of the golden ratio (step), of the square roots of 2, 3, 5, 7 (start) and of 11, 13,
// 17, 19 (fold of the sums), of the cube roots of 2, 3, 5, 7 (fold of the products), 11 (byte
// count) and 13, 17, 19, 23 (mask); the factors made odd.
constexpr uint64_t checksum_step = 0x9e3779b97f4a7c15;
constexpr uint64_t checksum_start[checksum_lanes] = {0x6a09e667f3bcc908, 0xbb67ae8584caa73b,
                                                     0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1};
constexpr uint64_t checksum_mask[checksum_lanes] = {0x59f111f1b605d019, 0x923f82a4af194f9b,
                                                    0xab1c5ed5da6d8118, 0xd807aa98a3030242};
constexpr uint64_t checksum_sum_factor[checksum_lanes] = {0x510e527fade682d1, 0x9b05688c2b3e6c1f,
                                                          0x1f83d9abfb41bd6b, 0x5be0cd19137e2179};
constexpr uint64_t checksum_product_factor[checksum_lanes] = {
    0x428a2f98d728ae23, 0x7137449123ef65cd, 0xb5c0fbcfec4d3b2f, 0xe9b5dba58189dbbd};
constexpr uint64_t checksum_bytes_factor = 0x3956c25bf348b539;

struct Checksum {
  uint64_t sum[checksum_lanes] = {checksum_start[0], checksum_start[1], checksum_start[2],
                                  checksum_start[3]};
  uint64_t product[checksum_lanes] = {};
  uint64_t bytes = 0;
};

// Feeds n bytes and has those that follow brought near. Requires: every call but the last has
// n % 32 == 0. late: much happens before those are read.
void checksum_update(Checksum& state, const void* data, size_t n, bool late = false);
// Low half: the upper 32 bits of the lanes' sums times their factors, added up: no single bit can
// flip unseen. High half: the same of the products and the byte count.
uint64_t checksum_final(const Checksum& state);

// Rows of bytes with a stride on each side. Requires: row_bytes % 32 == 0. stream: non-temporal
// stores, for destinations that will not be read soon or do not fit the cache.
struct ChecksumRows {
  std::byte* to;  // nullptr: summed only
  ptrdiff_t to_stride;
  const std::byte* from;
  ptrdiff_t from_stride;
  size_t row_bytes;
  size_t rows;
  bool stream;
  bool late = false;  // see checksum_update()
};

// Feeds rows and copies them in one pass. Every byte is loaded once, and what is stored is what was
// summed: the source may change meanwhile. A series of these with `stream` ends with stream_fence()
// (stream.hpp).
void checksum_rows(Checksum& state, const ChecksumRows& rows);

}  // namespace speckv::codec
