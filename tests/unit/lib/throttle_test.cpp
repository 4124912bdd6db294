// SPDX-License-Identifier: Apache-2.0
// Proves the emulated link: bandwidth queues, latency adds, a pause earns no credit, and two
// threads never share a moment of it.
#include "src/throttle.hpp"

#include <gtest/gtest.h>

#include <thread>

namespace speckv::lib {
namespace {

TEST(Throttle, BandwidthQueuesAndLatencyAdds) {
  Throttle throttle;
  EXPECT_FALSE(throttle.active());
  throttle.set(100, 300);  // 10 GB/s: 0.1 ns a byte
  EXPECT_TRUE(throttle.active());
  EXPECT_EQ(throttle.due(1000, 1000), 1000u + 100 + 300);
  EXPECT_EQ(throttle.due(1000, 1000), 1100u + 100 + 300) << "behind the first";
  EXPECT_EQ(throttle.due(9000, 1000), 9000u + 100 + 300) << "no credit for the pause";
}

TEST(Throttle, ChargeWaitsForTheEnd) {
  Throttle throttle;
  throttle.set(0, 50'000);
  const uint64_t start = now_ns();
  throttle.charge(start, 1u << 30);
  EXPECT_GE(now_ns(), start + 50'000);
}

TEST(Throttle, ThreadsQueueOnOneLink) {
  Throttle throttle;
  throttle.set(1000, 0);  // 1 ns a byte
  constexpr uint64_t charges = 1000;
  const auto take = [&] {
    for (uint64_t i = 0; i < charges; i++) throttle.due(1, 10);
  };
  std::thread other(take);
  take();
  other.join();
  EXPECT_EQ(throttle.due(1, 0), 1 + 2 * charges * 10) << "a charge was lost";
}

}  // namespace
}  // namespace speckv::lib
