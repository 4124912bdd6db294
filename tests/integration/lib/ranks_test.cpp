// SPDX-License-Identifier: Apache-2.0
// Proves that what a process holds is part of a block's address: ranks of tensor parallelism and
// stages of a pipeline use equal keys and shapes, and none finds, hides, holds, removes or replaces
// another's blocks, across a restart of the daemon too; that 64 ranks fit under one key; and that
// an operator finds all of them by the key.
//
// How: sessions of one daemon, one a rank; a block's values follow from rank and key.

#include "client.hpp"

namespace speckv::test {
namespace {

constexpr uint64_t per_rank = 1'000'000;  // seeds of a rank's values

class Ranks : public LibTest {
 protected:
  struct Rank {
    Rank(const std::string& socket_path, const speckv_layout& layout, uint64_t seed)
        : client(socket_path), kv(layout, Arrangement::token_major), salt(seed) {
      number = client.add_layout(layout);
    }
    // Returns: the completion's result, or 1 for "existed".
    int put(uint64_t key) {
      kv.fill(salt * per_rank + key);
      speckv_put_op op = Client::put_op(key, kv);
      if (speckv_put(client.get(), number, &op, 1) != 1) return op.ret_result;
      const auto done = client.reap(1);
      if (done.size() != 1) return -ETIMEDOUT;
      return done[0].result ? done[0].result : done[0].flags & SPECKV_COMPLETION_EXISTED ? 1 : 0;
    }
    bool reads_its_own(uint64_t key) {
      return client.get(number, key, kv) == 0 && kv.wrong(salt * per_rank + key) == 0;
    }
    int remove(uint64_t key) {
      const auto keys = keys_of(key, 1);
      EXPECT_EQ(speckv_remove(client.get(), number, as_keys(keys), 1, 0), 1);
      const auto done = client.reap(1);
      return done.size() == 1 ? done[0].result : -ETIMEDOUT;
    }
    Client client;
    Kv kv;
    uint64_t salt;
    uint32_t number;
  };
  void add(const speckv_layout& layout) {
    ranks_.push_back(std::make_unique<Rank>(daemon().socket_path(), layout, ranks_.size() + 1));
  }
  Rank& rank(size_t i) { return *ranks_[i]; }

  static speckv_layout tensor_rank(uint32_t rank, uint32_t world, uint32_t layers = 3) {
    speckv_layout layout = small_layout(layers);
    layout.rank = rank;
    layout.world = world;
    return layout;
  }
  static speckv_layout stage(uint32_t first_layer, uint32_t layers = 3) {
    speckv_layout layout = small_layout(layers);
    layout.first_layer = first_layer;
    return layout;
  }

  std::vector<std::unique_ptr<Rank>> ranks_;
};

TEST_F(Ranks, TensorRanksReuseAllBlocksUnderEqualKeys) {
  begin();
  for (uint32_t i = 0; i < 2; i++) add(tensor_rank(i, 2));
  for (uint64_t key = 0; key < 50; key++)
    for (auto& rank : ranks_) ASSERT_EQ(rank->put(key), 0) << "nothing of another's exists";
  int reusable = 0;
  for (uint64_t key = 0; key < 50; key++)
    reusable += rank(0).reads_its_own(key) && rank(1).reads_its_own(key);
  EXPECT_EQ(reusable, 50);
}

TEST_F(Ranks, PipelineStagesOfEqualShapeAreApart) {
  begin();
  for (uint32_t layers : {3u, 1u}) {  // a block of one layer has no record
    ranks_.clear();
    add(stage(0, layers));
    add(stage(layers, layers));
    const uint64_t key = 900 + layers;
    ASSERT_EQ(rank(0).put(key), 0);
    EXPECT_FALSE(rank(1).client.exists(rank(1).number, key));
    EXPECT_EQ(rank(1).client.get(rank(1).number, key, rank(1).kv), -ENOENT);
    EXPECT_EQ(rank(1).put(key), 0) << "1: it was told that it existed";
    EXPECT_TRUE(rank(0).reads_its_own(key));
    EXPECT_TRUE(rank(1).reads_its_own(key));
    EXPECT_EQ(rank(1).put(key), 1);
  }
}

TEST_F(Ranks, HoldsAndRemovalsMeanOneRanksBlock) {
  begin();
  for (uint32_t i = 0; i < 2; i++) add(tensor_rank(i, 2));
  for (auto& rank : ranks_) ASSERT_EQ(rank->put(5), 0);
  const auto keys = keys_of(5, 1);
  uint8_t hit = 0;
  uint64_t held = 0;
  ASSERT_EQ(speckv_hold(rank(0).client.get(), rank(0).number, as_keys(keys), 1, 20 * second_ns,
                        20 * second_ns, &hit, &held),
            1);
  EXPECT_EQ(rank(0).remove(5), -EBUSY);
  EXPECT_EQ(rank(1).remove(5), 0);
  EXPECT_EQ(rank(1).remove(5), -ENOENT);
  EXPECT_TRUE(rank(0).reads_its_own(5));
}

// A bucket and its second hold 14 entries: the ranks of one key must not share them.
TEST_F(Ranks, SixtyFourRanksFitUnderOneKey) {
  begin();
  Kv kv(small_layout(), Arrangement::token_major);
  std::vector<uint32_t> numbers;
  for (uint32_t i = 0; i < 64; i++) numbers.push_back(client().add_layout(tensor_rank(i, 64)));
  for (uint64_t key = 0; key < 4; key++)
    for (uint32_t i = 0; i < 64; i++) {
      kv.fill(i * per_rank + key);
      speckv_put_op op = Client::put_op(key, kv);
      ASSERT_EQ(speckv_put(client().get(), numbers[i], &op, 1), 1);
      ASSERT_EQ(client().reap(1).at(0).result, 0) << i;
    }
  for (uint64_t key = 0; key < 4; key++)
    for (uint32_t i = 0; i < 64; i++) {
      ASSERT_EQ(client().get(numbers[i], key, kv), 0) << "rank " << i;
      EXPECT_EQ(kv.wrong(i * per_rank + key), 0u);
    }
}

TEST_F(Ranks, ARestartKeepsThemApartAndTheirKeys) {
  begin();
  add(stage(0));
  add(stage(3));
  add(stage(0, 1));
  for (auto& rank : ranks_) ASSERT_EQ(rank->put(7), 0);
  daemon().stop();
  ASSERT_TRUE(daemon().start()) << daemon().log();
  ranks_.clear();
  add(stage(0));
  add(stage(3));
  add(stage(0, 1));
  for (auto& rank : ranks_) {
    EXPECT_TRUE(rank->reads_its_own(7));
    EXPECT_EQ(rank->put(7), 1);
  }
}

}  // namespace
}  // namespace speckv::test
