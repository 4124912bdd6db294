// SPDX-License-Identifier: Apache-2.0
// Proves what speckvd measures of K: the last page of every head, no first page of a sequence, no
// page of zeros or NaN; enough after 512 tokens, told to one thread alone however many add.
#include "widths/key_reach.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <thread>

#include "codec/chan_residual.hpp"
#include "shm/layout_math.hpp"

namespace speckv {
namespace {

speckv_layout layout_of(uint32_t pages) {
  speckv_layout layout{};
  layout.size = sizeof layout;
  layout.dtype = SPECKV_DTYPE_F16;
  layout.layers = 2;
  layout.kv_heads = 3;
  layout.head_dim = 32;
  layout.page_tokens = 32;
  layout.block_tokens = 32 * pages;
  layout.rope = SPECKV_ROPE_HALF;
  layout.rope_theta[0] = 10000;
  return layout;
}

struct Measured {
  explicit Measured(uint32_t pages) : layout(layout_of(pages)) {
    std::string why;
    tables = codec::ChanTables::make(layout, nullptr, &why);
    reach = std::make_unique<KeyReach>(layout, *tables);
  }
  // Values of page `page` of every block of K say so by their size; the last one has `scale`.
  std::vector<std::byte> block(float scale) const {
    std::vector<_Float16> values(shm::raw_block_bytes(layout) / 2);
    for (size_t i = 0; i < values.size(); i++) {
      const size_t token = i / layout.head_dim % layout.block_tokens;
      const bool last = token / layout.page_tokens + 1 == layout.block_tokens / layout.page_tokens;
      const float unit = float(mix64(i) >> 40) / float(1 << 23) - 1;
      values[i] = _Float16(unit * (last ? scale : 100));
    }
    std::vector<std::byte> bytes(values.size() * 2);
    std::memcpy(bytes.data(), values.data(), bytes.size());
    return bytes;
  }
  speckv_layout layout;
  std::unique_ptr<codec::ChanTables> tables;
  std::unique_ptr<KeyReach> reach;
};

TEST(KeyReach, IsThatOfTheLastPages) {
  Measured m(2);
  for (int i = 0; i < 15; i++) ASSERT_FALSE(m.reach->add(m.block(1), i == 0));
  ASSERT_TRUE(m.reach->add(m.block(1), false));
  EXPECT_FALSE(m.reach->wanted());
  EXPECT_FALSE(m.reach->add(m.block(1), false));
  const codec::ChanWeights weights = m.reach->weights();
  ASSERT_EQ(weights.weight.size(), 2u * 3 * 16);
  const auto bytes = m.block(1);
  for (uint32_t layer = 0; layer < 2; layer++)
    for (uint32_t head = 0; head < 3; head++) {
      double sums[16] = {};
      const std::byte* page =
          bytes.data() + layer * shm::raw_segment_bytes(m.layout) + (head * 64 + 32) * 32 * 2;
      ASSERT_TRUE(codec::add_chan_residual(m.tables->at(layer, head), SPECKV_DTYPE_F16,
                                           {page, 64, 2}, sums));
      for (size_t pair = 0; pair < 16; pair++)
        EXPECT_NEAR(weights.weight[(layer * 3 + head) * 16 + pair],
                    codec::chan_weight(16 * sums[pair]), 1);
    }
}

TEST(KeyReach, DoesNotCountWhatSaysNothing) {
  Measured m(1);
  for (int i = 0; i < 40; i++) {
    EXPECT_FALSE(m.reach->add(m.block(1), true));   // a sequence's first page
    EXPECT_FALSE(m.reach->add(m.block(0), false));  // zeros
    std::vector<std::byte> nan(m.block(1).size(), std::byte{0x7f});
    EXPECT_FALSE(m.reach->add(nan, false));
  }
  for (int i = 0; i < 15; i++) EXPECT_FALSE(m.reach->add(m.block(1), false));
  EXPECT_TRUE(m.reach->add(m.block(1), false));
}

TEST(KeyReach, LeavesNoPairWithoutBits) {
  Measured m(1);
  auto block = m.block(1);
  for (size_t token = 0; token < 2 * 2 * 3 * 32; token++)  // the pair (0, 16) never moves
    for (size_t channel : {0, 16}) std::memset(&block[(token * 32 + channel) * 2], 0, 2);
  for (int i = 0; i < 16; i++) m.reach->add(block, false);
  ASSERT_FALSE(m.reach->wanted());
  const codec::ChanWeights weights = m.reach->weights();
  EXPECT_NE(weights.weight[0], codec::chan_weight_dead);
  std::string why;
  const auto tables = codec::ChanTables::make(m.layout, &weights, &why);
  ASSERT_TRUE(tables) << why;
  EXPECT_EQ(tables->at(0, 0).widths[0][0], 1);
}

TEST(KeyReach, IsNotHeldUpByAHeadThatNeverMoves) {
  Measured m(1);
  auto block = m.block(1);
  std::memset(block.data(), 0, size_t{32} * 32 * 2);  // K of layer 0, head 0
  for (int i = 0; i < 15; i++) EXPECT_FALSE(m.reach->add(block, false));
  EXPECT_TRUE(m.reach->add(block, false));
  std::string why;
  const codec::ChanWeights weights = m.reach->weights();
  EXPECT_TRUE(codec::ChanTables::make(m.layout, &weights, &why)) << why;
}

TEST(KeyReach, IsToldToOneThread) {
  for (int round = 0; round < 20; round++) {
    Measured m(1);
    const auto block = m.block(1);
    std::atomic<int> told{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; t++)
      threads.emplace_back([&] {
        while (m.reach->wanted())
          if (m.reach->add(block, false)) told++;
      });
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(told, 1);
    EXPECT_EQ(m.reach->weights().weight.size(), 96u);
  }
}

}  // namespace
}  // namespace speckv
