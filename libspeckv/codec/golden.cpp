// SPDX-License-Identifier: Apache-2.0
#include "codec/golden.hpp"

#include <algorithm>

#include "codec/half.hpp"
#include "codec/q8.hpp"
#include "codec/raw.hpp"

namespace speckv::codec::golden {

uint16_t magnitude_max(const PageShape& shape, const ConstView& in) {
  uint16_t top = 0;
  for (size_t i = 0; i < shape.values(); ++i) top = std::max(top, magnitude(load_at(in, shape, i)));
  return top;
}

Refusal judge(CodecId id, uint8_t dtype, uint16_t top) {
  const bool bf16 = is_bf16(dtype);
  if (id == CodecId::raw) return Refusal::none;
  if (top >= infinity_bits(bf16)) return Refusal::not_finite;
  return top > q8_magnitude_max(bf16) ? Refusal::out_of_range : Refusal::none;
}

Refusal encode(CodecId id, const PageShape& shape, ConstView in, std::span<std::byte> out,
               const ChanTable* table) {
  const size_t bytes = encoded_bytes(id, shape, table);
  if (bytes == 0 || out.size() < bytes) return Refusal::unsupported_shape;
  switch (id) {
    case CodecId::raw:
      raw_encode(shape, in, out.data());
      return Refusal::none;
    case CodecId::q8:
      return golden::q8_encode(shape, in, out.data());
    default:
      return Refusal::unsupported_shape;
  }
}

void decode(CodecId id, const PageShape& shape, std::span<const std::byte> in, View out,
            const ChanTable* table) {
  const size_t bytes = encoded_bytes(id, shape, table);
  if (bytes == 0 || in.size() < bytes) return;
  switch (id) {
    case CodecId::raw:
      raw_decode(shape, in.data(), out);
      return;
    case CodecId::q8:
      golden::q8_decode(shape, in.data(), out);
      return;
    default:
      return;
  }
}

}  // namespace speckv::codec::golden
