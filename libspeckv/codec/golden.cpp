// SPDX-License-Identifier: Apache-2.0
#include "codec/golden.hpp"

#include <algorithm>

#include "codec/chanq.hpp"
#include "codec/half.hpp"
#include "codec/paper.hpp"
#include "codec/q8.hpp"
#include "codec/raw.hpp"
#include "codec/rowq.hpp"
#include "codec/xpack.hpp"

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
  const bool narrow = id == CodecId::q8 || id == CodecId::q8sink || id == CodecId::paper;
  const int field = top >> (bf16 ? 7 : 10);
  const bool in_range = narrow ? top <= q8_magnitude_max(bf16) : field < chanq_field_limit(bf16);
  return in_range ? Refusal::none : Refusal::out_of_range;
}

Refusal encode(CodecId id, const PageShape& shape, ConstView in, std::span<std::byte> out,
               const ChanTable* table) {
  const size_t bytes = encoded_bytes(id, shape, table);
  if (bytes == 0 || out.size() < bytes) return Refusal::unsupported_shape;
  if (is_chanq(id)) {
    const ChanTable plain = chanq_plain_table(id, shape);
    return golden::chanq_encode(id, shape, in, out.data(), table == nullptr ? plain : *table);
  }
  switch (id) {
    case CodecId::raw:
      raw_encode(shape, in, out.data());
      return Refusal::none;
    case CodecId::paper:
      return paper_encode(shape, in, out.data());
    case CodecId::q8:
      return golden::q8_encode(shape, in, out.data());
    case CodecId::q8sink:
      return golden::q8sink_encode(shape, in, out.data());
    case CodecId::xpack:
      return golden::xpack_encode(shape, in, out.data());
    default:
      return golden::rowq_encode(rowq_bits(id), shape, in, out.data());
  }
}

void decode(CodecId id, const PageShape& shape, std::span<const std::byte> in, View out,
            const ChanTable* table) {
  const size_t bytes = encoded_bytes(id, shape, table);
  if (bytes == 0 || in.size() < bytes) return;
  if (is_chanq(id)) {
    const ChanTable plain = chanq_plain_table(id, shape);
    return golden::chanq_decode(id, shape, in.data(), out, table == nullptr ? plain : *table);
  }
  switch (id) {
    case CodecId::raw:
      return raw_decode(shape, in.data(), out);
    case CodecId::paper:
      return paper_decode(shape, in.data(), out);
    case CodecId::q8:
      return golden::q8_decode(shape, in.data(), out);
    case CodecId::q8sink:
      return golden::q8sink_decode(shape, in.data(), out);
    case CodecId::xpack:
      return golden::xpack_decode(shape, in.data(), out);
    default:
      return golden::rowq_decode(rowq_bits(id), shape, in.data(), out);
  }
}

}  // namespace speckv::codec::golden
