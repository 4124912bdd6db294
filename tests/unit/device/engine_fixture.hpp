// SPDX-License-Identifier: Apache-2.0
// engine_fixture.hpp - a back end with a host beside it, and segments: what the tests of every back
// end begin with.
#pragma once

#include <gtest/gtest.h>

#include <bit>
#include <random>

#include "backend.hpp"
#include "codec/segment.hpp"
#include "host.hpp"

namespace speckv::device::testing {

using codec::CodecId;

struct Shape {
  CodecId k = CodecId::rowq4, v = CodecId::rowq4, first = CodecId::q8;
  uint32_t heads = 2, pages = 2;
  uint32_t tokens = 32, head_dim = 64;
  bool bf16 = false;
};

inline speckv_layout words_of(const Shape& shape) {
  speckv_layout words{};
  words.size = sizeof(words);
  words.dtype = shape.bf16 ? SPECKV_DTYPE_BF16 : SPECKV_DTYPE_F16;
  words.layers = 1;
  words.kv_heads = shape.heads;
  words.head_dim = shape.head_dim;
  words.page_tokens = shape.tokens;
  words.block_tokens = shape.pages * shape.tokens;
  return words;
}

// The back end that this program tests: golden_main.cpp or rtl_test.cpp says which.
std::unique_ptr<Backend> make_backend();
// Whether it takes work step by step, one descriptor or less at a time, or simulates time.
bool is_stepwise();

class EngineTest : public ::testing::Test {
 protected:
  EngineTest() : backend_(make_backend()) {
    host_.read = [this](uint32_t offset) { return backend_->read(offset); };
    host_.write = [this](uint32_t offset, uint32_t value) { backend_->write(offset, value); };
    EXPECT_EQ(map_.add(Host::bus_base, Host::bytes, host_.file(), 0, true, true), 0);
    host_.set_up();
  }

  void set_layout(const Shape& shape, uint32_t slot = 0) {
    const uint32_t at = slot * SPECKV_REG_LAYOUTS_STRIDE;
    const auto log2_tokens = uint32_t(std::countr_zero(shape.tokens)) - 4;
    host_.write(SPECKV_REG_LAYOUTS_SHAPE + at,
                SPECKV_REG_LAYOUTS_SHAPE_VALID_MASK | log2_tokens |
                    (shape.head_dim / 64 - 1) << SPECKV_REG_LAYOUTS_SHAPE_BLOCKS_SHIFT |
                    uint32_t(shape.bf16) << SPECKV_REG_LAYOUTS_SHAPE_BF16_SHIFT |
                    shape.heads << SPECKV_REG_LAYOUTS_SHAPE_HEADS_SHIFT |
                    shape.pages << SPECKV_REG_LAYOUTS_SHAPE_PAGES_SHIFT);
    host_.write(SPECKV_REG_LAYOUTS_CODECS + at,
                uint32_t(shape.k) | uint32_t(shape.v) << SPECKV_REG_LAYOUTS_CODECS_V_SHIFT |
                    uint32_t(shape.first) << SPECKV_REG_LAYOUTS_CODECS_FIRST_SHIFT);
  }

  // Values of one octave, so that no codec refuses them.
  std::vector<std::byte> raw_values(const Shape& shape, uint32_t seed) {
    const size_t count = 2ull * shape.heads * shape.pages * shape.tokens * shape.head_dim;
    std::vector<std::byte> raw(2 * count);
    std::mt19937 random(seed);
    for (size_t i = 0; i < count; ++i) {
      const auto bits =
          uint16_t(shape.bf16 ? (random() & 0x807f) | 0x3f00 : (random() & 0x83ff) | 0x3800);
      std::memcpy(raw.data() + 2 * i, &bits, 2);
    }
    return raw;
  }

  speckv_engine_descriptor descriptor(const Shape& shape, bool encode, bool first) {
    speckv_engine_descriptor asked{};
    asked.opcode = encode ? SPECKV_ENGINE_ENCODE : SPECKV_ENGINE_DECODE;
    asked.flags = first ? SPECKV_ENGINE_FIRST : 0;
    asked.source_extent = asked.target_extent = Host::extent_data;
    asked.source_offset = encode ? 0 : 3 << 20;
    asked.target_offset = encode ? 3 << 20 : 5 << 20;
    asked.cookie = 0x1234'5678'9abc'def0;
    asked.bytes =
        uint32_t(codec::segment_bytes(words_of(shape), {shape.k, shape.v, shape.first}, first));
    return asked;
  }

  void settle() {
    while (backend_->work(map_)) {
    }
  }
  bool encodes(CodecId id) { return (host_.read(SPECKV_REG_ENCODERS) >> uint32_t(id) & 1) != 0; }

  speckv_engine_completion run(const speckv_engine_descriptor& asked) {
    host_.submit(asked);
    settle();
    const auto told = host_.poll();
    EXPECT_TRUE(told) << "no completion";
    return told.value_or(speckv_engine_completion{});
  }

  uint8_t status(speckv_engine_descriptor asked) { return run(asked).status; }

  Host host_;
  DmaMap map_;
  std::unique_ptr<Backend> backend_;
};

}  // namespace speckv::device::testing
