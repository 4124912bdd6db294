// SPDX-License-Identifier: Apache-2.0
// q8.hpp - q8's constants and geometry, shared by the golden model and the fast path, and the fast
// path's two calls.
#pragma once

#include <cstdint>

#include "codec/codec.hpp"

namespace speckv::codec {

inline constexpr size_t q8_group = 32;  // values under one scale
inline constexpr size_t payload_align =
    32;  // every encoded page but raw is a multiple of this (checksum.hpp)

constexpr size_t align_payload(size_t bytes) {
  return (bytes + payload_align - 1) / payload_align * payload_align;
}

inline constexpr int q8_reciprocal[8] = {4096, 3641, 3277, 2979,
                                         2731, 2521, 2341, 2185};  // round(2^15 / (8 + m))

// k of scale byte 0. fp16: its subnormals' unit. bf16: centred on what KV caches hold, 2^-19 .. 15
// * 2^9.
constexpr int q8_exponent_min(bool bf16) { return bf16 ? -22 : -24; }

// The largest magnitude (bits without sign) that q8 takes: below 2^15 in fp16, so that no scale
// overflows the format on decode; 127 * 15 * 2^9 = 975360 in bf16, the last step's reach.
constexpr uint16_t q8_magnitude_max(bool bf16) { return bf16 ? 0x496e : 0x77ff; }

constexpr size_t q8_groups(const PageShape& shape) {
  return (shape.values() + q8_group - 1) / q8_group;
}
constexpr size_t q8_scale_bytes(const PageShape& shape) { return align_payload(q8_groups(shape)); }
constexpr size_t q8_bytes(const PageShape& shape) {
  return q8_scale_bytes(shape) + align_payload(shape.values());
}

// Requires: shape has a 16-bit dtype; out/in hold q8_bytes(shape). Returns: false when a value is
// refused.
// next_page: distance in bytes to the page encoded next, for prefetching; 0: not known.
[[nodiscard]] bool q8_encode(const PageShape& shape, const ConstView& in, std::byte* out,
                             ptrdiff_t next_page);
// stream: non-temporal stores where the output is aligned for them.
void q8_decode(const PageShape& shape, const std::byte* in, const View& out, bool stream);

// q8sink: q8's page and, after it, the first token's values as they are. A sequence's first token
// is where attention rests (its sink), and its K has outliers that a scale of 32 values does not
// suit.
constexpr size_t q8sink_bytes(const PageShape& shape) {
  return q8_bytes(shape) + align_payload(size_t{2} * shape.head_dim);
}
[[nodiscard]] bool q8sink_encode(const PageShape& shape, const ConstView& in, std::byte* out,
                                 ptrdiff_t next_page);
void q8sink_decode(const PageShape& shape, const std::byte* in, const View& out, bool stream);

}  // namespace speckv::codec
