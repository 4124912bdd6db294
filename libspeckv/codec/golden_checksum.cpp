// SPDX-License-Identifier: Apache-2.0
// golden_checksum.cpp - one beat of the checksum, word by word. checksum.hpp says what it is for.
#include <cstring>

#include "codec/golden.hpp"

namespace speckv::codec::golden {

void sum_beat(Checksum& state, const std::byte* beat) {
  for (size_t lane = 0; lane < checksum_lanes; ++lane) {
    uint64_t word = 0;
    for (size_t i = 0; i < 8; ++i) word |= std::to_integer<uint64_t>(beat[8 * lane + i]) << (8 * i);
    uint64_t& sum = state.sum[lane];
    sum += word + checksum_step;
    const uint64_t masked = sum ^ checksum_mask[lane];
    state.product[lane] += (masked & 0xffffffff) * (masked >> 32);
  }
}

}  // namespace speckv::codec::golden
