// SPDX-License-Identifier: Apache-2.0
// checksum.hpp - the segment checksum: four interleaved CRC-32C lanes, made to be computed while
// bytes are moved.
//
// Definition (docs/protocol.md): take the bytes as little-endian 64-bit words, the tail padded with
// zero bytes to a multiple of 32 bytes; lane i (0..3) is CRC-32C (Castagnoli, init ~0, no final
// xor) over words i, i+4, i+8, ...; the checksum is the 64-bit value (crc(lane0,lane1 as 16 bytes)
// | crc(lane2, lane3 ...) << 32) with length mixed in, see .cpp. One lane alone waits 3 cycles a
// word; four keep a core's CRC port full (8 bytes a cycle), so a copy hides it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace speckv::codec {

struct Checksum {
  uint32_t lane[4] = {~0u, ~0u, ~0u, ~0u};
  uint64_t bytes = 0;
};

// Feeds n bytes. Requires: every call but the last has n % 32 == 0.
void checksum_update(Checksum& state, const void* data, size_t n);
uint64_t checksum_final(const Checksum& state);

// memcpy(dst, src, n) and checksum_update(state, src, n) in one pass. stream: non-temporal stores,
// for destinations that will not be read soon or do not fit the cache.
void checksum_copy(Checksum& state, void* dst, const void* src, size_t n, bool stream);

// The same for rows of bytes with a stride on each side. Requires: row_bytes % 32 == 0. With
// `stream` the caller ends a series of these with stream_fence() (checksum_kernels.hpp);
// checksum_copy() does so itself.
void checksum_copy_rows(Checksum& state, void* dst, ptrdiff_t dst_stride, const void* src,
                        ptrdiff_t src_stride, size_t row_bytes, size_t rows, bool stream);

}  // namespace speckv::codec
