// SPDX-License-Identifier: Apache-2.0
// door_test.cpp - connections that cannot be closed take a bounded number of descriptors, and the
// socket's file keeps out whom it should, no one else.
//
// How: a door whose guests are all sent away at once, with a closer that closes nothing until it is
// let; clients send a descriptor along. Access lists are read with the kernel's own words for them.
#include "loop/control_door.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>

#include "session/peer.hpp"

namespace speckv {
namespace {

struct Folder {
  std::string path = "/tmp/speckv-door-XXXXXX";
  Folder() {
    EXPECT_TRUE(mkdtemp(path.data()));
    chmod(path.c_str(), 0755);
  }
  ~Folder() {
    unlink(socket().c_str());
    rmdir(path.c_str());
  }
  std::string socket() const { return path + "/s"; }
};

// Connects. Returns: the descriptor, or a negative errno.
int dial(const std::string& path) {
  const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::snprintf(address.sun_path, sizeof address.sun_path, "%s", path.c_str());
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) return fd;
  const int error = errno;
  close(fd);
  return -error;
}

void send_along(int fd) {
  char byte = 'x';
  iovec part{&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr packet{};
  packet.msg_iov = &part;
  packet.msg_iovlen = 1;
  packet.msg_control = control;
  packet.msg_controllen = sizeof control;
  cmsghdr* rights = CMSG_FIRSTHDR(&packet);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(sizeof(int));
  std::memcpy(CMSG_DATA(rights), &fd, sizeof fd);
  EXPECT_EQ(sendmsg(fd, &packet, 0), 1);
}

TEST(Door, NobodyIsLetInWhileTooManyCannotBeClosed) {
  constexpr size_t most = 5, clients = 12;
  setenv("SPECKVD_DESCRIPTORS_PASS", "1", 1);
  Folder folder;
  const auto open = std::make_shared<std::atomic<bool>>(false);
  Closer closer([open](int fd) {
    open->wait(false);
    close(fd);
  });
  boost::asio::io_context context{1};
  size_t came = 0;
  Door door(context, folder.socket(), 0666, most, closer, [&](Door::Protocol::socket socket) {
    came++;
    boost::system::error_code ignored;
    const int fd = socket.release(ignored);
    closer.close_connection(fd, uid_of(fd));
  });
  ASSERT_TRUE(door.open().ok());
  std::vector<int> fds;
  for (size_t i = 0; i < clients; i++) {
    fds.push_back(dial(folder.socket()));
    ASSERT_GE(fds.back(), 0);
    send_along(fds.back());
  }
  for (int i = 0; i < 5; i++) context.run_one();  // retries of the door among them
  EXPECT_EQ(came, most) << "these have the descriptors that others need";
  EXPECT_EQ(closer.unclosed(), most);
  *open = true;
  open->notify_all();
  while (came < clients) context.run_one();
  for (const int fd : fds) close(fd);
  door.close();
  unsetenv("SPECKVD_DESCRIPTORS_PASS");
}

// What connect(2) says to this user.
int told_to(uid_t uid, const std::string& path) {
  const pid_t child = fork();
  if (child == 0) {
    if (setgid(uid) != 0 || setuid(uid) != 0) _exit(255);
    const int fd = dial(path);
    _exit(fd >= 0 ? 0 : -fd);
  }
  int status = -1;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? -WEXITSTATUS(status) : -1000;
}

TEST(DoorList, KeepsOutWhomItNamesAndNobodyElse) {
  if (geteuid() != 0) GTEST_SKIP() << "becomes other users";
  constexpr uid_t bad = 20041, good = 20042, named = 20043;
  Folder folder;
  const std::string path = folder.socket();
  const int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::snprintf(address.sun_path, sizeof address.sun_path, "%s", path.c_str());
  ASSERT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(listen(listener, 100), 0);
  ASSERT_EQ(chmod(path.c_str(), 0666), 0);
  DoorList list(path);
  if (list.begin().error() == ENOTSUP) GTEST_SKIP() << "no access lists here";
  ASSERT_TRUE(list.shut_out(bad).ok());
  EXPECT_EQ(told_to(bad, path), -EACCES);
  EXPECT_EQ(told_to(good, path), 0);
  ASSERT_TRUE(list.let_in(bad).ok());
  EXPECT_EQ(told_to(bad, path), 0);
  char bytes[64];
  EXPECT_EQ(getxattr(path.c_str(), "system.posix_acl_access", bytes, sizeof bytes), -1)
      << "the file is as it was";
  // A list of the operator's: its owner alone, and one user by name.
  ASSERT_EQ(chmod(path.c_str(), 0600), 0);
  DoorList ours(path);
  const struct {
    posix_acl_xattr_header header{2};
    posix_acl_xattr_entry user{0x01, 6, ~0u}, by_name{0x02, 6, named}, group{0x04, 0, ~0u},
        mask{0x10, 6, ~0u}, other{0x20, 0, ~0u};
  } acl;
  ASSERT_EQ(setxattr(path.c_str(), "system.posix_acl_access", &acl, sizeof acl, 0), 0);
  EXPECT_EQ(told_to(named, path), 0);
  ASSERT_TRUE(ours.begin().ok());
  ASSERT_TRUE(ours.shut_out(named).ok());
  ASSERT_TRUE(ours.shut_out(bad).ok());
  EXPECT_EQ(told_to(named, path), -EACCES);
  ASSERT_TRUE(ours.let_in(named).ok());
  ASSERT_TRUE(ours.let_in(bad).ok());
  EXPECT_EQ(told_to(named, path), 0);
  EXPECT_EQ(told_to(good, path), -EACCES);
  close(listener);
}

}  // namespace
}  // namespace speckv
