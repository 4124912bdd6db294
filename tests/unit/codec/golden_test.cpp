// SPDX-License-Identifier: Apache-2.0
// Proves the golden model itself: 16-bit floats against the compiler's own arithmetic, q8 against
// its definition in real numbers, its error bound, its refusals; q8sink's exact token; that a quiet
// token beside a loud one has its own scale in rowq, a quiet channel its own reach in chanq.
#include "codec/golden.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

#include "codec/chanq.hpp"
#include "codec/half.hpp"
#include "codec/q8.hpp"
#include "codec/rowq.hpp"
#include "pages.hpp"

namespace speckv::codec::testing {
namespace {

double value_of(uint16_t bits, bool bf16) {
  const Unpacked x = unpack(bits, bf16);
  return (x.negative ? -1.0 : 1.0) * std::ldexp(double(x.mantissa), x.exponent);
}

TEST(Half, EveryFiniteNumberSurvivesUnpackAndRound) {
  for (const bool bf16 : {false, true}) {
    for (uint32_t bits = 0; bits < infinity_bits(bf16); ++bits) {
      const Unpacked x = unpack(uint16_t(bits), bf16);
      ASSERT_EQ(round_to_half(x.mantissa, x.exponent, bf16), bits);
      const double expected =
          bf16 ? std::bit_cast<float>(bits << 16) : value_of(uint16_t(bits), false);
      ASSERT_EQ(value_of(uint16_t(bits), bf16), expected);
    }
  }
}

TEST(Half, RoundsToNearestHalfToEven) {
  EXPECT_EQ(round_to_half(2049, 0, false), 0x6800);  // 2049 lies between 2048 and 2050
  EXPECT_EQ(round_to_half(2051, 0, false), 0x6802);
  EXPECT_EQ(round_to_half(4095, 0, false), 0x6c00);  // carries into the exponent
  EXPECT_EQ(round_to_half(1, -25, false), 0x0000);   // half of the smallest subnormal
  EXPECT_EQ(round_to_half(3, -26, false), 0x0001);
  EXPECT_EQ(round_to_half(-1, -25, false), 0x8000);
  EXPECT_EQ(round_to_half(2047, -25, false),
            0x0400);  // the largest subnormal rounds up to a normal
  EXPECT_EQ(round_to_half(65519, 0, false), 0x7bff);
  EXPECT_EQ(round_to_half(65520, 0, false), 0x7c00);
  EXPECT_EQ(round_to_half(257, 0, true), 0x4380);
  EXPECT_EQ(round_to_half(259, 0, true), 0x4382);
}

TEST(Q8, ScaleIsTheSmallestThatHolds) {
  for (const bool bf16 : {false, true}) {
    for (uint32_t bits = 0; bits <= q8_magnitude_max(bf16); ++bits) {
      const uint8_t c = golden::q8_scale(uint16_t(bits), bf16);
      const auto reach = [&](int code) {
        return 127.0 * std::ldexp(8 + (code & 7), (code >> 3) + q8_exponent_min(bf16));
      };
      ASSERT_GE(reach(c), value_of(uint16_t(bits), bf16)) << bits;
      if (c > 0) {
        ASSERT_LT(reach(c - 1), value_of(uint16_t(bits), bf16)) << bits;
      }
    }
  }
}

TEST(Q8, ErrorIsAtMostHalfAStepAndALittle) {
  Random random(1);
  for (const uint8_t dtype : {SPECKV_DTYPE_F16, SPECKV_DTYPE_BF16}) {
    const PageShape shape{32, 64, dtype, Kind::k};
    const bool bf16 = is_bf16(dtype);
    for (const Texture texture :
         {Texture::normal, Texture::channels, Texture::spike, Texture::subnormal}) {
      const auto values = make_page(shape, texture, random);
      std::vector<uint16_t> back(values.size());
      std::vector<std::byte> stored(encoded_bytes(CodecId::q8, shape));
      const ConstView in{reinterpret_cast<const std::byte*>(values.data()), 128, 2};
      ASSERT_EQ(golden::encode(CodecId::q8, shape, in, stored), Refusal::none);
      golden::decode(CodecId::q8, shape, stored,
                     {reinterpret_cast<std::byte*>(back.data()), 128, 2});
      for (size_t i = 0; i < values.size(); ++i) {
        const int c = std::to_integer<int>(stored[i / 32]);
        const double step = std::ldexp(8 + (c & 7), (c >> 3) + q8_exponent_min(bf16));
        const double x = value_of(values[i], bf16), y = value_of(back[i], bf16);
        // Half a step, the reciprocal's 1.3e-4, and in bf16 the output's own rounding.
        ASSERT_LE(std::abs(x - y), 0.5 * step + std::abs(x) * (bf16 ? 0.0041 : 0.00014)) << i;
      }
    }
  }
}

TEST(Q8, RefusesWhatItCannotHold) {
  for (const uint8_t dtype : {SPECKV_DTYPE_F16, SPECKV_DTYPE_BF16}) {
    const PageShape shape{16, 33, dtype, Kind::v};
    const uint16_t limit = q8_magnitude_max(is_bf16(dtype)),
                   infinity = infinity_bits(is_bf16(dtype));
    std::vector<std::byte> stored(encoded_bytes(CodecId::q8, shape));
    for (const auto& [bits, refusal] : {std::pair{limit, Refusal::none},
                                        {uint16_t(limit + 1), Refusal::out_of_range},
                                        {uint16_t(infinity - 1), Refusal::out_of_range},
                                        {infinity, Refusal::not_finite},
                                        {uint16_t(0xffff), Refusal::not_finite}}) {
      std::vector<uint16_t> values(shape.values(), 0x1234);
      values.back() = bits;
      const ConstView in{reinterpret_cast<const std::byte*>(values.data()), 66, 2};
      EXPECT_EQ(golden::encode(CodecId::q8, shape, in, stored), refusal) << std::hex << bits;
      EXPECT_EQ(encode(CodecId::q8, shape, in, stored), refusal) << std::hex << bits;
    }
  }
}

std::vector<uint16_t> round_trip(CodecId id, const PageShape& shape,
                                 const std::vector<uint16_t>& values) {
  const ptrdiff_t row = ptrdiff_t{2} * shape.head_dim;
  std::vector<std::byte> stored(encoded_bytes(id, shape));
  std::vector<uint16_t> back(values.size());
  const ConstView in{reinterpret_cast<const std::byte*>(values.data()), row, 2};
  EXPECT_EQ(golden::encode(id, shape, in, stored), Refusal::none);
  golden::decode(id, shape, stored, {reinterpret_cast<std::byte*>(back.data()), row, 2});
  return back;
}

TEST(Q8Sink, KeepsTheFirstTokenAndIsQ8Otherwise) {
  Random random(2);
  for (const uint16_t head_dim : {64, 80, 33}) {
    const PageShape shape{32, head_dim, SPECKV_DTYPE_F16, Kind::k};
    const auto values = make_page(shape, Texture::channels, random);
    auto expected = round_trip(CodecId::q8, shape, values);
    EXPECT_FALSE(std::equal(values.begin(), values.begin() + head_dim, expected.begin()));
    std::copy_n(values.begin(), head_dim, expected.begin());
    EXPECT_EQ(round_trip(CodecId::q8sink, shape, values), expected) << head_dim;
  }
}

// dB of the loud and of the quiet values, which are 1/2^octaves of their size.
template <typename Quiet>
std::array<double, 2> loud_and_quiet(CodecId id, int octaves, Quiet quiet) {
  Random random(3);
  const PageShape shape{32, 64, SPECKV_DTYPE_F16, is_chanq(id) ? Kind::k : Kind::v};
  std::vector<uint16_t> values(shape.values());
  for (size_t i = 0; i < values.size(); ++i)
    values[i] =
        round_to_half(int64_t(random() % 2001) - 1000, quiet(i) != 0 ? -10 - octaves : -10, false);
  const auto back = round_trip(id, shape, values);
  double signal[2] = {}, error[2] = {};
  for (size_t i = 0; i < values.size(); ++i) {
    const double x = value_of(values[i], false), y = value_of(back[i], false);
    signal[quiet(i)] += x * x;
    error[quiet(i)] += (x - y) * (x - y);
  }
  return {10 * std::log10(signal[0] / error[0]), 10 * std::log10(signal[1] / error[1])};
}

TEST(Rowq, LevelsWidenOutwardsAndLieInTheMiddleOfTheirCells) {
  const auto upper_half = [](int bits) {
    std::vector<int> levels;
    for (int code = 1 << (bits - 1); code < 1 << bits; ++code) {
      EXPECT_EQ(rowq_level(bits, (1 << bits) - 1 - code), -rowq_level(bits, code));
      levels.push_back(rowq_level(bits, code));
    }
    return levels;
  };
  EXPECT_EQ(upper_half(3), (std::vector{1, 3, 5, 8}));
  EXPECT_EQ(upper_half(4), (std::vector{1, 3, 5, 7, 9, 12, 15, 19}));
  EXPECT_EQ(upper_half(8).back(), 255);
  for (const int bits : {3, 4, 5, 6}) {
    const auto [wider3, wider4] = rowq_wider(bits);
    int middle = 64;
    for (const int level : upper_half(bits)) {
      const int y = 64 * level, bent = (y * rowq_two_thirds >> 16) + wider3;
      EXPECT_NEAR(std::min({y, bent, (y + 1) / 2 + wider4}), middle, 1) << bits << " " << level;
      middle += 128;
    }
  }
}

// The quantiser does not clamp: a code that reached 2^bits would set a bit of no plane.
TEST(Rowq, AGroupsLargestValueLiesInTheLastCell) {
  for (const int bits : {3, 4, 5, 6}) {
    const auto [wider3, wider4] = rowq_wider(bits);
    for (uint32_t top = 1; top * rowq_share(bits) >> 5 < 1 << 15; ++top) {
      const uint32_t width = (top * rowq_share(bits) >> 5 >> (7 + bits)) + 1;
      ASSERT_LE(width, 1u << rowq_width_bits(bits)) << bits << " " << top;
      const int y = int(top * uint64_t(rowq_width_reciprocal(bits, width)) >> 16);
      const int place = std::min({y, (y * rowq_two_thirds >> 16) + wider3, (y + 1) / 2 + wider4});
      ASSERT_LT(place, 64 << bits) << bits << " " << top;
    }
  }
}

TEST(Rowq, AQuietTokenHasItsOwnScale) {
  const auto second_tokens = [](size_t i) { return i / 64 % 2; };
  for (const CodecId id : {CodecId::rowq3, CodecId::rowq4, CodecId::rowq5, CodecId::rowq6}) {
    const auto [loud, quiet] = loud_and_quiet(id, 3, second_tokens);
    // Its values have seven bits of the row's ten, which six bits of code begin to feel.
    EXPECT_GT(quiet, loud - 0.8) << name(id);
    EXPECT_LT(loud_and_quiet(id, 6, second_tokens)[1], loud - 0.8)
        << name(id) << ": three octaves too far";
  }
  // The quiet token's values have six bits of the row's ten: 30 dB and what the codec adds.
  EXPECT_GT(loud_and_quiet(CodecId::rowq8, 4, second_tokens)[1], 26);
}

TEST(Chanq, QuietChannelsReachAsFarAsTheyMove) {
  const auto channels = [](size_t n) { return [n](size_t i) { return size_t{i % 64 < n}; }; };
  const auto lost = [&](int octaves, size_t n) {
    const auto [loud, quiet] = loud_and_quiet(CodecId::chanq4, octaves, channels(n));
    return loud - quiet;
  };
  EXPECT_LT(lost(3, 4), 0.8);
  EXPECT_LT(lost(4, 4), 1.5);  // lifted, by less than an octave
  EXPECT_LT(lost(4, 5), 0.8);  // one more takes grains of two codes
  EXPECT_LT(lost(6, 1), 1.5);  // so does one that is quieter
  EXPECT_LT(lost(8, 32), 1.5);
}

}  // namespace
}  // namespace speckv::codec::testing
