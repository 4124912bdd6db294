// SPDX-License-Identifier: Apache-2.0
// index_test.cpp - the index says what an ordinary map would say, and a reader beside the writer
// never sees half of an entry.
#include <atomic>
#include <thread>
#include <unordered_map>

#include "fixture.hpp"

namespace speckv {
namespace {

class IndexTest : public ::testing::Test {
 protected:
  explicit IndexTest(uint32_t buckets = 64) : file_(shm::index_file_bytes(1, buckets)) {
    IndexWriter::format(file_.data(), 1, buckets, 7);
    writer_ = std::make_unique<IndexWriter>(file_.data(), 0);
  }
  static shm::Entry entry(uint64_t number) {
    shm::Entry made;
    made.key = key_of(number);
    made.ref = number * 64;
    made.gen = number * 2;
    made.fingerprint = ~number;
    made.block = uint32_t(number);
    return made;
  }
  bool insert(uint64_t number) { return writer_->insert(hash_key(key_of(number)), entry(number)); }
  bool find(uint64_t number, shm::Entry* found) {
    return writer_->find(key_of(number), hash_key(key_of(number)), found);
  }
  std::vector<std::byte> file_;
  std::unique_ptr<IndexWriter> writer_;
};

TEST_F(IndexTest, TwoWritersOrASlotThatIsBeingWrittenEndTheDaemon) {
  shm::Entry half = entry(3);
  half.gen++;
  EXPECT_DEATH(writer_->insert(hash_key(half.key), half), "published that is being written");
  ASSERT_TRUE(insert(3));
  auto* buckets = reinterpret_cast<shm::Bucket*>(file_.data() + shm::index_header_bytes);
  const uint32_t first = shm::first_bucket(hash_key(key_of(3)), writer_->view().buckets());
  buckets[first].head.seq++;  // another writer is in the middle of it
  EXPECT_DEATH(writer_->erase(key_of(3), hash_key(key_of(3))), "two writers");
}

TEST_F(IndexTest, AgreesWithAMapUnderRandomInsertAndErase) {
  std::unordered_map<uint64_t, bool> model;
  uint64_t state = 42;
  for (int step = 0; step < 200'000; step++) {
    state = mix64(state + 1);
    const uint64_t number = state % 400;  // 448 places: up to 89 % full
    if (model[number]) {
      EXPECT_TRUE(writer_->erase(key_of(number), hash_key(key_of(number))));
      model[number] = false;
    } else {
      const bool has_room = writer_->has_room(hash_key(key_of(number)));
      const bool placed = insert(number);
      model[number] = placed;
      ASSERT_EQ(placed, has_room) << "what it says beforehand must hold";
      uint32_t neighbours = 0;
      if (!placed)
        writer_->for_each_neighbour(hash_key(key_of(number)), [&](const shm::Entry& each) {
          neighbours++;
          EXPECT_TRUE(model[each.block]) << "it must name blocks that are there";
        });
      if (!placed) {
        EXPECT_GE(neighbours, shm::bucket_entries);
      }
    }
    const uint64_t probe = mix64(state) % 400;
    shm::Entry found;
    ASSERT_EQ(find(probe, &found), model[probe]) << "step " << step;
    if (model[probe]) {
      ASSERT_EQ(found.fingerprint, ~probe);
    }
  }
  uint64_t there = 0;
  for (const auto& [number, present] : model) there += present;
  EXPECT_EQ(writer_->size(), there);
}

TEST_F(IndexTest, HoldsEightyPercentWithoutRefusing) {
  for (uint64_t number = 0; number < writer_->capacity() * 8 / 10; number++) {
    EXPECT_TRUE(insert(number)) << number;
  }
}

TEST_F(IndexTest, AnEntryThatIsReplacedIsFoundAtAnyMoment) {
  for (uint64_t number = 0; number < 64; number++) ASSERT_TRUE(insert(number));
  std::atomic<bool> done{false};
  std::thread reader([&] {
    const shm::IndexView view(file_.data(), 0);
    for (uint64_t look = 0; !done.load(); look++) {
      const uint64_t number = look % 64;
      shm::Entry found;
      uint64_t tries = 0;  // a bucket that is in change for long is a miss
      while (!view.find(key_of(number), hash_key(key_of(number)), &found))
        ASSERT_LT(++tries, 1'000'000u) << "the key was there all the time";
      ASSERT_EQ(found.fingerprint, ~(found.ref / 64));
      ASSERT_EQ(found.gen, found.ref / 32);
    }
  });
  const uint64_t changes = writer_->view().changes().newest;
  for (uint64_t version = 100; version < 200'000; version++) {
    shm::Entry next = entry(version);
    next.key = key_of(version % 64);
    ASSERT_TRUE(writer_->replace(hash_key(next.key), next));
  }
  done.store(true);
  reader.join();
  EXPECT_EQ(writer_->size(), 64u);
  EXPECT_EQ(writer_->view().changes().newest, changes) << "nothing came and nothing went";
  shm::Entry unknown = entry(7777);
  EXPECT_FALSE(writer_->replace(hash_key(unknown.key), unknown));
}

TEST_F(IndexTest, AReaderBesideTheWriterSeesWholeEntriesOnly) {
  std::atomic<bool> done{false};
  std::thread reader([&] {
    const shm::IndexView view(file_.data(), 0);
    uint64_t state = 1;
    while (!done.load()) {
      state = mix64(state + 1);
      const uint64_t number = state % 64;
      shm::Entry found;
      if (!view.find(key_of(number), hash_key(key_of(number)), &found)) continue;
      // every version of an entry keeps fingerprint == ~(ref / 64) and gen == ref / 32
      ASSERT_EQ(found.fingerprint, ~(found.ref / 64));
      ASSERT_EQ(found.gen, found.ref / 32);
    }
  });
  uint64_t version = 0;
  for (int round = 0; round < 3000; round++)
    for (uint64_t number = 0; number < 64; number++) {
      shm::Entry next = entry(++version);
      next.key = key_of(number);
      writer_->erase(key_of(number), hash_key(key_of(number)));
      ASSERT_TRUE(writer_->insert(hash_key(key_of(number)), next));
    }
  done = true;
  reader.join();
}

TEST_F(IndexTest, ABucketLeftOddByADeadWriterIsAMissNotAHang) {
  ASSERT_TRUE(insert(5));
  auto* table = reinterpret_cast<shm::Bucket*>(file_.data() + shm::index_header_bytes);
  for (uint32_t i = 0; i < 64; i++) table[i].head.seq |= 1;
  shm::Entry found;
  EXPECT_FALSE(find(5, &found));
}

}  // namespace
}  // namespace speckv
