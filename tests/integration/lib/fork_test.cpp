// SPDX-License-Identifier: Apache-2.0
// Proves that a forked child can do no harm with its parent's session, gets -ECHILD, and may open
// its own; the parent does not notice.
#include <sys/wait.h>
#include <unistd.h>

#include "client.hpp"

namespace speckv::test {
namespace {

using Fork = LibTest;

// Runs body in a child. Returns: its exit status, 0..255, or -1 when it was killed.
template <typename Body>
int in_child(Body body) {
  const pid_t child = fork();
  if (child == 0) _exit(body());
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST_F(Fork, TheChildHasNoSession) {
  begin();
  const speckv_layout layout = small_layout();
  const uint32_t number = client().add_layout(layout);
  Kv kv(layout, Arrangement::token_major);
  ASSERT_EQ(client().put(number, 1, kv), 0);
  struct speckv_put* put = nullptr;
  struct speckv_page* page = nullptr;
  ASSERT_EQ(speckv_put_begin(client().get(), number, key_of(2).bytes, nullptr, &put), 0);
  ASSERT_EQ(speckv_alloc(client().get(), number, &page), 0);

  speckv_session* session = client().get();
  const std::string path = daemon().socket_path();
  const int failed_at = in_child([&]() -> int {
    speckv_get_op get{};
    get.buf = kv.buf();
    const auto keys = keys_of(1, 1);
    uint8_t hit;
    speckv_completion done;
    speckv_session* own = nullptr;
    const auto all_forbidden = [&] {
      return speckv_get(session, number, &get, 1) == -ECHILD &&
             speckv_exists(session, number, as_keys(keys), 1, &hit) == -ECHILD &&
             speckv_reap(session, &done, 1) == -ECHILD && speckv_wait(session, 1) == -ECHILD &&
             speckv_event_fd(session) == -ECHILD && speckv_put_commit(put, 0) == -ECHILD &&
             speckv_put_abort(put) == -ECHILD && speckv_append(page, 1) == -ECHILD;
    };
    if (!all_forbidden()) return 1;
    speckv_open_args args{};
    args.size = sizeof args;
    args.socket_path = path.c_str();
    args.daemon_uid = -1;
    if (speckv_open(&args, &own) != 0) return 2;
    uint32_t own_number;
    if (speckv_layout_register(own, &layout, &own_number) != 0) return 3;
    std::memcpy(get.key, key_of(1).bytes, sizeof get.key);
    if (speckv_get(own, own_number, &get, 1) != 1 || kv.wrong(1) != 0) return 4;
    if (speckv_get(session, number, &get, 1) >= 0) return 5;  // the parent's is still not ours
    speckv_close(session);
    if (speckv_get(own, own_number, &get, 1) != 1) return 6;
    speckv_close(own);
    return 0;
  });
  EXPECT_EQ(failed_at, 0);
  EXPECT_EQ(in_child([&] { return speckv_close(session), 0; }), 0);

  EXPECT_EQ(client().get(number, 1, kv), 0);  // the parent's session was not ended by any of this
  EXPECT_EQ(client().put(number, 3, kv), 0);
  EXPECT_EQ(client().stats().connected, 1u);
  EXPECT_EQ(speckv_put_abort(put), 0);
  EXPECT_EQ(speckv_release(page), 0);
}

TEST_F(Fork, AGrandchildToo) {
  begin();
  const uint32_t number = client().add_layout(small_layout());
  const std::string path = daemon().socket_path();
  EXPECT_EQ(in_child([&]() -> int {
              Client own(path);
              if (own.opened() != 0) return 1;
              const auto keys = keys_of(1, 1);
              uint8_t hit;
              const int deeper = in_child([&]() -> int {
                if (speckv_exists(own.get(), 0, as_keys(keys), 1, &hit) != -ECHILD) return 1;
                if (speckv_exists(client().get(), number, as_keys(keys), 1, &hit) != -ECHILD)
                  return 2;
                return 0;
              });
              return deeper == 0 ? 0 : 10 + deeper;
            }),
            0);
}

}  // namespace
}  // namespace speckv::test
