// SPDX-License-Identifier: Apache-2.0
// Proves that xpack keeps every bit of what it accepts, real K and V of SmolLM2-135M as fp16 and as
// bf16 among it, zeros, subnormals, NaN and infinity included; that it refuses a page exactly where
// its lists end; and that its stored bytes, escapes and far exponents included, do not drift. The
// fast path stands beside the golden model everywhere, on every vector target.
#include "codec/xpack.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>

#include "codec/checksum.hpp"
#include "codec/golden.hpp"
#include "codec/half.hpp"
#include "pages.hpp"
#include "targets.hpp"

namespace speckv::codec::testing {
namespace {

constexpr uint8_t dtypes[] = {SPECKV_DTYPE_F16, SPECKV_DTYPE_BF16};

// Encodes by both and decodes. Returns: the refusal; what was accepted came back to the bit.
Refusal round_trip(const PageShape& shape, const std::vector<uint16_t>& values,
                   std::vector<std::byte>* ret_stored = nullptr) {
  const size_t bytes = encoded_bytes(CodecId::xpack, shape);
  std::vector<std::byte> fast(bytes), slow(bytes);
  const ptrdiff_t row = ptrdiff_t{2} * shape.head_dim;
  const ConstView in{reinterpret_cast<const std::byte*>(values.data()), row, 2};
  const Refusal refusal = encode(CodecId::xpack, shape, in, fast);
  EXPECT_EQ(golden::encode(CodecId::xpack, shape, in, slow), refusal);
  if (refusal != Refusal::none) return refusal;
  EXPECT_TRUE(fast == slow);
  std::vector<uint16_t> back(values.size()), golden_back(values.size());
  decode(CodecId::xpack, shape, fast, {reinterpret_cast<std::byte*>(back.data()), row, 2});
  golden::decode(CodecId::xpack, shape, fast,
                 {reinterpret_cast<std::byte*>(golden_back.data()), row, 2});
  EXPECT_TRUE(back == values);
  EXPECT_TRUE(golden_back == values);
  if (ret_stored != nullptr) *ret_stored = fast;
  return refusal;
}

uint16_t with_exponent(int field, uint8_t dtype, uint64_t noise) {
  const int shift = dtype == SPECKV_DTYPE_BF16 ? 7 : 10;
  const auto rest = uint16_t(noise & (0x8000 | ((1u << shift) - 1)));  // sign and fraction
  return uint16_t(rest | field << shift);
}

// Values around one exponent, from integers alone; fewer than seven below the largest.
std::vector<uint16_t> even_page(const PageShape& shape, int top) {
  std::vector<uint16_t> page(shape.values());
  uint32_t state = 2463534242;
  for (size_t i = 0; i < page.size(); ++i) {
    state ^= state << 13, state ^= state >> 17, state ^= state << 5;
    const int below = i < shape.head_dim ? 0 : int(state >> 28) % 7;  // token 0 sets the bases
    page[i] = with_exponent(top - below, shape.dtype, state >> 8);
  }
  return page;
}

constexpr uint16_t head_dims[] = {16, 48, 64, 80, 96, 112, 128, 192, 256};

template <typename Body>
void each_shape(Body body) {
  for (const uint8_t dtype : dtypes)
    for (const uint16_t tokens : {16, 32, 64})
      for (const uint16_t head_dim : head_dims) {
        SCOPED_TRACE(std::to_string(tokens) + "x" + std::to_string(head_dim) + " dtype " +
                     std::to_string(dtype));
        body(PageShape{tokens, head_dim, dtype, Kind::v});
      }
}

std::vector<uint16_t> real_values(uint8_t dtype) {
  std::ifstream file(SPECKV_PAGES_FILE, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  std::vector<uint16_t> values(bytes.size() / 2);
  std::memcpy(values.data(), bytes.data(), 2 * values.size());
  for (uint16_t& value : values) {
    if (dtype != SPECKV_DTYPE_BF16) break;
    const Unpacked x = unpack(value, false);  // as an engine that computes in bf16 would hold it
    const int64_t size = x.mantissa;
    value = round_to_half(x.negative ? -size : size, x.exponent, true);
  }
  return values;
}

TEST(Xpack, RealPagesComeBackToTheBit) {
  for_each_target([](const std::string& target) {
    for (const uint8_t dtype : dtypes) {
      const auto values = real_values(dtype);
      ASSERT_EQ(values.size(), 252u * 2048);
      for (const uint16_t tokens : {16, 32, 64}) {
        const PageShape shape{tokens, 64, dtype, Kind::k};
        // Seven pages of 32 tokens follow each other in each head.
        for (size_t head = 0; head < values.size(); head += 7 * 2048) {
          for (size_t i = head; i + shape.values() <= head + 7 * 2048; i += shape.values()) {
            const std::vector<uint16_t> page(&values[i], &values[i] + shape.values());
            ASSERT_EQ(round_trip(shape, page), Refusal::none) << target << " value " << i;
          }
        }
      }
    }
  });
}

TEST(Xpack, PagesOfOneBitPatternComeBackWhateverItIs) {
  for (const uint8_t dtype : dtypes) {
    const PageShape shape{16, 16, dtype, Kind::k};
    for (uint32_t bits = 0; bits < 65536; bits += 1) {
      const std::vector<uint16_t> page(shape.values(), uint16_t(bits));
      ASSERT_EQ(round_trip(shape, page), Refusal::none) << bits;
    }
  }
}

// A channel of zeros beside channels of any size costs nothing, and no channel pays for another's.
TEST(Xpack, ChannelsOfAnySizeLieSideBySide) {
  each_shape([](const PageShape& shape) {
    const int top = shape.dtype == SPECKV_DTYPE_BF16 ? 140 : 24;
    auto page = even_page(shape, top);
    for (size_t i = 0; i < page.size(); ++i) {
      const size_t c = i % shape.head_dim;
      if (c % 4 == 1) page[i] &= 0x8000;
      if (c % 4 == 2) page[i] = with_exponent(top - 14 + int(i % 5), shape.dtype, page[i]);
    }
    EXPECT_EQ(round_trip(shape, page), Refusal::none);
  });
}

// One escape after the other until the list is full, and one more; the last by each of its kinds.
TEST(Xpack, TheRoomForEscapesEndsWhereItShould) {
  each_shape([](const PageShape& shape) {
    const XpackMap map = xpack_map(shape);
    const int top = shape.dtype == SPECKV_DTYPE_BF16 ? 130 : 27;
    auto page = even_page(shape, top);
    const size_t first = shape.head_dim;  // below token 0, which sets the bases
    ASSERT_GE(map.escapes_max() * 100, shape.values() * 8);
    for (size_t i = 0; i < map.escapes_max(); ++i)
      page[first + i] = with_exponent(top - 7 - int(i % 14), shape.dtype, i * 0x9e37);
    EXPECT_EQ(round_trip(shape, page), Refusal::none);
    const uint16_t before = page[first + map.escapes_max()];
    for (const int field : {top - 7, top - 20, 0}) {
      page[first + map.escapes_max()] = with_exponent(field, shape.dtype, 5);
      EXPECT_EQ(round_trip(shape, page), Refusal::no_room) << field;
    }
    page[first + map.escapes_max()] = before;
    page[first + map.escapes_max() - 1] = 0;
    EXPECT_EQ(round_trip(shape, page), Refusal::none);
  });
}

TEST(Xpack, TheRoomForFarExponentsEndsWhereItShould) {
  each_shape([](const PageShape& shape) {
    const XpackMap map = xpack_map(shape);
    const int top = shape.dtype == SPECKV_DTYPE_BF16 ? 130 : 30;
    auto page = even_page(shape, top);
    for (size_t i = 0; i < map.units; ++i)
      page[page.size() - 1 - 3 * i] = with_exponent(top - 21 - int(i % 9), shape.dtype, i * 77);
    EXPECT_EQ(round_trip(shape, page), Refusal::none);
    page[shape.head_dim + 1] = with_exponent(top - 21, shape.dtype, 3);
    EXPECT_EQ(round_trip(shape, page), Refusal::no_room);
    page[shape.head_dim + 1] =
        with_exponent(0, shape.dtype, 3);  // zeros and subnormals are not far
    EXPECT_EQ(round_trip(shape, page), Refusal::none);
  });
}

TEST(Xpack, NaNAndInfinityComeBackWhereTheyFit) {
  for (const uint8_t dtype : dtypes) {
    const PageShape shape{32, 64, dtype, Kind::k};
    const uint16_t infinity = infinity_bits(is_bf16(dtype));
    const int top = dtype == SPECKV_DTYPE_BF16 ? 252 : 28;
    auto page = even_page(shape, top);
    for (size_t i = 70; i < page.size(); i += 311)
      page[i] = uint16_t(infinity | (i % 2 != 0 ? 0x8000 : 0) | i % 4);
    EXPECT_EQ(round_trip(shape, page), Refusal::none);
    // Far above the others of its channel: a channel of far exponents, more than there is room for.
    page = even_page(shape, dtype == SPECKV_DTYPE_BF16 ? 120 : 7);
    page[100] = infinity;
    EXPECT_EQ(round_trip(shape, page), Refusal::no_room);
  }
}

// Bytes with every kind of escape in them. A change of these numbers is a change of the format.
TEST(Xpack, StoredBytesWithEscapesDoNotDrift) {
  const struct {
    PageShape shape;
    uint64_t sum;
  } pinned[] = {{{32, 64, SPECKV_DTYPE_BF16, Kind::k}, 0x37fae65f27941f1b},
                {{16, 80, SPECKV_DTYPE_F16, Kind::v}, 0x115f002e6f698aa1}};
  for (const auto& [shape, sum] : pinned) {
    const int top = shape.dtype == SPECKV_DTYPE_BF16 ? 130 : 30;
    auto page = even_page(shape, top);
    for (size_t i = 0; i < 60; ++i)
      page[shape.head_dim + 17 * i] = with_exponent(top - 7 - int(i % 14), shape.dtype, i * 1009);
    page[300] = 0x8000, page[600] = 1, page[900] = with_exponent(3, shape.dtype, 9);
    std::vector<std::byte> stored;
    ASSERT_EQ(round_trip(shape, page, &stored), Refusal::none);
    Checksum checksum;
    checksum_update(checksum, stored.data(), stored.size());
    EXPECT_EQ(checksum_final(checksum), sum) << std::hex << checksum_final(checksum);
  }
}

}  // namespace
}  // namespace speckv::codec::testing
