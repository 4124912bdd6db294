// SPDX-License-Identifier: Apache-2.0
// start_plan_test.cpp - what a start will not keep is told beforehand, goes before what replaces it
// is allocated, and leaves nothing behind.
//
// How: namespaces on a real tmpfs mount (root; else skipped), opened again under another
// configuration.
#include "pool/start_plan.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "pool/index_writer.hpp"
#include "pool/namespace.hpp"
#include "shm/atomics.hpp"

namespace speckv {
namespace {

namespace fs = std::filesystem;
constexpr uint64_t mib = 1u << 20;

class StartPlan : public ::testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "not root: needs a mount of its own";
    std::string pattern = ::testing::TempDir() + "speckv_start_XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    options_.path = folder_ + "/a pool";  // mountinfo writes the blank as \040
  }
  void TearDown() override {
    if (folder_.empty()) return;
    while (umount2(options_.path.c_str(), MNT_DETACH) == 0) {
    }
    fs::remove_all(folder_);
  }
  std::unique_ptr<Medium> make() {
    auto medium = make_medium(options_);
    EXPECT_TRUE(medium.ok()) << medium.status().text();
    return medium.ok() ? std::move(medium.value()) : nullptr;
  }
  static Namespace open(Medium& medium, const WantedSpace& wanted, uint32_t shards) {
    auto space = open_namespace(medium, wanted, shards);
    EXPECT_TRUE(space.ok()) << space.status().text();
    return space.ok() ? std::move(space.value()) : Namespace{};
  }
  // An earlier daemon: namespaces a and b of 32 MiB, five blocks in a's index.
  void earlier() {
    auto medium = make();
    ASSERT_TRUE(medium);
    Namespace a = open(*medium, a_, 1), b = open(*medium, b_, 1);
    IndexWriter index(a.index->data(), 0);
    for (uint64_t number = 1; number <= 5; number++) {
      shm::Entry entry;
      entry.key.word[0] = number;
      ASSERT_TRUE(index.insert(hash_key(entry.key), entry));
    }
  }
  std::string told(std::vector<WantedSpace> wanted, uint32_t shards) {
    std::string all;
    for (const std::string& line : what_a_start_drops(options_, wanted, shards)) all += line + "\n";
    return all;
  }
  std::string folder_;
  MediumOptions options_;
  const WantedSpace a_{"a", 32 * mib, 1000, {}}, b_{"b", 32 * mib, 1000, {}};
};

TEST_F(StartPlan, TheSameConfigurationKeepsAllInSilence) {
  earlier();
  EXPECT_EQ(told({a_, b_}, 1), "");
  auto medium = make();
  ASSERT_TRUE(medium) << "a path with a blank in it is found again";
  const std::vector<std::string> names{"a.pool", "b.pool"};
  EXPECT_TRUE(medium->keep_only(names).empty());
  EXPECT_TRUE(open(*medium, a_, 1).taken_over);
}

TEST_F(StartPlan, EachChangeIsToldWithBlocksAndBytes) {
  earlier();
  EXPECT_EQ(told({b_}, 1),
            "namespace a: 5 blocks in 32 MiB go: the configuration does not name it any more\n");
  EXPECT_EQ(told({a_, b_}, 2),
            "namespace a: 5 blocks in 32 MiB go: the pool is cut for 1 data threads, not 2\n"
            "namespace b: 0 blocks in 32 MiB go: the pool is cut for 1 data threads, not 2\n");
  EXPECT_EQ(told({{"a", 64 * mib, 1000, {}}, b_}, 1),
            "namespace a: 5 blocks in 32 MiB go: the pool has 32 MiB, the configuration says 64 "
            "MiB\n");
  EXPECT_EQ(told({{"a", 32 * mib, 3, {}}, b_}, 1),
            "namespace a: about 2 of 5 blocks go: index_entries is 3 now\n");
  options_.kind = "memfd";
  EXPECT_EQ(told({a_, b_}, 1),
            "namespace a: 5 blocks in 32 MiB go: the medium is \"memfd\" now, not \"shm\"\n"
            "namespace b: 0 blocks in 32 MiB go: the medium is \"memfd\" now, not \"shm\"\n");
}

TEST_F(StartPlan, WhatNoNamespaceHasIsRemoved) {
  earlier();
  auto medium = make();
  ASSERT_TRUE(medium);
  const std::vector<std::string> names{"b.pool"};
  EXPECT_EQ(medium->keep_only(names).size(), 2u) << "a.pool and a.index";
  EXPECT_FALSE(fs::exists(options_.path + "/a.pool"));
  EXPECT_FALSE(fs::exists(options_.path + "/a.index"));
  EXPECT_TRUE(fs::exists(options_.path + "/b.pool"));
}

// A client's map of a region, read-only, for as long as it likes.
class Map {
 public:
  explicit Map(const Region& region) : bytes_(region.bytes()) {
    data_ = mmap(nullptr, bytes_, PROT_READ, MAP_SHARED, region.client_fd(), 0);
  }
  ~Map() { munmap(data_, bytes_); }
  Map(const Map&) = delete;
  Map& operator=(const Map&) = delete;
  // Whether there is nothing but zeros from this offset on.
  bool is_empty_from(uint64_t offset) const {
    const auto* bytes = static_cast<const char*>(data_);
    return std::all_of(bytes + offset, bytes + bytes_, [](char byte) { return byte == 0; });
  }
  const shm::IndexHeader& index() const { return *static_cast<const shm::IndexHeader*>(data_); }

 private:
  void* data_;
  const uint64_t bytes_;
};

class StartPlanReaders : public StartPlan {
 protected:
  static WantedSpace of(std::vector<uint32_t> uids, std::vector<uint32_t> gids,
                        bool anyone = false) {
    return {"a", 32 * mib, 1000, Readers(anyone, uids, gids)};
  }
  // An earlier daemon's namespace, and a client that keeps its maps.
  void earlier_with(const WantedSpace& wanted) {
    auto medium = make();
    ASSERT_TRUE(medium);
    const Namespace space = open(*medium, wanted, 1);
    std::memset(space.pool->data() + space.pool->bytes() - mib, 0x55, mib);
    IndexWriter index(space.index->data(), 0);
    shm::Entry entry;
    entry.key.word[0] = 1;
    ASSERT_TRUE(index.insert(hash_key(entry.key), entry));
    pool_ = std::make_unique<Map>(*space.pool);
    index_ = std::make_unique<Map>(*space.index);
  }
  void expect_revoked() const {
    EXPECT_TRUE(pool_->is_empty_from(0));
    EXPECT_TRUE(index_->is_empty_from(shm::index_header_bytes));
    EXPECT_EQ(index_->index().retired, 1u);
  }
  std::unique_ptr<Map> pool_, index_;
};

TEST_F(StartPlanReaders, WhoMayNotReadItAnyMoreSeesNothingInTheMapsThatHeKept) {
  earlier_with(of({1000, 1001}, {50}));
  EXPECT_EQ(told({of({1000}, {50})}, 1),
            "namespace a: 1 blocks in 32 MiB go: the pool may still be mapped by user 1001, who "
            "may not read it any more\n");
  EXPECT_NE(told({of({1000, 1001}, {})}, 1).find("group 50, who"), std::string::npos);
  auto medium = make();
  ASSERT_TRUE(medium);
  EXPECT_FALSE(open(*medium, of({1000}, {50}), 1).taken_over);
  expect_revoked();
}

TEST_F(StartPlanReaders, WhoComesTakesNothingFromTheOthers) {
  earlier_with(of({1000}, {}));
  for (const WantedSpace& more : {of({1000, 1001}, {}), of({1000, 1001}, {50}), of({}, {}, true)}) {
    EXPECT_EQ(told({more}, 1), "");
    auto medium = make();
    ASSERT_TRUE(medium);
    EXPECT_TRUE(open(*medium, more, 1).taken_over);
    EXPECT_FALSE(pool_->is_empty_from(0));
  }
  EXPECT_NE(told({of({1000}, {})}, 1).find("anyone, who"), std::string::npos)
      << "those who came were written down";
}

TEST_F(StartPlanReaders, OfANamespaceThatWentNothingIsSeenEither) {
  earlier_with(of({1000}, {}));
  auto medium = make();
  ASSERT_TRUE(medium);
  EXPECT_EQ(medium->keep_only({}).size(), 2u);
  expect_revoked();
}

// A touch of what was given back takes a page of the mount, which has room for it.
TEST_F(StartPlanReaders, AClientThatLooksThereDoesNotEndByThat) {
  earlier_with(of({1000}, {}));
  auto medium = make();
  ASSERT_TRUE(medium);
  const Namespace fresh = open(*medium, {"a", 48 * mib, 1000, Readers(false, {}, {})}, 1);
  ASSERT_TRUE(fresh.pool);
  expect_revoked();
  EXPECT_EQ(fresh.pool->bytes(), 48 * mib);
}

TEST_F(StartPlanReaders, AListThatIsNoneKeepsNothing) {
  earlier_with(of({1000}, {}));
  const int file = ::open((options_.path + "/a.pool").c_str(), O_RDWR | O_CLOEXEC);
  ASSERT_GE(file, 0);
  const uint64_t torn = 7;
  EXPECT_EQ(pwrite(file, &torn, sizeof torn, 4096), ssize_t(sizeof torn));
  close(file);
  EXPECT_NE(told({of({1000}, {})}, 1).find("does not say who could read it"), std::string::npos);
}

// Passes everything on, and notes whether a file of this name was there when one was asked for.
class Watched : public Medium {
 public:
  Watched(Medium& inner, std::string folder) : inner_(inner), folder_(std::move(folder)) {}
  Result<std::unique_ptr<Region>> open_region(const std::string& name, uint64_t bytes,
                                              bool fresh) override {
    if (fs::exists(folder_ + "/" + name)) there_.push_back(name);
    return inner_.open_region(name, bytes, fresh);
  }
  bool peek(const std::string& name, uint64_t* ret_bytes, std::span<std::byte> ret_head) override {
    return inner_.peek(name, ret_bytes, ret_head);
  }
  void drop(const std::string& name) override { inner_.drop(name); }
  void revoke(const std::string& name) override { inner_.revoke(name); }
  Result<std::unique_ptr<Region>> open_session(uint64_t bytes) override {
    return inner_.open_session(bytes);
  }
  std::string describe() const override { return inner_.describe(); }
  std::string isolation() const override { return inner_.isolation(); }
  bool survives_daemon() const override { return true; }

  std::vector<std::string> there_;

 private:
  Medium& inner_;
  std::string folder_;
};

TEST_F(StartPlan, WhatCannotBeKeptGoesBeforeTheNewOneIsAllocated) {
  earlier();
  auto medium = make();
  ASSERT_TRUE(medium);
  Watched watched(*medium, options_.path);
  EXPECT_FALSE(open(watched, a_, 2).taken_over) << "of the same size, cut for two threads now";
  EXPECT_TRUE(watched.there_.empty()) << watched.there_.front();
  EXPECT_TRUE(open(watched, b_, 1).taken_over);
  EXPECT_EQ(watched.there_, std::vector<std::string>{"b.pool"})
      << "and no index beside its old one";
}

TEST_F(StartPlan, ClientsOfAnIndexOfAnotherSizeAreTold) {
  auto medium = make();
  ASSERT_TRUE(medium);
  const Namespace old = open(*medium, a_, 1);
  const Namespace fresh = open(*medium, {"a", 32 * mib, 5000, {}}, 1);
  EXPECT_TRUE(fresh.taken_over);
  EXPECT_EQ(reinterpret_cast<const shm::IndexHeader*>(old.index->data())->retired, 1u);
}

}  // namespace
}  // namespace speckv
