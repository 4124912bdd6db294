// SPDX-License-Identifier: Apache-2.0
// changes_test.cpp - who follows the noted changes knows what is in the index: from a look through
// all buckets that goes on while entries come, go and move aside, and the changes since it began.
#include <set>

#include "fixture.hpp"

namespace speckv {
namespace {

using Words = std::array<uint64_t, 4>;

Words words_of(const Key& key) { return {key.word[0], key.word[1], key.word[2], key.word[3]}; }

// What an ordinary follower does, one bucket at a time.
class Follower {
 public:
  explicit Follower(const shm::IndexView& view) : view_(view) {
    next_ = shm::load_acquire(view_.changes().newest);
  }
  // Returns: true when all buckets were looked at.
  bool look_at_one_more() {
    Key some[shm::bucket_entries];
    const int count = view_.addresses(bucket_, some);
    EXPECT_GE(count, 0);
    for (int i = 0; i < count; i++) known_.insert(words_of(some[i]));
    return ++bucket_ == view_.buckets();
  }
  // Returns: false when changes were lost.
  bool catch_up() {
    for (shm::Change change; next_ < shm::load_acquire(view_.changes().newest); next_++) {
      if (!shm::read_change(view_.changes(), next_ + 1, &change)) return false;
      if (change.kind == uint32_t(shm::ChangeKind::placed)) known_.insert(words_of(change.key));
      else known_.erase(words_of(change.key));
    }
    return true;
  }
  const std::set<Words>& known() const { return known_; }

 private:
  shm::IndexView view_;
  uint64_t next_ = 0;
  uint32_t bucket_ = 0;
  std::set<Words> known_;
};

class ChangesTest : public ::testing::Test {
 protected:
  ChangesTest() : file_(shm::index_file_bytes(1, buckets)) {
    IndexWriter::format(file_.data(), 1, buckets, 7);
    writer_ = std::make_unique<IndexWriter>(file_.data(), 0);
  }
  void random_step() {
    state_ = mix64(state_ + 1);
    const Key key = key_of(state_ % 400);  // for 448 places
    shm::Entry entry;
    entry.key = key;
    if (there_.erase(words_of(key))) {
      EXPECT_TRUE(writer_->erase(key, hash_key(key)));
    } else if (writer_->insert(hash_key(key), entry)) {
      there_.insert(words_of(key));
    }
  }

  static constexpr uint32_t buckets = 64;
  std::vector<std::byte> file_;
  std::unique_ptr<IndexWriter> writer_;
  std::set<Words> there_;
  uint64_t state_ = 42;
};

TEST_F(ChangesTest, ALookThroughAChangingIndexAndItsChangesAreTheIndex) {
  for (int i = 0; i < 5000; i++) random_step();
  for (int round = 0; round < 300; round++) {
    Follower follower(writer_->view());
    for (bool whole = false; !whole;) {
      whole = follower.look_at_one_more();
      for (int i = 0; i < 7; i++) random_step();
    }
    ASSERT_TRUE(follower.catch_up());
    ASSERT_EQ(follower.known(), there_) << "round " << round;
  }
}

TEST_F(ChangesTest, OneWhoComesTooLateIsTold) {
  Follower follower(writer_->view());
  for (uint32_t i = 0; i < shm::change_entries / 2; i++) random_step();
  EXPECT_TRUE(follower.catch_up());
  for (uint32_t i = 0; i < 2 * shm::change_entries; i++) random_step();
  EXPECT_FALSE(follower.catch_up());
}

}  // namespace
}  // namespace speckv
