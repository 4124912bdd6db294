// SPDX-License-Identifier: Apache-2.0
// Proves that what is put comes back: every arrangement of memory, layer ranges, batches, presets
// and dtypes. Each value follows from its key and place, so a swapped head, a torn page or a
// foreign block shows.
#include "client.hpp"

namespace speckv::test {
namespace {

using PutGet = LibTest;

TEST_F(PutGet, EveryArrangementGivesTheSameBlock) {
  begin();
  const speckv_layout layout = small_layout();
  const uint32_t number = client().add_layout(layout);
  const Arrangement all[] = {Arrangement::token_major, Arrangement::head_major,
                             Arrangement::transposed_v, Arrangement::scattered};
  uint64_t block = 1;
  for (Arrangement from : all) {
    Kv source(layout, from);
    ASSERT_EQ(client().put(number, block, source), 0);
    for (Arrangement to : all)
      for (uint32_t flags : {0u, SPECKV_GET_STREAM}) {
        Kv target(layout, to);
        ASSERT_EQ(client().get(number, block, target, flags), 0);
        EXPECT_EQ(target.wrong(block), 0u)
            << "from " << int(from) << " to " << int(to) << " flags " << flags;
      }
    block++;
  }
}

TEST_F(PutGet, LargeBlocksAreStreamedIn) {
  begin();
  speckv_layout layout = small_layout(8);
  layout.kv_heads = 8;
  layout.head_dim = 64;
  layout.block_tokens = 64;
  layout.page_tokens = 32;
  ASSERT_GE(speckv_block_bytes(&layout), 1u << 20);
  const uint32_t number = client().add_layout(layout);
  for (Arrangement from :
       {Arrangement::token_major, Arrangement::head_major, Arrangement::transposed_v}) {
    Kv source(layout, from), target(layout, Arrangement::token_major);
    const uint64_t block = 10 + uint64_t(from);
    ASSERT_EQ(client().put(number, block, source), 0);
    ASSERT_EQ(client().get(number, block, target), 0);
    EXPECT_EQ(target.wrong(block), 0u);
  }
}

// By the daemon's configuration, as an operator would choose it: nothing of the client's changes.
TEST_F(PutGet, LosslessGivesBackEveryBit) {
  DaemonOptions options;
  options.preset = "lossless";
  begin(options);
  for (const uint32_t dtype : {SPECKV_DTYPE_BF16, SPECKV_DTYPE_F16, SPECKV_DTYPE_F8}) {
    for (const uint32_t head_dim : {24u, 64u, 128u}) {  // 24: no codec takes it, stored raw
      speckv_layout layout = small_layout(3, SPECKV_PRESET_DAEMON);
      layout.dtype = dtype;
      layout.head_dim = head_dim;
      const uint32_t number = client().add_layout(layout);
      for (const Arrangement from : {Arrangement::token_major, Arrangement::head_major,
                                     Arrangement::transposed_v, Arrangement::scattered}) {
        for (const uint32_t position : {0u, 32u}) {
          const uint64_t block =
              dtype * 1'000'000 + head_dim * 1000 + uint64_t(from) * 100 + position;
          Kv source(layout, from), target(layout, Arrangement::token_major);
          ASSERT_EQ(client().put(number, block, source, position), 0);
          for (const uint32_t flags : {0u, SPECKV_GET_STREAM}) {
            ASSERT_EQ(client().get(number, block, target, flags), 0);
            EXPECT_EQ(target.wrong(block), 0u) << "dtype " << dtype << " head_dim " << head_dim
                                               << " from " << int(from) << " at " << position;
          }
        }
      }
    }
  }
}

TEST_F(PutGet, AnEmulatedMediumSlowsItsReaders) {
  DaemonOptions options;
  options.pool_lines = "emulated_ns = 200000\nemulated_gb_s = 5.0\n";
  begin(options);
  const speckv_layout layout = small_layout(3);
  const uint32_t number = client().add_layout(layout);
  Kv source(layout, Arrangement::token_major), target(layout, Arrangement::token_major);
  ASSERT_EQ(client().put(number, 1, source), 0);
  timespec before{}, after{};
  clock_gettime(CLOCK_MONOTONIC, &before);
  ASSERT_EQ(client().get(number, 1, target), 0);
  clock_gettime(CLOCK_MONOTONIC, &after);
  EXPECT_EQ(target.wrong(1), 0u);
  // never less: the three segments wait 200 us each
  EXPECT_GE((after.tv_sec - before.tv_sec) * 1'000'000'000 + after.tv_nsec - before.tv_nsec,
            3 * 200'000);
}

TEST_F(PutGet, LayerRanges) {
  begin();
  const speckv_layout layout = small_layout(5);
  const uint32_t number = client().add_layout(layout);
  Kv source(layout, Arrangement::token_major);
  ASSERT_EQ(client().put(number, 1, source), 0);
  for (uint32_t first = 0; first < 5; first++)
    for (uint32_t count = 1; first + count <= 5; count++) {
      Kv part(layout, Arrangement::head_major, first, count);
      ASSERT_EQ(client().get(number, 1, part), 0);
      EXPECT_EQ(part.wrong(1), 0u) << first << "+" << count;
    }
}

TEST_F(PutGet, OneLayerBlocksHaveNoRecord) {
  begin();
  const speckv_layout layout = small_layout(1);
  const uint32_t number = client().add_layout(layout);
  Kv kv(layout, Arrangement::token_major);
  ASSERT_EQ(client().put(number, 1, kv, 0), 0);
  ASSERT_EQ(client().get(number, 1, kv), 0);
  EXPECT_EQ(kv.wrong(1), 0u);
}

TEST_F(PutGet, BatchesWithHoles) {
  begin();
  const speckv_layout layout = small_layout(2);
  const uint32_t number = client().add_layout(layout);
  constexpr uint64_t blocks = 300;  // several groups of 64; every second one is stored
  std::vector<Kv> sources, targets;
  std::vector<speckv_put_op> puts;
  for (uint64_t i = 0; i < blocks; i++) {
    sources.emplace_back(layout, Arrangement::token_major);
    targets.emplace_back(layout, Arrangement::token_major);
  }
  for (uint64_t i = 0; i < blocks; i += 2) {
    sources[i].fill(i);
    puts.push_back(Client::put_op(i, sources[i]));
  }
  ASSERT_EQ(speckv_put(client().get(), number, puts.data(), unsigned(puts.size())),
            int(puts.size()));
  for (const speckv_completion& done : client().reap(puts.size())) EXPECT_EQ(done.result, 0);

  std::vector<speckv_get_op> gets(blocks);
  for (uint64_t i = 0; i < blocks; i++) {
    std::memcpy(gets[i].key, key_of(i).bytes, sizeof gets[i].key);
    gets[i].buf = targets[i].buf();
    gets[i].ret_result = 12345;
  }
  EXPECT_EQ(speckv_get(client().get(), number, gets.data(), blocks), int(blocks / 2));
  for (uint64_t i = 0; i < blocks; i++) {
    EXPECT_EQ(gets[i].ret_result, i % 2 ? -ENOENT : 0);
    if (i % 2 == 0) {
      EXPECT_EQ(targets[i].wrong(i), 0u);
    }
  }
  const auto keys = keys_of(0, blocks);
  std::vector<uint8_t> hits(blocks, 9);
  EXPECT_EQ(speckv_exists(client().get(), number, as_keys(keys), blocks, hits.data()), 1);
  for (uint64_t i = 0; i < blocks; i++) EXPECT_EQ(hits[i], i % 2 == 0);
}

TEST_F(PutGet, TheSameKeyAgainIsNotWritten) {
  begin();
  const speckv_layout layout = small_layout();
  const uint32_t number = client().add_layout(layout);
  Kv kv(layout, Arrangement::token_major);
  ASSERT_EQ(client().put(number, 1, kv), 0);
  kv.fill(2);  // other content under the first key
  speckv_put_op op = Client::put_op(1, kv);
  ASSERT_EQ(speckv_put(client().get(), number, &op, 1), 1);
  const auto done = client().reap(1);
  ASSERT_EQ(done.size(), 1u);
  EXPECT_EQ(done[0].result, 0);
  EXPECT_EQ(done[0].flags, SPECKV_COMPLETION_EXISTED);
  EXPECT_EQ(done[0].user_data, 1u);
  ASSERT_EQ(client().get(number, 1, kv), 0);
  EXPECT_EQ(kv.wrong(1), 0u);
}

TEST_F(PutGet, Q8LosesLittleAndTheFirstBlockToo) {
  begin();
  const speckv_layout layout = small_layout(3, SPECKV_PRESET_Q8);
  const uint32_t number = client().add_layout(layout);
  for (uint32_t position : {0u, 32u}) {
    Kv source(layout, Arrangement::transposed_v), target(layout, Arrangement::token_major);
    ASSERT_EQ(client().put(number, 7 + position, source, position), 0);
    ASSERT_EQ(client().get(number, 7 + position, target), 0);
    EXPECT_LT(target.worst_error(7 + position),
              2.0f / 127);                      // values below 2, int8 with a shared scale
    EXPECT_GT(target.wrong(7 + position), 0u);  // so it was not stored raw
  }
}

TEST_F(PutGet, EightBitFloatsAndBf16) {
  begin();
  for (uint32_t dtype : {SPECKV_DTYPE_F8, SPECKV_DTYPE_BF16}) {
    speckv_layout layout = small_layout();
    layout.dtype = dtype;
    const uint32_t number = client().add_layout(layout);
    Kv kv(layout, Arrangement::token_major);
    ASSERT_EQ(client().put(number, 100 + dtype, kv), 0);
    ASSERT_EQ(client().get(number, 100 + dtype, kv), 0);
    EXPECT_EQ(kv.wrong(100 + dtype), 0u);
  }
}

TEST_F(PutGet, AnotherLayoutsBlockIsAMissAndStays) {
  begin();
  speckv_layout layout = small_layout();
  const uint32_t ours = client().add_layout(layout);
  layout.weights_digest[0] ^= 1;  // another model of the same shape
  const uint32_t theirs = client().add_layout(layout);
  ASSERT_NE(ours, theirs);
  Kv kv(layout, Arrangement::token_major);
  ASSERT_EQ(client().put(ours, 1, kv), 0);
  EXPECT_EQ(client().get(theirs, 1, kv), -ENOENT);
  EXPECT_FALSE(client().exists(theirs, 1));
  EXPECT_TRUE(client().exists(ours, 1));
  ASSERT_EQ(client().put(theirs, 1, kv), 0);
  const auto keys = keys_of(1, 1);
  ASSERT_EQ(speckv_remove(client().get(), theirs, as_keys(keys), 1, 0), 1);
  EXPECT_EQ(client().reap(1).at(0).result, 0);
  EXPECT_TRUE(client().exists(ours, 1));
  EXPECT_EQ(client().stats().foreign, 0u) << "that is about widths of one layout";
}

TEST_F(PutGet, RemovedBlocksAreGone) {
  begin();
  const speckv_layout layout = small_layout();
  const uint32_t number = client().add_layout(layout);
  Kv kv(layout, Arrangement::token_major);
  ASSERT_EQ(client().put(number, 1, kv), 0);
  const auto keys = keys_of(1, 2);
  ASSERT_EQ(speckv_remove(client().get(), number, as_keys(keys), 2, 77), 2);
  const auto done = client().reap(2);
  ASSERT_EQ(done.size(), 2u);
  int results = 0;
  for (const auto& one : done) {
    EXPECT_EQ(one.user_data, 77u);
    results += one.result;
  }
  EXPECT_EQ(results, -ENOENT);  // one was there, one was not
  EXPECT_EQ(client().get(number, 1, kv), -ENOENT);
}

TEST_F(PutGet, InPartsAndAborted) {
  begin();
  const speckv_layout layout = small_layout(4);
  const uint32_t number = client().add_layout(layout);
  struct speckv_put* put = nullptr;
  ASSERT_EQ(speckv_put_begin(client().get(), number, key_of(5).bytes, nullptr, &put), 0);
  for (uint32_t first : {2u, 0u}) {  // any order
    Kv part(layout, Arrangement::transposed_v, first, 2);
    part.fill(5);
    const speckv_buf buf = part.buf();
    EXPECT_EQ(speckv_put_commit(put, 1), -ENODATA);
    ASSERT_EQ(speckv_put_layers(put, &buf), 0);
    EXPECT_EQ(speckv_put_layers(put, &buf), -EINVAL);  // each layer once
  }
  EXPECT_FALSE(client().exists(number, 5));
  ASSERT_EQ(speckv_put_commit(put, 42), 0);
  const auto done = client().reap(1);
  ASSERT_EQ(done.size(), 1u);
  EXPECT_EQ(done[0].user_data, 42u);
  EXPECT_EQ(speckv_put_commit(put, 1), -EBADF);
  Kv target(layout, Arrangement::token_major);
  ASSERT_EQ(client().get(number, 5, target), 0);
  EXPECT_EQ(target.wrong(5), 0u);

  ASSERT_EQ(speckv_put_begin(client().get(), number, key_of(6).bytes, nullptr, &put), 0);
  EXPECT_EQ(speckv_put_abort(put), 0);
  EXPECT_EQ(speckv_put_abort(put), -EBADF);
  EXPECT_FALSE(client().exists(number, 6));
}

TEST_F(PutGet, PagesGrowAndAreSealed) {
  begin();
  const speckv_layout layout = small_layout(2);
  const uint32_t number = client().add_layout(layout);
  speckv_page* page = nullptr;
  ASSERT_EQ(speckv_alloc(client().get(), number, &page), 0);
  std::vector<speckv_view> views(4);
  EXPECT_EQ(speckv_page_views(page, views.data(), 3), -ERANGE);
  ASSERT_EQ(speckv_page_views(page, views.data(), 4), 0);
  Kv source(layout, Arrangement::head_major);
  source.fill(9);
  for (size_t i = 0; i < 4; i++) {
    EXPECT_EQ(views[i].channel_stride, 2);
    std::memcpy(views[i].base, source.views()[i].base, speckv_block_bytes(&layout) / 4);
  }
  EXPECT_EQ(speckv_append(page, 30), 30);
  EXPECT_EQ(speckv_seal(page, key_of(9).bytes, nullptr, 1), -ENODATA);
  EXPECT_EQ(speckv_append(page, 3), -ERANGE);
  EXPECT_EQ(speckv_append(page, 2), 32);
  ASSERT_EQ(speckv_seal(page, key_of(9).bytes, nullptr, 1), 0);
  EXPECT_EQ(speckv_append(page, 0), -EBADF);
  ASSERT_EQ(client().reap(1).size(), 1u);
  Kv target(layout, Arrangement::token_major);
  ASSERT_EQ(client().get(number, 9, target), 0);
  EXPECT_EQ(target.wrong(9), 0u);
  ASSERT_EQ(speckv_alloc(client().get(), number, &page), 0);
  EXPECT_EQ(speckv_release(page), 0);
  EXPECT_EQ(speckv_release(page), -EBADF);
}

}  // namespace
}  // namespace speckv::test
