// SPDX-License-Identifier: Apache-2.0
// engine_test.cpp - the golden back end as a driver meets it: segments both ways, every refusal,
// rings, extents, resets. What it stores is compared with the codec room's own segments.
#include <gtest/gtest.h>

#include <random>

#include "backend.hpp"
#include "codec/segment.hpp"
#include "host.hpp"

namespace speckv::device {
namespace {

using codec::CodecId;
using testing::Host;

struct Shape {
  CodecId k = CodecId::rowq4, v = CodecId::rowq4, first = CodecId::q8;
  uint32_t heads = 2, pages = 2;
  uint32_t tokens = 32, head_dim = 64;
  bool bf16 = false;
};

class Engine : public ::testing::Test {
 protected:
  Engine() : backend_(make_golden_backend()) {
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

  static speckv_layout words_of(const Shape& shape) {
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

  speckv_engine_completion run(const speckv_engine_descriptor& asked) {
    host_.submit(asked);
    while (backend_->work(map_)) {
    }
    const auto told = host_.poll();
    EXPECT_TRUE(told) << "no completion";
    return told.value_or(speckv_engine_completion{});
  }

  uint8_t status(speckv_engine_descriptor asked) { return run(asked).status; }

  Host host_;
  DmaMap map_;
  std::unique_ptr<Backend> backend_;
};

void expect_round_trip(Host& host, const std::vector<std::byte>& stored,
                       const std::vector<std::byte>& decoded) {
  const auto in_memory = host.at(Host::data + (3 << 20), stored.size());
  EXPECT_TRUE(std::ranges::equal(in_memory, stored)) << "other bytes than the codec room's";
  const auto back = host.at(Host::data + (5 << 20), decoded.size());
  EXPECT_TRUE(std::ranges::equal(back, decoded)) << "other values than the codec room's";
}

TEST_F(Engine, SegmentsBothWays) {
  uint32_t seed = 0;
  for (const CodecId id : {CodecId::raw, CodecId::q8, CodecId::rowq3, CodecId::rowq8,
                           CodecId::xpack, CodecId::q8sink}) {
    for (const bool bf16 : {false, true}) {
      const Shape shape{.k = id, .v = CodecId::rowq5, .first = CodecId::q8, .bf16 = bf16};
      const bool first = ++seed % 2 == 0;
      set_layout(shape);
      const speckv_layout words = words_of(shape);
      const codec::Preset preset{shape.k, shape.v, shape.first};
      const std::vector<std::byte> raw = raw_values(shape, seed);
      std::ranges::copy(raw, host_.at(Host::data, raw.size()).begin());
      const ptrdiff_t token = 128, head = token * words.block_tokens;
      const std::byte* v = raw.data() + raw.size() / 2;
      std::vector<std::byte> stored(codec::segment_bytes(words, preset, first));
      uint64_t checksum;
      ASSERT_EQ(codec::encode_segment(words, preset, 0, first,
                                      {{raw.data(), token, head, 2}, {v, token, head, 2}}, stored,
                                      &checksum),
                codec::Refusal::none);
      const auto told = run(descriptor(shape, true, first));
      EXPECT_EQ(told.status, SPECKV_ENGINE_OK);
      EXPECT_EQ(told.checksum, checksum);
      EXPECT_EQ(told.bytes, stored.size());
      EXPECT_EQ(told.cookie, 0x1234'5678'9abc'def0u);
      std::vector<std::byte> decoded(raw.size());
      std::byte* out = decoded.data() + raw.size() / 2;
      codec::decode_segment(words, preset, 0, first, stored,
                            {{decoded.data(), token, head, 2}, {out, token, head, 2}}, false);
      const auto back = run(descriptor(shape, false, first));
      EXPECT_EQ(back.status, SPECKV_ENGINE_OK);
      EXPECT_EQ(back.checksum, checksum);
      EXPECT_EQ(back.bytes, raw.size());
      expect_round_trip(host_, stored, decoded);
    }
  }
}

TEST_F(Engine, EveryRefusalHasItsStatus) {
  const Shape shape;
  set_layout(shape);
  set_layout({.k = CodecId::chanq4}, 1);
  const auto good = descriptor(shape, true, false);
  EXPECT_EQ(status(good), SPECKV_ENGINE_OK);
  auto bad = good;
  bad.opcode = 9;
  EXPECT_EQ(status(bad), SPECKV_ENGINE_BAD_OPCODE);
  bad = good, bad.flags = 2;
  EXPECT_EQ(status(bad), SPECKV_ENGINE_RESERVED);
  bad = good, bad.reserved_40[2] = 1;
  EXPECT_EQ(status(bad), SPECKV_ENGINE_RESERVED);
  bad = {}, bad.bytes = 32;
  EXPECT_EQ(status(bad), SPECKV_ENGINE_RESERVED) << "NOP moves nothing";
  bad = good, bad.layout = SPECKV_REG_LAYOUTS_COUNT;
  EXPECT_EQ(status(bad), SPECKV_ENGINE_BAD_LAYOUT);
  bad = good, bad.layout = 2;
  EXPECT_EQ(status(bad), SPECKV_ENGINE_BAD_LAYOUT) << "a slot that nobody filled";
  bad = good, bad.layout = 1;
  EXPECT_EQ(status(bad), SPECKV_ENGINE_UNSUPPORTED);
  bad = good, bad.bytes += 32;
  EXPECT_EQ(status(bad), SPECKV_ENGINE_BAD_LENGTH);
  bad = good, bad.source_offset = 32;
  EXPECT_EQ(status(bad), SPECKV_ENGINE_SOURCE);
  bad = good, bad.source_offset = Host::bytes - Host::data - 64;
  EXPECT_EQ(status(bad), SPECKV_ENGINE_SOURCE) << "one byte beyond its extent";
  bad = good, bad.source_offset = ~63ull;
  EXPECT_EQ(status(bad), SPECKV_ENGINE_SOURCE);
  bad = good, bad.source_extent = 77;
  EXPECT_EQ(status(bad), SPECKV_ENGINE_SOURCE);
  bad = good, bad.target_extent = Host::extent_read_only;
  EXPECT_EQ(status(bad), SPECKV_ENGINE_TARGET);
  EXPECT_EQ(host_.read(SPECKV_REG_ERROR) >> 16, 13u);
  EXPECT_EQ(host_.read(SPECKV_REG_ERROR) & 0xff, uint32_t(SPECKV_ENGINE_BAD_OPCODE));
  EXPECT_EQ(host_.read(SPECKV_REG_ERROR_COOKIE), uint32_t(good.cookie));
  EXPECT_EQ(status(good), SPECKV_ENGINE_OK) << "the next good one works";
}

TEST_F(Engine, MemoryThatNobodyLentIsABusError) {
  const Shape shape;
  set_layout(shape);
  host_.set_extent(3, Host::bytes + (1 << 20), 1 << 20, true);
  auto asked = descriptor(shape, true, false);
  asked.source_extent = 3;
  asked.source_offset = 0;
  EXPECT_EQ(status(asked), SPECKV_ENGINE_READ_ERROR);
  asked = descriptor(shape, true, false);
  asked.target_extent = 3;
  asked.target_offset = 0;
  EXPECT_EQ(status(asked), SPECKV_ENGINE_WRITE_ERROR);
}

TEST_F(Engine, ARefusedPageIsNamed) {
  const Shape shape;
  set_layout(shape);
  std::vector<std::byte> raw = raw_values(shape, 1);
  const uint16_t infinity = 0x7c00;
  const size_t page_bytes = 2 * shape.tokens * shape.head_dim;
  std::memcpy(raw.data() + 5 * page_bytes + 10, &infinity, 2);
  std::ranges::copy(raw, host_.at(Host::data, raw.size()).begin());
  const auto told = run(descriptor(shape, true, false));
  EXPECT_EQ(told.status, SPECKV_ENGINE_REFUSED);
  EXPECT_EQ(told.refusal, uint8_t(codec::Refusal::not_finite));
  EXPECT_EQ(told.page, 5);
  EXPECT_EQ(told.bytes, 0u);
}

TEST_F(Engine, RingsWrapAndKeepTheirPhase) {
  speckv_engine_descriptor nop{};
  for (uint64_t i = 0; i < 100; ++i) {
    nop.cookie = i;
    const auto told = run(nop);
    ASSERT_EQ(told.cookie, i);
    ASSERT_EQ(told.sq_head, uint16_t(i + 1));
  }
}

TEST_F(Engine, ADescriptorWaitsUntilItsCompletionHasASlot) {
  speckv_engine_descriptor nop{};
  for (int i = 0; i < 8; ++i) host_.submit(nop);
  while (backend_->work(map_)) {
  }
  host_.submit(nop);
  EXPECT_FALSE(backend_->work(map_)) << "the completion ring is full";
  EXPECT_EQ(host_.read(SPECKV_REG_QUEUES_SQ_HEAD), 8u);
  EXPECT_TRUE(host_.poll());
  EXPECT_TRUE(backend_->work(map_));
}

TEST_F(Engine, ADoorbellOutOfRangeCountsForNothing) {
  host_.write(SPECKV_REG_QUEUES_SQ_TAIL, 9);
  EXPECT_FALSE(backend_->work(map_));
  EXPECT_EQ(host_.read(SPECKV_REG_ERROR) & 0xff, uint32_t(SPECKV_ENGINE_RING));
  EXPECT_EQ(run({}).status, SPECKV_ENGINE_OK);
}

TEST_F(Engine, ARingOutsideItsExtentHaltsItsQueue) {
  host_.write(SPECKV_REG_QUEUES_SQ_OFFSET, 2 << 20);
  host_.submit({});
  while (backend_->work(map_)) {
  }
  EXPECT_EQ(host_.read(SPECKV_REG_ERROR) & 0xff, uint32_t(SPECKV_ENGINE_RING));
  host_.write(SPECKV_REG_QUEUES_SETUP, 0);
  host_.set_up();
  EXPECT_EQ(run({}).status, SPECKV_ENGINE_OK);
}

TEST_F(Engine, AResetLeavesTablesAndForgetsQueues) {
  const Shape shape;
  set_layout(shape);
  host_.submit({});
  host_.write(SPECKV_REG_CONTROL, SPECKV_REG_CONTROL_RESET_MASK);
  EXPECT_FALSE(backend_->work(map_));
  EXPECT_EQ(host_.read(SPECKV_REG_QUEUES_SETUP), 0u);
  host_.set_up();
  EXPECT_EQ(status(descriptor(shape, true, false)), SPECKV_ENGINE_OK) << "the layout is kept";
  backend_->reset();
  EXPECT_EQ(host_.read(SPECKV_REG_LAYOUTS_SHAPE), 0u);
}

TEST_F(Engine, InterruptsAreModerated) {
  host_.write(SPECKV_REG_MODERATION, 4);
  for (int i = 0; i < 8; ++i) host_.submit({});
  int told = 0;
  while (backend_->work(map_))
    while (const auto vector = backend_->take_interrupt()) told += *vector == 5 ? 1 : 100;
  EXPECT_EQ(told, 2);
}

TEST_F(Engine, RandomRegisterWritesHurtNobody) {
  std::mt19937 random(7);
  for (int i = 0; i < 20'000; ++i) {
    host_.write(uint32_t(random() % 0x1000) & ~3u, uint32_t(random()));
    (void)backend_->work(map_);
    (void)backend_->take_interrupt();
  }
  backend_->reset();
  host_.set_up();
  EXPECT_EQ(run({}).status, SPECKV_ENGINE_OK);
}

}  // namespace
}  // namespace speckv::device
