// SPDX-License-Identifier: Apache-2.0
// Proves that holds keep blocks through a pool that turns over, end when they should, pass to
// another session, and are bounded; and that a daemon which does not answer costs the caller its
// timeout and no more.

#include <algorithm>
#include <thread>

#include "client.hpp"

namespace speckv::test {
namespace {

// A pool of few blocks: 16 MiB of 96 KiB each.
class Holds : public LibTest {
 protected:
  void begin_small(const std::string& session_lines = "") {
    DaemonOptions options;
    options.pool_bytes = "16MiB";
    options.data_threads = 2;
    options.session_lines = session_lines;
    begin(options);
    layout_ = small_layout(4);
    layout_.head_dim = 96;
    number_ = client().add_layout(layout_);
    kv_ = std::make_unique<Kv>(layout_, Arrangement::token_major);
  }
  void turn_over() {  // twice as much as the pool holds
    const uint64_t blocks = 2 * (16u << 20) / speckv_block_bytes(&layout_);
    for (uint64_t i = 0; i < blocks; i++) ASSERT_EQ(client().put(number_, next_++, *kv_), 0);
  }
  int hold(Client& who, uint64_t first, unsigned count, uint64_t* ret_hold,
           uint64_t ttl_ns = 20 * second_ns) {
    hits_.assign(count, 9);
    const auto keys = keys_of(first, count);
    return speckv_hold(who.get(), number_, as_keys(keys), count, ttl_ns, 10 * second_ns,
                       hits_.data(), ret_hold);
  }

  speckv_layout layout_;
  uint32_t number_ = 0;
  std::unique_ptr<Kv> kv_;
  std::vector<uint8_t> hits_;
  uint64_t next_ = 1000;
};

TEST_F(Holds, KeepBlocksUntilTheyEnd) {
  begin_small();
  for (uint64_t i = 0; i < 6; i++) ASSERT_EQ(client().put(number_, i, *kv_), 0);
  uint64_t held = 0;
  EXPECT_EQ(hold(client(), 0, 4, &held), 4);
  EXPECT_EQ(hits_, std::vector<uint8_t>(4, 1));
  turn_over();
  for (uint64_t i = 0; i < 4; i++) EXPECT_EQ(client().get(number_, i, *kv_), 0) << i;
  EXPECT_FALSE(client().exists(number_, 4) && client().exists(number_, 5));
  EXPECT_EQ(speckv_unhold(client().get(), held), 0);
  EXPECT_EQ(speckv_unhold(client().get(), held), -EBADF);
  turn_over();
  EXPECT_FALSE(client().exists(number_, 0) && client().exists(number_, 1));
}

TEST_F(Holds, LeadingHitsAndMisses) {
  begin_small();
  for (uint64_t i : {0, 1, 3}) ASSERT_EQ(client().put(number_, i, *kv_), 0);
  uint64_t held = 0;
  EXPECT_EQ(hold(client(), 0, 5, &held), 2);
  EXPECT_EQ(hits_, (std::vector<uint8_t>{1, 1, 0, 1, 0}));
  EXPECT_NE(held, 0u);
  EXPECT_EQ(speckv_unhold(client().get(), held), 0);
  held = 0;
  EXPECT_EQ(hold(client(), 100, 3, &held), 0);  // none is there
  EXPECT_EQ(held, 0u);
}

TEST_F(Holds, AnotherSessionTakesOver) {
  begin_small();
  ASSERT_EQ(client().put(number_, 1, *kv_), 0);
  auto scheduler = std::make_unique<Client>(daemon().socket_path());
  ASSERT_EQ(scheduler->opened(), 0);
  scheduler->add_layout(layout_);
  uint64_t held = 0;
  ASSERT_EQ(hold(*scheduler, 1, 1, &held), 1);
  EXPECT_EQ(speckv_adopt(client().get(), held, 10 * second_ns), 0);
  EXPECT_EQ(speckv_adopt(client().get(), held, 10 * second_ns), 0);  // ours already
  scheduler.reset();  // its session ends, the hold does not
  turn_over();
  EXPECT_EQ(client().get(number_, 1, *kv_), 0);
  EXPECT_EQ(speckv_unhold(client().get(), held), 0);
  EXPECT_EQ(speckv_adopt(client().get(), held + 1, 10 * second_ns), -EBADF);
  EXPECT_EQ(speckv_adopt(client().get(), 0, 10 * second_ns), -EBADF);
  EXPECT_EQ(speckv_unhold(client().get(), 12345), -EBADF);
}

TEST_F(Holds, TheQuotaIsAnErrorAndNotAHit) {
  begin_small("holds_max = 2");
  for (uint64_t i = 0; i < 12; i++) ASSERT_EQ(client().put(number_, i, *kv_), 0);
  uint64_t held = 0, more = 0;
  const int got = hold(client(), 0, 12, &held);
  EXPECT_LT(got, 12);
  EXPECT_EQ(std::count(hits_.begin(), hits_.end(), 1), 2) << "of two data threads together";
  EXPECT_NE(held, 0u);
  EXPECT_EQ(hold(client(), 0, 12, &more), -EDQUOT);
  EXPECT_EQ(more, 0u);
  EXPECT_EQ(speckv_unhold(client().get(), held), 0);
}

// Two namespaces that may hold 8 each and 10 together: who asks last gets what is left, and all of
// it is back when the first has let go.
TEST_F(Holds, ALimitForAllNamespacesStandsAboveEachOnes) {
  DaemonOptions options;
  options.pool_bytes = "16MiB";
  options.session_lines = "holds_max = 10";
  options.namespace_lines = "holds_max = 8";
  options.more = "[[namespace]]\nname = \"other\"\nbytes = \"16MiB\"\nholds_max = 8\n";
  begin(options);
  layout_ = small_layout(4);
  number_ = client().add_layout(layout_);
  kv_ = std::make_unique<Kv>(layout_, Arrangement::token_major);
  Client other(daemon().socket_path(), "other");
  ASSERT_EQ(other.opened(), 0);
  other.add_layout(layout_);
  for (uint64_t i = 0; i < 12; i++) {
    ASSERT_EQ(client().put(number_, i, *kv_), 0);
    ASSERT_EQ(other.put(number_, i, *kv_), 0);
  }
  uint64_t first = 0, second = 0, third = 0;
  hold(client(), 0, 12, &first);
  EXPECT_EQ(std::count(hits_.begin(), hits_.end(), 1), 8) << "its namespace's own";
  hold(other, 0, 12, &second);
  EXPECT_EQ(std::count(hits_.begin(), hits_.end(), 1), 2) << "what is left of all";
  EXPECT_EQ(speckv_unhold(client().get(), first), 0);
  hold(other, 0, 12, &third);
  EXPECT_EQ(std::count(hits_.begin(), hits_.end(), 1), 6) << "its own again";
}

TEST_F(Holds, NoneWhereNoneAreAllowed) {
  begin_small("holds_max = 0");
  ASSERT_EQ(client().put(number_, 1, *kv_), 0);
  uint64_t held = 0;
  EXPECT_EQ(hold(client(), 1, 1, &held), -EDQUOT);
}

TEST_F(Holds, ADaemonThatSleepsCostsTheTimeout) {
  begin_small();
  ASSERT_EQ(client().put(number_, 1, *kv_), 0);
  daemon().pause();
  const auto keys = keys_of(1, 1);
  uint8_t hit = 9;
  uint64_t held = 0;
  EXPECT_EQ(
      speckv_hold(client().get(), number_, as_keys(keys), 1, second_ns, 1'000'000, &hit, &held),
      -ETIMEDOUT);
  EXPECT_EQ(speckv_adopt(client().get(), 99, 1'000'000), -ETIMEDOUT);
  EXPECT_EQ(held, 0u);
  EXPECT_EQ(client().get(number_, 1, *kv_), 0);  // reading asks nobody
  daemon().resume();
  EXPECT_EQ(hold(client(), 1, 1, &held), 1);  // late answers of the calls before hit nobody
  EXPECT_EQ(speckv_wait(client().get(), 0), -ENOTCONN);
  EXPECT_EQ(speckv_unhold(client().get(), held), 0);
}

// A call whose time to live ends while it waits keeps its entry: another call gets one of its own,
// and what the first gives up is not the second's.
TEST_F(Holds, ACallThatGivesUpEndsNobodyElsesHold) {
  begin_small();
  ASSERT_EQ(client().put(number_, 1, *kv_), 0);
  const auto keys = keys_of(1, 1);
  daemon().pause();
  std::thread first([&] {
    uint8_t hit;
    uint64_t held;
    EXPECT_EQ(speckv_hold(client().get(), number_, as_keys(keys), 1, 1'000'000, second_ns / 2, &hit,
                          &held),
              -ETIMEDOUT);
  });
  usleep(100'000);  // past its time to live, so that its entry looks expired
  uint64_t held = 0;
  std::thread second([&] {
    uint8_t hit = 0;
    EXPECT_EQ(speckv_hold(client().get(), number_, as_keys(keys), 1, 20 * second_ns, 20 * second_ns,
                          &hit, &held),
              1);
  });
  first.join();
  daemon().resume();
  second.join();
  ASSERT_EQ(speckv_remove(client().get(), number_, as_keys(keys), 1, 0), 1);
  EXPECT_EQ(client().reap(1).at(0).result, -EBUSY) << "the second call's hold is gone";
  EXPECT_EQ(speckv_unhold(client().get(), held), 0);
}

// One shard's ring is full: then the other is not asked either.
TEST_F(Holds, AdoptionIsWholeOrNotAtAll) {
  begin_small();
  std::vector<KeyBytes> of_shard[2];
  const Key mask = layout_mask(speckv_layout_fingerprint(&layout_));
  for (uint64_t i = 0; of_shard[0].size() < 2 || of_shard[1].size() < 1100; i++)
    of_shard[shard_of(hash_key(masked(Key::from(key_of(i).bytes), mask)), 2)].push_back(key_of(i));
  Client owner(daemon().socket_path());
  ASSERT_EQ(owner.opened(), 0);
  ASSERT_EQ(owner.add_layout(layout_), number_);
  kv_->fill(1);
  speckv_put_op op = Client::put_op(0, *kv_);
  std::memcpy(op.key, of_shard[0][0].bytes, sizeof op.key);
  ASSERT_EQ(speckv_put(owner.get(), number_, &op, 1), 1);
  ASSERT_EQ(owner.reap(1).at(0).result, 0);
  uint64_t held = 0;
  uint8_t hit = 0;
  ASSERT_EQ(speckv_hold(owner.get(), number_, as_keys(of_shard[0]), 1, 50 * second_ns,
                        20 * second_ns, &hit, &held),
            1);
  daemon().pause();
  struct speckv_hint hint {};  // fills the ring of that shard, and is not answered
  hint.size = sizeof hint;
  EXPECT_LT(speckv_hint(client().get(), number_, as_keys(of_shard[1]), 1100, &hint), 1100);
  EXPECT_EQ(speckv_adopt(client().get(), held, 20 * second_ns), -EAGAIN);
  daemon().resume();
  EXPECT_EQ(speckv_unhold(client().get(), held), -EBADF);
  owner.close();  // still the owner: its hold ends with it
  for (int i = 0; i < 2000; i++) {
    ASSERT_EQ(speckv_remove(client().get(), number_, as_keys(of_shard[0]), 1, 0), 1);
    hit = uint8_t(client().reap(1).at(0).result == 0);
    if (hit) break;
    usleep(5000);
  }
  EXPECT_EQ(hit, 1) << "the hold outlived its owner";
}

TEST_F(Holds, ManyKeysInOneCall) {
  begin_small();
  ASSERT_EQ(client().put(number_, 599, *kv_), 0);
  uint64_t held = 0;
  EXPECT_EQ(hold(client(), 0, 600, &held), 0);  // several groups of answers
  EXPECT_EQ(hits_[599], 1);
  EXPECT_EQ(std::count(hits_.begin(), hits_.end(), 1), 1);
  const auto keys = keys_of(0, 600);
  EXPECT_EQ(speckv_prefetch(client().get(), number_, as_keys(keys), 600), 600);
  EXPECT_EQ(speckv_unhold(client().get(), held), 0);
}

}  // namespace
}  // namespace speckv::test
