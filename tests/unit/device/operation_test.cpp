// SPDX-License-Identifier: Apache-2.0
// operation_test.cpp - what the engine does beside segments of codecs without tables: LOAD and
// chanq, CHECKSUM, COPY, FILL, CANCEL; bus errors; the order in which things end.
#include <algorithm>

#include "table_fixture.hpp"

namespace speckv::device {
namespace {

using codec::CodecId;
using testing::checksum_of;
using testing::Host;
using testing::is_stepwise;
using testing::Shape;
using Operations = testing::TableTest;

TEST_F(Operations, WhatItCanDoIsTold) {
  const uint32_t decoders = host_.read(SPECKV_REG_DECODERS);
  EXPECT_EQ(decoders, 0x007f077du);
  EXPECT_EQ(host_.read(SPECKV_REG_ENCODERS) & ~decoders, 0u) << "what it stores it can read";
  if (is_stepwise()) {
    EXPECT_EQ(host_.read(SPECKV_REG_ENCODERS), decoders);
  }
  EXPECT_EQ(host_.read(SPECKV_REG_OPERATIONS), 0xffu);
  EXPECT_EQ(host_.read(SPECKV_REG_TABLES), 2u | 256u << SPECKV_REG_TABLES_WIDTHS_SHIFT);
}

TEST_F(Operations, ChanqWithTablesThatWereLoaded) {
  EXPECT_EQ(load(0, theta()), SPECKV_ENGINE_OK);
  uint32_t seed = 0;
  for (const uint32_t rope : {SPECKV_ROPE_NONE, SPECKV_ROPE_INTERLEAVED, SPECKV_ROPE_HALF}) {
    for (const CodecId id : {CodecId::chanq2_5, CodecId::chanq3_5, CodecId::chanq7}) {
      Shape shape{.k = id, .v = id, .first = CodecId::q8sink};
      shape.head_dim = id == CodecId::chanq3_5 ? 128 : 64;
      shape.bf16 = ++seed % 2 == 0;
      set_layout(shape);
      make_tables(shape, rope);
      const auto slot = uint16_t(seed * 20);
      EXPECT_EQ(load(SPECKV_ENGINE_WIDTHS_OFFSET + slot * SPECKV_ENGINE_WIDTHS_BYTES, widths(id)),
                SPECKV_ENGINE_OK);
      expect_segment(shape, seed % 3 == 0, slot, seed);
    }
  }
}

TEST_F(Operations, ATableThatIsNotThereWholeIsRefused) {
  const Shape shape{.k = CodecId::chanq4, .v = CodecId::chanq4};
  set_layout(shape);
  make_tables(shape, SPECKV_ROPE_HALF);
  EXPECT_EQ(decode(shape), SPECKV_ENGINE_TABLE) << "nothing was loaded";
  EXPECT_EQ(load(SPECKV_ENGINE_WIDTHS_OFFSET, widths(CodecId::chanq4)), SPECKV_ENGINE_OK);
  EXPECT_EQ(decode(shape), SPECKV_ENGINE_TABLE) << "no turns";
  EXPECT_EQ(load(0, theta()), SPECKV_ENGINE_OK);
  EXPECT_EQ(decode(shape), SPECKV_ENGINE_OK);
  EXPECT_EQ(decode(shape, 1), SPECKV_ENGINE_TABLE) << "of the second head";
  EXPECT_EQ(decode(shape, 255), SPECKV_ENGINE_TABLE) << "behind the last slot";
  // all but the last beat of a theta can be read
  host_.set_extent(3, Host::bytes - SPECKV_ENGINE_TURNS_BYTES + 64, SPECKV_ENGINE_TURNS_BYTES,
                   false);
  auto asked = load_job(0, SPECKV_ENGINE_TURNS_BYTES);
  asked.source_extent = 3;
  asked.source_offset = 0;
  EXPECT_EQ(status(asked), SPECKV_ENGINE_READ_ERROR);
  EXPECT_EQ(decode(shape), SPECKV_ENGINE_TABLE) << "half loaded";
  EXPECT_EQ(load(0, theta()), SPECKV_ENGINE_OK);
  EXPECT_EQ(decode(shape), SPECKV_ENGINE_OK) << "and loaded again";
  host_.write(SPECKV_REG_CONTROL, SPECKV_REG_CONTROL_RESET_MASK);
  host_.set_up();
  EXPECT_EQ(decode(shape), SPECKV_ENGINE_OK) << "a reset leaves tables";
  backend_->reset();
  host_.set_up();
  set_layout(shape);
  EXPECT_EQ(decode(shape), SPECKV_ENGINE_TABLE) << "power-on does not";
}

TEST_F(Operations, OfSlotsThatAreLoadedTogetherTheReadableOnesCount) {
  const Shape shape{.k = CodecId::chanq4, .v = CodecId::chanq4, .heads = 1};
  set_layout(shape);
  make_tables(shape, SPECKV_ROPE_NONE);
  const auto one = widths(CodecId::chanq4);
  for (const uint16_t slot : {0, 1, 2})
    EXPECT_EQ(load(SPECKV_ENGINE_WIDTHS_OFFSET + slot * SPECKV_ENGINE_WIDTHS_BYTES, one),
              SPECKV_ENGINE_OK);
  // one slot and a half can be read
  const uint64_t at = Host::bytes - SPECKV_ENGINE_WIDTHS_BYTES * 3 / 2;
  host_.set_extent(3, at, 4096, false);
  std::ranges::copy(one, host_.at(at, one.size()).begin());
  std::ranges::copy(std::span(one).first(64), host_.at(at + one.size(), 64).begin());
  auto asked = load_job(SPECKV_ENGINE_WIDTHS_OFFSET, 3 * SPECKV_ENGINE_WIDTHS_BYTES);
  asked.source_extent = 3;
  asked.source_offset = 0;
  EXPECT_EQ(status(asked), SPECKV_ENGINE_READ_ERROR);
  EXPECT_EQ(decode(shape, 0), SPECKV_ENGINE_OK);
  EXPECT_EQ(decode(shape, 1), SPECKV_ENGINE_TABLE);
  EXPECT_EQ(decode(shape, 2), SPECKV_ENGINE_TABLE);
}

TEST_F(Operations, WidthsThatNoCalibrationMakesAreRefused) {
  if (!is_stepwise()) GTEST_SKIP() << "hardware decodes them to something";
  const Shape shape{.k = CodecId::chanq4, .v = CodecId::chanq4, .heads = 1};
  set_layout(shape);
  make_tables(shape, SPECKV_ROPE_NONE);
  const auto good = widths(CodecId::chanq4);
  auto bad = good;
  bad[0] ^= std::byte{0x01};  // one channel of a pair
  EXPECT_EQ(load(SPECKV_ENGINE_WIDTHS_OFFSET, bad), SPECKV_ENGINE_OK);
  EXPECT_EQ(decode(shape), SPECKV_ENGINE_TABLE);
  EXPECT_EQ(load(SPECKV_ENGINE_WIDTHS_OFFSET, std::vector(good.size(), std::byte{0xff})),
            SPECKV_ENGINE_OK);
  EXPECT_EQ(decode(shape), SPECKV_ENGINE_TABLE) << "15 bits a code";
  EXPECT_EQ(load(SPECKV_ENGINE_WIDTHS_OFFSET, std::vector(good.size(), std::byte{0x88})),
            SPECKV_ENGINE_OK);
  EXPECT_EQ(decode(shape), SPECKV_ENGINE_TABLE) << "more bits than the page has";
  EXPECT_EQ(load(SPECKV_ENGINE_WIDTHS_OFFSET, good), SPECKV_ENGINE_OK);
  EXPECT_EQ(decode(shape), SPECKV_ENGINE_OK);
}

TEST_F(Operations, LoadsThatAreNoTable) {
  constexpr uint32_t turns = SPECKV_ENGINE_TURNS_BYTES, slots = SPECKV_ENGINE_WIDTHS_OFFSET;
  EXPECT_EQ(status(load_job(0, turns / 2)), SPECKV_ENGINE_TARGET);
  EXPECT_EQ(status(load_job(0, 2 * turns)), SPECKV_ENGINE_TARGET);
  EXPECT_EQ(status(load_job(turns / 2, turns)), SPECKV_ENGINE_TARGET);
  EXPECT_EQ(status(load_job(slots, 64)), SPECKV_ENGINE_TARGET);
  EXPECT_EQ(status(load_job(slots + 64, 128)), SPECKV_ENGINE_TARGET);
  EXPECT_EQ(status(load_job(slots + 255 * 128, 256)), SPECKV_ENGINE_TARGET);
  EXPECT_EQ(status(load_job(slots + 256 * 128, 128)), SPECKV_ENGINE_TARGET);
  EXPECT_EQ(status(load_job(uint64_t{1} << 63, turns)), SPECKV_ENGINE_TARGET);
  EXPECT_EQ(status(load_job(0, 0)), SPECKV_ENGINE_BAD_LENGTH);
  EXPECT_EQ(status(load_job(slots, 129)), SPECKV_ENGINE_BAD_LENGTH);
  EXPECT_EQ(status(load_job(slots, (2 << 20) + 128)), SPECKV_ENGINE_BAD_LENGTH);
}

TEST_F(Operations, PairingsThatTheEngineDoesNotFind) {
  Shape shape{.k = CodecId::chanq4, .v = CodecId::chanq4};
  set_layout(shape);
  const uint32_t half = SPECKV_REG_LAYOUTS_ROPE_HALF_SPLIT_MASK;
  for (const uint32_t rope : {17u, 66u, half | 24, half | 128}) {
    host_.write(SPECKV_REG_LAYOUTS_ROPE, rope);
    EXPECT_EQ(decode(shape), SPECKV_ENGINE_UNSUPPORTED) << rope;
  }
  host_.write(SPECKV_REG_LAYOUTS_ROPE, 0);
  EXPECT_EQ(decode(shape), SPECKV_ENGINE_TABLE);
  shape.v = CodecId::chanq5;
  set_layout(shape);
  EXPECT_EQ(decode(shape), SPECKV_ENGINE_UNSUPPORTED) << "two codecs of chanq";
}

TEST_F(Operations, BytesAreMovedFilledAndSummedUp) {
  std::mt19937_64 random(5);
  for (const uint32_t bytes : {32u, 64u, 96u, 4096u, 100'000u / 32 * 32, 2u << 20}) {
    speckv_engine_descriptor asked{};
    asked.opcode = SPECKV_ENGINE_COPY;
    asked.source_extent = asked.target_extent = Host::extent_data;
    asked.target_offset = 3 << 20;
    asked.bytes = bytes;
    const auto source = host_.at(Host::data, bytes);
    for (std::byte& byte : source) byte = std::byte(random());
    const auto guard = host_.at(Host::data + (3 << 20) + bytes, 32);
    std::ranges::fill(guard, std::byte{0x5a});
    auto told = run(asked);
    EXPECT_EQ(told.status, SPECKV_ENGINE_OK);
    EXPECT_EQ(told.bytes, bytes);
    EXPECT_EQ(told.checksum, checksum_of(source));
    EXPECT_TRUE(std::ranges::equal(host_.at(Host::data + (3 << 20), bytes), source));
    asked.opcode = SPECKV_ENGINE_CHECKSUM;
    EXPECT_EQ(status(asked), SPECKV_ENGINE_RESERVED) << "it has no target";
    asked.target_extent = 0, asked.target_offset = 0;
    told = run(asked);
    EXPECT_EQ(told.status, SPECKV_ENGINE_OK);
    EXPECT_EQ(told.bytes, 0u);
    EXPECT_EQ(told.checksum, checksum_of(source));
    asked = {};
    asked.opcode = SPECKV_ENGINE_FILL;
    asked.source_offset = random();
    asked.target_extent = Host::extent_data;
    asked.target_offset = 3 << 20;
    asked.bytes = bytes;
    told = run(asked);
    const auto filled = host_.at(Host::data + (3 << 20), bytes);
    EXPECT_EQ(std::memcmp(filled.data() + bytes - 8, &asked.source_offset, 8), 0);
    EXPECT_EQ(std::memcmp(filled.data(), filled.data() + 8, bytes - 8), 0);
    EXPECT_EQ(told.checksum, checksum_of(filled));
    EXPECT_TRUE(std::ranges::all_of(guard, [](std::byte b) { return b == std::byte{0x5a}; }));
  }
  speckv_engine_descriptor asked{};
  asked.opcode = SPECKV_ENGINE_FILL;
  asked.target_extent = Host::extent_read_only;
  asked.bytes = 32;
  EXPECT_EQ(status(asked), SPECKV_ENGINE_TARGET);
  asked.bytes = 31;
  EXPECT_EQ(status(asked), SPECKV_ENGINE_BAD_LENGTH);
}

// Its owner may cut a file short at any moment, unless it is sealed against that.
TEST_F(Operations, AFileThatIsCutShortIsABusError) {
  constexpr size_t kBytes = 8192;
  const int file = memfd_create("shrinks", MFD_CLOEXEC);
  ASSERT_EQ(ftruncate(file, kBytes), 0);
  ASSERT_EQ(map_.add(Host::bus_base + Host::bytes, kBytes, file, 0, true, true), 0);
  host_.set_extent(3, Host::bytes, kBytes, true);
  std::ranges::fill(host_.at(Host::data, kBytes), std::byte{7});
  speckv_engine_descriptor into{}, out{};
  into.opcode = out.opcode = SPECKV_ENGINE_COPY;
  into.bytes = out.bytes = kBytes;
  into.source_extent = out.target_extent = Host::extent_data;
  into.target_extent = out.source_extent = 3;
  out.target_offset = 3 << 20;
  const auto seen = host_.at(Host::data + (3 << 20), kBytes);
  EXPECT_EQ(status(into), SPECKV_ENGINE_OK);
  EXPECT_EQ(status(out), SPECKV_ENGINE_OK);
  EXPECT_TRUE(std::ranges::equal(seen, host_.at(Host::data, kBytes)));
  ASSERT_EQ(ftruncate(file, 0), 0);
  EXPECT_EQ(status(out), SPECKV_ENGINE_READ_ERROR);
  EXPECT_EQ(status(into), SPECKV_ENGINE_WRITE_ERROR);
  EXPECT_EQ(lseek(file, 0, SEEK_END), 0) << "nor does it grow";
  ASSERT_EQ(ftruncate(file, kBytes), 0);
  EXPECT_EQ(status(into), SPECKV_ENGINE_OK);
  EXPECT_EQ(status(out), SPECKV_ENGINE_OK);
  EXPECT_TRUE(std::ranges::equal(seen, host_.at(Host::data, kBytes)));
  close(file);
}

TEST_F(Operations, AfterABusErrorTheBytesStillMove) {
  host_.set_extent(3, Host::bytes - 4096, 8192, true);  // the second half is nobody's
  speckv_engine_descriptor asked{};
  asked.opcode = SPECKV_ENGINE_COPY;
  asked.source_extent = 3;
  asked.target_extent = Host::extent_data;
  asked.bytes = 8192;
  std::ranges::fill(host_.at(Host::bytes - 4096, 4096), std::byte{7});
  std::ranges::fill(host_.at(Host::data, 8192), std::byte{1});
  auto told = run(asked);
  EXPECT_EQ(told.status, SPECKV_ENGINE_READ_ERROR);
  EXPECT_EQ(told.bytes, 8192u);
  EXPECT_EQ(host_.at(Host::data, 8192)[4095], std::byte{7});
  EXPECT_EQ(host_.at(Host::data, 8192)[4096], std::byte{0}) << "what cannot be read";
  std::swap(asked.source_extent, asked.target_extent);
  std::ranges::fill(host_.at(Host::data, 8192), std::byte{9});
  told = run(asked);
  EXPECT_EQ(told.status, SPECKV_ENGINE_WRITE_ERROR);
  EXPECT_EQ(host_.at(Host::bytes - 64, 64)[63], std::byte{9});
}

class Cancels : public Operations {
 protected:
  void SetUp() override {
    if (!is_stepwise()) GTEST_SKIP() << "nobody can say where a job is; fpga/sim has its bench";
  }
  // As many work() as it takes until the lane has the job, and none more.
  void start_job(uint64_t cookie, uint32_t queue = 0) {
    speckv_engine_descriptor asked{};
    asked.opcode = SPECKV_ENGINE_CHECKSUM;
    asked.source_extent = Host::extent_data;
    asked.bytes = 1 << 20;
    asked.cookie = cookie;
    host_.submit(asked, queue);
    EXPECT_TRUE(backend_->work(map_));
    EXPECT_TRUE(backend_->work(map_));
  }
  static speckv_engine_descriptor cancel_of(uint64_t cookie) {
    speckv_engine_descriptor asked{};
    asked.opcode = SPECKV_ENGINE_CANCEL;
    asked.source_offset = cookie;
    asked.cookie = 99;
    return asked;
  }
  void expect_told(uint64_t cookie, uint8_t status, uint32_t queue = 0) {
    settle();
    const auto told = host_.poll(queue);
    ASSERT_TRUE(told);
    EXPECT_EQ(told->cookie, cookie);
    EXPECT_EQ(told->status, status);
  }
};

TEST_F(Cancels, OnlyTheOwnQueuesJobThatIsUnderWay) {
  start_job(7);
  host_.submit(cancel_of(7));
  expect_told(99, SPECKV_ENGINE_OK);
  expect_told(7, SPECKV_ENGINE_CANCELLED);
  EXPECT_FALSE(host_.poll()) << "each job completes once";
  host_.submit(cancel_of(7));
  expect_told(99, SPECKV_ENGINE_NOT_FOUND);
  start_job(8);
  host_.submit(cancel_of(8), 1);
  expect_told(99, SPECKV_ENGINE_NOT_FOUND, 1);
  expect_told(8, SPECKV_ENGINE_OK);
  start_job(9);
  auto asked = cancel_of(9);
  asked.bytes = 1;
  host_.submit(asked);
  expect_told(99, SPECKV_ENGINE_RESERVED);
  expect_told(9, SPECKV_ENGINE_OK);
}

TEST_F(Cancels, BehindADescriptorThatWaitsItWaitsToo) {
  start_job(7);
  speckv_engine_descriptor nop{};
  nop.cookie = 8;
  host_.submit(nop, 1);
  host_.submit(cancel_of(8), 1);
  EXPECT_TRUE(backend_->work(map_));
  EXPECT_TRUE(backend_->work(map_));
  EXPECT_EQ(host_.read(SPECKV_REG_QUEUES_SQ_HEAD + SPECKV_REG_QUEUES_STRIDE), 1u);
  expect_told(7, SPECKV_ENGINE_OK);
  expect_told(99, SPECKV_ENGINE_OK, 1);
  expect_told(8, SPECKV_ENGINE_CANCELLED, 1);
}

TEST_F(Cancels, AResetEndsTheJobAndAQueueThatIsSwitchedOffEndsWhatItHas) {
  start_job(7);
  host_.write(SPECKV_REG_CONTROL, SPECKV_REG_CONTROL_RESET_MASK);
  EXPECT_EQ(host_.read(SPECKV_REG_STATUS), SPECKV_REG_STATUS_IDLE_MASK);
  host_.set_up();
  EXPECT_FALSE(backend_->work(map_));
  EXPECT_FALSE(host_.poll());
  start_job(8);
  host_.write(SPECKV_REG_QUEUES_SETUP, 0);
  EXPECT_EQ(host_.read(SPECKV_REG_QUEUES_SQ_HEAD), 1u) << "it is under way";
  EXPECT_EQ(host_.read(SPECKV_REG_STATUS), 0u);
  expect_told(8, SPECKV_ENGINE_OK);
  EXPECT_EQ(host_.read(SPECKV_REG_QUEUES_SQ_HEAD), 0u);
  EXPECT_EQ(host_.read(SPECKV_REG_QUEUES_CQ_TAIL), 0u);
}

}  // namespace
}  // namespace speckv::device
