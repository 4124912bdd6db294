// SPDX-License-Identifier: Apache-2.0
// Proves that names, ids and presets agree, and that encoded sizes are what docs/codec.md states.
#include <gtest/gtest.h>

#include "codec/codec.hpp"
#include "codec/segment.hpp"

namespace speckv::codec {
namespace {

constexpr PageShape shape(uint16_t tokens, uint16_t head_dim, uint8_t dtype = SPECKV_DTYPE_F16) {
  return {tokens, head_dim, dtype, Kind::k};
}

TEST(Registry, NamesGoBothWays) {
  for (int i = 0; i < 256; ++i) {
    const auto id = static_cast<CodecId>(i);
    if (encoded_bytes(id, shape(32, 64)) == 0) continue;
    CodecId back{};
    ASSERT_TRUE(parse(name(id), &back)) << name(id);
    EXPECT_EQ(back, id);
  }
  CodecId untouched = CodecId::q8;
  EXPECT_FALSE(parse("q9", &untouched));
  EXPECT_FALSE(parse("", &untouched));
  EXPECT_EQ(untouched, CodecId::q8);
  EXPECT_EQ(name(static_cast<CodecId>(200)), "unknown");
}

TEST(Registry, PresetsThatExistNameCodecsThatExist) {
  Preset codecs;
  EXPECT_FALSE(preset(SPECKV_PRESET_DAEMON, &codecs));
  EXPECT_FALSE(preset(99, &codecs));
  for (uint32_t id = SPECKV_PRESET_EXACT; id <= SPECKV_PRESET_LOSSLESS; ++id) {
    uint32_t back = 0;
    EXPECT_EQ(parse_preset(preset_name(id), &back), preset(id, &codecs)) << preset_name(id);
    if (!preset(id, &codecs)) continue;
    EXPECT_EQ(back, id);
    for (const CodecId codec : {codecs.k, codecs.v, codecs.first})
      EXPECT_NE(encoded_bytes(codec, shape(32, 64)), 0u);
  }
}

TEST(Registry, Sizes) {
  EXPECT_EQ(encoded_bytes(CodecId::raw, shape(32, 64)), 4096u);
  EXPECT_EQ(encoded_bytes(CodecId::raw, shape(16, 5, SPECKV_DTYPE_F8)), 80u);
  EXPECT_EQ(encoded_bytes(CodecId::q8, shape(32, 64)), 2112u);
  EXPECT_EQ(encoded_bytes(CodecId::q8, shape(16, 5)), 32u + 96u);
  EXPECT_EQ(encoded_bytes(CodecId::q8, shape(32, 64, SPECKV_DTYPE_F8)), 0u);
  EXPECT_EQ(encoded_bytes(CodecId::q8, shape(24, 64)), 0u);
  EXPECT_EQ(encoded_bytes(CodecId::q8, shape(32, 0)), 0u);
  EXPECT_EQ(encoded_bytes(CodecId::q8, shape(32, 1025)), 0u);
  EXPECT_EQ(encoded_bytes(CodecId::q8, shape(32, 64, 9)), 0u);
  EXPECT_EQ(encoded_bytes(CodecId::xpack, shape(32, 64)), 3712u);
  EXPECT_EQ(encoded_bytes(CodecId::xpack, shape(32, 64, SPECKV_DTYPE_BF16)), 2944u);
  EXPECT_EQ(encoded_bytes(CodecId::xpack, shape(16, 64, SPECKV_DTYPE_BF16)), 1504u);
  EXPECT_EQ(encoded_bytes(CodecId::xpack, shape(64, 128, SPECKV_DTYPE_BF16)), 11712u);
  EXPECT_EQ(encoded_bytes(CodecId::xpack, shape(16, 16, SPECKV_DTYPE_BF16)), 384u);
  EXPECT_EQ(encoded_bytes(CodecId::xpack, shape(32, 40)), 0u);
  EXPECT_EQ(encoded_bytes(CodecId::xpack, shape(32, 272)), 0u);
  EXPECT_EQ(encoded_bytes(CodecId::xpack, shape(32, 64, SPECKV_DTYPE_F8)), 0u);
}

// The ratios that the presets promise, all side information included, at every head_dim and page
// length.
TEST(Registry, PresetRatiosAreExact) {
  const struct {
    uint32_t preset;
    size_t sixteenths;  // stored bits of K and V together, for 32 raw ones
  } promised[] = {{SPECKV_PRESET_NEAR_LOSSLESS, 248},
                  {SPECKV_PRESET_BALANCED, 160},
                  {SPECKV_PRESET_COMPACT, 128},
                  {SPECKV_PRESET_TIGHT, 104}};
  for (const auto& [id, sixteenths] : promised) {
    Preset codecs;
    ASSERT_TRUE(preset(id, &codecs));
    for (const uint16_t tokens : {16, 32, 64}) {
      for (const uint16_t head_dim : {64, 96, 128, 192, 256}) {
        const size_t stored = encoded_bytes(codecs.k, shape(tokens, head_dim)) +
                              encoded_bytes(codecs.v, shape(tokens, head_dim));
        EXPECT_EQ(stored * 8 * 16, sixteenths * tokens * head_dim)
            << preset_name(id) << " " << tokens << "x" << head_dim;
      }
    }
  }
  EXPECT_EQ(encoded_bytes(CodecId::chanq3_5, shape(32, 64)), 1024u);
  EXPECT_EQ(encoded_bytes(CodecId::rowq4, shape(32, 64)), 1024u);
  EXPECT_EQ(encoded_bytes(CodecId::chanq3_5, shape(32, 80)), 1280u);
  EXPECT_EQ(encoded_bytes(CodecId::rowq4, shape(32, 40)), 0u);
  EXPECT_EQ(encoded_bytes(CodecId::chanq4, shape(32, 272)), 0u);
}

TEST(Registry, ShortBuffersAreRefusedNotOverrun) {
  const PageShape page = shape(32, 64);
  std::vector<std::byte> values(page.raw_bytes()), out(2111);
  const ConstView view{values.data(), 128, 2};
  EXPECT_EQ(encode(CodecId::q8, page, view, out), Refusal::unsupported_shape);
  decode(CodecId::q8, page, out, View{values.data(), 128, 2});
  for (const std::byte byte : values) EXPECT_EQ(byte, std::byte{0});
}

TEST(Registry, IsaHasAName) { EXPECT_FALSE(isa().empty()); }

}  // namespace
}  // namespace speckv::codec
