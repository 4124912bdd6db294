// SPDX-License-Identifier: Apache-2.0
// speculation_test.cpp - sessions that come back find their blocks in the pool, without a wait,
// since the daemon read them from the tier below in time; where every guess is wrong it stops
// guessing and says so, and puts and gets go on. A real daemon and a real file.
//
// Hits are counted by gets, which never wait; nothing is timed. With speculation the test waits for
// the daemon as long as it takes; without, for as long as the sessions were to be away.
#include "spill_daemon.hpp"
#include "src/clock.hpp"

namespace speckv::test {
namespace {

class Speculation : public SpillDaemon {
 protected:
  static constexpr uint64_t blocks = 10;  // of a session
  static constexpr uint64_t away_ns = 3 * second_ns / 2;

  void begin_with(const std::string& lines) {
    DaemonOptions options;
    options.pool_bytes = "16MiB";
    options.data_threads = 1;
    options.namespace_lines = "spill_path = \"" + spill_path() + "\"\nspill_bytes = \"128MiB\"\n" +
                              "spill_entries = 4096\n" + lines;
    begin(options);
    layout_ = small_layout(4);
    layout_.head_dim = 96;
    number_ = client().add_layout(layout_);
    kv_ = std::make_unique<Kv>(layout_, Arrangement::token_major);
  }
  static uint64_t block_of(uint64_t session, uint64_t i) { return 1000 * (session + 1) + i; }
  void speak(uint64_t session) {
    for (uint64_t i = 0; i < blocks; i++) {
      kv_->fill(block_of(session, i));
      speckv_put_op op = Client::put_op(block_of(session, i), *kv_);
      if (i)
        std::memcpy(op.meta.parent, key_of(block_of(session, i - 1)).bytes, sizeof op.meta.parent);
      ASSERT_EQ(speckv_put(client().get(), number_, &op, 1), 1);
      const auto done = client().reap(1);
      ASSERT_EQ(done.size(), 1u);
      ASSERT_EQ(done[0].result, 0) << daemon().log();
    }
    usleep(5000);  // a storm would outrun any disk
  }
  // Blocks of sessions that never come back: the pool is full of them.
  void press(uint64_t sessions) {
    for (uint64_t i = 0; i < sessions; i++) speak(next_++);
  }
  void say_when(uint64_t session) {
    struct speckv_hint hint {};
    hint.size = sizeof hint;
    hint.returns_ns = lib::now_ns() + away_ns;
    const auto keys = keys_of(block_of(session, blocks - 1), 1);
    ASSERT_EQ(speckv_hint(client().get(), number_, as_keys(keys), 1, &hint), 1);
  }
  uint64_t there(uint64_t session) {
    uint64_t sum = 0;
    for (uint64_t i = 0; i < blocks; i++) sum += client().exists(number_, block_of(session, i));
    return sum;
  }
  // What it reads without a wait.
  uint64_t come_back(uint64_t session) {
    uint64_t hits = 0;
    for (uint64_t i = 0; i < blocks; i++) {
      if (client().get(number_, block_of(session, i), *kv_) != 0) continue;
      EXPECT_EQ(kv_->wrong(block_of(session, i)), 0u);
      hits++;
    }
    return hits;
  }
  // Sessions say when they are back, and come back then. Returns: blocks that they read at once.
  uint64_t rounds(bool patient) {
    uint64_t hits = 0;
    for (uint64_t session = 0; session < 12; session++) speak(session);
    press(20);
    for (uint64_t round = 0; round < 3; round++) {
      uint64_t here = 0;
      for (uint64_t s = 4 * round; s < 4 * round + 4; s++) {
        here += there(s);
        say_when(s);
      }
      EXPECT_EQ(here, 0u) << "they went long ago";
      usleep(useconds_t(away_ns / 1000));
      for (uint64_t s = 4 * round; s < 4 * round + 4; s++) {
        for (int i = 0; patient && i < 2000 && there(s) < blocks; i++) usleep(10'000);
        hits += come_back(s);
      }
      press(20);
    }
    return hits;
  }
  uint64_t next_ = 100;
};

TEST_F(Speculation, SessionsThatComeBackFindTheirBlocks) {
  begin_with("policy = \"lru\"\n");
  const uint64_t with = rounds(true);
  TearDown();
  SetUp();
  begin_with("policy = \"lru\"\nspeculation = false\n");
  const uint64_t without = rounds(false);
  EXPECT_EQ(without, 0u);
  EXPECT_EQ(with, 3 * 4 * blocks) << daemon().log();
}

TEST_F(Speculation, GuessesThatAreAlwaysWrongEnd) {
  begin_with("policy = \"lru\"\n");
  press(60);
  const std::string said = "speculation by hint is off for now: of its last 256 blocks only 0";
  const auto is_off = [&] { return daemon().log().find(said) != std::string::npos; };
  for (uint64_t round = 0; round < 40 && !is_off(); round++) {
    // below, and not dropped there; no more than may wait unread, a quarter of the pool
    const uint64_t first = next_ - 50;
    for (uint64_t i = 0; i < 3; i++) say_when(first + i);
    for (uint64_t i = 0; i < 3; i++)
      for (int wait = 0; wait < 500 && there(first + i) < blocks && !is_off(); wait++)
        usleep(10'000);
    press(20);  // those who said so never came
  }
  for (int wait = 0; wait < 2000 && !is_off(); wait++) usleep(10'000);  // it is said once a second
  const std::string log = daemon().log();
  ASSERT_NE(log.find(said), std::string::npos) << log;
  EXPECT_EQ(log.find(said), log.rfind(said)) << "said once";
  const uint64_t another = next_ - 50;
  say_when(another);
  usleep(useconds_t(2 * away_ns / 1000));
  EXPECT_EQ(there(another), 0u) << "it is off";
  EXPECT_EQ(client().put(number_, 77, *kv_), 0);
  EXPECT_EQ(client().get(number_, 77, *kv_), 0);
  EXPECT_EQ(read_back(block_of(another, 0), blocks), blocks) << "who asks gets it, as ever";
}

}  // namespace
}  // namespace speckv::test
