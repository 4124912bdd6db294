// SPDX-License-Identifier: Apache-2.0
// chan_residual.cpp - see chan_residual.hpp.
#include "codec/chan_residual.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>

#include "codec/half.hpp"

namespace speckv::codec {
namespace {

using Tokens = std::array<double, chanq_tokens_max>;

// A finite value, as docs/codec.md section 1 has it. unpack() and ldexp() took five times as long,
// and a daemon measures while somebody waits.
double value_of(uint16_t bits, bool bf16) {
  if (bf16) return std::bit_cast<float>(uint32_t{bits} << 16);
  const uint32_t exponent = bits >> 10 & 31;
  const auto mantissa = int32_t((exponent ? 1024u : 0u) + (bits & 1023));
  const double unit = std::bit_cast<double>(uint64_t(1023 - 25 + std::max(exponent, 1u)) << 52);
  return (bits & 0x8000 ? -mantissa : mantissa) * unit;
}

bool read_channel(const ConstView& page, size_t channel, size_t tokens, bool bf16, Tokens& ret) {
  for (size_t t = 0; t < tokens; ++t) {
    uint16_t bits;
    std::memcpy(
        &bits,
        page.base + ptrdiff_t(t) * page.token_stride + ptrdiff_t(channel) * page.channel_stride,
        sizeof bits);
    if (magnitude(bits) >= infinity_bits(bf16)) return false;
    ret[t] = value_of(bits, bf16);
  }
  return true;
}

double reach_squared(const Tokens& values, size_t tokens) {
  const auto [low, high] = std::minmax_element(values.begin(), values.begin() + tokens);
  const double reach = (*high - *low) / 2;
  return reach * reach;
}

}  // namespace

bool add_chan_residual(const ChanTable& table, uint8_t dtype, const ConstView& page,
                       std::span<double> sums) {
  const bool bf16 = is_bf16(dtype);
  std::array<double, chanq_pairs_max> found;
  for (size_t pair = 0; pair < table.map.pairs(); ++pair) {
    Tokens a, b;
    if (!read_channel(page, table.map.first(pair), table.tokens, bf16, a) ||
        !read_channel(page, table.map.second(pair), table.tokens, bf16, b)) {
      return false;
    }
    for (size_t t = 0; table.rotation != nullptr && t < table.tokens; ++t) {
      const double c = table.rotation->cosine(t, pair) / 16384.0;
      const double s = table.rotation->sine(t, pair) / 16384.0;
      const double x = a[t], y = b[t];
      a[t] = x * c + y * s;
      b[t] = y * c - x * s;
    }
    found[pair] = (reach_squared(a, table.tokens) + reach_squared(b, table.tokens)) / 2;
  }
  for (size_t pair = 0; pair < table.map.pairs(); ++pair) sums[pair] += found[pair];
  return true;
}

ChanWeight chan_weight(double importance) {
  if (!(importance > 0)) return chan_weight_dead;
  return ChanWeight(std::clamp(std::lround(256 * std::log2(importance)), -32000l, 32000l));
}

}  // namespace speckv::codec
