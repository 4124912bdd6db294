// SPDX-License-Identifier: Apache-2.0
// size_test.cpp - what a shard tells of the uses of its blocks: predict/size_curve.hpp is proved in
// tests/unit/predict, here is proved that it hears of each use once, with its ancestors.
#include "config/config.hpp"
#include "fixture.hpp"
#include "speckv/speckv.h"

namespace speckv {
namespace {

constexpr uint32_t same_size = 2;  // predict::kSizeSteps: this pool

struct Counted {
  uint64_t uses, hits;
  bool operator==(const Counted&) const = default;
};

class Sizes : public ::testing::Test {
 protected:
  Sizes() : space_(8) {
    space_.size_samples = 4096;
    space_.restart();
  }
  Counted counted(uint32_t model = same_size) {
    space_.shard().tick(1);
    const ShardCounters& counters = space_.shard().counters();
    return {counters.size_uses[model], counters.size_hits[model]};
  }
  uint32_t block_of_key(uint64_t number) {
    shm::Entry entry;
    EXPECT_TRUE(space_.find(number, &entry));
    return entry.block;
  }
  Space space_;
  const Layout& layout_ = space_.layout(2, SPECKV_PRESET_Q8);
};

TEST_F(Sizes, APutIsAMissAndAReadOfItAHit) {
  ASSERT_EQ(space_.put(layout_, 1), 0);
  EXPECT_EQ(counted(), (Counted{1, 0}));
  space_.shard().touch(block_of_key(1), 2);
  EXPECT_EQ(counted(), (Counted{2, 1}));
  EXPECT_EQ(space_.put(layout_, 1), 1) << "it was there";
  EXPECT_EQ(counted(), (Counted{3, 2}));
}

TEST_F(Sizes, WhatIsAskedAheadIsNoUse) {
  ASSERT_EQ(space_.put(layout_, 1), 0);
  space_.shard().touch_key(key_of(1), layout_, 2);
  space_.shard().fetch(key_of(1), layout_, 0, UINT64_MAX, 3);
  space_.shard().hint(key_of(1), layout_, SPECKV_KIND_SYSTEM, 9);
  EXPECT_EQ(counted(), (Counted{1, 0}));
}

TEST_F(Sizes, WhatWasRemovedIsAMiss) {
  ASSERT_EQ(space_.put(layout_, 1), 0);
  ASSERT_EQ(space_.shard().remove(key_of(1), layout_), 0);
  ASSERT_EQ(space_.put(layout_, 1), 0);
  EXPECT_EQ(counted(), (Counted{2, 0}));
}

// The pool evicted it, a larger one would not have.
TEST_F(Sizes, ALargerPoolHasWhatThisOneEvicted) {
  uint64_t last = 0;
  // A pool loses some of its bytes to slabs that are not full, a model none: long past both.
  while (space_.shard().counters().evicted < last * 2 / 3 + 1)
    ASSERT_EQ(space_.put(layout_, last++), 0);
  const uint64_t gone = 0;
  ASSERT_FALSE(space_.find(gone));
  const Counted small = counted(), large = counted(predict::kSizeSteps.size() - 1);
  ASSERT_EQ(space_.put(layout_, gone), 0);
  EXPECT_EQ(counted().hits, small.hits);
  EXPECT_EQ(counted(predict::kSizeSteps.size() - 1).hits, large.hits + 1);
}

TEST_F(Sizes, NobodyLooksWhereNothingIsWanted) {
  space_.size_samples = 0;
  space_.restart();
  ASSERT_EQ(space_.put(layout_, 1), 0);
  EXPECT_EQ(counted(), (Counted{0, 0}));
  EXPECT_EQ(space_.shard().counters().size_one_in, 0u);
}

TEST(SizeMemory, TheConfigurationCountsAtLeastWhatItTakes) {
  for (uint32_t samples : {1u, 128u, 2048u, 65'536u}) {
    config::NamespaceConfig space;
    space.size_samples = samples;
    space.index_entries = 0;
    predict::SizeCurveOptions options;
    options.policy = "lru";
    options.pool_bytes = 1 << 20;
    options.bytes_below = 7 << 20;  // the largest that the last model can be
    options.samples = config::size_samples_of_shard(space, 1);
    EXPECT_GE(config::size_memory_bytes(space, 1), predict::SizeCurve::memory_bytes(options))
        << samples;
  }
}

}  // namespace
}  // namespace speckv
