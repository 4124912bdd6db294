// SPDX-License-Identifier: Apache-2.0
// Proves what near-lossless promises: whatever a page holds, a token that is stored comes back
// within 1/32 of its own largest value, and a page where it would not is refused as a whole
// segment.
//
// Loud tokens, channels with offsets, zeros, subnormals and widths of another model are tried over
// every head size and both 16-bit floats; each page that is let through is decoded and compared.
// The proofs must not be mere caution either: no page of a real model is refused, and few are
// decoded to find out.
#include "codec/token_bound.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <random>
#include <vector>

#include "codec/chan_table.hpp"
#include "codec/half.hpp"
#include "codec/segment.hpp"
#include "codec/simd_token_bound.hpp"
#include "targets.hpp"

namespace speckv::codec::testing {
namespace {

uint16_t half_of(double value, uint8_t dtype) {
  if (value == 0) return 0;
  int exponent;
  const double mantissa = std::frexp(value, &exponent);
  return round_to_half(int64_t(std::ldexp(mantissa, 40)), exponent - 40, is_bf16(dtype));
}

// A page of normal noise around channel offsets, with some tokens louder or softer.
struct Recipe {
  double offset = 0;           // of every eighth channel
  std::vector<double> gain{};  // of the first tokens; 1 for the others
  double scale = 1;
};
std::vector<uint16_t> make_page(const PageShape& shape, const Recipe& recipe,
                                std::mt19937& random) {
  std::normal_distribution<double> noise;
  std::vector<uint16_t> page(shape.values());
  for (size_t t = 0; t < shape.tokens; t++)
    for (size_t c = 0; c < shape.head_dim; c++) {
      const double gain = t < recipe.gain.size() ? recipe.gain[t] : 1;
      const double offset = c % 8 == 3 ? recipe.offset : 0;
      page[t * shape.head_dim + c] =
          half_of((noise(random) * gain + offset) * recipe.scale, shape.dtype);
    }
  return page;
}

struct Judged {
  bool kept, decoded;
  double error;
};
Judged judge(CodecId id, const PageShape& shape, const std::vector<uint16_t>& page,
             const ChanTable* table = nullptr) {
  const ConstView in{reinterpret_cast<const std::byte*>(page.data()), 2 * shape.head_dim, 2};
  std::vector<std::byte> made(encoded_bytes(id, shape, table));
  EXPECT_EQ(encode(id, shape, in, made, table), Refusal::none);
  Judged judged{};
  judged.kept = keeps_token_bound(id, shape, in, made, table, &judged.decoded);
  judged.error = token_error(id, shape, in, made, table);
  return judged;
}

constexpr CodecId shared[] = {CodecId::chanq7, CodecId::rowq8};
PageShape shape_of(CodecId id, uint16_t head_dim, uint8_t dtype, uint16_t tokens = 32) {
  return {tokens, head_dim, dtype, id == CodecId::rowq8 ? Kind::v : Kind::k};
}

TEST(TokenBound, WhatIsKeptIsWithinTheBoundWhateverThePageHolds) {
  std::mt19937 random(20);
  uint64_t kept = 0, refused = 0, decoded = 0;
  for (const CodecId id : shared)
    for (const uint8_t dtype : {SPECKV_DTYPE_F16, SPECKV_DTYPE_BF16})
      for (const uint16_t dim : {16, 32, 48, 64, 80, 96, 112, 128, 192, 256})
        for (const uint16_t tokens : {16, 32, 64})
          for (int i = 0; i < 24; i++) {
            Recipe recipe;
            recipe.offset = i % 3 == 0 ? 0 : std::exp2(random() % 10);
            recipe.scale = std::exp2(int(random() % 12) - 13);
            for (size_t t = 0; t < random() % 5; t++)
              recipe.gain.push_back(i % 5 == 4 && t == 0 ? 0 : std::exp2(int(random() % 14) - 7));
            const PageShape shape = shape_of(id, dim, dtype, tokens);
            if (!shares_between_tokens(id, shape)) continue;
            const Judged judged = judge(id, shape, make_page(shape, recipe, random));
            if (judged.kept) ASSERT_LE(judged.error, 1) << name(id) << ' ' << dim << ' ' << i;
            else EXPECT_GT(judged.error, 1) << "refused though every token kept the bound";
            (judged.kept ? kept : refused)++;
            decoded += judged.decoded;
          }
  EXPECT_GT(kept, 100u);
  EXPECT_GT(refused, 100u);
  std::cout << kept << " pages kept, " << refused << " refused; " << decoded << " decoded\n";
}

TEST(TokenBound, ALoudTokenIsRefusedAndEvenOnesAreNot) {
  std::mt19937 random(21);
  for (const CodecId id : shared)
    for (const uint16_t dim : {64, 128}) {
      const PageShape shape = shape_of(id, dim, SPECKV_DTYPE_F16);
      // rowq's rows of 128 values hold one token each, which no other can spoil.
      if (!shares_between_tokens(id, shape)) continue;
      EXPECT_TRUE(judge(id, shape, make_page(shape, {}, random)).kept);
      EXPECT_TRUE(judge(id, shape, make_page(shape, {100, {}, 1}, random)).kept);
      for (const double gain : {30.0, 100.0, 1000.0})
        EXPECT_FALSE(judge(id, shape, make_page(shape, {0, {1, gain}, 1}, random)).kept)
            << name(id) << ' ' << dim << ' ' << gain;
    }
}

// Widths of another model, which give channels that move no bit at all.
TEST(TokenBound, WidthsThatDoNotFitAreFoundOut) {
  std::mt19937 random(22);
  const PageShape shape = shape_of(CodecId::chanq7, 64, SPECKV_DTYPE_F16);
  speckv_layout layout{};
  layout.dtype = shape.dtype;
  layout.layers = layout.kv_heads = 1;
  layout.head_dim = shape.head_dim;
  layout.page_tokens = shape.tokens;
  ChanWeights weights;
  weights.layers = weights.kv_heads = 1;
  weights.pairs = 32;
  weights.weight.assign(32, chan_weight_dead);
  for (size_t pair = 0; pair < 28; pair++) weights.weight[pair] = 4000;
  std::string error;
  const auto tables = ChanTables::make(layout, &weights, &error);
  ASSERT_NE(tables, nullptr) << error;
  EXPECT_FALSE(judge(CodecId::chanq7, shape, make_page(shape, {}, random), &tables->at(0, 0)).kept);
}

TEST(TokenBound, EveryTargetFindsTheLargestValues) {
  std::mt19937 random(23);
  for (const uint8_t dtype : {SPECKV_DTYPE_F16, SPECKV_DTYPE_BF16})
    for (const uint16_t dim : {16, 80, 256}) {
      const PageShape shape = shape_of(CodecId::chanq7, dim, dtype, 64);
      const auto page = make_page(shape, {3, {100, 1e-3}, 1e-2}, random);
      const ConstView in{reinterpret_cast<const std::byte*>(page.data()), 2 * dim, 2};
      for_each_target([&](const std::string& target) {
        uint16_t top[64];
        simd::token_tops(shape, in, top);
        for (size_t t = 0; t < 64; t++) {
          uint16_t most = 0;
          for (size_t c = 0; c < dim; c++) most = std::max(most, magnitude(page[t * dim + c]));
          EXPECT_EQ(top[t], most) << target;
        }
      });
    }
}

// tests/vectors/smollm2-pages.bin: [layer][K|V][head][page] of 32 tokens and 64 channels; page 0
// of each head opens the text and is stored by q8sink.
TEST(TokenBound, NoPageOfARealModelIsRefusedAndFewAreDecoded) {
  std::ifstream file(SPECKV_PAGES_FILE, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  constexpr size_t pages = 7, page_values = 32 * 64;
  ASSERT_EQ(bytes.size() % (2 * page_values), 0u);
  uint64_t seen = 0, decoded = 0, of[2] = {};
  double worst = 0;
  for (size_t i = 0; i < bytes.size() / (2 * page_values); i++) {
    if (i % pages == 0) continue;
    const CodecId id = i / pages / 3 % 2 == 0 ? CodecId::chanq7 : CodecId::rowq8;
    std::vector<uint16_t> page(page_values);
    std::memcpy(page.data(), bytes.data() + 2 * i * page_values, 2 * page_values);
    const Judged judged = judge(id, shape_of(id, 64, SPECKV_DTYPE_F16), page);
    EXPECT_TRUE(judged.kept) << "page " << i << ' ' << name(id) << " error " << judged.error;
    seen++;
    decoded += judged.decoded;
    of[id == CodecId::rowq8] += judged.decoded;
    worst = std::max(worst, judged.error);
  }
  EXPECT_LE(decoded, seen / 20);
  std::cout << seen << " pages, " << decoded << " decoded to find out, " << of[0]
            << " of K; the worst token has " << worst << " of what the bound allows\n";
}

// The segment is what falls back: one bad page refuses it, and the same segment under q8 is kept.
TEST(TokenBound, ASegmentWithABadPageIsRefusedByNearLosslessAlone) {
  std::mt19937 random(24);
  speckv_layout layout{};
  layout.size = sizeof layout;
  layout.dtype = SPECKV_DTYPE_F16;
  layout.layers = 1;
  layout.kv_heads = 2;
  layout.head_dim = 64;
  layout.block_tokens = 64;
  layout.page_tokens = 32;
  const PageShape shape = shape_of(CodecId::chanq7, 64, SPECKV_DTYPE_F16);
  for (const bool loud : {false, true}) {
    std::vector<uint16_t> raw;
    for (size_t page = 0; page < 8; page++) {
      const Recipe recipe{0, loud && page == 3 ? std::vector<double>{30} : std::vector<double>{},
                          1};
      const auto values = make_page(shape, recipe, random);
      raw.insert(raw.end(), values.begin(), values.end());
    }
    const auto* base = reinterpret_cast<const std::byte*>(raw.data());
    const SegmentView in{{base, 128, 64 * 128, 2}, {base + raw.size(), 128, 64 * 128, 2}};
    for (const uint32_t id : {SPECKV_PRESET_NEAR_LOSSLESS, SPECKV_PRESET_Q8, SPECKV_PRESET_TIGHT}) {
      Preset preset;
      ASSERT_TRUE(preset_for(layout, id, &preset));
      std::vector<std::byte> out(segment_bytes(layout, preset, false));
      uint64_t sum;
      EXPECT_EQ(encode_segment(layout, preset, 0, false, in, out, &sum),
                loud && id == SPECKV_PRESET_NEAR_LOSSLESS ? Refusal::token_bound : Refusal::none)
          << preset_name(id);
    }
  }
}

}  // namespace
}  // namespace speckv::codec::testing
