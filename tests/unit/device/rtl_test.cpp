// SPDX-License-Identifier: Apache-2.0
// rtl_test.cpp - the Verilated back end. The tests of engine_test, operation_test and sweep_test
// run on it as they do on the golden one; here is what only it has: a mirror of registers, a
// mailbox, simulated time, assertions of the RTL; and both back ends on the same commands.
#include <atomic>
#include <thread>

#include "both_backend.hpp"
#include "fault_backend.hpp"
#include "rtl_backend.hpp"
#include "table_fixture.hpp"

namespace speckv::device {

namespace testing {

std::unique_ptr<Backend> make_backend() { return std::make_unique<RtlBackend>(make_rtl_engine()); }
bool is_stepwise() { return false; }

}  // namespace testing

namespace {

using codec::CodecId;
using testing::Host;
using testing::Shape;

class Rtl : public testing::EngineTest {
 protected:
  RtlBackend& rtl() { return static_cast<RtlBackend&>(*backend_); }
};

TEST_F(Rtl, NoAssertionFailsAndTimePassesInWorkAlone) {
  EXPECT_EQ(run({}).status, SPECKV_ENGINE_OK);
  EXPECT_EQ(rtl().failures(), 0u);
  const uint64_t cycles = rtl().cycles();
  EXPECT_GT(cycles, 0u);
  for (uint32_t offset = 0; offset < 0x1000; offset += 4) (void)host_.read(offset);
  for (int i = 0; i < 100; ++i) host_.write(SPECKV_REG_LAYOUTS_SHAPE, uint32_t(i));
  EXPECT_EQ(rtl().cycles(), cycles);
  EXPECT_EQ(host_.read(SPECKV_REG_LAYOUTS_SHAPE), 99u) << "what was written is there at once";
}

TEST_F(Rtl, TheMirrorNeverSaysDoneBeforeItIs) {
  settle();
  EXPECT_EQ(host_.read(SPECKV_REG_STATUS), SPECKV_REG_STATUS_IDLE_MASK);
  host_.submit({});
  EXPECT_EQ(host_.read(SPECKV_REG_STATUS), 0u) << "a doorbell is on its way";
  settle();
  EXPECT_EQ(host_.read(SPECKV_REG_STATUS), SPECKV_REG_STATUS_IDLE_MASK);
  host_.write(SPECKV_REG_CONTROL, SPECKV_REG_CONTROL_RESET_MASK);
  EXPECT_EQ(host_.read(SPECKV_REG_STATUS), SPECKV_REG_STATUS_RESETTING_MASK);
  host_.write(SPECKV_REG_QUEUES_SQ_TAIL, 100);
  settle();
  EXPECT_EQ(host_.read(SPECKV_REG_ERROR) & 0xff, uint32_t(SPECKV_ENGINE_RING));
  host_.write(SPECKV_REG_CONTROL, SPECKV_REG_CONTROL_CLEAR_LOG_MASK);
  EXPECT_EQ(host_.read(SPECKV_REG_ERROR), 0u) << "the log is clear at once";
  settle();
  EXPECT_EQ(host_.read(SPECKV_REG_ERROR), 0u);
}

TEST_F(Rtl, OffsetsBeyondThePortMeetNobody) {
  host_.write(SPECKV_REG_LAYOUTS_SHAPE, 7);
  host_.write(0x800 + SPECKV_REG_LAYOUTS_SHAPE, 9);
  host_.write(0x8000, 1);
  settle();
  EXPECT_EQ(host_.read(SPECKV_REG_LAYOUTS_SHAPE), 7u);
  EXPECT_EQ(host_.read(0x800 + SPECKV_REG_MAGIC), 0u);
  EXPECT_EQ(run({}).status, SPECKV_ENGINE_OK);
}

TEST_F(Rtl, AFullMailboxHoldsUpTheWriterUntilTimePasses) {
  std::atomic<size_t> written = 0;
  std::thread writer([&] {
    for (; written < RtlBackend::mailbox_max + 10; ++written)
      backend_->write(SPECKV_REG_LAYOUTS_SHAPE, uint32_t(written));
  });
  while (written < RtlBackend::mailbox_max / 2) std::this_thread::yield();
  EXPECT_EQ(host_.read(SPECKV_REG_MAGIC), SPECKV_REG_MAGIC_VALUE_VALUE) << "never who reads";
  settle();
  writer.join();
  settle();
  EXPECT_EQ(host_.read(SPECKV_REG_LAYOUTS_SHAPE), RtlBackend::mailbox_max + 9);
  EXPECT_EQ(run({}).status, SPECKV_ENGINE_OK);
}

TEST_F(Rtl, AResetOfTheFunctionWhileAJobIsUnderWay) {
  const Shape shape{.heads = 4, .pages = 4};
  for (int i = 0; i < 8; ++i) {
    set_layout(shape);
    host_.submit(descriptor(shape, true, false));
    std::atomic<bool> is_over = false;
    std::atomic<uint64_t> steps = 0;
    std::thread worker([&] {
      for (; !is_over; ++steps) (void)backend_->work(map_);
    });
    const uint64_t begin = rtl().cycles();
    while (rtl().cycles() < begin + 300 * uint64_t(i)) std::this_thread::yield();
    const uint64_t before = steps;
    backend_->reset();
    EXPECT_LE(steps, before + 100) << "it waits for the step under way, not for a pause";
    const auto target = host_.at(Host::data + (3 << 20), 64 << 10);
    std::ranges::fill(target, std::byte{0});
    const uint64_t after = rtl().cycles();
    while (rtl().cycles() < after + 2000) std::this_thread::yield();
    EXPECT_TRUE(std::ranges::equal(target, std::vector<std::byte>(target.size())))
        << "nothing is written any more";
    is_over = true;
    worker.join();
    host_.set_up();
    EXPECT_EQ(run({}).status, SPECKV_ENGINE_OK);
  }
  EXPECT_EQ(rtl().failures(), 0u);
}

TEST_F(Rtl, FaultsAroundItAreTheSame) {
  FaultBackend faulty(*backend_);
  EXPECT_EQ(faulty.command("drop after=1"), "ok");
  speckv_engine_descriptor nop{};
  for (nop.cookie = 1; nop.cookie <= 3; ++nop.cookie) host_.submit(nop);
  while (faulty.work(map_)) {
  }
  EXPECT_EQ(host_.poll()->cookie, 1u);
  EXPECT_EQ(host_.poll()->cookie, 3u);
  EXPECT_FALSE(host_.poll());
}

// Both, on commands of every kind.
class Pair : public testing::TableTest {
 protected:
  Pair() {
    auto both = std::make_unique<BothBackend>(make_golden_backend(), std::move(backend_));
    both_ = both.get();
    backend_ = std::move(both);
    host_.set_up();
  }
  BothBackend* both_;
};

TEST_F(Pair, SegmentsTablesAndBytes) {
  EXPECT_EQ(host_.read(SPECKV_REG_DECODERS), 0x007f077du);
  EXPECT_EQ(load(0, theta()), SPECKV_ENGINE_OK);
  const Shape shape{.k = CodecId::chanq4_5, .v = CodecId::rowq5, .heads = 3, .pages = 3};
  set_layout(shape);
  make_tables(shape, SPECKV_ROPE_HALF);
  EXPECT_EQ(load(SPECKV_ENGINE_WIDTHS_OFFSET, widths(shape.k)), SPECKV_ENGINE_OK);
  for (uint32_t i = 0; i < 6; ++i) expect_segment(shape, i % 2 == 0, 0, i);
  EXPECT_EQ(both_->differences(), 0u) << both_->first_difference();
  EXPECT_GE(both_->compared(), 8u);
}

// The golden model's account of the time that the RTL takes, for a segment that is no short one.
TEST_F(Rtl, TheModelOfItsTimeIsNear) {
  const auto golden = make_golden_backend();
  const auto busy = [&](Backend& backend) {
    const Shape shape{.k = CodecId::q8, .v = CodecId::rowq4, .heads = 4, .pages = 8};
    host_.read = [&](uint32_t offset) { return backend.read(offset); };
    host_.write = [&](uint32_t offset, uint32_t value) { backend.write(offset, value); };
    host_.set_up();
    set_layout(shape);
    host_.submit(descriptor(shape, false, false));
    while (backend.work(map_)) {
    }
    EXPECT_EQ(host_.poll()->status, SPECKV_ENGINE_OK);
    return double(backend.read(SPECKV_REG_COUNTERS_LOW + 5 * SPECKV_REG_COUNTERS_STRIDE));
  };
  const double model = busy(*golden), rtl = busy(*backend_);
  std::printf("a segment of 64 pages: %.0f cycles, of the model %.0f\n", rtl, model);
  EXPECT_GT(model / rtl, 0.9);
  EXPECT_LT(model / rtl, 1.1);
}

TEST_F(Pair, CommandsThatAreMostlyWrong) {
  const Shape shape{.heads = 1, .pages = 1};
  set_layout(shape);
  set_layout({.k = CodecId::q8, .v = CodecId::raw, .heads = 2, .pages = 2, .bf16 = true}, 1);
  set_layout({.heads = 0}, 2);
  std::mt19937_64 random(11);
  const auto any_of = [&](std::initializer_list<uint64_t> from) {
    return *(from.begin() + random() % from.size());
  };
  int completions = 0;
  for (uint64_t i = 0; i < 400; ++i) {
    speckv_engine_descriptor asked = descriptor(shape, i % 2 == 0, false);
    asked.cookie = i;
    asked.opcode = uint8_t(random() % 9);
    if (asked.opcode > SPECKV_ENGINE_DECODE && random() % 4 != 0) asked.layout = asked.flags = 0;
    if (random() % 2 == 0) asked.layout = uint8_t(random() % 4);
    if (random() % 4 == 0) asked.flags = uint8_t(random() % 3);
    if (random() % 4 == 0) asked.source_extent = uint8_t(any_of({0, 1, 2, 3, 16, 255}));
    if (random() % 4 == 0) asked.target_extent = uint8_t(any_of({0, 1, 2, 3, 16, 255}));
    if (random() % 4 == 0)
      asked.source_offset = any_of({0, 32, 64, 7 << 20, (7 << 20) - 64, ~63ULL, 1ULL << 38});
    if (random() % 4 == 0)
      asked.target_offset = any_of({0, 1, 2 << 20, 7 << 20, 65536, 32768, ~63ULL});
    if (random() % 3 == 0)
      asked.bytes = uint32_t(any_of({0, 32, 64, 96, 128, 8192, 32768, 2 << 20, ~31U}));
    if (asked.target_extent == Host::extent_rings) asked.target_offset = 512 << 10;
    host_.submit(asked);
    settle();
    while (host_.poll()) ++completions;
  }
  EXPECT_EQ(completions, 400);
  EXPECT_EQ(both_->differences(), 0u) << both_->first_difference();
  EXPECT_EQ(both_->compared(), 400u);
}

}  // namespace
}  // namespace speckv::device
