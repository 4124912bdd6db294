// SPDX-License-Identifier: Apache-2.0
// golden_q8.cpp - q8: int8 codes, one 8-bit scale for each 32 values in page order. The bytes are
// in docs/codec.md.
//
// A scale byte is c = 8*(k - k_min) + m with m in 0..7 and means the step S = (8 + m) * 2^k. The
// encoder takes the smallest step with 127 * S >= the group's largest magnitude and stores q =
// round_even(x / S), the division being a multiplication by 2^15/(8+m). The decoder's product q *
// (8 + m) has at most 11 bits: exact in fp16, one rounding in bf16.
#include <cstdlib>

#include "codec/golden.hpp"
#include "codec/half.hpp"
#include "codec/q8.hpp"

namespace speckv::codec::golden {

uint8_t q8_scale(uint16_t magnitude_bits, bool bf16) {
  const Unpacked top = unpack(magnitude_bits, bf16);
  // Steps grow with the byte, so the smallest that holds is found by halving.
  int low = 0, high = 255;
  while (low < high) {
    const int c = (low + high) / 2;
    const int64_t reach = int64_t{127} * (8 + (c & 7));
    const int shift = (c >> 3) + q8_exponent_min(bf16) -
                      top.exponent;  // compare reach * 2^shift with the mantissa
    const bool holds = shift >= 0 ? (shift > 30 || (reach << shift) >= int64_t{top.mantissa})
                                  : shift > -40 && reach >= (int64_t{top.mantissa} << -shift);
    if (holds) high = c;
    else low = c + 1;
  }
  return static_cast<uint8_t>(low);
}

Refusal q8_encode(const PageShape& shape, const ConstView& in, std::byte* out) {
  const bool bf16 = is_bf16(shape.dtype);
  const Refusal refusal = judge(CodecId::q8, shape.dtype, magnitude_max(shape, in));
  if (refusal != Refusal::none) return refusal;
  std::memset(out, 0, q8_bytes(shape));
  std::byte* codes = out + q8_scale_bytes(shape);
  for (size_t first = 0; first < shape.values(); first += q8_group) {
    const size_t last = std::min(first + q8_group, shape.values());
    uint16_t top = 0;
    for (size_t i = first; i < last; ++i) top = std::max(top, magnitude(load_at(in, shape, i)));
    const uint8_t scale = q8_scale(top, bf16);
    out[first / q8_group] = std::byte{scale};
    const int k = (scale >> 3) + q8_exponent_min(bf16);
    for (size_t i = first; i < last; ++i) {
      const Unpacked x = unpack(load_at(in, shape, i), bf16);
      const int64_t product = int64_t{x.mantissa} * q8_reciprocal[scale & 7];
      const int64_t q = shift_round_even(product, k + 15 - x.exponent);
      codes[i] = static_cast<std::byte>(static_cast<int8_t>(x.negative ? -q : q));
    }
  }
  return Refusal::none;
}

void q8_decode(const PageShape& shape, const std::byte* in, const View& out) {
  const bool bf16 = is_bf16(shape.dtype);
  const std::byte* codes = in + q8_scale_bytes(shape);
  for (size_t i = 0; i < shape.values(); ++i) {
    const int scale = std::to_integer<int>(in[i / q8_group]);
    const int q = static_cast<int8_t>(codes[i]);
    store_at(
        out, shape, i,
        round_to_half(int64_t{q} * (8 + (scale & 7)), (scale >> 3) + q8_exponent_min(bf16), bf16));
  }
}

// The first token's values follow q8's page, little-endian.
Refusal q8sink_encode(const PageShape& shape, const ConstView& in, std::byte* out) {
  std::memset(out, 0, q8sink_bytes(shape));
  for (size_t c = 0; c < shape.head_dim; ++c) {
    const uint16_t bits = load(in, 0, c);
    std::memcpy(out + q8_bytes(shape) + 2 * c, &bits, 2);
  }
  return golden::q8_encode(shape, in, out);
}

void q8sink_decode(const PageShape& shape, const std::byte* in, const View& out) {
  golden::q8_decode(shape, in, out);
  for (size_t c = 0; c < shape.head_dim; ++c) {
    uint16_t bits;
    std::memcpy(&bits, in + q8_bytes(shape) + 2 * c, 2);
    store(out, 0, c, bits);
  }
}

}  // namespace speckv::codec::golden
