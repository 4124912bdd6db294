// SPDX-License-Identifier: Apache-2.0
// golden_chanq.cpp - chanq: undoes RoPE relative to the page start, so that a channel hardly moves
// along the tokens, then gives every channel an anchor, a reach and as many bits as its table says.
// The bytes are in docs/codec.md.
//
// Encode, in integers: values become 15-bit fixed point under the page's largest exponent; each
// pair is turned back by its token's angle; each channel gets an anchor near its middle, a small
// float as fine as the channel needs, however far off centre another one lies, and a reach to both
// sides of it, stored as what it lacks of the page's largest. Codes are the cells of that reach,
// one bit plane per bit and channel. Decode: the middle of the cell plus the anchor, turned forward
// again, rounded once.
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

// Smallest code 8k + m with (8 + m) * 2^(k - 3) >= reach + 1.
int reach_code(int reach) {
  int code = 0;
  while ((8 + code % 8) << (code / 8) < 8 * (reach + 1)) ++code;
  return code;
}

// Smallest k in whose units the anchor's largest code gets to the midpoint.
int anchor_octave(int midpoint) {
  int k = 0;
  while (chanq_anchor_size(chanq_anchor_max) << k < 16 * std::abs(midpoint)) ++k;
  return k;
}

// The anchor byte nearest to the midpoint, in units of 2^(k-4): a sign, then the code.
uint8_t anchor_byte(int midpoint, int k) {
  int exponent = 0, size = 0;
  do size = ((std::abs(midpoint) * 32 >> (k + exponent)) + 1) >> 1;
  while (size > 31 && ++exponent);
  return static_cast<uint8_t>(std::min(16 * exponent + size, chanq_anchor_max) |
                              (midpoint < 0 ? 0x80 : 0));
}
// In units of 2^(k-4).
int anchor_of(uint8_t byte) {
  const int size = chanq_anchor_size(byte & 127);
  return byte & 128 ? -size : size;
}
// In units of fixed point, the rest below cut off.
int anchor_value(uint8_t byte, int k) {
  const int size = (chanq_anchor_size(byte & 127) << k) >> 4;
  return byte & 128 ? -size : size;
}

// Where codes lie, bit by bit: those of a channel, or the drops of all channels.
struct Planes {
  std::byte* highest;
  int bits;
};

// Writes one of so many codes; a plane has one bit for each.
void put_code(const Planes& planes, size_t codes, size_t i, int code) {
  for (int bit = planes.bits - 1; bit >= 0; --bit) {
    std::byte* plane = planes.highest + size_t(planes.bits - 1 - bit) * codes / 8;
    plane[i / 8] |= std::byte((code >> bit & 1) << (i % 8));
  }
}

int get_code(const std::byte* plane, int bits, size_t codes, size_t at) {
  int code = 0;
  for (int i = 0; i < bits; ++i, plane += codes / 8) {
    code = 2 * code + (std::to_integer<int>(plane[at / 8]) >> (at % 8) & 1);
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

struct Range {
  int low, high;
  int midpoint() const { return (low + high) >> 1; }
  int reach_from(int anchor) const { return std::max(high - anchor, anchor - low); }
};

// The reach code that a channel asks for: from the anchor that it would get.
int wanted_reach(const Range& range) {
  const int middle = range.midpoint();
  const int least = std::max(reach_code(range.reach_from(middle)), 8 * anchor_octave(middle));
  const int anchor = anchor_value(anchor_byte(middle, least / 8), least / 8);
  return std::max(reach_code(range.reach_from(anchor)), least / 8 * 8);
}

// The finest grain at which few channels' reach is lifted to the least that five bits below the top
// can say, and none by more than an octave. Those that have no codes or do not move are not asked.
int choose_grain(const int* wanted, const uint8_t* bits, size_t channels, int top) {
  int grain = 0;
  for (; grain < chanq_grain_max; ++grain) {
    const int least = top - (chanq_drop_max << grain);
    size_t lifted = 0;
    bool far = false;
    for (size_t c = 0; c < channels; ++c) {
      if (bits[c] == 0 || wanted[c] == 0) continue;
      lifted += wanted[c] < least;
      far |= wanted[c] < least - chanq_lift_max;
    }
    if (lifted <= chanq_lifted_max(channels) && !far) break;
  }
  return grain;
}

// Quantises one channel around its anchor.
void encode_channel(const int* values, size_t tokens, int anchor, int reach, const Planes& planes) {
  const int cells = 1 << planes.bits;
  for (size_t t = 0; planes.bits > 0 && t < tokens; ++t) {
    const int cell =
        ((values[t] - anchor) * q8_reciprocal[reach % 8]) >> (reach / 8 + 13 - planes.bits);
    put_code(planes, tokens, t, std::clamp(cell + cells / 2, 0, cells - 1));
  }
}

}  // namespace

Refusal chanq_encode(CodecId id, const PageShape& shape, const ConstView& in, std::byte* out,
                     const ChanTable& table) {
  const bool bf16 = is_bf16(shape.dtype);
  const size_t d = shape.head_dim, t = shape.tokens;
  std::memset(out, 0, chanq_bytes(id, shape));
  const uint16_t largest = magnitude_max(shape, in);
  if (largest >= infinity_bits(bf16)) return Refusal::not_finite;
  const int field = std::max(chanq_field_floor(bf16), largest >> (bf16 ? 7 : 10));
  if (field >= chanq_field_limit(bf16)) return Refusal::out_of_range;
  Page page{};
  turn_back(shape, in, field, table, page);

  Range range[2 * chanq_pairs_max];
  int wanted[2 * chanq_pairs_max], top = 0;
  for (size_t c = 0; c < d; ++c) {
    const auto [low, high] = std::minmax_element(page[c], page[c] + t);
    range[c] = {*low, *high};
    wanted[c] = wanted_reach(range[c]);
    top = std::max(top, wanted[c]);
  }
  uint8_t bits[2 * chanq_pairs_max];
  channel_bits(id, table, bits);
  const int grain = choose_grain(wanted, bits, d, top);
  out[0] = std::byte(field);
  out[1] = std::byte(top);
  out[2] = std::byte(grain);

  std::byte* plane = out + chanq_side_bytes(d);
  for (size_t c = 0; c < d; ++c) {
    const int drop = std::min((top - wanted[c]) >> grain, chanq_drop_max);
    const int reach = top - (drop << grain);
    const uint8_t anchor = anchor_byte(range[c].midpoint(), reach / 8);
    out[chanq_header + c] = std::byte{anchor};
    put_code({out + chanq_header + d, chanq_drop_bits}, d, c, drop);
    encode_channel(page[c], t, anchor_value(anchor, reach / 8), reach, {plane, int{bits[c]}});
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
  const int top = std::min(std::to_integer<int>(in[1]), chanq_reach_max);
  const int grain = std::min(std::to_integer<int>(in[2]), chanq_grain_max);
  uint8_t bits[2 * chanq_pairs_max];
  channel_bits(id, table, bits);
  // Before the turn: four times the fixed point, in 24 bits.
  Page page;
  const std::byte* plane = in + chanq_side_bytes(d);
  for (size_t c = 0; c < d; ++c) {
    const int drop = get_code(in + chanq_header + d, chanq_drop_bits, d, c);
    const int reach = std::max(top - (drop << grain), 0);
    const int anchor = anchor_of(std::to_integer<uint8_t>(in[chanq_header + c]));
    for (size_t t = 0; t < shape.tokens; ++t) {
      const int middle = 2 * get_code(plane, bits[c], shape.tokens, t) + 1 - (1 << bits[c]);
      const int fine = middle * (8 + reach % 8) * (256 >> bits[c]) + 128 * anchor;
      page[c][t] = int(int64_t{fine} * (1 << (reach / 8)) >> 9);
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
