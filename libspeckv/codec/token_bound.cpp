// SPDX-License-Identifier: Apache-2.0
// token_bound.cpp - see token_bound.hpp: proofs from the stored steps, and the exact comparison.
//
// A proof takes the worst that the stored page's steps allow any value and compares it with the
// token whose largest value is least. It may be too strict, never too kind;
// tests/unit/codec/bound_test.cpp tries both.
#include "codec/token_bound.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>

#include "codec/chan_table.hpp"
#include "codec/chanq.hpp"
#include "codec/half.hpp"
#include "codec/rowq.hpp"
#include "codec/simd_token_bound.hpp"
#include "codec/strided.hpp"

namespace speckv::codec {
namespace {

constexpr size_t tokens_max = chanq_tokens_max;
constexpr size_t values_max = tokens_max * size_t{chanq_head_dim_max};
static_assert(rowq_head_dim_max == chanq_head_dim_max);

// Requires: the result is a normal float.
float power_of_two(int e) { return std::bit_cast<float>(uint32_t(e + 127) << 23); }

// The value of 16 bits that are a finite number.
template <bool bf16>
float value_of(uint16_t bits) {
  if constexpr (bf16) return std::bit_cast<float>(uint32_t{bits} << 16);
  const float size = std::bit_cast<float>(uint32_t{magnitude(bits)} << 13) * 0x1p112F;
  return std::bit_cast<float>(std::bit_cast<uint32_t>(size) | (uint32_t{bits} & 0x8000) << 16);
}
float value_of(uint16_t bits, bool bf16) {
  return bf16 ? value_of<true>(bits) : value_of<false>(bits);
}

// Bit i of a byte in byte i of a word.
constexpr std::array<uint64_t, 256> make_spread() {
  std::array<uint64_t, 256> spread{};
  for (uint64_t byte = 0; byte < spread.size(); ++byte)
    for (int i = 0; i < 8; ++i) spread[byte] |= (byte >> i & 1) << (8 * i);
  return spread;
}
constexpr std::array<uint64_t, 256> spread_bits = make_spread();

// Eight times the bits of each channel, by channel.
void widths_of(const ChanTable& table, const uint8_t* of_pair, uint8_t* ret_width) {
  const size_t pairs = table.map.pairs(), turned = table.map.rotated / 2u;
  if (table.map.half_split) {
    std::memcpy(ret_width, of_pair, turned);
    std::memcpy(ret_width + turned, of_pair, pairs);
    std::memcpy(ret_width + turned + pairs, of_pair + turned, pairs - turned);
  } else {
    for (size_t pair = 0; pair < pairs; ++pair)
      ret_width[2 * pair] = ret_width[2 * pair + 1] = of_pair[pair];
  }
  for (size_t c = 0; c < 2 * pairs; ++c) ret_width[c] = uint8_t(8 * ret_width[c]);
}

// chanq: a value's code is the middle of a cell of its channel, half of which is its reach over
// 2^bits, so no value moves further, and a turned pair no further than the root of two such.
// Beside it up to five units of fixed point: rounding, turns, the anchor.
float channels_error(const PageShape& shape, std::span<const std::byte> made,
                     const uint8_t* of_pair, const ChanTable& table) {
  const size_t d = shape.head_dim;
  const int field = std::to_integer<int>(made[0]), top = std::to_integer<int>(made[1]);
  const int grain = std::min(std::to_integer<int>(made[2]), chanq_grain_max);
  const std::byte* drops = made.data() + chanq_header + d;
  uint8_t drop[2 * chanq_pairs_max], width[2 * chanq_pairs_max];
  for (size_t byte = 0; byte < d / 8; ++byte) {
    uint64_t codes = 0;
    for (size_t bit = 0; bit < chanq_drop_bits; ++bit)
      codes = 2 * codes + spread_bits[std::to_integer<uint8_t>(drops[bit * (d / 8) + byte])];
    codes <<= grain;  // 31 * 4 at most: no byte spills
    std::memcpy(drop + 8 * byte, &codes, 8);
  }
  widths_of(table, of_pair, width);
  int least = 255;  // the least of what is taken from `top`; a reach is never below code 0
  for (size_t c = 0; c < d; ++c)
    least = std::min(least, std::min<int>(drop[c], top) + int(width[c]));
  // A code 8k + m is (8 + m)/8 * 2^k: a float's own fields.
  const float cell = std::bit_cast<float>((127 << 23) + (top - least) * (1 << 20));
  constexpr float root = 1.4143F * 1.05F;  // reciprocals cut codes by up to 5 % of a cell
  return (root * cell + 5) * power_of_two(field - chanq_exponent_base(is_bf16(shape.dtype)));
}

int field_of(uint16_t top, bool bf16) { return top >> (bf16 ? 7 : 10); }

// rowq with codes of 8 bits: what a token loses by its row mates is the rounding to integers under
// the row's largest value, which lies in [256, 512) of them. Where each token's own lies no more
// than three octaves below that is 1/64 of it at most, and what remains is the codec's own error.
bool rows_prove(const PageShape& shape, std::span<const std::byte> made, const uint16_t* tops) {
  const bool bf16 = is_bf16(shape.dtype);
  constexpr int octaves_max = 3;
  const int floor = rowq_field_floor(bf16);
  if (shape.head_dim % 64 == 0) {  // a row holds parts of two tokens, a half row of one
    int apart = 0;
    for (size_t t = 0; t < shape.tokens; t += 2) {
      const int a = field_of(tops[t], bf16), b = field_of(tops[t + 1], bf16);
      const int most = std::max(std::max(a, b), floor);
      apart = std::max(apart, tops[t] | tops[t + 1] ? most - std::min(a, b) : 0);
    }
    return apart <= octaves_max;
  }
  // Half rows hold several tokens, so that steps are shared too. A step of the transform becomes
  // at most this in a value, at six standard deviations of what the block spreads over it.
  constexpr float spread = 32;
  float step = 0;
  for (size_t row = 0; row < rowq_rows(shape); ++row) {
    uint32_t side;
    std::memcpy(&side, made.data() + 4 * row, 4);
    if ((side & 0xff) == rowq_zero_row) continue;
    const int scale = std::max(rowq_scale(8, side, 0), rowq_scale(8, side, 1));
    step = std::max(step, float(scale) * power_of_two(rowq_decode_exponent(side)));
  }
  const auto [least, most] = std::minmax_element(tops, tops + shape.tokens);
  const int top = std::max(field_of(*most, bf16), floor);
  return *most == 0 || (top - field_of(*least, bf16) <= octaves_max &&
                        spread * step * token_bound_inverse <= value_of(*least, bf16));
}

uint16_t least_of(const uint16_t* tops, size_t count) {
  uint16_t least = UINT16_MAX;
  for (size_t i = 0; i < count; ++i) least = std::min(least, tops[i]);
  return least;
}

}  // namespace

bool shares_between_tokens(CodecId id, const PageShape& shape) {
  return is_chanq(id) || (id == CodecId::rowq8 && shape.head_dim % 128 != 0);
}

float token_error(CodecId id, const PageShape& shape, const ConstView& in,
                  std::span<const std::byte> made, const ChanTable* table) {
  alignas(64) uint16_t before[values_max], after[values_max];
  gather(shape, in, 0, shape.values(), reinterpret_cast<std::byte*>(before));
  decode(id, shape, made, {reinterpret_cast<std::byte*>(after), ptrdiff_t{2} * shape.head_dim, 2},
         table);
  const auto of_tokens = [&]<bool bf16>() {
    float worst = 0;
    for (size_t t = 0; t < shape.tokens; ++t) {
      int32_t top = 0, error = 0;  // the bits of floats that are not negative order as integers
      for (size_t i = t * shape.head_dim; i < (t + 1u) * shape.head_dim; ++i) {
        const float value = value_of<bf16>(before[i]);
        top = std::max(top, std::bit_cast<int32_t>(std::abs(value)));
        error = std::max(error, std::bit_cast<int32_t>(std::abs(value - value_of<bf16>(after[i]))));
      }
      const float allowed =
          std::max(std::bit_cast<float>(top) / token_bound_inverse, token_bound_floor(shape.dtype));
      worst = std::max(worst, std::bit_cast<float>(error) / allowed);
    }
    return worst;
  };
  return is_bf16(shape.dtype) ? of_tokens.operator()<true>() : of_tokens.operator()<false>();
}

bool keeps_token_bound(CodecId id, const PageShape& shape, const ConstView& in,
                       std::span<const std::byte> made, const ChanTable* table, bool* ret_decoded) {
  if (ret_decoded) *ret_decoded = false;
  alignas(64) std::byte copy[2 * values_max];
  ConstView rows = in;
  if (in.channel_stride != 2) {
    gather(shape, in, 0, shape.values(), copy);
    rows = {copy, ptrdiff_t{2} * shape.head_dim, 2};
  }
  alignas(32) uint16_t tops[tokens_max];
  simd::token_tops(shape, rows, tops);
  if (is_chanq(id)) {
    float error;
    if (table) error = channels_error(shape, made, table->widths[chanq_index(id)].data(), *table);
    else {
      const ChanTable plain = chanq_plain_table(id, shape);
      error = channels_error(shape, made, plain.widths[chanq_index(id)].data(), plain);
    }
    const float least = value_of(least_of(tops, shape.tokens), is_bf16(shape.dtype));
    // A bf16 result is rounded by up to 1/256 more.
    if (error <= least / token_bound_inverse * (1 - 1 / 8.F)) return true;
  } else if (rows_prove(shape, made, tops)) {
    return true;
  }
  if (ret_decoded) *ret_decoded = true;
  return token_error(id, shape, rows, made, table) <= 1;
}

}  // namespace speckv::codec
