// SPDX-License-Identifier: Apache-2.0
// layout_room_test.cpp - layouts that no session names are forgotten, their room goes back to the
// namespace that had it, and what is half measured waits for a while.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>

#include "layout.hpp"

namespace speckv {
namespace {

constexpr uint64_t second_ns = 1'000'000'000;

speckv_layout numbered(uint64_t n, uint32_t preset = SPECKV_PRESET_EXACT) {
  speckv_layout layout{};
  layout.size = sizeof layout;
  layout.dtype = SPECKV_DTYPE_BF16;
  layout.layers = 1;
  layout.kv_heads = 1;
  layout.head_dim = 64;
  layout.block_tokens = layout.page_tokens = 16;
  layout.world = 1;
  layout.preset = preset;
  std::memcpy(layout.weights_digest, &n, sizeof n);
  return layout;
}

class Room : public ::testing::Test {
 protected:
  Room() {
    table_.limit({10, 1 << 20});
    table_.limit("one", {4, 1 << 20});
    table_.limit("two", {8, 1 << 20});
  }
  const Layout* add(uint64_t n, const char* space, uint32_t preset = SPECKV_PRESET_EXACT) {
    const auto layout = table_.add(numbered(n, preset), SPECKV_PRESET_EXACT, space);
    error_ = layout.ok() ? 0 : layout.status().error();
    if (layout.ok()) table_.retain(layout.value());
    return layout.ok() ? layout.value() : nullptr;
  }
  LayoutTable table_;
  int error_ = 0;
};

TEST_F(Room, OfOneNamespaceAndOfAll) {
  for (uint64_t n = 0; n < 4; n++) ASSERT_TRUE(add(n, "one"));
  EXPECT_FALSE(add(4, "one"));
  EXPECT_EQ(error_, EXFULL);
  for (uint64_t n = 0; n < 6; n++) ASSERT_TRUE(add(n, "two")) << n;
  EXPECT_FALSE(add(6, "two")) << "ten of all";
  EXPECT_EQ(table_.used("one").layouts, 4u);
  EXPECT_EQ(table_.used("two").layouts, 6u);
}

TEST_F(Room, GoesBackWithTheLastSession) {
  const Layout* layout = add(1, "one");
  EXPECT_EQ(add(1, "one"), layout) << "a second session";
  EXPECT_GT(table_.used("one").widths_bytes, 0u);
  table_.release(layout, 0);
  EXPECT_EQ(table_.size(), 1u);
  EXPECT_EQ(table_.find(numbered(1), SPECKV_PRESET_EXACT, "one"), layout);
  table_.release(layout, 0);
  EXPECT_EQ(table_.size(), 0u);
  EXPECT_EQ(table_.used("one").widths_bytes, 0u);
  EXPECT_EQ(table_.find(numbered(1), SPECKV_PRESET_EXACT, "one"), nullptr);
}

TEST_F(Room, PresetsShareTheirWidths) {
  const Layout* exact = add(1, "one");
  const uint64_t bytes = table_.used("one").widths_bytes;
  const Layout* q8 = add(1, "one", SPECKV_PRESET_Q8);
  ASSERT_NE(exact, q8);
  EXPECT_EQ(table_.used("one").widths_bytes, bytes);
  table_.release(exact, 0);
  EXPECT_EQ(table_.used("one").widths_bytes, bytes) << "the other one uses them";
  table_.release(q8, 0);
  EXPECT_EQ(table_.used("one").widths_bytes, 0u);
}

TEST_F(Room, HalfMeasuredWidthsWaitForAMinute) {
  const std::string folder = ::testing::TempDir() + "speckv_room_" + std::to_string(getpid());
  ASSERT_TRUE(table_.measure_in(folder).ok());
  const Layout* layout = add(1, "one");
  if (!layout->widths->reach()) GTEST_SKIP() << "a build without chanq";
  std::vector<std::byte> block(layout->block_bytes);
  for (size_t i = 0; i < block.size(); i++) block[i] = std::byte(i * 37 % 61);
  layout->widths->reach()->add(block, false);
  const LayoutWidths* widths = layout->widths;
  table_.release(layout, 5 * second_ns);
  EXPECT_GT(table_.used("one").widths_bytes, 0u);
  EXPECT_EQ(add(1, "one")->widths, widths) << "the next session goes on where it was";
  table_.release(table_.find(numbered(1), SPECKV_PRESET_EXACT, "one"), 10 * second_ns);
  table_.forget_idle(69 * second_ns);
  EXPECT_GT(table_.used("one").widths_bytes, 0u);
  table_.forget_idle(71 * second_ns);
  EXPECT_EQ(table_.used("one").widths_bytes, 0u);
  rmdir(folder.c_str());
}

}  // namespace
}  // namespace speckv
