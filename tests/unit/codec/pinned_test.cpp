// SPDX-License-Identifier: Apache-2.0
// Proves that the stored bytes do not drift: the checksum of what each codec makes of fixed pages,
// and of what it decodes from them, is written down here. An encoder that finds better codes
// changes them, and docs/codec.md with them. What is decoded from given bytes is the format: a
// change of that, the second list, needs a new codec id, or a new pool_version. The sum is the
// test's own, four lanes of CRC-32C, so that these numbers outlive a change of the segments'
// checksum.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "codec/chanq.hpp"

namespace speckv::codec {
namespace {

uint32_t crc_of_word(uint32_t crc, uint64_t word) {
  for (int bit = 0; bit < 64; ++bit) {
    const uint32_t low = (crc ^ uint32_t(word >> bit)) & 1;
    crc = (crc >> 1) ^ (low != 0 ? 0x82f63b78u : 0);
  }
  return crc;
}

// Requires: bytes % 32 == 0.
uint64_t checksum_of(const void* data, size_t bytes) {
  uint32_t lane[4] = {~0u, ~0u, ~0u, ~0u};
  for (size_t i = 0; i < bytes / 8; ++i) {
    uint64_t word;
    std::memcpy(&word, static_cast<const std::byte*>(data) + 8 * i, 8);
    lane[i % 4] = crc_of_word(lane[i % 4], word);
  }
  const auto end = [&](int i) {
    return crc_of_word(crc_of_word(crc_of_word(~0u, lane[i]), lane[i + 1]), bytes);
  };
  return uint64_t{end(0)} | uint64_t{end(2)} << 32;
}

// Channels with offsets and noise, from integers alone.
std::vector<uint16_t> fixed_page(const PageShape& shape) {
  std::vector<uint16_t> page(shape.values());
  uint32_t state = 12345;
  for (size_t i = 0; i < page.size(); ++i) {
    state = state * 1664525 + 1013904223;
    const uint32_t channel = uint32_t(i % shape.head_dim);
    const uint32_t noise = state >> 20;
    page[i] = uint16_t((shape.dtype == SPECKV_DTYPE_BF16 ? 0x3e00 : 0x3000) + noise % 1024 +
                       channel * 7 % 512);
    if ((state >> 13) % (2 + channel % 3) == 0) page[i] |= 0x8000;
  }
  return page;
}

struct Pinned {
  CodecId id;
  PageShape shape;
  uint64_t stored, decoded;
};

constexpr PageShape f16_64{32, 64, SPECKV_DTYPE_F16, Kind::k};
constexpr PageShape b16_80{16, 80, SPECKV_DTYPE_BF16, Kind::k};
constexpr PageShape f16_256{64, 256, SPECKV_DTYPE_F16, Kind::v};

constexpr Pinned pinned[] = {
    {CodecId::raw, f16_64, 0x7ab6d5e986725260, 0x7ab6d5e986725260},
    {CodecId::paper, f16_64, 0x81140f64a58cb146, 0x447257090a3284b5},
    {CodecId::paper, b16_80, 0x2244e881a062af44, 0xee32461462566571},
    {CodecId::q8, f16_64, 0x9d809c01c54e5ade, 0x52d96eccf3509954},
    {CodecId::q8, b16_80, 0x28a1a7085bf8e779, 0x4c719eb99c63295f},
    {CodecId::q8sink, f16_64, 0xee6dfd6085f21c50, 0xb80b06635d5fdb78},
    {CodecId::q8sink, b16_80, 0x94902b9b3f7a5f95, 0xd98c24d4bfb3beb2},
    {CodecId::rowq3, f16_64, 0xf3374fa8f8dec4ea, 0x6c46c6a432d3ced0},
    {CodecId::rowq3, b16_80, 0x2c4e200e2f312902, 0x49fa6f34a9f01662},
    {CodecId::rowq3, f16_256, 0x48058a2bf8bd28cc, 0x969d43a82f9ecfa2},
    {CodecId::rowq4, f16_64, 0x90cdcde373e32138, 0xba9d13422153e30f},
    {CodecId::rowq4, b16_80, 0x5525157c9ee189c0, 0xc622dc4d06837d2f},
    {CodecId::rowq4, f16_256, 0x0f81fe024b6b7ef1, 0xadc331c01469fb83},
    {CodecId::rowq5, f16_64, 0x8439c1fafaac26cc, 0xada86a4ddacfa0d0},
    {CodecId::rowq5, b16_80, 0xd81da39f47fcc691, 0x51d95e5b6efa8020},
    {CodecId::rowq5, f16_256, 0x293a8d6c8f1c8981, 0x4da8a7af12da3222},
    {CodecId::rowq6, f16_64, 0x647516928de7c4b5, 0x817dee2f2cd3666d},
    {CodecId::rowq6, b16_80, 0x666033de0382f033, 0xb0a7ebdf7bbf4453},
    {CodecId::rowq6, f16_256, 0x12f17dfcfa94c7a7, 0x48dedc4fcf1bf402},
    {CodecId::rowq8, f16_64, 0x0491d9b271820b17, 0xbb1a15d49597ba1b},
    {CodecId::rowq8, b16_80, 0xc73e9176d62ebfed, 0x36f9f48d570fe790},
    {CodecId::rowq8, f16_256, 0x0f4f8f52c00dd75e, 0xb9e91efe1a5ef19c},
    {CodecId::xpack, f16_64, 0x6fae75009c5af5dd, 0x7ab6d5e986725260},
    {CodecId::xpack, b16_80, 0x2f9b5e7766665e10, 0x4f741fcc650c377a},
    {CodecId::xpack, f16_256, 0x032f8750604da31a, 0xf4de52a3fb59e66e},
    {CodecId::chanq2_5, f16_64, 0x39fbd4aaa61b3906, 0xeaa611ba86f6446f},
    {CodecId::chanq2_5, b16_80, 0x24b18041e5410e48, 0x66ce5779b4fefa2a},
    {CodecId::chanq2_5, f16_256, 0x26244dfb64ce3108, 0xeb9a2ebda9565f2d},
    {CodecId::chanq3, f16_64, 0xd93e41db0db6986a, 0x0a0db5313ad3dca9},
    {CodecId::chanq3, b16_80, 0x5d65f635678c826e, 0xa722249cb9cb88c3},
    {CodecId::chanq3, f16_256, 0x25d446046be0c4f8, 0xba9619fe435488df},
    {CodecId::chanq3_5, f16_64, 0x240f16487c8bf002, 0x758694a0061a5f5d},
    {CodecId::chanq3_5, b16_80, 0xabfb10843488098f, 0x31e675cc6b29703a},
    {CodecId::chanq3_5, f16_256, 0x4ff6172746892c55, 0xa63530e9161697c6},
    {CodecId::chanq4, f16_64, 0x7240eb47c3ae058d, 0x997d1687981d8aae},
    {CodecId::chanq4, b16_80, 0x653f6d260e589d02, 0xba9455f6bab5fe7f},
    {CodecId::chanq4, f16_256, 0x09008102800a8b96, 0x3ec995f9a41a1e46},
    {CodecId::chanq4_5, f16_64, 0xf2510818120f22ee, 0x311cb2babb1ead49},
    {CodecId::chanq4_5, b16_80, 0x015d335087666b4f, 0x4ebf475e430306d8},
    {CodecId::chanq4_5, f16_256, 0x07a0f2e2d7e342e6, 0x84b6d392aaf09a2e},
    {CodecId::chanq5, f16_64, 0x40d68fc1ee673d18, 0xce38fd48acf38e52},
    {CodecId::chanq5, b16_80, 0xe693c53875e4c374, 0x6d76dcecfaa300ca},
    {CodecId::chanq5, f16_256, 0xba0a3fd2f3142e54, 0xd8c403dfa04583d4},
    {CodecId::chanq7, f16_64, 0xd6fd9666ad972629, 0xe2fb707f66f3c1da},
    {CodecId::chanq7, b16_80, 0x7848281da575bcba, 0xe004631d33d0bc9b},
    {CodecId::chanq7, f16_256, 0xdea6c3f671d70864, 0xbc87fe117728045a},
};

std::unique_ptr<ChanTables> equal_widths(const PageShape& shape) {
  speckv_layout layout{};
  layout.dtype = shape.dtype;
  layout.layers = layout.kv_heads = 1;
  layout.head_dim = shape.head_dim;
  layout.page_tokens = shape.tokens;
  layout.rope = SPECKV_ROPE_INTERLEAVED;
  layout.rope_theta[0] = 1e5F;
  std::string error;
  return ChanTables::make(layout, nullptr, &error);
}

TEST(Pinned, StoredAndDecodedBytes) {
  for (const Pinned& pin : pinned) {
    const auto tables = equal_widths(pin.shape);
    ASSERT_NE(tables, nullptr);
    const ChanTable* table = is_chanq(pin.id) ? tables->data() : nullptr;
    auto page = fixed_page(pin.shape);
    std::vector<std::byte> stored(encoded_bytes(pin.id, pin.shape, table));
    const ptrdiff_t row = ptrdiff_t{2} * pin.shape.head_dim;
    auto* base = reinterpret_cast<std::byte*>(page.data());
    ASSERT_EQ(encode(pin.id, pin.shape, {base, row, 2}, stored, table), Refusal::none);
    decode(pin.id, pin.shape, stored, {base, row, 2}, table);
    EXPECT_EQ(checksum_of(stored.data(), stored.size()), pin.stored)
        << name(pin.id) << " " << pin.shape.head_dim;
    EXPECT_EQ(checksum_of(page.data(), 2 * page.size()), pin.decoded)
        << name(pin.id) << " " << pin.shape.head_dim;
  }
}

// What comes out of bytes that no encoder made, in fp16 and in bf16.
struct Foreign {
  CodecId id;
  uint64_t f16, bf16;
};
constexpr Foreign foreign[] = {
    {CodecId::q8, 0x24cd9677fc8b073c, 0x5dec3011a7993902},
    {CodecId::q8sink, 0xa35dcda8ec0b75eb, 0xacb8c2330b386c89},
    {CodecId::rowq3, 0x13aec87fd10a8b6f, 0x5be688a3dec72a70},
    {CodecId::rowq4, 0x9bfb98aa6c43af3a, 0xca14b6ab4142f8ee},
    {CodecId::rowq5, 0xea6a986abc40153c, 0xc8ab702531d0de3c},
    {CodecId::rowq6, 0x37a13956b98d52d1, 0xd4bab69b75800fad},
    {CodecId::rowq8, 0xd854560aee820842, 0x8f7a893895ece192},
    {CodecId::chanq2_5, 0xdf1eb5e173d650fc, 0x895b249cce92cb05},
    {CodecId::chanq3, 0xfd4c5da024fc4d97, 0xc27fb69790592ed8},
    {CodecId::chanq3_5, 0x6265075ba3f4c0ef, 0x16b57c20f7999b9b},
    {CodecId::chanq4, 0x50126bfecc6f8a89, 0x456223cbc9bc33e9},
    {CodecId::chanq4_5, 0x40bbf05f50a36600, 0x0069cf94de6efcc1},
    {CodecId::chanq5, 0xc7a0d927e9a6088c, 0x9d1596973d6e595a},
    {CodecId::chanq7, 0xe74e3a3da9478bb6, 0x294a1da93fc5fbe1},
};

uint64_t decoded_from_foreign_bytes(CodecId id, const PageShape& shape) {
  const auto tables = equal_widths(shape);
  const ChanTable* table = is_chanq(id) ? tables->data() : nullptr;
  std::vector<std::byte> stored(encoded_bytes(id, shape, table));
  uint32_t state = 54321;
  for (std::byte& byte : stored) {
    state = state * 1664525 + 1013904223;
    byte = std::byte(state >> 24);
  }
  std::vector<uint16_t> page(shape.values());
  decode(id, shape, stored,
         {reinterpret_cast<std::byte*>(page.data()), ptrdiff_t{2} * shape.head_dim, 2}, table);
  return checksum_of(page.data(), 2 * page.size());
}

TEST(Pinned, WhatIsDecodedFromForeignBytes) {
  for (const Foreign& pin : foreign) {
    EXPECT_EQ(decoded_from_foreign_bytes(pin.id, f16_64), pin.f16) << name(pin.id);
    EXPECT_EQ(decoded_from_foreign_bytes(pin.id, b16_80), pin.bf16) << name(pin.id);
  }
}

TEST(Pinned, EveryCodecIsPinned) {
  for (int i = 0; i < 256; ++i) {
    const auto id = static_cast<CodecId>(i);
    if (encoded_bytes(id, f16_64) == 0) continue;
    EXPECT_NE(
        std::count_if(std::begin(pinned), std::end(pinned), [&](auto& p) { return p.id == id; }), 0)
        << name(id);
  }
}

}  // namespace
}  // namespace speckv::codec
