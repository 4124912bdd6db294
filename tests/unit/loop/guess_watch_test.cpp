// SPDX-License-Identifier: Apache-2.0
// guess_watch_test.cpp - a source of speculation that turned itself off is said once, with the
// numbers that decided it, and once more when it tries again.
#include <gtest/gtest.h>

#include "loop/control_guesses.hpp"

namespace {

using namespace speckv;

class OneSpace : public watch::DaemonView {
 public:
  watch::DaemonFacts daemon() const override { return {}; }
  std::vector<watch::SpaceFacts> spaces() const override {
    watch::SpaceFacts space;
    space.name = "a";
    space.guesses = {guesses};
    return {space};
  }
  std::vector<watch::SessionFacts> sessions() const override { return {}; }
  std::vector<watch::ThreadFacts> threads() const override { return {}; }
  std::span<const std::byte> index_file(size_t) const override { return {}; }
  std::span<const std::byte> pool_file(size_t) const override { return {}; }

  watch::GuessFacts guesses;
};

TEST(GuessWatch, SaysOnceWhyASourceIsOff) {
  OneSpace view;
  view.guesses.space = "a";
  view.guesses.source = "hint";
  view.guesses.fetched = 300;
  view.guesses.useful = 20;
  boost::asio::io_context context;
  GuessWatch watch(context, view);
  EXPECT_TRUE(watch.look().empty());
  view.guesses.off = view.guesses.times_off = 1;
  view.guesses.off_useful = 3;
  view.guesses.off_seen = 256;
  const auto said = watch.look();
  ASSERT_EQ(said.size(), 1u);
  EXPECT_EQ(said[0],
            "namespace a: speculation by hint is off for now: of its last 256 blocks only 3 were "
            "read, of all 300 20; demand goes on");
  EXPECT_TRUE(watch.look().empty()) << "once";
  view.guesses.off = 0;
  EXPECT_EQ(watch.look(), std::vector<std::string>{"namespace a: speculation by hint tries again"});
  EXPECT_TRUE(watch.look().empty());
  view.guesses.times_off = 2;
  EXPECT_EQ(watch.look().size(), 1u) << "off and on again between two looks";
}

}  // namespace
