// SPDX-License-Identifier: Apache-2.0
// engine_test.cpp - the golden back end as a driver meets it: segments both ways, every refusal,
// rings, extents, resets. What it stores is compared with the codec room's own segments.
#include <gtest/gtest.h>

#include <random>

#include "engine_fixture.hpp"

namespace speckv::device {
namespace {

using codec::CodecId;
using testing::Host;

using Engine = testing::EngineTest;
using testing::Shape;

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
    if (!encodes(id)) continue;
    for (const bool bf16 : {false, true}) {
      const Shape shape{.k = id, .v = CodecId::rowq5, .first = CodecId::q8, .bf16 = bf16};
      const bool first = ++seed % 2 == 0;
      set_layout(shape);
      const speckv_layout words = testing::words_of(shape);
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
  set_layout({.k = CodecId::paper}, 1);
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
  settle();
  host_.submit(nop);
  settle();
  EXPECT_EQ(host_.read(SPECKV_REG_QUEUES_SQ_HEAD), 8u) << "the completion ring is full";
  EXPECT_TRUE(host_.poll());
  settle();
  EXPECT_EQ(host_.read(SPECKV_REG_QUEUES_SQ_HEAD), 9u);
}

TEST_F(Engine, ADoorbellOutOfRangeCountsForNothing) {
  host_.write(SPECKV_REG_QUEUES_SQ_TAIL, 9);
  settle();
  EXPECT_EQ(host_.read(SPECKV_REG_QUEUES_SQ_HEAD), 0u);
  EXPECT_EQ(host_.read(SPECKV_REG_ERROR) & 0xff, uint32_t(SPECKV_ENGINE_RING));
  EXPECT_EQ(run({}).status, SPECKV_ENGINE_OK);
}

TEST_F(Engine, ARingOutsideItsExtentHaltsItsQueue) {
  host_.write(SPECKV_REG_QUEUES_SQ_OFFSET, 2 << 20);
  host_.submit({});
  settle();
  EXPECT_EQ(host_.read(SPECKV_REG_ERROR) & 0xff, uint32_t(SPECKV_ENGINE_RING));
  host_.write(SPECKV_REG_QUEUES_SETUP, 0);
  host_.set_up();
  EXPECT_EQ(run({}).status, SPECKV_ENGINE_OK);
}

TEST_F(Engine, AResetLeavesRegistersAndForgetsIndices) {
  const Shape shape;
  set_layout(shape);
  EXPECT_EQ(run({}).status, SPECKV_ENGINE_OK);
  host_.submit({});
  host_.write(SPECKV_REG_CONTROL, SPECKV_REG_CONTROL_RESET_MASK);
  settle();
  EXPECT_EQ(host_.read(SPECKV_REG_STATUS), SPECKV_REG_STATUS_IDLE_MASK);
  EXPECT_EQ(host_.read(SPECKV_REG_QUEUES_SQ_HEAD), 0u);
  EXPECT_EQ(host_.read(SPECKV_REG_QUEUES_CQ_TAIL), 0u);
  EXPECT_EQ(host_.read(SPECKV_REG_QUEUES_CQ_HEAD), 1u) << "what software wrote stays";
  host_.set_up();
  EXPECT_EQ(status(descriptor(shape, true, false)), SPECKV_ENGINE_OK) << "the layout is kept";
  backend_->reset();
  EXPECT_EQ(host_.read(SPECKV_REG_LAYOUTS_SHAPE), 0u);
}

TEST_F(Engine, InterruptsAreModerated) {
  host_.write(SPECKV_REG_MODERATION, 4);
  for (int i = 0; i < 8; ++i) host_.submit({});
  int told = 0;
  for (bool is_busy = true; is_busy;) {
    is_busy = backend_->work(map_);
    while (const auto vector = backend_->take_interrupt()) told += *vector == 5 ? 1 : 100;
  }
  EXPECT_EQ(told, 2);
}

TEST_F(Engine, WithoutALimitOfCyclesAFewCompletionsAreNotToldOf) {
  host_.write(SPECKV_REG_MODERATION, 4);
  EXPECT_EQ(run({}).status, SPECKV_ENGINE_OK);
  EXPECT_FALSE(backend_->take_interrupt());
  host_.write(SPECKV_REG_MODERATION, 4 | 100u << SPECKV_REG_MODERATION_CYCLES_SHIFT);
  settle();
  EXPECT_TRUE(backend_->take_interrupt());
}

TEST_F(Engine, RandomRegisterWritesHurtNobody) {
  std::mt19937 random(7);
  const int writes = testing::is_stepwise() ? 20'000 : 4'000;
  for (int i = 0; i < writes; ++i) {
    host_.write(uint32_t(random() % 0x1000) & ~3u, uint32_t(random()));
    if (!testing::is_stepwise() && i % 64 != 0) continue;
    (void)backend_->work(map_);
    (void)backend_->take_interrupt();
  }
  backend_->reset();
  host_.set_up();
  EXPECT_EQ(run({}).status, SPECKV_ENGINE_OK);
}

}  // namespace
}  // namespace speckv::device
