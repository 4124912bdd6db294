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
    {CodecId::rowq3, f16_64, 0xa6eb6e658d78f935, 0x10cbf93cab7c67b8},
    {CodecId::rowq3, b16_80, 0x1c896a90013f7c08, 0x0154a2b854b06caa},
    {CodecId::rowq3, f16_256, 0xcb03459edb8c65fb, 0xd0d58e5b43a81cc1},
    {CodecId::rowq4, f16_64, 0x7995eddec290a683, 0x5300f7451a931e16},
    {CodecId::rowq4, b16_80, 0x7855273f60377d8e, 0x2019b258aeb2d67b},
    {CodecId::rowq4, f16_256, 0xd1a017c4a2617a1d, 0xfb1f72acda9ca74e},
    {CodecId::rowq5, f16_64, 0xece480d2223dd440, 0x599ee82f2b683a59},
    {CodecId::rowq5, b16_80, 0xfd19d086044e99b4, 0x0e09fed4dee65eb0},
    {CodecId::rowq5, f16_256, 0x9ae812d5c660f6d2, 0x67e2d3eb46a343b5},
    {CodecId::rowq6, f16_64, 0xfd3cef098b5166b5, 0x661f7ccfe2e82372},
    {CodecId::rowq6, b16_80, 0x8e0fee89f1f1ce9f, 0x1c055afae69a7c9e},
    {CodecId::rowq6, f16_256, 0x35d3775ad2c683d9, 0xa9a8eddce3154607},
    {CodecId::rowq8, f16_64, 0x0491d9b271820b17, 0xbb1a15d49597ba1b},
    {CodecId::rowq8, b16_80, 0xc73e9176d62ebfed, 0x36f9f48d570fe790},
    {CodecId::rowq8, f16_256, 0x0f4f8f52c00dd75e, 0xb9e91efe1a5ef19c},
    {CodecId::xpack, f16_64, 0x6fae75009c5af5dd, 0x7ab6d5e986725260},
    {CodecId::xpack, b16_80, 0x2f9b5e7766665e10, 0x4f741fcc650c377a},
    {CodecId::xpack, f16_256, 0x032f8750604da31a, 0xf4de52a3fb59e66e},
    {CodecId::chanq2_5, f16_64, 0xa6514da2c84fd8da, 0x5a2e658ab1a9480d},
    {CodecId::chanq2_5, b16_80, 0x09812a1b1e6e8cad, 0x2f021c6b61a7768a},
    {CodecId::chanq2_5, f16_256, 0x012885c0fe169901, 0x7a77873ce300b371},
    {CodecId::chanq3, f16_64, 0x3c1c5e0b7c49d07e, 0x565741cf770391cb},
    {CodecId::chanq3, b16_80, 0x51d01784692195db, 0x326cf3225f79a642},
    {CodecId::chanq3, f16_256, 0x82532cfb5af3a768, 0x3083b563caa2689c},
    {CodecId::chanq3_5, f16_64, 0x4deeb1593f04fcb5, 0x8b95275a378cb75e},
    {CodecId::chanq3_5, b16_80, 0xb0c2e5172ce779c3, 0xe2e5806af5d397e1},
    {CodecId::chanq3_5, f16_256, 0x9b024cd4b9d4af7b, 0x059df43335e70532},
    {CodecId::chanq4, f16_64, 0x9f03482036a9a1a7, 0xf71679d833c0bff1},
    {CodecId::chanq4, b16_80, 0x2ba3e59b470a9e04, 0xbda30b80e8f9194a},
    {CodecId::chanq4, f16_256, 0x52d7404dd7dce4e9, 0xa3234a3a1c17ccf6},
    {CodecId::chanq4_5, f16_64, 0xdf3dfbe76ee1994e, 0x0ff6251c8c1c6052},
    {CodecId::chanq4_5, b16_80, 0xaf67d8527fabe98e, 0x58fef3349b2594ce},
    {CodecId::chanq4_5, f16_256, 0x52049339ec29fb04, 0x33fa81d3c7bcd908},
    {CodecId::chanq5, f16_64, 0x8868f356b0003aff, 0xcc34d18d1aa41dbb},
    {CodecId::chanq5, b16_80, 0x13063f2d0c178f5b, 0x0bcd3a62745e310f},
    {CodecId::chanq5, f16_256, 0xa3ad748ccb635644, 0x8b607681c43006a2},
    {CodecId::chanq7, f16_64, 0x38d2a33519dc219e, 0xec6308be5c7f40c1},
    {CodecId::chanq7, b16_80, 0x5cd23cd17028fa26, 0xf5719d016a75fb5f},
    {CodecId::chanq7, f16_256, 0x9fb5d887b40f68fb, 0xa151cfd648661d2c},
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
    {CodecId::rowq3, 0x84c7e6219dc480c8, 0x38fea051e1ec45e5},
    {CodecId::rowq4, 0x0d0367a7d00fa77a, 0x6522364fe2339caf},
    {CodecId::rowq5, 0x63eee30f751642d9, 0x64aae5198f014906},
    {CodecId::rowq6, 0xf6fc3cfd39d9285d, 0x4c200e23446a60e6},
    {CodecId::rowq8, 0xd854560aee820842, 0x8f7a893895ece192},
    {CodecId::chanq2_5, 0x4fa8a7714429e3ea, 0x1500845980aa824c},
    {CodecId::chanq3, 0x8333323eb6bd0494, 0x82fe118611e64764},
    {CodecId::chanq3_5, 0x73eaace05e0fd1d9, 0xaefb2cc03936e411},
    {CodecId::chanq4, 0x593198cd078af330, 0xcc785ab16305f323},
    {CodecId::chanq4_5, 0xacce3a3118b35e18, 0xeaf552529b7c2360},
    {CodecId::chanq5, 0x0fb445a90b2bd344, 0x0fbe0ec515d700bf},
    {CodecId::chanq7, 0x66a40fc06c68f9e1, 0xe09072337cfb1f48},
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
