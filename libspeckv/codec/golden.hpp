// SPDX-License-Identifier: Apache-2.0
// golden.hpp - the golden model: every codec once more, value by value, in integers, written to be
// read.
//
// It is the specification that SIMD and RTL must match bit for bit, for every input. Called by
// tests, by `speckv-codec --golden`, and by codec.cpp to name the reason of a refusal; never on a
// hot path. Same contract as encode() and decode() in codec.hpp.
#pragma once

#include <cstring>

#include "codec/checksum.hpp"
#include "codec/codec.hpp"

namespace speckv::codec::golden {

[[nodiscard]] Refusal encode(CodecId id, const PageShape& shape, ConstView in,
                             std::span<std::byte> out, const ChanTable* table = nullptr);
void decode(CodecId id, const PageShape& shape, std::span<const std::byte> in, View out,
            const ChanTable* table = nullptr);

// One value of a page, and value i in page order (token by token).
inline uint16_t load(const ConstView& view, size_t token, size_t channel) {
  uint16_t bits;
  std::memcpy(
      &bits,
      view.base + ptrdiff_t(token) * view.token_stride + ptrdiff_t(channel) * view.channel_stride,
      2);
  return bits;
}
inline void store(const View& view, size_t token, size_t channel, uint16_t bits) {
  std::memcpy(
      view.base + ptrdiff_t(token) * view.token_stride + ptrdiff_t(channel) * view.channel_stride,
      &bits, 2);
}
inline uint16_t load_at(const ConstView& view, const PageShape& shape, size_t i) {
  return load(view, i / shape.head_dim, i % shape.head_dim);
}
inline void store_at(const View& view, const PageShape& shape, size_t i, uint16_t bits) {
  store(view, i / shape.head_dim, i % shape.head_dim, bits);
}

// Returns: why a page whose largest magnitude (bits without sign) is this may not be encoded by the
// codec.
Refusal judge(CodecId id, uint8_t dtype, uint16_t magnitude_max);
uint16_t magnitude_max(const PageShape& shape, const ConstView& in);

// Feeds 32 bytes; state.bytes stays as it is.
void sum_beat(Checksum& state, const std::byte* beat);

Refusal q8_encode(const PageShape& shape, const ConstView& in, std::byte* out);
void q8_decode(const PageShape& shape, const std::byte* in, const View& out);
Refusal q8sink_encode(const PageShape& shape, const ConstView& in, std::byte* out);
void q8sink_decode(const PageShape& shape, const std::byte* in, const View& out);
// Returns: the scale byte of a group whose largest magnitude (bits without sign) is this.
uint8_t q8_scale(uint16_t magnitude_bits, bool bf16);

Refusal rowq_encode(int bits, const PageShape& shape, const ConstView& in, std::byte* out);
void rowq_decode(int bits, const PageShape& shape, const std::byte* in, const View& out);

Refusal chanq_encode(CodecId id, const PageShape& shape, const ConstView& in, std::byte* out,
                     const ChanTable& table);
void chanq_decode(CodecId id, const PageShape& shape, const std::byte* in, const View& out,
                  const ChanTable& table);

Refusal xpack_encode(const PageShape& shape, const ConstView& in, std::byte* out);
void xpack_decode(const PageShape& shape, const std::byte* in, const View& out);

}  // namespace speckv::codec::golden
