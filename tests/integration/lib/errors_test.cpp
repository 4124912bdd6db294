// SPDX-License-Identifier: Apache-2.0
// Proves that each wrong call gets its own errno and does nothing else: arguments, handles,
// batches, layouts, a full arena, a pool without room. What a daemon that is absent or strange does
// is in open_test.cpp.

#include "client.hpp"

namespace speckv::test {
namespace {

using Errors = LibTest;

// What each call says of a session handle that cannot be used.
std::vector<int> every_call(speckv_session* session) {
  speckv_get_op get{};
  speckv_put_op put{};
  struct speckv_put* part = nullptr;
  struct speckv_page* page = nullptr;
  speckv_completion done;
  const speckv_layout layout = small_layout();
  struct speckv_stats stats {};
  stats.size = sizeof stats;
  const auto keys = keys_of(1, 1);
  uint32_t number;
  uint64_t hold;
  uint8_t hit;
  return {speckv_event_fd(session),
          speckv_reap(session, &done, 1),
          speckv_wait(session, 0),
          speckv_layout_register(session, &layout, &number),
          speckv_get(session, 0, &get, 1),
          speckv_exists(session, 0, as_keys(keys), 1, &hit),
          speckv_hold(session, 0, as_keys(keys), 1, 1, 1, &hit, &hold),
          speckv_unhold(session, 1),
          speckv_adopt(session, 1, 1),
          speckv_prefetch(session, 0, as_keys(keys), 1),
          speckv_put(session, 0, &put, 1),
          speckv_put_begin(session, 0, key_of(1).bytes, nullptr, &part),
          speckv_remove(session, 0, as_keys(keys), 1, 0),
          speckv_alloc(session, 0, &page),
          speckv_stats(session, &stats)};
}

TEST_F(Errors, ClosedAndMadeUpHandles) {
  begin();
  speckv_session* session = client().get();
  const speckv_layout layout = small_layout();
  const uint32_t number = client().add_layout(layout);
  struct speckv_put* put = nullptr;
  struct speckv_page* page = nullptr;
  ASSERT_EQ(speckv_put_begin(session, number, key_of(1).bytes, nullptr, &put), 0);
  ASSERT_EQ(speckv_alloc(session, number, &page), 0);
  EXPECT_EQ(speckv_put_commit(reinterpret_cast<struct speckv_put*>(page), 0), -EBADF);
  EXPECT_EQ(speckv_put_abort(nullptr), -EINVAL);
  client().close();
  speckv_close(session);  // a second time does nothing
  for (int result : every_call(session)) EXPECT_EQ(result, -ESHUTDOWN);
  for (int result : every_call(nullptr)) EXPECT_EQ(result, -EINVAL);
  for (uintptr_t made_up : {uintptr_t{1}, uintptr_t{0x7fff12345678}, UINTPTR_MAX})
    for (int result : every_call(reinterpret_cast<speckv_session*>(made_up)))
      EXPECT_EQ(result, -ESHUTDOWN);
  EXPECT_EQ(speckv_put_commit(put, 0), -ESHUTDOWN);
  EXPECT_EQ(speckv_append(page, 1), -ESHUTDOWN);

  Client next(daemon().socket_path());  // takes the same place: the old handle stays closed
  ASSERT_EQ(next.opened(), 0);
  ASSERT_NE(next.get(), session);
  for (int result : every_call(session)) EXPECT_EQ(result, -ESHUTDOWN);
  EXPECT_EQ(speckv_release(page), -ESHUTDOWN);
}

// What each op says, and each hit, after a call that failed as a whole with `expected`.
void expect_told(speckv_session* session, uint32_t layout, int expected) {
  speckv_get_op gets[2]{};
  speckv_put_op puts[2]{};
  uint8_t hits[2] = {1, 1};
  uint64_t hold;
  const auto keys = keys_of(1, 2);
  EXPECT_EQ(speckv_get(session, layout, gets, 2), expected);
  EXPECT_EQ(speckv_put(session, layout, puts, 2), expected);
  for (int i : {0, 1}) {
    EXPECT_EQ(gets[i].ret_result, expected);
    EXPECT_EQ(puts[i].ret_result, expected);
  }
  EXPECT_EQ(speckv_exists(session, layout, as_keys(keys), 2, hits), expected);
  EXPECT_EQ(hits[0] + hits[1], 0);
  hits[0] = hits[1] = 1;
  EXPECT_EQ(speckv_hold(session, layout, as_keys(keys), 2, 1, second_ns, hits, &hold), expected);
  EXPECT_EQ(hits[0] + hits[1], 0);
}

TEST_F(Errors, ACallThatFailsWholeTellsEachOfItsOps) {
  begin();
  speckv_session* session = client().get();
  expect_told(session, 55, -EBADF);
  expect_told(nullptr, 0, -EINVAL);
  const uint32_t number = client().add_layout(small_layout());
  daemon().kill();
  speckv_put_op put{};
  int tried = 0;
  for (int i = 0; i < 4000 && tried != -ENOTCONN; i++, usleep(1000)) {
    put.ret_result = 0;
    tried = speckv_put(session, number, &put, 1);
  }
  EXPECT_EQ(tried, -ENOTCONN);
  EXPECT_EQ(put.ret_result, -ENOTCONN);
  client().close();
  expect_told(session, number, -ESHUTDOWN);
}

TEST_F(Errors, ALayoutWhoseBlockIsLargerThanTheArenaIsRefusedAtOnce) {
  begin();
  Client small(daemon().socket_path(), nullptr, 1 << 20);
  ASSERT_EQ(small.opened(), 0);
  speckv_layout layout = small_layout(64);
  layout.head_dim = 256;  // 4 MiB
  char why[300] = "";
  uint32_t number = 99;
  EXPECT_EQ(speckv_layout_check(&layout, why, sizeof why), 0);
  EXPECT_EQ(speckv_layout_register(small.get(), &layout, &number), -EFBIG);
  EXPECT_EQ(number, 99u);
  EXPECT_EQ(speckv_layout_fits(small.get(), &layout, why, sizeof why), -EFBIG);
  EXPECT_NE(std::string(why).find("4194304"), std::string::npos) << why;
  EXPECT_NE(std::string(why).find("1048576"), std::string::npos) << why;
  EXPECT_EQ(speckv_layout_fits(client().get(), &layout, why, sizeof why), 0);
  layout.layers = 16;  // exactly the arena
  EXPECT_EQ(speckv_layout_register(small.get(), &layout, &number), 0);
}

TEST_F(Errors, Layouts) {
  begin();
  char why[160] = "";
  uint32_t number = 77;
  const auto check = [&](auto change, int expected, const char* word) {
    speckv_layout layout = small_layout();
    change(layout);
    EXPECT_EQ(speckv_layout_check(&layout, why, sizeof why), expected) << why;
    EXPECT_NE(std::strstr(why, word), nullptr) << why;
    EXPECT_EQ(speckv_layout_register(client().get(), &layout, &number), expected);
    EXPECT_EQ(speckv_block_bytes(&layout), 0u);
  };
  check([](auto& layout) { layout.size = 8; }, -EINVAL, "size");
  check([](auto& layout) { layout.dtype = 9; }, -EINVAL, "dtype");
  check([](auto& layout) { layout.layers = 0; }, -EINVAL, "layers");
  check([](auto& layout) { layout.kv_heads = 1000; }, -EINVAL, "kv_heads");
  check([](auto& layout) { layout.page_tokens = 20; }, -EINVAL, "page_tokens");
  check([](auto& layout) { layout.block_tokens = 24; }, -EINVAL, "block_tokens");
  check([](auto& layout) { layout.rank = 1; }, -EINVAL, "rank");
  check([](auto& layout) { layout.preset = 99; }, -EINVAL, "preset");
  check([](auto& layout) { layout.reserved[2] = 1; }, -EINVAL, "reserved");
  check([](auto& layout) { layout.side_bytes = SPECKV_SIDE_BYTES_MAX + 1; }, -EINVAL, "side_bytes");
  check([](auto& layout) { layout.layers = 250, layout.side_bytes = 7 << 20; }, -EINVAL,
        "side_bytes");
  check([](auto& layout) { layout.first_layer = 254; }, -EINVAL, "first_layer");
  check([](auto& layout) { layout.dtype = SPECKV_DTYPE_F8, layout.preset = SPECKV_PRESET_Q8; },
        -EPROTOTYPE, "preset");
  speckv_layout eight_bits = small_layout(3, SPECKV_PRESET_LOSSLESS);
  eight_bits.dtype = SPECKV_DTYPE_F8;  // stored raw, which loses nothing
  EXPECT_EQ(speckv_layout_check(&eight_bits, why, sizeof why), 0) << why;
  EXPECT_STREQ(why, "");
  eight_bits.preset = SPECKV_PRESET_Q8;
  EXPECT_EQ(speckv_layout_check(&eight_bits, why, sizeof why), -EPROTOTYPE);
  EXPECT_NE(std::strstr(why, "lossless"), nullptr) << why;
  // A head size that a preset does not take is no error, and said.
  speckv_layout wide = small_layout(1, SPECKV_PRESET_TIGHT);
  wide.head_dim = 288;
  for (const uint32_t preset : {SPECKV_PRESET_TIGHT, SPECKV_PRESET_DAEMON}) {
    wide.preset = preset;
    EXPECT_EQ(speckv_layout_check(&wide, why, sizeof why), 0) << why;
    EXPECT_NE(std::strstr(why, "stored by q8"), nullptr) << why;
  }
  wide.preset = SPECKV_PRESET_Q8;
  EXPECT_EQ(speckv_layout_check(&wide, why, sizeof why), 0);
  EXPECT_STREQ(why, "");
  EXPECT_EQ(speckv_layout_check(nullptr, why, sizeof why), -EINVAL);
  EXPECT_EQ(number, 77u);

  speckv_layout layout = small_layout();
  for (uint32_t i = 0; i < 64; i++) {
    layout.weights_digest[1] = uint8_t(i);
    ASSERT_EQ(speckv_layout_register(client().get(), &layout, &number), 0);
    EXPECT_EQ(number, i);
  }
  EXPECT_EQ(speckv_layout_register(client().get(), &layout, &number), 0);  // the last one again
  EXPECT_EQ(number, 63u);
  layout.weights_digest[1] = 64;
  EXPECT_EQ(speckv_layout_register(client().get(), &layout, &number), -EMFILE);
}

TEST_F(Errors, Batches) {
  begin();
  speckv_session* session = client().get();
  const speckv_layout layout = small_layout();
  const uint32_t number = client().add_layout(layout);
  speckv_get_op get{};
  speckv_put_op put{};
  const auto keys = keys_of(1, 1);
  uint8_t hit = 0;
  uint64_t hold = 0;
  speckv_completion done;
  for (const auto& [count, expected] :
       {std::pair{0u, -ENODATA}, {65537u, -E2BIG}, {1000000u, -E2BIG}}) {
    EXPECT_EQ(speckv_get(session, number, &get, count), expected);
    EXPECT_EQ(speckv_put(session, number, &put, count), expected);
    EXPECT_EQ(speckv_exists(session, number, as_keys(keys), count, &hit), expected);
    EXPECT_EQ(speckv_hold(session, number, as_keys(keys), count, 1, 1, &hit, &hold), expected);
    EXPECT_EQ(speckv_remove(session, number, as_keys(keys), count, 0), expected);
    EXPECT_EQ(speckv_prefetch(session, number, as_keys(keys), count), expected);
  }
  EXPECT_EQ(speckv_get(session, number, nullptr, 1), -EINVAL);
  EXPECT_EQ(speckv_put(session, number, nullptr, 1), -EINVAL);
  EXPECT_EQ(speckv_exists(session, number, as_keys(keys), 1, nullptr), -EINVAL);
  EXPECT_EQ(speckv_reap(session, &done, 0), -ENODATA);
  EXPECT_EQ(speckv_reap(session, nullptr, 1), -EINVAL);
  const uint32_t unknown = number + 1;
  EXPECT_EQ(speckv_get(session, unknown, &get, 1), -EBADF);
  EXPECT_EQ(speckv_put(session, unknown, &put, 1), -EBADF);
  EXPECT_EQ(speckv_exists(session, unknown, as_keys(keys), 1, &hit), -EBADF);
  EXPECT_EQ(speckv_remove(session, unknown, as_keys(keys), 1, 0), -EBADF);
  EXPECT_EQ(speckv_hold(session, unknown, as_keys(keys), 1, 1, 1, &hit, &hold), -EBADF);
}

TEST_F(Errors, Buffers) {
  begin();
  const speckv_layout layout = small_layout();
  const uint32_t number = client().add_layout(layout);
  Kv kv(layout, Arrangement::token_major);
  ASSERT_EQ(client().put(number, 1, kv), 0);
  const auto both = [&](auto change, int expected_get, int expected_put) {
    Kv other(layout, Arrangement::token_major);
    speckv_get_op get{};
    std::memcpy(get.key, key_of(1).bytes, sizeof get.key);
    speckv_put_op put = Client::put_op(2, other);
    get.buf = other.buf();
    change(other.views(), get.buf);
    put.buf = get.buf;
    EXPECT_EQ(speckv_get(client().get(), number, &get, 1), expected_get == 0);
    EXPECT_EQ(get.ret_result, expected_get);
    EXPECT_EQ(speckv_put(client().get(), number, &put, 1), expected_put == 0);
    EXPECT_EQ(put.ret_result, expected_put);
  };
  both([](auto&, auto& buf) { buf.layer_count = 0; }, -ERANGE, -ERANGE);
  both([](auto&, auto& buf) { buf.layer_first = 1; }, -ERANGE, -ERANGE);
  both([](auto&, auto& buf) { buf.layer_first = UINT32_MAX; }, -ERANGE, -ERANGE);
  both([](auto&, auto& buf) { buf.layer_count = 2; }, 0, -ERANGE);  // put takes whole blocks
  both([](auto&, auto& buf) { buf.views = nullptr; }, -EINVAL, -EINVAL);
  both([](auto& views, auto&) { views[3].base = nullptr; }, -EINVAL, -EINVAL);
  both([](auto& views, auto&) { views[3].token_stride++; }, -EINVAL, -EINVAL);
  both([](auto& views, auto&) { views[0].channel_stride = 0; }, -EINVAL, -EINVAL);
  both([](auto& views, auto&) { views[5].head_stride = INT64_MAX - 1; }, -EINVAL, -EINVAL);
  both([](auto& views, auto&) { views[5].token_stride = INT64_MIN; }, -EINVAL, -EINVAL);
  both([](auto& views, auto&) { views[2].base = static_cast<char*>(views[2].base) + 1; }, -EINVAL,
       -EINVAL);

  speckv_get_op get{};
  get.buf = kv.buf();
  get.flags = 8;
  EXPECT_EQ(speckv_get(client().get(), number, &get, 1), 0);
  EXPECT_EQ(get.ret_result, -EINVAL);
  speckv_put_op put = Client::put_op(2, kv);
  put.meta.kind = SPECKV_KIND_SCRATCH + 1;
  EXPECT_EQ(speckv_put(client().get(), number, &put, 1), 0);
  EXPECT_EQ(put.ret_result, -EINVAL);
  EXPECT_EQ(speckv_wait(client().get(), 0), -ENOTCONN);  // nothing of all this is under way
}

TEST_F(Errors, FullArena) {
  begin();
  Client small(daemon().socket_path(), nullptr, 1u << 20);  // 16 chunks
  ASSERT_EQ(small.opened(), 0);
  const speckv_layout layout = small_layout();
  const uint32_t number = small.add_layout(layout);
  daemon().pause();  // so that nothing is given back
  std::vector<Kv> blocks;
  int result = 0;
  unsigned submitted = 0;
  for (uint64_t i = 0; i < 64 && result == 0; i++) {
    blocks.emplace_back(layout, Arrangement::token_major);
    blocks.back().fill(i);
    speckv_put_op op = Client::put_op(i, blocks.back());
    const int tried = speckv_put(small.get(), number, &op, 1);
    result = op.ret_result;
    EXPECT_EQ(tried, result == 0);
    submitted += result == 0;
  }
  EXPECT_EQ(result, -EAGAIN);
  EXPECT_EQ(submitted, 16u);
  struct speckv_page* page = nullptr;
  EXPECT_EQ(speckv_alloc(small.get(), number, &page), -EAGAIN);
  EXPECT_EQ(speckv_wait(small.get(), 1000), -ETIMEDOUT);
  daemon().resume();
  EXPECT_EQ(small.reap(submitted).size(), submitted);
  Kv kv(layout, Arrangement::token_major);
  EXPECT_EQ(small.put(number, 1000, kv), 0);
  EXPECT_EQ(small.get(number, 15, kv), 0);
}

TEST(Keys, WrongArguments) {
  uint8_t out[32];
  const int32_t tokens[2] = {1, 2};
  EXPECT_EQ(speckv_key_chain(nullptr, nullptr, 0, tokens, 0, out), -ENODATA);
  EXPECT_EQ(speckv_key_chain(nullptr, nullptr, 0, nullptr, 2, out), -EINVAL);
  EXPECT_EQ(speckv_key_chain(nullptr, nullptr, 5, tokens, 2, out), -EINVAL);
  EXPECT_EQ(speckv_key_chain(nullptr, nullptr, 0, tokens, 5000, out), -ERANGE);
  EXPECT_EQ(speckv_key_chain(nullptr, nullptr, 0, tokens, 2, nullptr), -EINVAL);
  EXPECT_EQ(speckv_variant_digest(nullptr, nullptr, "f16", out), -EINVAL);
  EXPECT_EQ(speckv_file_digest("/no/such/file", out), -ENOENT);
  EXPECT_EQ(speckv_file_digest(nullptr, out), -EINVAL);
}

}  // namespace
}  // namespace speckv::test
