// SPDX-License-Identifier: Apache-2.0
// Proves that a forked child can do no harm with its parent's session, gets -ECHILD, and may open
// its own; the parent does not notice.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
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

// A child that becomes a daemon closes what it inherited; its own files get the same numbers.
TEST_F(Fork, TheChildsOwnFilesStayOpen) {
  begin();
  const std::string path = daemon().socket_path();
  speckv_session* session = client().get();
  EXPECT_GE(speckv_event_fd(session), 0);
  EXPECT_EQ(in_child([&]() -> int {
              close_range(3, ~0u, 0);
              int files[16];
              struct stat before[16], now;
              for (int i = 0; i < 16; i++) {
                files[i] = i < 8 ? open("/dev/null", O_RDONLY) : socket(AF_UNIX, SOCK_STREAM, 0);
                fstat(files[i], &before[i]);
              }
              Client own(path);  // takes the place of the parent's session
              if (own.opened() != 0) return 100;
              speckv_close(session);
              int closed = 0;  // the number may be another file's by now
              for (int i = 0; i < 16; i++)
                closed += fstat(files[i], &now) != 0 || now.st_ino != before[i].st_ino;
              return closed;
            }),
            0);
  EXPECT_EQ(client().stats().connected, 1u);
}

// A socket that a child goes on holding would hide the parent's end.
TEST_F(Fork, TheParentsSocketIsClosed) {
  begin();
  speckv_session* session = client().get();
  EXPECT_EQ(in_child([&]() -> int {
              const auto sockets = [] {
                int count = 0;
                struct stat status;
                for (int fd = 3; fd < 256; fd++)
                  count += fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode);
                return count;
              };
              const int before = sockets();
              speckv_close(session);
              return before - sockets();
            }),
            1);
}

// A zeroed operation must not read as a hit after a call that failed as a whole.
TEST_F(Fork, TheChildsOperationsAllSayChild) {
  begin();
  const uint32_t number = client().add_layout(small_layout());
  EXPECT_EQ(in_child([&]() -> int {
              speckv_get_op gets[3]{};
              speckv_put_op puts[3]{};
              uint8_t hits[3] = {1, 1, 1};
              const auto keys = keys_of(1, 3);
              speckv_get(client().get(), number, gets, 3);
              speckv_put(client().get(), number, puts, 3);
              speckv_exists(client().get(), number, as_keys(keys), 3, hits);
              int wrong = 0;
              for (int i = 0; i < 3; i++)
                wrong += gets[i].ret_result != -ECHILD || puts[i].ret_result != -ECHILD || hits[i];
              return wrong;
            }),
            0);
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
