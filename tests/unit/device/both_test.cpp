// SPDX-License-Identifier: Apache-2.0
// both_test.cpp - two golden back ends that do each command: nothing differs, until one of them
// writes or says something else, and that is told; a guest sees nothing that was not compared.
#include "both_backend.hpp"
#include "engine_fixture.hpp"
#include "fault_backend.hpp"

namespace speckv::device {
namespace {

using testing::Host;
using testing::Shape;

// A back end of its own with faults around it.
class Own final : public Backend {
 public:
  Own() : inner_(make_golden_backend()), faulty_(*inner_) {}
  uint32_t read(uint32_t offset) override { return faulty_.read(offset); }
  void write(uint32_t offset, uint32_t value) override { faulty_.write(offset, value); }
  bool work(const Bus& bus) override { return faulty_.work(bus); }
  std::optional<uint8_t> take_interrupt() override { return faulty_.take_interrupt(); }
  void reset() override { faulty_.reset(); }
  void arm(std::string_view line) { EXPECT_EQ(faulty_.command(line), "ok"); }

 private:
  std::unique_ptr<Backend> inner_;
  FaultBackend faulty_;
};

class Both : public testing::EngineTest {
 protected:
  Both() {
    auto second = std::make_unique<Own>();
    second_ = second.get();
    auto both = std::make_unique<BothBackend>(make_golden_backend(), std::move(second));
    both_ = both.get();
    backend_ = std::move(both);
    host_.set_up();
  }
  // A segment with this fault of the second. Returns: what the difference is said to be.
  std::string difference(std::string_view fault) {
    const Shape shape;
    set_layout(shape);
    const uint64_t before = both_->differences();
    second_->arm(fault);
    host_.submit(descriptor(shape, true, false));
    settle();
    EXPECT_GT(both_->differences(), before) << fault;
    return both_->first_difference();
  }

  Own* second_;
  BothBackend* both_;
};

TEST_F(Both, NothingDiffers) {
  const Shape shape;
  set_layout(shape);
  const std::vector<std::byte> raw = raw_values(shape, 1);
  std::ranges::copy(raw, host_.at(Host::data, raw.size()).begin());
  // the second reads what the first one writes
  host_.submit(descriptor(shape, true, false));
  host_.submit(descriptor(shape, false, false));
  speckv_engine_descriptor bad{};
  bad.opcode = 200;
  host_.submit(bad);
  settle();
  for (const uint8_t status : {SPECKV_ENGINE_OK, SPECKV_ENGINE_OK, SPECKV_ENGINE_BAD_OPCODE}) {
    const auto told = host_.poll();
    ASSERT_TRUE(told);
    EXPECT_EQ(told->status, status);
  }
  const auto back = host_.at(Host::data + (5 << 20), 32);
  EXPECT_FALSE(std::ranges::equal(back, std::vector<std::byte>(32))) << "it was written";
  EXPECT_EQ(both_->compared(), 3u);
  EXPECT_EQ(both_->differences(), 0u) << both_->first_difference();
  EXPECT_TRUE(backend_->take_interrupt());
}

TEST_F(Both, EveryDifferenceIsTold) {
  EXPECT_NE(difference("checksum").find("checksum"), std::string::npos);
  EXPECT_NE(Both::both_->first_difference().find("cookie 0x123456789abcdef0"), std::string::npos);
}
TEST_F(Both, OtherBytes) {
  EXPECT_NE(difference("garbage").find("bus address"), std::string::npos);
}
TEST_F(Both, AnotherCookie) { EXPECT_NE(difference("cookie").find("golden"), std::string::npos); }
TEST_F(Both, AMissingCompletion) {
  EXPECT_NE(difference("hole").find("no completion"), std::string::npos);
}

TEST_F(Both, NothingIsSeenBeforeItWasCompared) {
  const Shape shape{.heads = 8, .pages = 8};
  set_layout(shape);
  host_.submit(descriptor(shape, true, false));
  const std::vector<std::byte> untouched(32);
  int steps = 0;
  for (; backend_->work(map_); ++steps) {
    EXPECT_FALSE(host_.poll());
    EXPECT_EQ(host_.read(SPECKV_REG_QUEUES_CQ_TAIL), 0u);
    EXPECT_TRUE(std::ranges::equal(host_.at(Host::data + (3 << 20), 32), untouched));
  }
  EXPECT_GT(steps, 3);
  EXPECT_TRUE(host_.poll());
}

TEST_F(Both, AResetForgetsWhatWasHeldBack) {
  const Shape shape{.heads = 8, .pages = 8};
  for (const bool function : {false, true}) {
    set_layout(shape);
    host_.submit(descriptor(shape, true, false));
    for (int i = 0; i < 4; ++i) (void)backend_->work(map_);
    if (function) {
      backend_->reset();
    } else {
      host_.write(SPECKV_REG_CONTROL, SPECKV_REG_CONTROL_RESET_MASK);
      EXPECT_EQ(host_.read(SPECKV_REG_STATUS), SPECKV_REG_STATUS_RESETTING_MASK);
    }
    settle();
    EXPECT_FALSE(host_.poll());
    EXPECT_EQ(host_.read(SPECKV_REG_STATUS), SPECKV_REG_STATUS_IDLE_MASK);
    EXPECT_TRUE(
        std::ranges::equal(host_.at(Host::data + (3 << 20), 32), std::vector<std::byte>(32)));
    host_.set_up();
    EXPECT_EQ(run({}).status, SPECKV_ENGINE_OK);
  }
  EXPECT_EQ(both_->differences(), 0u) << both_->first_difference();
}

}  // namespace
}  // namespace speckv::device
