// SPDX-License-Identifier: Apache-2.0
// half.hpp - the two 16-bit float formats in integers: how the golden model reads and rounds
// values.
//
// Called by the golden model, the registry and tests. Never used on a hot path, never touches a
// float register, so the result does not depend on rounding modes or flush-to-zero bits of the
// calling thread.
#pragma once

#include <cstdint>

#include "speckv/layout.h"

namespace speckv::codec {

// value = (negative ? -1 : 1) * mantissa * 2^exponent. Subnormals have the exponent of the smallest
// normal.
struct Unpacked {
  bool negative;
  uint32_t mantissa;  // fp16: < 2048, bf16: < 256
  int exponent;
};

constexpr bool is_bf16(uint8_t dtype) { return dtype == SPECKV_DTYPE_BF16; }

// Bits without the sign. Larger magnitude = larger integer, in both formats.
constexpr uint16_t magnitude(uint16_t bits) { return bits & 0x7fff; }

// The smallest magnitude that is not a finite number.
constexpr uint16_t infinity_bits(bool bf16) { return bf16 ? 0x7f80 : 0x7c00; }

Unpacked unpack(uint16_t bits, bool bf16);

// Returns: value * 2^exponent in the format, round half to even; too large becomes infinity. value
// 0 gives +0, a negative value that rounds to nothing gives -0.
uint16_t round_to_half(int64_t value, int exponent, bool bf16);

// Returns: value / 2^shift, round half to even. value >= 0; shift may be negative.
int64_t shift_round_even(int64_t value, int shift);

}  // namespace speckv::codec
