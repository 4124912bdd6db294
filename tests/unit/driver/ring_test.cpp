// SPDX-License-Identifier: Apache-2.0
// ring_test.cpp - which completions the driver believes, that neither ring runs over, and which
// states of an engine follow on which.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

extern "C" {
#include "ring.h"
#include "state.h"
}

namespace {

constexpr u32 slots = SPECKV_RING_SLOTS;

class Ring : public ::testing::Test {
 protected:
  Ring() { speckv_ring_init(&ring_); }

  u64 take() {
    u32 tag = 0;
    u64 cookie = 0;
    EXPECT_EQ(speckv_ring_take(&ring_, &tag, &cookie), 0);
    EXPECT_EQ(tag, u32(cookie));
    return cookie;
  }
  speckv_engine_completion told(u64 cookie) const {
    speckv_engine_completion one{};
    one.cookie = cookie;
    one.sq_head = ring_.tail;
    one.phase = (ring_.head & slots) == 0;
    return one;
  }
  int accept(const speckv_engine_completion& one) { return speckv_ring_accept(&ring_, &one); }
  void end(u64 cookie) {
    const int tag = accept(told(cookie));
    ASSERT_EQ(tag, int(u32(cookie)));
    speckv_ring_give(&ring_, u32(tag));
  }

  speckv_ring ring_{};
};

TEST_F(Ring, is_full_with_as_many_as_it_has_slots) {
  std::vector<u64> cookies;
  for (u32 i = 0; i < slots; ++i) cookies.push_back(take());
  u32 tag;
  u64 cookie;
  EXPECT_EQ(speckv_ring_take(&ring_, &tag, &cookie), -EAGAIN);
  std::ranges::sort(cookies);
  EXPECT_EQ(std::ranges::adjacent_find(cookies), cookies.end());
  end(cookies[17]);
  EXPECT_EQ(u32(take()), u32(cookies[17]));
}

TEST_F(Ring, the_phase_tells_what_is_new) {
  EXPECT_FALSE(speckv_ring_is_there(&ring_, 1)) << "nothing is under way";
  for (u32 i = 0; i < 3 * slots; ++i) {
    const u64 cookie = take();
    const u32 phase = i / slots % 2 == 0;
    EXPECT_FALSE(speckv_ring_is_there(&ring_, !phase));
    EXPECT_TRUE(speckv_ring_is_there(&ring_, phase));
    end(cookie);
  }
}

TEST_F(Ring, what_no_command_asked_for_is_not_believed) {
  const u64 cookie = take();
  for (const u64 wrong : {cookie + 1, cookie ^ u64{1} << 32, cookie + slots, ~u64{0}, u64{0}})
    EXPECT_EQ(accept(told(wrong)), -EBADMSG);
  end(cookie);
  EXPECT_EQ(accept(told(cookie)), -EBADMSG) << "twice";
  EXPECT_NE(take(), cookie) << "the same tag has another cookie";
  EXPECT_EQ(accept(told(cookie)), -EBADMSG) << "late";
}

TEST_F(Ring, after_a_reset_earlier_commands_are_not_believed) {
  const u64 before = take();
  speckv_ring_reset(&ring_);
  EXPECT_EQ(ring_.used, 0);
  std::vector<u64> cookies;
  for (u32 i = 0; i < slots; ++i) cookies.push_back(take());
  EXPECT_EQ(accept(told(before)), -EBADMSG);
  for (const u64 cookie : cookies) EXPECT_NE(cookie, before);
}

TEST_F(Ring, a_completion_that_cannot_be_is_not_believed) {
  const u64 cookie = take();
  const auto refuses = [&](auto change) {
    auto one = told(cookie);
    change(one);
    EXPECT_EQ(accept(one), -EBADMSG);
  };
  refuses([](auto& one) { one.status = SPECKV_ENGINE_NOT_FOUND + 1; });
  refuses([](auto& one) { one.status = SPECKV_ENGINE_RING; });
  refuses([](auto& one) { one.refusal = 1; });
  refuses([](auto& one) { one.page = 1; });
  refuses([](auto& one) { one.reserved_26 = 1; });
  refuses([](auto& one) { one.phase |= 2; });
  refuses([](auto& one) { one.reserved_32[3] = 1; });
  refuses([](auto& one) { one.sq_head += 1; });
  refuses([](auto& one) { one.sq_head -= 2; });
  auto one = told(cookie);
  one.status = SPECKV_ENGINE_REFUSED;
  one.refusal = 2;
  one.page = 7;
  EXPECT_EQ(accept(one), int(u32(cookie)));
}

TEST_F(Ring, any_order_for_very_long) {
  std::mt19937 random(5);
  std::vector<u64> under_way;
  for (int i = 0; i < 300'000; ++i) {
    if (under_way.size() < slots && random() % 2 == 0) {
      under_way.push_back(take());
    } else if (!under_way.empty()) {
      std::swap(under_way[random() % under_way.size()], under_way.back());
      end(under_way.back());
      under_way.pop_back();
    }
    ASSERT_EQ(ring_.used, under_way.size());
  }
}

TEST(EngineState, has_these_ways_and_no_other) {
  const auto all = {SPECKV_ENGINE_NEW, SPECKV_ENGINE_LIVE, SPECKV_ENGINE_RESETTING,
                    SPECKV_ENGINE_DEAD};
  const std::pair<speckv_engine_state, speckv_engine_state> ways[] = {
      {SPECKV_ENGINE_NEW, SPECKV_ENGINE_LIVE},       {SPECKV_ENGINE_NEW, SPECKV_ENGINE_DEAD},
      {SPECKV_ENGINE_LIVE, SPECKV_ENGINE_RESETTING}, {SPECKV_ENGINE_LIVE, SPECKV_ENGINE_DEAD},
      {SPECKV_ENGINE_RESETTING, SPECKV_ENGINE_LIVE}, {SPECKV_ENGINE_RESETTING, SPECKV_ENGINE_DEAD},
  };
  for (const auto now : all)
    for (const auto next : all)
      EXPECT_EQ(speckv_state_may_follow(now, next),
                std::ranges::find(ways, std::pair{now, next}) != std::end(ways))
          << now << " to " << next;
}

}  // namespace
