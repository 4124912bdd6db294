// SPDX-License-Identifier: Apache-2.0
#include "codec/paper.hpp"

#include <algorithm>

#include "codec/golden.hpp"
#include "codec/half.hpp"
#include "codec/q8.hpp"

namespace speckv::codec {
namespace {

uint8_t quantise(uint16_t bits, uint8_t scale, bool bf16) {
  const Unpacked x = unpack(bits, bf16);
  const int k = (scale >> 3) + q8_exponent_min(bf16);
  const int64_t q =
      shift_round_even(int64_t{x.mantissa} * q8_reciprocal[scale & 7], k + 15 - x.exponent);
  return static_cast<uint8_t>(x.negative ? -q : q);
}

// Value i's code minus the same channel's code one token before, modulo 256.
class Deltas {
 public:
  Deltas(const PageShape& shape, const ConstView& in, uint8_t scale)
      : shape_(shape), in_(in), scale_(scale) {}
  uint8_t operator[](size_t i) const {
    const uint8_t now = code(i);
    return i < shape_.head_dim ? now : uint8_t(now - code(i - shape_.head_dim));
  }

 private:
  uint8_t code(size_t i) const {
    return quantise(golden::load_at(in_, shape_, i), scale_, is_bf16(shape_.dtype));
  }
  const PageShape& shape_;
  const ConstView& in_;
  uint8_t scale_;
};

// Calls emit(value, count) for each run of equal deltas, counts up to 255.
template <typename Emit>
void for_each_run(const PageShape& shape, const Deltas& deltas, Emit emit) {
  for (size_t i = 0; i < shape.values();) {
    const uint8_t value = deltas[i];
    size_t count = 1;
    while (count < 255 && i + count < shape.values() && deltas[i + count] == value) ++count;
    emit(value, static_cast<uint8_t>(count));
    i += count;
  }
}

}  // namespace

size_t paper_run_bytes(const PageShape& shape, const ConstView& in) {
  const uint16_t top = golden::magnitude_max(shape, in);
  if (golden::judge(CodecId::q8, shape.dtype, top) != Refusal::none) return 0;
  const Deltas deltas(shape, in, golden::q8_scale(top, is_bf16(shape.dtype)));
  size_t bytes = paper_header;
  for_each_run(shape, deltas, [&](uint8_t, uint8_t) { bytes += 2; });
  return bytes;
}

Refusal paper_encode(const PageShape& shape, const ConstView& in, std::byte* out) {
  const uint16_t top = golden::magnitude_max(shape, in);
  const Refusal refusal = golden::judge(CodecId::q8, shape.dtype, top);
  if (refusal != Refusal::none) return refusal;
  const uint8_t scale = golden::q8_scale(top, is_bf16(shape.dtype));
  const Deltas deltas(shape, in, scale);
  std::memset(out, 0, paper_bytes(shape));
  out[0] = std::byte{scale};
  std::byte* body = out + paper_header;
  size_t length = 0;
  for_each_run(shape, deltas, [&](uint8_t value, uint8_t count) {
    if (length + 2 < shape.values()) {
      body[length] = std::byte{value};
      body[length + 1] = std::byte{count};
    }
    length += 2;
  });
  if (length < shape.values()) {
    const uint16_t stored = static_cast<uint16_t>(length);
    std::memcpy(out + 2, &stored, 2);
    return Refusal::none;
  }
  out[1] = std::byte{paper_deltas};
  for (size_t i = 0; i < shape.values(); ++i) body[i] = std::byte{deltas[i]};
  return Refusal::none;
}

void paper_decode(const PageShape& shape, const std::byte* in, const View& out) {
  const bool bf16 = is_bf16(shape.dtype);
  const int scale = std::to_integer<int>(in[0]);
  const int exponent = (scale >> 3) + q8_exponent_min(bf16);
  uint16_t stored;
  std::memcpy(&stored, in + 2, 2);
  const size_t end = std::min<size_t>(stored, shape.values()) / 2 * 2;
  const bool runs = std::to_integer<int>(in[1]) == paper_runs;
  const std::byte* body = in + paper_header;
  uint8_t code[SPECKV_HEAD_DIM_MAX] = {};
  size_t at = 0;
  uint8_t left = 0, delta = 0;
  for (size_t i = 0; i < shape.values(); ++i) {
    if (!runs) {
      delta = std::to_integer<uint8_t>(body[i]);
    } else {
      while (left == 0 && at < end) {
        delta = std::to_integer<uint8_t>(body[at]);
        left = std::to_integer<uint8_t>(body[at + 1]);
        at += 2;
      }
      if (left == 0) delta = 0;  // runs that end early are followed by zeros
      else --left;
    }
    uint8_t& q = code[i % shape.head_dim];
    q = static_cast<uint8_t>(q + delta);
    const int64_t value = int64_t{static_cast<int8_t>(q)} * (8 + (scale & 7));
    golden::store_at(out, shape, i, round_to_half(value, exponent, bf16));
  }
}

}  // namespace speckv::codec
