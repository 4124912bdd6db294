// SPDX-License-Identifier: Apache-2.0
#include "codec/half.hpp"

#include <bit>

namespace speckv::codec {

Unpacked unpack(uint16_t bits, bool bf16) {
  const int fraction_bits = bf16 ? 7 : 10;
  const int bias = bf16 ? 127 : 15;
  const uint32_t fraction = bits & ((1u << fraction_bits) - 1);
  const int field = magnitude(bits) >> fraction_bits;
  Unpacked value;
  value.negative = bits >> 15;
  value.mantissa = field == 0 ? fraction : fraction | 1u << fraction_bits;
  value.exponent = (field == 0 ? 1 : field) - bias - fraction_bits;
  return value;
}

int64_t shift_round_even(int64_t value, int shift) {
  if (shift <= 0) return value << -shift;
  if (shift > 62) return 0;
  const int64_t quotient = value >> shift;
  const int64_t rest = value - (quotient << shift);
  const int64_t half = int64_t{1} << (shift - 1);
  return quotient + (rest > half || (rest == half && (quotient & 1)));
}

uint16_t round_to_half(int64_t value, int exponent, bool bf16) {
  const int fraction_bits = bf16 ? 7 : 10;
  const int bias = bf16 ? 127 : 15;
  const int field_max = bf16 ? 255 : 31;
  if (value == 0) return 0;
  const uint16_t sign = value < 0 ? 0x8000 : 0;
  const int64_t size = value < 0 ? -value : value;
  const int top =
      63 - std::countl_zero(static_cast<uint64_t>(size)) + exponent;  // size in [2^top, 2^(top+1))
  const int field = top + bias;
  if (field >= field_max) return sign | infinity_bits(bf16);
  // The unit of the last place: 2^(top - fraction_bits), but never below the subnormals' unit.
  const int unit = (field < 1 ? 1 : field) - bias - fraction_bits;
  const int64_t mantissa = shift_round_even(size, unit - exponent);
  // A mantissa that rounds up to the next power of two carries into the exponent field, as the
  // format intends.
  const int64_t base = field < 1 ? 0 : int64_t{field - 1} << fraction_bits;
  const int64_t bits = base + mantissa;
  return sign | static_cast<uint16_t>(bits > infinity_bits(bf16) ? infinity_bits(bf16) : bits);
}

}  // namespace speckv::codec
