// SPDX-License-Identifier: Apache-2.0
// Proves that who follows a namespace's changes knows what is in it: through stores, removals and
// evictions, after changes were lost, and after the daemon was killed and started again; and that
// nothing of another namespace is told.
#include <unistd.h>

#include <set>

#include "client.hpp"

namespace speckv::test {
namespace {

constexpr unsigned batch = 512;

// What is there, by ids, as a program would know it.
class Follower {
 public:
  explicit Follower(speckv_session* session) : session_(session) { cursor_.size = sizeof cursor_; }

  // Returns: how often it had to begin anew.
  int catch_up() {
    int begun = 0;
    for (;;) {
      speckv_change some[batch];
      const int count = speckv_changes(session_, &cursor_, some, batch);
      if (count == -EOVERFLOW) {
        begun++;
        begin_anew();
        continue;
      }
      EXPECT_GE(count, 0);
      if (count <= 0) return begun;
      for (int i = 0; i < count; i++) apply(some[i]);
    }
  }
  bool knows(const speckv_layout& layout, uint64_t number) const {
    return there_.contains(id_of(layout, number));
  }
  size_t size() const { return there_.size(); }
  const speckv_cursor& cursor() const { return cursor_; }

  static std::string id_of(const speckv_layout& layout, uint64_t number) {
    const auto keys = keys_of(number, 1);
    uint8_t id[1][SPECKV_KEY_BYTES];
    EXPECT_EQ(speckv_block_ids(&layout, as_keys(keys), 1, id), 0);
    return {reinterpret_cast<const char*>(id[0]), sizeof id[0]};
  }

 private:
  void apply(const speckv_change& change) {
    const std::string id(reinterpret_cast<const char*>(change.id), sizeof change.id);
    if (change.kind == SPECKV_CHANGE_STORED) there_.insert(id);
    else there_.erase(id);
  }
  void begin_anew() {
    there_.clear();
    uint64_t position = 0;
    for (;;) {
      speckv_change some[batch];
      const int count = speckv_resident(session_, &position, some, batch);
      if (count == -EAGAIN) continue;
      EXPECT_GE(count, 0);
      if (count <= 0) return;
      for (int i = 0; i < count; i++) apply(some[i]);
    }
  }

  speckv_session* session_;
  speckv_cursor cursor_{};
  std::set<std::string> there_;
};

class Changes : public LibTest {
 protected:
  void begin_following(const DaemonOptions& options) {
    begin(options);
    number_ = client().add_layout(layout_);
    kv_ = std::make_unique<Kv>(layout_, Arrangement::token_major);
    follower_ = std::make_unique<Follower>(client().get());
  }
  void remove(uint64_t number) {
    const auto keys = keys_of(number, 1);
    ASSERT_EQ(speckv_remove(client().get(), number_, as_keys(keys), 1, number), 1);
    ASSERT_EQ(client().reap(1).size(), 1u);
  }
  // The pool's word for each block against the follower's.
  void compare(uint64_t numbers) {
    size_t there = 0;
    for (uint64_t number = 0; number < numbers; number++) {
      const bool present = client().exists(number_, number);
      there += present;
      ASSERT_EQ(follower_->knows(layout_, number), present) << number;
    }
    EXPECT_EQ(follower_->size(), there);
  }

  speckv_layout layout_ = small_layout();
  uint32_t number_ = 0;
  std::unique_ptr<Kv> kv_;
  std::unique_ptr<Follower> follower_;
};

TEST_F(Changes, AFollowerKnowsWhatIsThere) {
  DaemonOptions options;
  options.pool_bytes = "16MiB";
  options.index_entries = "1024";
  begin_following(options);
  EXPECT_EQ(follower_->catch_up(), 1);
  for (uint64_t step = 0; step < 5000; step++) {
    const uint64_t number = mix64(step) % 2000;
    if (mix64(step + 7) % 5 == 0) {
      remove(number);
    } else {
      const int stored = client().put(number_, number, *kv_);
      ASSERT_TRUE(stored == 0 || stored == -EBUSY) << stored;
    }
    if (step % 16 == 0) {
      EXPECT_EQ(follower_->catch_up(), 0);
    }
  }
  EXPECT_EQ(follower_->catch_up(), 0);
  compare(2000);
  EXPECT_GT(follower_->size(), 50u);
  EXPECT_EQ(follower_->cursor().lost, 0u);
}

TEST_F(Changes, OneWhoComesTooLateBeginsAnew) {
  begin_following({});
  EXPECT_EQ(follower_->catch_up(), 1);
  for (uint64_t step = 0; step < 24'000; step++) {  // two data threads
    const uint64_t number = step / 2 % 700;
    if (step % 2 && number % 3) remove(number);
    else ASSERT_EQ(client().put(number_, number, *kv_), 0);
  }
  EXPECT_EQ(follower_->catch_up(), 1);
  EXPECT_GT(follower_->cursor().lost, 1000u);
  compare(700);
}

TEST_F(Changes, ANewDaemonIsSeenAndItsBlocksAreFound) {
  begin_following({});
  for (uint64_t number = 0; number < 40; number++)
    ASSERT_EQ(client().put(number_, number, *kv_), 0);
  EXPECT_EQ(follower_->catch_up(), 1);
  daemon().kill();
  EXPECT_EQ(follower_->catch_up(), 0);
  compare(40);  // still mapped
  ASSERT_TRUE(daemon().start()) << daemon().log();
  int begun = 0;
  for (int i = 0; i < 4000 && begun == 0; i++) {  // asking is enough to find it
    begun = follower_->catch_up();
    usleep(5000);
  }
  EXPECT_EQ(begun, 1);
  compare(40);
  EXPECT_EQ(follower_->size(), 40u);
  remove(3);
  ASSERT_EQ(client().put(number_, 77, *kv_), 0);
  EXPECT_EQ(follower_->catch_up(), 0);
  compare(80);
}

TEST_F(Changes, NothingOfAnotherNamespaceIsTold) {
  DaemonOptions options;
  options.more = "[[namespace]]\nname = \"other\"\nbytes = \"16MiB\"\nindex_entries = 1024\n";
  begin_following(options);
  EXPECT_EQ(follower_->catch_up(), 1);
  Client other(daemon().socket_path(), "other");
  ASSERT_EQ(other.opened(), 0);
  const uint32_t number = other.add_layout(layout_);
  ASSERT_EQ(other.put(number, 5, *kv_), 0);
  ASSERT_EQ(client().put(number_, 6, *kv_), 0);
  EXPECT_EQ(follower_->catch_up(), 0);
  EXPECT_EQ(follower_->size(), 1u);
  EXPECT_TRUE(follower_->knows(layout_, 6));
}

TEST_F(Changes, IdsAreOfOneLayoutAndLeadBack) {
  speckv_layout other = layout_;
  other.rank = 1, other.world = 2;
  EXPECT_NE(Follower::id_of(layout_, 1), Follower::id_of(other, 1));
  const std::string id = Follower::id_of(layout_, 1);
  uint8_t back[1][SPECKV_KEY_BYTES];
  ASSERT_EQ(speckv_block_ids(
                &layout_, reinterpret_cast<const uint8_t(*)[SPECKV_KEY_BYTES]>(id.data()), 1, back),
            0);
  EXPECT_EQ(std::memcmp(back[0], key_of(1).bytes, sizeof back[0]), 0);
  EXPECT_EQ(speckv_block_ids(&layout_, nullptr, 1, back), -EINVAL);
  EXPECT_EQ(speckv_block_ids(nullptr, as_keys(keys_of(1, 1)), 1, back), -EINVAL);
}

TEST_F(Changes, WhatCannotBeRightIsRefused) {
  begin({});
  speckv_cursor cursor{};
  speckv_change some[8];
  uint64_t position = 0;
  EXPECT_EQ(speckv_changes(client().get(), &cursor, some, 8), -EINVAL);  // no size
  cursor.size = sizeof cursor;
  EXPECT_EQ(speckv_changes(client().get(), nullptr, some, 8), -EINVAL);
  EXPECT_EQ(speckv_changes(client().get(), &cursor, nullptr, 8), -EINVAL);
  EXPECT_EQ(speckv_changes(client().get(), &cursor, some, 0), -ENODATA);
  EXPECT_EQ(speckv_resident(client().get(), &position, some, 6), -EINVAL);
  EXPECT_EQ(speckv_resident(client().get(), nullptr, some, 8), -EINVAL);
  position = UINT64_MAX;
  EXPECT_EQ(speckv_resident(client().get(), &position, some, 8), 0);
  for (uint64_t& next : cursor.next) next = UINT64_MAX;  // a cursor that nobody gave
  EXPECT_EQ(speckv_changes(client().get(), &cursor, some, 8), -EOVERFLOW);
  EXPECT_EQ(speckv_changes(client().get(), &cursor, some, 8), 0);
}

}  // namespace
}  // namespace speckv::test
