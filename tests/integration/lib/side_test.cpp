// SPDX-License-Identifier: Apache-2.0
// side_test.cpp - side bytes with a real daemon: a block comes back with exactly those that it was
// put with, after a restart and from near memory too, or it is a miss; and a call that leaves them
// out, or has others than its layout, is told so.
//
// kv.hpp's Kv has them where its layout does, and counts a wrong one as a wrong value.
#include <unistd.h>

#include "client.hpp"

namespace speckv::test {
namespace {

speckv_layout side_layout(uint32_t side_bytes, uint32_t layers = 3,
                          uint32_t preset = SPECKV_PRESET_EXACT) {
  speckv_layout layout = small_layout(layers, preset);
  layout.side_bytes = side_bytes;
  return layout;
}

class Side : public LibTest {};

// One segment and several, a whole number of them and not; one layer, too, which has a record then.
TEST_F(Side, TheyComeBackExactWhateverThePresetIs) {
  begin();
  uint64_t number = 0;
  for (const uint32_t preset : {SPECKV_PRESET_EXACT, SPECKV_PRESET_Q8, SPECKV_PRESET_LOSSLESS})
    for (const uint32_t layers : {1u, 3u})
      for (const uint32_t bytes : {1u, 63u, 4096u, 1u << 20, (1u << 20) + 77, (3u << 20) + 1}) {
        const speckv_layout layout = side_layout(bytes, layers, preset);
        const speckv_layout plain = side_layout(0, layers, preset);
        EXPECT_EQ(speckv_block_bytes(&layout), speckv_block_bytes(&plain) + bytes);
        const uint32_t handle = client().add_layout(layout);
        Kv kv(layout, Arrangement::token_major);
        ASSERT_EQ(client().put(handle, ++number, kv), 0) << bytes;
        ASSERT_EQ(client().get(handle, number, kv), 0) << bytes;
        EXPECT_EQ(kv.wrong_side(number), 0u) << bytes;
        if (preset != SPECKV_PRESET_Q8) EXPECT_EQ(kv.wrong(number), 0u) << bytes;
        EXPECT_TRUE(client().exists(handle, number));
      }
}

TEST_F(Side, InPartsAndInPlace) {
  begin();
  const speckv_layout layout = side_layout((1u << 20) + 5);
  const uint32_t handle = client().add_layout(layout);
  Kv kv(layout, Arrangement::head_major);
  kv.fill(1);
  struct speckv_put* put = nullptr;
  ASSERT_EQ(speckv_put_begin(client().get(), handle, key_of(1).bytes, nullptr, &put), 0);
  const speckv_buf side{layout.layers, 1, kv.views().data() + 2 * layout.layers};
  ASSERT_EQ(speckv_put_layers(put, &side), 0);
  EXPECT_EQ(speckv_put_layers(put, &side), -EINVAL);  // a second time
  EXPECT_EQ(speckv_put_commit(put, 1), -ENODATA);
  const speckv_buf layers{0, layout.layers, kv.views().data()};
  ASSERT_EQ(speckv_put_layers(put, &layers), 0);
  ASSERT_EQ(speckv_put_commit(put, 1), 0);
  ASSERT_EQ(client().reap(1)[0].result, 0);
  ASSERT_EQ(client().get(handle, 1, kv), 0);
  EXPECT_EQ(kv.wrong(1), 0u);

  speckv_page* page = nullptr;
  ASSERT_EQ(speckv_alloc(client().get(), handle, &page), 0);
  std::vector<speckv_view> views(2 * layout.layers + 2);
  EXPECT_EQ(speckv_page_views(page, views.data(), 2 * layout.layers), -ERANGE);
  ASSERT_EQ(speckv_page_views(page, views.data(), uint32_t(views.size())), 0);
  EXPECT_EQ(views[2 * layout.layers].token_stride, int64_t(layout.side_bytes));
  const size_t plane = speckv_block_bytes(&layout) - layout.side_bytes;
  kv.fill(2);
  for (uint32_t i = 0; i < 2 * layout.layers; i++)
    std::memcpy(views[i].base, kv.views()[i].base, plane / (2 * layout.layers));
  std::memcpy(views[2 * layout.layers].base, side.views[0].base, layout.side_bytes);
  ASSERT_EQ(speckv_append(page, layout.block_tokens), int(layout.block_tokens));
  ASSERT_EQ(speckv_seal(page, key_of(2).bytes, nullptr, 2), 0);
  ASSERT_EQ(client().reap(1)[0].result, 0);
  ASSERT_EQ(client().get(handle, 2, kv), 0);
  EXPECT_EQ(kv.wrong(2), 0u);
}

TEST_F(Side, WithoutThemOrWithOthersACallSaysSo) {
  begin();
  const speckv_layout layout = side_layout(100), none = side_layout(0), other = side_layout(101);
  const uint32_t handle = client().add_layout(layout), without = client().add_layout(none),
                 longer = client().add_layout(other);
  Kv kv(layout, Arrangement::token_major), plain(none, Arrangement::token_major),
      long_kv(other, Arrangement::token_major);
  ASSERT_EQ(client().put(handle, 1, kv), 0);
  EXPECT_EQ(client().put(handle, 2, plain), -ERANGE);
  EXPECT_EQ(client().put(without, 2, kv), -ERANGE);
  EXPECT_EQ(client().put(handle, 2, long_kv), -EINVAL);
  EXPECT_EQ(client().get(handle, 1, plain), -ERANGE);  // never KV alone
  EXPECT_EQ(client().get(handle, 1, long_kv), -EINVAL);
  kv.views()[2 * layout.layers].base = nullptr;
  EXPECT_EQ(client().get(handle, 1, kv), -EINVAL);
  EXPECT_EQ(client().get(without, 1, plain), -ENOENT);  // another layout is another block
  EXPECT_EQ(client().get(longer, 1, long_kv), -ENOENT);
}

TEST_F(Side, ARestartBringsThemBack) {
  begin();
  const speckv_layout layout = side_layout(70'000);
  const uint32_t handle = client().add_layout(layout);
  Kv kv(layout, Arrangement::token_major);
  for (uint64_t i = 0; i < 8; i++) ASSERT_EQ(client().put(handle, i, kv), 0);
  daemon().kill();
  ASSERT_TRUE(daemon().start()) << daemon().log();
  for (int i = 0; i < 4000 && client().stats().reconnects == 0; i++) {
    client().get(handle, 987654, kv);
    usleep(5000);
  }
  for (uint64_t i = 0; i < 8; i++) {
    ASSERT_EQ(client().get(handle, i, kv), 0) << daemon().log();
    EXPECT_EQ(kv.wrong(i), 0u);
  }
}

}  // namespace
}  // namespace speckv::test
