// SPDX-License-Identifier: Apache-2.0
// Proves that the write station puts every value where the stored order wants it, for all strides,
// and writes nothing beside. How: value by value against the definition, with guard bytes around.
#include "src/copy.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <vector>

namespace speckv::lib {
namespace {

struct Case {
  uint32_t heads, tokens, channels, value_bytes;
  int64_t token_stride, head_stride, channel_stride;  // in values
};

void check(const Case& c, bool stream, unsigned seed) {
  speckv_layout layout{};
  layout.dtype = c.value_bytes == 1 ? SPECKV_DTYPE_F8 : SPECKV_DTYPE_F16;
  layout.kv_heads = c.heads, layout.block_tokens = c.tokens, layout.head_dim = c.channels;
  const auto value = int64_t(c.value_bytes);
  int64_t low = 0, high = 0;  // of offsets, in values
  const auto reach = [&](int64_t stride, uint32_t extent) {
    (stride < 0 ? low : high) += stride * (int64_t(extent) - 1);
  };
  reach(c.token_stride, c.tokens), reach(c.head_stride, c.heads),
      reach(c.channel_stride, c.channels);
  std::vector<uint8_t> source(size_t((high - low + 1) * value));
  std::mt19937 random(seed);
  for (uint8_t& byte : source) byte = uint8_t(random());
  uint8_t* base = source.data() - low * value;
  const size_t bytes = size_t{c.heads} * c.tokens * c.channels * c.value_bytes;
  std::vector<uint8_t> memory(bytes + 192, 0xaa);
  uint8_t* to = memory.data() + 64;
  to += (64 - reinterpret_cast<uintptr_t>(to) % 64) % 64;

  const speckv_view view{base, c.token_stride * value, c.head_stride * value,
                         c.channel_stride * value};
  copy_plane(reinterpret_cast<std::byte*>(to), view, layout, stream);
  copy_fence();
  size_t at = 0;
  for (int64_t head = 0; head < c.heads; head++)
    for (int64_t token = 0; token < c.tokens; token++)
      for (int64_t channel = 0; channel < c.channels; channel++, at += c.value_bytes) {
        const uint8_t* expected =
            base +
            (token * c.token_stride + head * c.head_stride + channel * c.channel_stride) * value;
        ASSERT_EQ(std::memcmp(to + at, expected, c.value_bytes), 0)
            << "head " << head << " token " << token << " channel " << channel << " seed " << seed;
      }
  for (const uint8_t* byte = memory.data(); byte < to; byte++) ASSERT_EQ(*byte, 0xaa);
  for (const uint8_t* byte = to + bytes; byte < memory.data() + memory.size(); byte++)
    ASSERT_EQ(*byte, 0xaa);
}

TEST(CopyPlane, EveryArrangement) {
  const unsigned seed = std::random_device{}();
  for (const uint32_t heads : {1u, 3u})
    for (const uint32_t tokens : {16u, 48u})
      for (const uint32_t channels : {1u, 5u, 8u, 24u, 64u, 100u})
        for (const uint32_t value_bytes : {1u, 2u}) {
          const auto h = int64_t(heads), t = int64_t(tokens), c = int64_t(channels);
          const Case cases[] = {
              {heads, tokens, channels, value_bytes, c, t * c, 1},            // as stored
              {heads, tokens, channels, value_bytes, h * c, c, 1},            // token by token
              {heads, tokens, channels, value_bytes, c, t * c + 7, 1},        // heads apart
              {heads, tokens, channels, value_bytes, 1, t * c, t},            // transposed
              {heads, tokens, channels, value_bytes, 1, t + 3, h * (t + 3)},  // and interleaved
              {heads, tokens, channels, value_bytes, -h * c * 3, c * 3, 3},   // backwards, gaps
              {heads, tokens, channels, value_bytes, c, -t * c, 1},           // heads backwards
          };
          for (const Case& one : cases)
            for (const bool stream : {false, true}) check(one, stream, seed);
        }
}

// Past the groups of heads, and squares of channels and tokens, in which it works.
TEST(CopyPlane, LargerThanOneGroupOrSquare) {
  const unsigned seed = std::random_device{}();
  for (const uint32_t tokens : {16u, 80u})
    for (const uint32_t channels : {128u, 136u, 268u}) {
      const auto t = int64_t(tokens), c = int64_t(channels);
      for (const bool stream : {false, true}) {
        check({37, tokens, channels, 2, 37 * c, c, 1}, stream, seed);
        check({2, tokens, channels, 2, 1, t * c, t}, stream, seed);
        check({2, tokens, channels, 2, 1, -t * c, t + 48}, stream, seed);
      }
    }
}

}  // namespace
}  // namespace speckv::lib
