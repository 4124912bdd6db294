// SPDX-License-Identifier: Apache-2.0
// Proves the calibration table: what is written reads back; anything damaged is refused with a
// sentence; bits are shared as docs/codec.md says and never exceed a page; tables of another model
// or shape are refused.
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <iterator>
#include <numeric>
#include <random>

#include "codec/chanq.hpp"
#include "codec/segment.hpp"

namespace speckv::codec {
namespace {

speckv_layout make_layout() {
  speckv_layout layout{};
  layout.size = sizeof layout;
  layout.dtype = SPECKV_DTYPE_F16;
  layout.layers = 3;
  layout.kv_heads = 2;
  layout.head_dim = 64;
  layout.block_tokens = layout.page_tokens = 32;
  layout.rope = SPECKV_ROPE_HALF;
  layout.rope_theta[0] = 1e5F;
  layout.rope_theta[2] = 1e6F;
  layout.weights_digest[5] = 77;
  return layout;
}

ChanWeights make_weights(const speckv_layout& layout) {
  ChanWeights weights;
  std::memcpy(weights.weights_digest, layout.weights_digest, SPECKV_DIGEST_BYTES);
  weights.layers = uint16_t(layout.layers);
  weights.kv_heads = uint16_t(layout.kv_heads);
  weights.pairs = uint16_t(layout.head_dim / 2);
  std::mt19937 random(9);
  weights.weight.resize(size_t{layout.layers} * layout.kv_heads * weights.pairs);
  for (ChanWeight& weight : weights.weight) weight = ChanWeight(int(random() % 8192) - 4096);
  return weights;
}

TEST(ChanTable, FileReadsBack) {
  const ChanWeights weights = make_weights(make_layout());
  const auto file = write_chan_weights(weights);
  EXPECT_EQ(file.size(), 64 + 2 * weights.weight.size());
  ChanWeights back;
  std::string error;
  ASSERT_TRUE(parse_chan_weights(file, &back, &error)) << error;
  EXPECT_EQ(back.weight, weights.weight);
  EXPECT_EQ(back.layers, 3);
  EXPECT_EQ(std::memcmp(back.weights_digest, weights.weights_digest, SPECKV_DIGEST_BYTES), 0);
}

// A change of the format needs tables made anew.
TEST(ChanTable, TheCommittedTablesRead) {
  for (const char* name : {"smollm2-135m-f16.chan", "smollm2-135m-q4_0.chan"}) {
    std::ifstream in(std::string(SPECKV_TABLES_FOLDER "/") + name, std::ios::binary);
    const std::string file((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
    ChanWeights weights;
    std::string error;
    ASSERT_TRUE(parse_chan_weights(std::as_bytes(std::span(file)), &weights, &error))
        << name << ": " << error;
    EXPECT_EQ(weights.layers, 30) << name;
    EXPECT_EQ(weights.kv_heads, 3) << name;
    EXPECT_EQ(weights.pairs, 32) << name;
  }
}

TEST(ChanTable, EveryDamagedByteAndEveryShorterFileIsRefused) {
  const auto file = write_chan_weights(make_weights(make_layout()));
  for (size_t i = 0; i < file.size(); ++i) {
    auto bad = file;
    bad[i] ^= std::byte{1};
    ChanWeights back;
    std::string error;
    EXPECT_FALSE(parse_chan_weights(bad, &back, &error)) << "byte " << i;
    EXPECT_FALSE(error.empty());
    EXPECT_TRUE(back.weight.empty());
    EXPECT_FALSE(parse_chan_weights(std::span(file).first(i), &back, &error)) << i << " bytes";
  }
  auto longer = file;
  longer.push_back(std::byte{0});
  ChanWeights back;
  std::string error;
  EXPECT_FALSE(parse_chan_weights(longer, &back, &error));
}

TEST(ChanTable, EqualWidthsDifferByOneAndFillTheBudget) {
  for (const size_t pairs : {8u, 32u, 40u, 128u}) {
    for (size_t budget = 0; budget <= 8 * pairs; budget += 3) {
      std::vector<uint8_t> widths(pairs);
      share_bits({}, budget, widths);
      for (size_t i = 0; i < pairs; ++i) {
        ASSERT_EQ(widths[i], (i + 1) * budget / pairs - i * budget / pairs);
      }
      EXPECT_EQ(std::accumulate(widths.begin(), widths.end(), size_t{0}), budget);
    }
  }
}

TEST(ChanTable, BitsGoWhereTheWeightIs) {
  // One bit is worth 512: the pair that is 512 heavier gets one more, the dead pair none, the first
  // of equals is first.
  const ChanWeight weights[] = {0, 512, chan_weight_dead, 0, 1024};
  uint8_t widths[5];
  share_bits(weights, 7, widths);
  EXPECT_EQ(std::vector<uint8_t>(widths, widths + 5), (std::vector<uint8_t>{1, 2, 0, 1, 3}));
  share_bits(weights, 8, widths);
  EXPECT_EQ(std::vector<uint8_t>(widths, widths + 5), (std::vector<uint8_t>{2, 2, 0, 1, 3}));
  share_bits(weights, 2, widths);
  EXPECT_EQ(std::vector<uint8_t>(widths, widths + 5), (std::vector<uint8_t>{1, 1, 0, 0, 0}));
  share_bits(weights, 40, widths);  // more than four live pairs can take
  EXPECT_EQ(std::vector<uint8_t>(widths, widths + 5), (std::vector<uint8_t>{8, 8, 0, 8, 8}));
}

TEST(ChanTable, LayoutsGetTheirOwnWidthsAndTurns) {
  const speckv_layout layout = make_layout();
  const ChanWeights weights = make_weights(layout);
  std::string error;
  const auto tables = ChanTables::make(layout, &weights, &error);
  ASSERT_NE(tables, nullptr) << error;
  const ChanTable& first = tables->at(0, 0);
  EXPECT_EQ(first.rotation, tables->at(1, 1).rotation) << "theta 0 means layer 0's";
  EXPECT_NE(first.rotation, tables->at(2, 0).rotation) << "layer 2 has its own theta";
  EXPECT_NE(first.widths, tables->at(0, 1).widths);
  EXPECT_EQ(&tables->at(1, 1), tables->data() + 3);
  EXPECT_EQ(first.rotation->cosine(1, 0), 8852) << "cos 1 * 2^14";
  EXPECT_EQ(first.rotation->sine(1, 0), 13787);
  for (size_t codec = 0; codec < chanq_codecs; ++codec) {
    const auto id = CodecId(size_t(CodecId::chanq2_5) + codec);
    const auto& widths = first.widths[codec];
    EXPECT_EQ(std::accumulate(widths.begin(), widths.begin() + 32, size_t{0}),
              chanq_budget(id, 32, 64));
  }
}

TEST(ChanTable, OtherModelsAndShapesAreRefused) {
  const speckv_layout layout = make_layout();
  const ChanWeights weights = make_weights(layout);
  std::string error;
  speckv_layout other = layout;
  other.weights_digest[0] ^= 1;
  EXPECT_EQ(ChanTables::make(other, &weights, &error), nullptr);
  EXPECT_NE(error.find("digest"), std::string::npos) << error;
  other = layout;
  other.layers = 4;
  EXPECT_EQ(ChanTables::make(other, &weights, &error), nullptr);
  for (const uint32_t head_dim : {0u, 40u, 272u, 65536u + 64}) {
    other = layout;
    other.head_dim = head_dim;
    EXPECT_EQ(ChanTables::make(other, nullptr, &error), nullptr) << head_dim;
  }
  other = layout;
  other.rope_dims = 66;
  EXPECT_EQ(ChanTables::make(other, nullptr, &error), nullptr);

  const auto tables = ChanTables::make(layout, nullptr, &error);
  const PageShape wrong{16, 64, SPECKV_DTYPE_F16, Kind::k};
  EXPECT_EQ(encoded_bytes(CodecId::chanq4, wrong, tables->data()), 0u);
}

TEST(ChanTable, SegmentsUseTheTableOfTheirLayerAndHead) {
  const speckv_layout layout = make_layout();
  const ChanWeights weights = make_weights(layout);
  std::string error;
  const auto tables = ChanTables::make(layout, &weights, &error);
  Preset preset;
  ASSERT_TRUE(preset_for(layout, SPECKV_PRESET_COMPACT, &preset));
  std::vector<uint16_t> values(2 * 32 * 64);
  for (size_t i = 0; i < values.size(); ++i) values[i] = uint16_t(0x3000 + i * 2654435761u % 0xc00);
  const auto* base = reinterpret_cast<const std::byte*>(values.data());
  const ConstPlane plane{base, 128, 4096, 2};
  std::vector<std::byte> stored(segment_bytes(layout, preset, false));
  uint64_t checksum = 0;
  for (uint32_t layer = 0; layer < 3; ++layer) {
    ASSERT_EQ(encode_segment(layout, preset, layer, false, {plane, plane}, stored, &checksum,
                             tables->data()),
              Refusal::none);
    for (uint32_t head = 0; head < 2; ++head) {
      std::vector<std::byte> page(1024);
      const PageShape shape{32, 64, SPECKV_DTYPE_F16, Kind::k};
      ASSERT_EQ(
          encode(preset.k, shape, {base + head * 4096, 128, 2}, page, &tables->at(layer, head)),
          Refusal::none);
      EXPECT_EQ(std::memcmp(stored.data() + head * 1024, page.data(), 1024), 0);
    }
  }
}

}  // namespace
}  // namespace speckv::codec
