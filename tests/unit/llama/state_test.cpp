// SPDX-License-Identifier: Apache-2.0
// Proves that the adapter finds each value of a llama.cpp state blob where llama.cpp put it, lays
// out blobs that are byte for byte llama.cpp's, and refuses every other blob with a sentence. How:
// a writer of the test's own makes blobs whose values name themselves (side, layer, token,
// channel); each view must read back exactly those.
#include "llama/state.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

namespace {

using speckv::llama::copy_tokens;
using speckv::llama::lay_out_state;
using speckv::llama::parse_state;
using speckv::llama::sort_state;
using speckv::llama::state_bytes;
using speckv::llama::state_tokens;
using speckv::llama::StateMap;
using speckv::llama::StateShape;

class Blob {
 public:
  template <typename T>
  void put(T value) {
    const auto* from = reinterpret_cast<const std::byte*>(&value);
    bytes.insert(bytes.end(), from, from + sizeof(T));
  }
  std::vector<std::byte> bytes;
};

uint16_t name_of(bool is_v, uint32_t layer, uint32_t token, uint32_t channel) {
  return uint16_t((is_v ? 0x8000 : 0) | (layer << 12) | (token << 7) | channel);
}

struct Spec {
  bool transposed = false;
  int32_t type = 1;
  uint32_t streams = 1, filled_stream = 0;
  uint32_t tokens = 5, layers = 3, kv_heads = 2, head_dim = 4;
  int32_t first = 7;
  int32_t v_type = 0;                // 0: as K
  bool mrope = false;                // two more positions a cell
  std::vector<uint32_t> order = {};  // the cells' tokens; empty: in order
  uint32_t token(uint32_t cell) const { return order.empty() ? cell : order[cell]; }
  uint32_t channels() const { return kv_heads * head_dim; }
};

void put_sides(Blob* blob, const Spec& spec, bool is_v) {
  for (uint32_t layer = 0; layer < spec.layers; ++layer) {
    blob->put<int32_t>(is_v && spec.v_type ? spec.v_type : spec.type);
    if (is_v && spec.transposed) {
      blob->put<uint32_t>(2);
      blob->put<uint32_t>(spec.channels());
      for (uint32_t c = 0; c < spec.channels(); ++c) {
        for (uint32_t t = 0; t < spec.tokens; ++t)
          blob->put(name_of(true, layer, spec.token(t), c));
      }
      continue;
    }
    blob->put<uint64_t>(spec.channels() * 2);
    for (uint32_t t = 0; t < spec.tokens; ++t) {
      for (uint32_t c = 0; c < spec.channels(); ++c)
        blob->put(name_of(is_v, layer, spec.token(t), c));
    }
  }
}

std::vector<std::byte> write_blob(const Spec& spec) {
  Blob blob;
  blob.put<uint32_t>(0xaf143cd8);
  blob.put<int32_t>(0);
  blob.put<uint32_t>(spec.streams);
  for (uint32_t stream = 0; stream < spec.streams; ++stream) {
    blob.put<uint32_t>(stream == spec.filled_stream ? spec.tokens : 0);
    if (stream != spec.filled_stream || spec.tokens == 0) continue;
    for (uint32_t t = 0; t < spec.tokens; ++t) {
      blob.put<int32_t>(spec.first + int32_t(spec.token(t)));
      blob.put<uint32_t>(1);
      if (spec.mrope) blob.put<int64_t>(int64_t(t) << 32 | t);
      blob.put<int32_t>(0);
    }
    blob.put<uint32_t>(spec.transposed);
    blob.put<uint32_t>(spec.layers);
    put_sides(&blob, spec, false);
    put_sides(&blob, spec, true);
  }
  return blob.bytes;
}

uint16_t value_at(const speckv_view& view, uint32_t token, uint32_t head, uint32_t channel) {
  const auto* at = static_cast<const std::byte*>(view.base) + token * view.token_stride +
                   head * view.head_stride + channel * view.channel_stride;
  uint16_t value;
  std::memcpy(&value, at, sizeof(value));
  return value;
}

void expect_views(const StateMap& map, const Spec& spec, uint32_t first) {
  std::vector<speckv_view> views(2 * spec.layers);
  map.views(first, views);
  for (uint32_t i = 0; i < 2 * spec.layers; ++i) {
    for (uint32_t t = first; t < spec.tokens; ++t) {
      for (uint32_t c = 0; c < spec.channels(); ++c) {
        ASSERT_EQ(value_at(views[i], t - first, c / spec.head_dim, c % spec.head_dim),
                  name_of(i % 2 == 1, i / 2, t, c))
            << "view " << i << " token " << t << " channel " << c;
      }
    }
  }
}

class StateTest : public testing::TestWithParam<bool> {
 protected:
  StateTest() { spec_.transposed = GetParam(); }
  bool parse(std::vector<std::byte>* blob) {
    return parse_state(*blob, spec_.kv_heads, &map_, &why_);
  }
  void expect_refused(std::vector<std::byte> blob, const std::string& word) {
    EXPECT_FALSE(parse(&blob));
    EXPECT_NE(why_.find(word), std::string::npos) << why_;
  }
  // Bytes before the layers' part.
  size_t head_bytes() const { return 16 + 12 * spec_.tokens; }
  Spec spec_;
  StateMap map_;
  std::string why_;
};

INSTANTIATE_TEST_SUITE_P(FlashAttention, StateTest, testing::Bool(),
                         [](const auto& variant) { return variant.param ? "off" : "on"; });

TEST_P(StateTest, EveryValueIsWhereTheViewSays) {
  auto blob = write_blob(spec_);
  ASSERT_TRUE(parse(&blob)) << why_;
  EXPECT_EQ(map_.tokens(), spec_.tokens);
  EXPECT_EQ(map_.first_position(), spec_.first);
  EXPECT_EQ(map_.shape().layers, spec_.layers);
  EXPECT_EQ(map_.shape().head_dim, spec_.head_dim);
  EXPECT_EQ(map_.shape().v_transposed, spec_.transposed);
  EXPECT_EQ(map_.shape().dtype, uint32_t(SPECKV_DTYPE_F16));
  for (uint32_t first = 0; first < spec_.tokens; ++first) expect_views(map_, spec_, first);
}

TEST_P(StateTest, Bf16AndOtherStreamsAreTaken) {
  spec_.type = 30;
  spec_.streams = 4;
  spec_.filled_stream = 2;
  auto blob = write_blob(spec_);
  ASSERT_TRUE(parse(&blob)) << why_;
  EXPECT_EQ(map_.shape().dtype, uint32_t(SPECKV_DTYPE_BF16));
  EXPECT_EQ(map_.shape().streams, 4u);
  expect_views(map_, spec_, 0);
}

TEST_P(StateTest, BytesAreTheBlobsSize) {
  for (uint32_t tokens : {1u, 2u, 17u}) {
    spec_.tokens = tokens;
    auto blob = write_blob(spec_);
    ASSERT_TRUE(parse(&blob)) << why_;
    EXPECT_EQ(state_bytes(map_.shape(), tokens), blob.size());
  }
}

TEST_P(StateTest, LaidOutBlobIsLlamaCppsByteForByte) {
  auto theirs = write_blob(spec_);
  ASSERT_TRUE(parse(&theirs)) << why_;
  std::vector<std::byte> ours(theirs.size());
  StateMap laid;
  ASSERT_TRUE(lay_out_state(map_.shape(), spec_.first, spec_.tokens, ours, &laid, &why_)) << why_;
  for (uint32_t layer = 0; layer < spec_.layers; ++layer) {
    for (uint32_t c = 0; c < spec_.channels(); ++c) {
      for (uint32_t t = 0; t < spec_.tokens; ++t) {
        for (bool is_v : {false, true}) {
          const speckv_view view = is_v ? laid.v(layer, t) : laid.k(layer, t);
          const uint16_t value = name_of(is_v, layer, t, c);
          std::memcpy(static_cast<std::byte*>(view.base) + (c / spec_.head_dim) * view.head_stride +
                          (c % spec_.head_dim) * view.channel_stride,
                      &value, sizeof(value));
        }
      }
    }
  }
  EXPECT_EQ(ours, theirs);
}

TEST_P(StateTest, EveryTruncationIsRefused) {
  const auto whole = write_blob(spec_);
  for (size_t bytes = 0; bytes < whole.size(); ++bytes) {
    // a heap block of exactly this size: AddressSanitizer sees one byte too far
    std::vector<std::byte> part(whole.begin(), whole.begin() + bytes);
    part.shrink_to_fit();
    EXPECT_FALSE(parse(&part)) << bytes;
    EXPECT_FALSE(why_.empty());
  }
}

TEST_P(StateTest, TrailingBytesAreRefused) {
  auto blob = write_blob(spec_);
  blob.resize(blob.size() + 8);  // what a later llama.cpp writes
  expect_refused(blob, "8 bytes after its end");
}

// As a model with sliding-window layers writes it: the second cache begins at its streams.
TEST_P(StateTest, SecondCacheIsRefusedBySayingSo) {
  std::vector<std::byte> blob = write_blob(spec_);
  const std::vector<std::byte> second = write_blob(spec_);
  blob.insert(blob.end(), second.begin() + 8, second.end());
  expect_refused(blob, "sliding-window");
}

TEST_P(StateTest, FieldsThatCannotBeAreRefused) {
  const auto good = write_blob(spec_);
  const auto with = [&](size_t at, uint32_t value) {
    auto blob = good;
    std::memcpy(blob.data() + at, &value, sizeof(value));
    return blob;
  };
  expect_refused(with(0, 0x12345678), "magic");
  expect_refused(with(8, 0), "0 streams");
  expect_refused(with(8, 1u << 31), "streams");
  expect_refused(with(12, 0xffffffff), "cells");
  expect_refused(with(12, 1u << 23), "table of its");
  expect_refused(with(16, 0xffffffff), "position -1");
  expect_refused(with(16 + 12, 3), "expected 8");
  expect_refused(with(20, 2), "sequences per cell");
  expect_refused(with(head_bytes(), 2), "transposition");
  expect_refused(with(head_bytes() + 4, 0), "0 layers");
  expect_refused(with(head_bytes() + 4, 100000), "100000 layers");
  expect_refused(with(head_bytes() + 8, 8), "neither f16 nor bf16");
  expect_refused(with(head_bytes() + 12, 18), "KV heads cannot share");
  expect_refused(with(head_bytes() + 16, 1), "KV heads cannot share");
  const size_t second = head_bytes() + 8 + 12 + spec_.tokens * spec_.channels() * 2;
  expect_refused(with(second, 30), "layers differ");
  expect_refused(with(second + 4, 32), "layers differ");
}

// Cells of a unified KV lie where there was room: every order comes out as the one of positions.
TEST_P(StateTest, CellsInAnyOrderAreSorted) {
  const auto sorted = write_blob(spec_);
  spec_.order = {0, 1, 2, 3, 4};
  while (std::next_permutation(spec_.order.begin(), spec_.order.end())) {
    auto blob = write_blob(spec_);
    ASSERT_FALSE(parse(&blob));
    ASSERT_TRUE(sort_state(blob, spec_.kv_heads, &map_, &why_)) << why_;
    ASSERT_EQ(blob, sorted);
    EXPECT_EQ(map_.first_position(), spec_.first);
    expect_views(map_, spec_, 0);
  }
}

TEST_P(StateTest, GapsAndDoublesAreNoOrder) {
  for (const std::vector<uint32_t>& order :
       {std::vector<uint32_t>{4, 0, 2, 1, 5}, {1, 0, 1, 2, 3}}) {
    spec_.order = order;
    auto blob = write_blob(spec_);
    const auto before = blob;
    EXPECT_FALSE(sort_state(blob, spec_.kv_heads, &map_, &why_));
    EXPECT_NE(why_.find("a gap or a double"), std::string::npos) << why_;
    EXPECT_EQ(blob, before);
  }
}

TEST_P(StateTest, TokensAreCountedWithoutTheRest) {
  auto blob = write_blob(spec_);
  uint32_t tokens = 0;
  ASSERT_TRUE(state_tokens(blob, &tokens, &why_)) << why_;
  EXPECT_EQ(tokens, spec_.tokens);
  blob.resize(20);
  EXPECT_FALSE(state_tokens(blob, &tokens, &why_));
}

TEST_P(StateTest, VOfAnotherTypeIsRefusedInItsOwnWords) {
  spec_.v_type = 8;
  expect_refused(write_blob(spec_), "keeps V as type 8 and K as type 1");
}

TEST_P(StateTest, CellsOfSeveralPositionsAreRefusedInTheirOwnWords) {
  spec_.mrope = true;
  for (uint32_t tokens : {1u, 2u, 5u}) {
    spec_.tokens = tokens;
    auto blob = write_blob(spec_);
    expect_refused(blob, "M-RoPE");
    EXPECT_FALSE(sort_state(blob, spec_.kv_heads, &map_, &why_));
    EXPECT_NE(why_.find("M-RoPE"), std::string::npos) << why_;
  }
}

TEST_P(StateTest, EmptySequenceHasNoTokens) {
  spec_.tokens = 0;
  auto blob = write_blob(spec_);
  ASSERT_TRUE(parse(&blob)) << why_;
  EXPECT_EQ(map_.tokens(), 0u);
  EXPECT_EQ(state_bytes(map_.shape(), 0), blob.size());
}

TEST_P(StateTest, CopiedTokensKeepTheirValues) {
  auto blob = write_blob(spec_);
  ASSERT_TRUE(parse(&blob)) << why_;
  for (bool transposed : {false, true}) {
    StateShape shape = map_.shape();
    shape.v_transposed = transposed;
    shape.streams = 3;
    std::vector<std::byte> other(state_bytes(shape, 8));
    StateMap copy;
    ASSERT_TRUE(lay_out_state(shape, 0, 8, other, &copy, &why_)) << why_;
    copy_tokens(map_, 1, copy, 2, 3);
    for (uint32_t c = 0; c < spec_.channels(); ++c) {
      for (uint32_t t = 0; t < 3; ++t) {
        const uint32_t head = c / spec_.head_dim, channel = c % spec_.head_dim;
        EXPECT_EQ(value_at(copy.k(1, 2), t, head, channel), name_of(false, 1, t + 1, c));
        EXPECT_EQ(value_at(copy.v(2, 2), t, head, channel), name_of(true, 2, t + 1, c));
      }
      EXPECT_EQ(value_at(copy.v(2, 0), 1, 0, 0), 0);
      EXPECT_EQ(value_at(copy.v(2, 0), 5, 0, 0), 0);
    }
  }
}

TEST(LayOutState, WrongRoomOrShapeIsRefused) {
  StateShape shape{.layers = 3, .kv_heads = 2, .head_dim = 4};
  StateMap map;
  std::string why;
  std::vector<std::byte> room(state_bytes(shape, 5) - 1);
  EXPECT_FALSE(lay_out_state(shape, 0, 5, room, &map, &why));
  EXPECT_NE(why.find("expected"), std::string::npos) << why;
  room.resize(room.size() + 1);
  EXPECT_TRUE(lay_out_state(shape, 0, 5, room, &map, &why)) << why;
  EXPECT_FALSE(lay_out_state(shape, -1, 5, room, &map, &why));
  EXPECT_FALSE(lay_out_state(shape, 0, 0, room, &map, &why));
  shape.dtype = SPECKV_DTYPE_F8;
  EXPECT_FALSE(lay_out_state(shape, 0, 5, room, &map, &why));
}

}  // namespace
