// SPDX-License-Identifier: Apache-2.0
// Proves that who waits for a fetch is kept within bounds: a group's wants end once, by key,
// number, asker or time; nothing is left over; and a byte budget gives a second's worth a second.
#include <gtest/gtest.h>

#include <map>

#include "loop/prefetches.hpp"

namespace speckv {
namespace {

Key key(uint64_t number) {
  Key made;
  for (uint64_t i = 0; i < 4; i++) made.word[i] = mix64(number * 4 + i + 1);
  return made;
}

struct Table {
  explicit Table(uint32_t wants_max) : wants(wants_max) {}
  bool ask(int* asker, uint64_t number, uint64_t of_key, bool more = false,
           uint64_t deadline_ns = 100) {
    Prefetches::Group* group = wants.group(asker, number, 1000);
    if (!group || wants.full()) return false;
    wants.add(*group, key(of_key), of_key, deadline_ns);
    group->more_follow = more;
    return true;
  }
  auto note() {
    return [this](void*, const Prefetches::Want& want) { ended[want.user_data]++; };
  }
  Prefetches wants;
  std::map<uint64_t, int> ended;
};

TEST(Prefetches, EveryAskerOfAKeyHearsOfItsEnd) {
  Table table(8);
  int first = 0, second = 0;
  ASSERT_TRUE(table.ask(&first, 1, 10, true));
  ASSERT_TRUE(table.ask(&first, 1, 11));
  ASSERT_TRUE(table.ask(&second, 1, 10));  // the number of another: not the same group
  int heard = 0;
  table.wants.end_key(key(10), [&](void* asker, const Prefetches::Want& want) {
    EXPECT_EQ(want.user_data, 10u);
    EXPECT_TRUE(asker == &first || asker == &second);
    heard++;
  });
  EXPECT_EQ(heard, 2);
  EXPECT_EQ(table.wants.under_way(), 1u);
  EXPECT_FALSE(table.wants.wanted(key(10)));
  EXPECT_TRUE(table.wants.wanted(key(11)));
}

TEST(Prefetches, ANumberIsEndedByItsOwnAskerAlone) {
  Table table(8);
  int first = 0, second = 0;
  ASSERT_TRUE(table.ask(&first, 7, 10, true));
  ASSERT_TRUE(table.ask(&first, 7, 11));
  EXPECT_FALSE(table.wants.end_group(&second, 7, table.note()));
  EXPECT_FALSE(table.wants.end_group(&first, 8, table.note()));
  EXPECT_TRUE(table.wants.end_group(&first, 7, table.note()));
  EXPECT_FALSE(table.wants.end_group(&first, 7, table.note()));
  EXPECT_EQ(table.ended, (std::map<uint64_t, int>{{10, 1}, {11, 1}}));
}

TEST(Prefetches, WhatIsLateEndsAndTheRestDoesNot) {
  Table table(8);
  int asker = 0;
  ASSERT_TRUE(table.ask(&asker, 1, 10, false, 50));
  ASSERT_TRUE(table.ask(&asker, 2, 11, false, 60));
  table.wants.end_late(50, table.note());
  EXPECT_EQ(table.ended, (std::map<uint64_t, int>{{10, 1}}));
  table.wants.end_late(1000, table.note());
  EXPECT_EQ(table.ended.size(), 2u);
  EXPECT_EQ(table.wants.under_way(), 0u);
}

// A budget outlives the keys of its number that are over, until the last was asked.
TEST(Prefetches, TheBudgetStaysUntilTheLastKeyWasAsked) {
  Table table(8);
  int asker = 0;
  Prefetches::Group* group = table.wants.group(&asker, 1, 1000);
  group->bytes_left = 5;
  group->more_follow = true;
  table.wants.settle(*group);
  group = table.wants.group(&asker, 1, 1000);
  EXPECT_EQ(group->bytes_left, 5u);
  group->more_follow = false;
  table.wants.settle(*group);
  EXPECT_EQ(table.wants.group(&asker, 1, 1000)->bytes_left, 1000u) << "it was the last";
}

TEST(Prefetches, FullIsFullAndAClientThatGoesGivesAllBack) {
  Table table(4);
  int greedy = 0, other = 0;
  for (uint64_t i = 0; i < 4; i++) ASSERT_TRUE(table.ask(&greedy, i, i, true));
  EXPECT_TRUE(table.wants.full());
  EXPECT_FALSE(table.ask(&other, 1, 77));
  table.wants.end_those_of(&greedy, table.note());
  EXPECT_EQ(table.ended.size(), 4u);
  for (uint64_t i = 0; i < 4; i++) EXPECT_TRUE(table.ask(&other, i, i)) << i;
}

// Any order of everything, against a plain model.
TEST(Prefetches, NothingIsLostOrToldTwice) {
  Table table(32);
  int askers[3] = {};
  std::map<uint64_t, int> asked;
  uint64_t state = 1, made = 0;
  const auto random = [&state](uint64_t below) { return mix64(++state) % below; };
  for (int step = 0; step < 20'000; step++) {
    int* asker = &askers[random(3)];
    switch (random(8)) {
      case 0:
        table.wants.end_key(key(random(40)), table.note());
        break;
      case 1:
        table.wants.end_group(asker, random(6), table.note());
        break;
      case 2:
        if (random(50) == 0) table.wants.end_those_of(asker, table.note());
        else table.wants.end_late(random(100), table.note());
        break;
      default: {
        Prefetches::Group* group = table.wants.group(asker, random(6), 1);
        if (!group) break;
        if (!table.wants.full()) {
          table.wants.add(*group, key(random(40)), ++made, 1 + random(100'000));
          asked[made] = 1;
        }
        group->more_follow = random(2);
        table.wants.settle(*group);
      }
    }
  }
  for (int& asker : askers) table.wants.end_those_of(&asker, table.note());
  EXPECT_GT(made, 5'000u);
  EXPECT_EQ(table.ended, asked);
  EXPECT_EQ(table.wants.under_way(), 0u);
}

TEST(ByteBudget, GivesASecondsWorthASecond) {
  constexpr uint64_t second_ns = 1'000'000'000;
  ByteBudget budget(1000);
  uint64_t now_ns = 50 * second_ns;
  EXPECT_EQ(budget.left(now_ns), UINT64_MAX) << "full: one block of any size";
  budget.take(600);
  EXPECT_EQ(budget.left(now_ns), 400u);
  budget.take(400);
  EXPECT_EQ(budget.left(now_ns), 0u);
  uint64_t earned = 0;  // in steps too short for a byte, over a second
  for (int i = 0; i < 4000; i++) {
    const uint64_t left = budget.left(now_ns += second_ns / 4000);
    if (left == UINT64_MAX) break;
    earned += left;
    budget.take(left);
  }
  EXPECT_GE(earned, 999u);
  EXPECT_LE(earned, 1000u);
}

TEST(ByteBudget, ALargeBlockIsPaidForLater) {
  constexpr uint64_t second_ns = 1'000'000'000;
  ByteBudget budget(1000);
  uint64_t now_ns = 50 * second_ns;
  EXPECT_EQ(budget.left(now_ns), UINT64_MAX);
  budget.take(5000);
  EXPECT_EQ(budget.left(now_ns += 2 * second_ns), 0u) << "a pause longer than a second is a second";
  for (int i = 0; i < 4; i++) budget.left(now_ns += second_ns);
  EXPECT_EQ(budget.left(now_ns), UINT64_MAX);
}

TEST(ByteBudget, NothingAndEverything) {
  ByteBudget nothing(0), everything(UINT64_MAX);
  EXPECT_EQ(nothing.left(1), 0u);
  EXPECT_EQ(nothing.left(uint64_t{1} << 60), 0u);
  everything.take(UINT64_MAX);
  EXPECT_EQ(everything.left(1), UINT64_MAX);
}

}  // namespace
}  // namespace speckv
