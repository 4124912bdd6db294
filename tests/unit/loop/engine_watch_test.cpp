// SPDX-License-Identifier: Apache-2.0
// engine_watch_test.cpp - a codec engine that was set aside is said once, with the numbers, and
// once more when it is trusted again; one that is gone is asked for again.
#include <gtest/gtest.h>

#include "loop/control_engines.hpp"

namespace {

using namespace speckv;

class OneThread : public watch::DaemonView {
 public:
  watch::DaemonFacts daemon() const override { return {}; }
  std::vector<watch::SpaceFacts> spaces() const override { return {}; }
  std::vector<watch::SessionFacts> sessions() const override { return {}; }
  std::vector<watch::ThreadFacts> threads() const override {
    watch::ThreadFacts thread;
    thread.device = device;
    return {thread};
  }
  std::span<const std::byte> index_file(size_t) const override { return {}; }
  std::span<const std::byte> pool_file(size_t) const override { return {}; }

  watch::DeviceFacts device;
};

TEST(EngineWatch, SaysOnceWhyAnEngineIsSetAside) {
  OneThread view;
  boost::asio::io_context context;
  int asked = 0;
  EngineWatch watch(context, view, [&asked] { asked++; });
  EXPECT_TRUE(watch.look().empty()) << "there is none";
  view.device.state = "live";
  view.device.segments = 300;
  view.device.checked = 5;
  EXPECT_TRUE(watch.look().empty());
  view.device.state = "aside";
  view.device.reason = "an answer was wrong";
  view.device.lies = view.device.set_aside = 1;
  const auto said = watch.look();
  ASSERT_EQ(said.size(), 1u);
  EXPECT_EQ(said[0],
            "data thread 0: codec engine set aside: an answer was wrong (so far 300 segments "
            "encoded, 5 of them compared, 1 wrong answers, 0 late, 0 errors; set aside 1 times); "
            "the cpu encodes, and does again what it had");
  EXPECT_TRUE(watch.look().empty()) << "once";
  EXPECT_EQ(asked, 0);
  view.device.state = "live";
  view.device.self_tests = 3;
  EXPECT_EQ(watch.look(),
            std::vector<std::string>{"data thread 0: codec engine trusted again after "
                                     "3 self-tests in all"});
  view.device.set_aside = 2;
  EXPECT_EQ(watch.look().size(), 2u) << "set aside and back between two looks";
  view.device.set_aside = 3;
  view.device.state = "aside";
  view.device.is_gone = true;
  EXPECT_EQ(watch.look().size(), 1u);
  EXPECT_EQ(asked, 1);
  watch.look();
  EXPECT_EQ(asked, 2) << "until it is there";
}

}  // namespace
