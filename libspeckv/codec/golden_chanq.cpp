// SPDX-License-Identifier: Apache-2.0
// golden_chanq.cpp - chanq: undoes RoPE relative to the page start, so that a channel hardly moves
// along the tokens, then gives every channel a midpoint, a step and as many bits as its table says.
// The bytes are in docs/codec.md.
//
// Encode, in integers: values become 15-bit fixed point under the page's largest exponent; each
// pair is turned back by its token's angle; each channel's midpoint is stored in 8 bits under one
// page-wide shift (the anchor), its step as the smallest (8 + m) * 2^(k-8) whose 2^b cells hold the
// channel; codes are cells, one bit plane per bit and channel. Decode: the middle of the cell plus
// the anchor, turned forward again, rounded once.
#include <algorithm>
#include <bit>
#include <cstdlib>

#include "codec/chanq.hpp"
#include "codec/golden.hpp"
#include "codec/half.hpp"
#include "codec/q8.hpp"

namespace speckv::codec::golden {
namespace {

constexpr int one = 16384;  // of the rotation table

struct Turn {
  int cosine, sine;
};
Turn turn_of(const ChanTable& table, size_t token, size_t pair) {
  if (table.rotation == nullptr) return {one, 0};
  return {table.rotation->cosine(token, pair), table.rotation->sine(token, pair)};
}

// value * 2^(base - field), halves away from zero.
int fixed_point(uint16_t bits, int field, bool bf16) {
  const Unpacked x = unpack(bits, bf16);
  const int shift = field - chanq_exponent_base(bf16) - x.exponent;
  const int64_t doubled = shift > 40 ? 0 : (int64_t{x.mantissa} << 21) >> (shift + 20);
  const int size = int((doubled + 1) >> 1);
  return x.negative ? -size : size;
}

// Smallest code = 8k + m with (8 + m) * 2^(k - 8) * 2^(bits - 1) >= reach + 1.
int step_code(int reach, int bits) {
  if (bits == 0) return 0;
  int code = 0;
  while ((int64_t{8 + code % 8} << (code / 8 + bits - 1)) < int64_t{reach + 1} << 8) ++code;
  return code;
}

int anchor_shift(int midpoint_max) {
  int shift = 0;
  while (((midpoint_max + (shift > 0 ? 1 << (shift - 1) : 0)) >> shift) > 127) ++shift;
  return shift;
}

struct Channel {
  std::byte* plane;  // of the highest bit
  int bits;
};

// Writes one token's code into the channel's planes; a plane has one bit for each token.
void put_code(const Channel& channel, size_t tokens, size_t token, int code) {
  for (int bit = channel.bits - 1; bit >= 0; --bit) {
    std::byte* plane = channel.plane + size_t(channel.bits - 1 - bit) * tokens / 8;
    plane[token / 8] |= std::byte((code >> bit & 1) << (token % 8));
  }
}

int get_code(const std::byte* plane, int bits, size_t tokens, size_t token) {
  int code = 0;
  for (int i = 0; i < bits; ++i, plane += tokens / 8) {
    code = 2 * code + (std::to_integer<int>(plane[token / 8]) >> (token % 8) & 1);
  }
  return code;
}

void channel_bits(CodecId id, const ChanTable& table, uint8_t* ret_bits) {
  for (size_t pair = 0; pair < table.map.pairs(); ++pair) {
    const uint8_t width = table.widths[chanq_index(id)][pair];
    ret_bits[table.map.first(pair)] = ret_bits[table.map.second(pair)] = width;
  }
}

using Page = int[2 * chanq_pairs_max][chanq_tokens_max];  // [channel][token]

void turn_back(const PageShape& shape, const ConstView& in, int field, const ChanTable& table,
               Page& ret_page) {
  const bool bf16 = is_bf16(shape.dtype);
  for (size_t t = 0; t < shape.tokens; ++t) {
    for (size_t pair = 0; pair < table.map.pairs(); ++pair) {
      const size_t first = table.map.first(pair), second = table.map.second(pair);
      const int a = fixed_point(load(in, t, first), field, bf16);
      const int b = fixed_point(load(in, t, second), field, bf16);
      const Turn turn = turn_of(table, t, pair);
      ret_page[first][t] = (a * turn.cosine + b * turn.sine + one / 2) >> 14;
      ret_page[second][t] = (b * turn.cosine - a * turn.sine + one / 2) >> 14;
    }
  }
}

// Quantises one channel around its anchor. Returns: the step code.
uint8_t encode_channel(const int* values, size_t tokens, int anchor, const Channel& channel) {
  int reach = 0;
  for (size_t t = 0; t < tokens; ++t) reach = std::max(reach, std::abs(values[t] - anchor));
  const int code = step_code(reach, channel.bits);
  const int cells = 1 << channel.bits;
  for (size_t t = 0; channel.bits > 0 && t < tokens; ++t) {
    const int cell = ((values[t] - anchor) * q8_reciprocal[code % 8]) >> (code / 8 + 7);
    put_code(channel, tokens, t, std::clamp(cell + cells / 2, 0, cells - 1));
  }
  return static_cast<uint8_t>(code);
}

}  // namespace

Refusal chanq_encode(CodecId id, const PageShape& shape, const ConstView& in, std::byte* out,
                     const ChanTable& table) {
  const bool bf16 = is_bf16(shape.dtype);
  const size_t d = shape.head_dim, t = shape.tokens;
  std::memset(out, 0, chanq_bytes(id, shape));
  const uint16_t top = magnitude_max(shape, in);
  if (top >= infinity_bits(bf16)) return Refusal::not_finite;
  const int field = std::max(chanq_field_floor(bf16), top >> (bf16 ? 7 : 10));
  if (field >= chanq_field_limit(bf16)) return Refusal::out_of_range;
  Page page;
  turn_back(shape, in, field, table, page);

  int midpoint[2 * chanq_pairs_max], midpoint_max = 0;
  for (size_t c = 0; c < d; ++c) {
    const auto [low, high] = std::minmax_element(page[c], page[c] + t);
    midpoint[c] = (*low + *high) >> 1;
    midpoint_max = std::max(midpoint_max, std::abs(midpoint[c]));
  }
  const int shift = anchor_shift(midpoint_max);
  out[0] = std::byte(field);
  out[1] = std::byte(shift);

  uint8_t bits[2 * chanq_pairs_max];
  channel_bits(id, table, bits);
  std::byte* plane = out + chanq_header + 2 * d;
  for (size_t c = 0; c < d; ++c) {
    const int rounded = shift > 0 ? (midpoint[c] + (1 << (shift - 1))) >> shift : midpoint[c];
    const int anchor = std::clamp(rounded, -127, 127);
    out[chanq_header + c] = static_cast<std::byte>(anchor);
    out[chanq_header + d + c] =
        std::byte(encode_channel(page[c], t, anchor * (1 << shift), Channel{plane, int{bits[c]}}));
    plane += bits[c] * t / 8;
  }
  return Refusal::none;
}

void chanq_decode(CodecId id, const PageShape& shape, const std::byte* in, const View& out,
                  const ChanTable& table) {
  const bool bf16 = is_bf16(shape.dtype);
  const size_t d = shape.head_dim;
  const int field =
      std::clamp(std::to_integer<int>(in[0]), chanq_field_floor(bf16), chanq_field_ceiling(bf16));
  const int shift = std::to_integer<int>(in[1]) & 15;
  uint8_t bits[2 * chanq_pairs_max];
  channel_bits(id, table, bits);
  // Before the turn: four times the fixed point. Sums wrap at 24 bits; what an encoder writes
  // needs 18.
  Page page;
  const std::byte* plane = in + chanq_header + 2 * d;
  for (size_t c = 0; c < d; ++c) {
    const int anchor = static_cast<int8_t>(in[chanq_header + c]) * (1 << shift);
    const int code = std::to_integer<int>(in[chanq_header + d + c]);
    for (size_t t = 0; t < shape.tokens; ++t) {
      const int middle = 2 * get_code(plane, bits[c], shape.tokens, t) + 1 - (1 << bits[c]);
      const uint32_t scaled =
          (uint32_t(middle * (8 + code % 8)) << (code / 8)) + (uint32_t(anchor) << 9);
      page[c][t] = int32_t(scaled << 1) >> 8;
    }
    plane += bits[c] * shape.tokens / 8;
  }
  for (size_t t = 0; t < shape.tokens; ++t) {
    for (size_t pair = 0; pair < table.map.pairs(); ++pair) {
      const size_t first = table.map.first(pair), second = table.map.second(pair);
      const int64_t a = page[first][t], b = page[second][t];
      const Turn turn = turn_of(table, t, pair);
      const int exponent = field - chanq_exponent_base(bf16) - 2;
      store(out, t, first,
            round_to_half((a * turn.cosine - b * turn.sine + one / 2) >> 14, exponent, bf16));
      store(out, t, second,
            round_to_half((a * turn.sine + b * turn.cosine + one / 2) >> 14, exponent, bf16));
    }
  }
}

}  // namespace speckv::codec::golden
