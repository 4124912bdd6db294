// SPDX-License-Identifier: Apache-2.0
// passed_fds_test.cpp - descriptors that a client sends along cannot stop the daemon, by making its
// last close wait.
//
// How: a TCP socket that lingers for ten minutes over bytes which nobody reads is sent in each
// place where the daemon is the one to drop it: in its first message, in one that it will not read,
// and to a listener that is about to go. Then somebody else asks for something. All of it as the
// kernel is, and as on kernels that cannot refuse to pass descriptors (before 6.16).
#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "client.hpp"
#include "raw_client.hpp"

namespace {

using namespace speckv;
using namespace speckv::test;

// One whose close waits: more is on its way than its other end, which this keeps, will ever read.
class Lingering {
 public:
  Lingering() {
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t bytes = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(bind(listener, generic, bytes), 0);
    EXPECT_EQ(listen(listener, 1), 0);
    getsockname(listener, generic, &bytes);
    fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int little = 4096;  // there are many of them
    for (const int fd : {listener, fd_})
      for (const int option : {SO_SNDBUF, SO_RCVBUF})
        EXPECT_EQ(setsockopt(fd, SOL_SOCKET, option, &little, sizeof little), 0);
    EXPECT_EQ(connect(fd_, generic, bytes), 0);
    other_end_ = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    close(listener);
    const std::vector<char> much(64 << 10);
    while (::send(fd_, much.data(), much.size(), MSG_DONTWAIT) > 0) {
    }
    const linger ten_minutes{1, 600};
    EXPECT_EQ(setsockopt(fd_, SOL_SOCKET, SO_LINGER, &ten_minutes, sizeof ten_minutes), 0);
  }
  ~Lingering() { close(other_end_); }
  int fd() const { return fd_; }
  // Its last descriptor is then one that is on its way. Were it the test's own, the test would
  // wait.
  void let_go(bool sent) {
    const linger none{};
    if (!sent) setsockopt(fd_, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    close(fd_);
  }

 private:
  int fd_ = -1, other_end_ = -1;
};

// Returns: the connection, or -1 and errno.
int dial(const std::string& path) {
  const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::snprintf(address.sun_path, sizeof address.sun_path, "%s", path.c_str());
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) return fd;
  const int error = errno;
  close(fd);
  errno = error;
  return -1;
}

int connected_to(const std::string& path) {
  const int fd = dial(path);
  EXPECT_GE(fd, 0) << std::strerror(errno);
  return fd;
}

// What connect(2) tells this user: 0 or an errno.
int told_to(uid_t uid, const std::string& path) {
  const pid_t child = fork();
  if (child == 0) {
    if (setgid(uid) != 0 || setuid(uid) != 0) _exit(255);
    _exit(dial(path) >= 0 ? 0 : errno);
  }
  int status = -1;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

// Returns: whether it went; the kernel may refuse to pass descriptors there.
bool send_along(int fd, const void* message, size_t bytes, int passed) {
  iovec part{const_cast<void*>(message), bytes};
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
  std::memcpy(CMSG_DATA(rights), &passed, sizeof passed);
  return sendmsg(fd, &packet, MSG_NOSIGNAL | MSG_DONTWAIT) == ssize_t(bytes);
}

wire::Hello hello_to_default() {
  wire::Hello hello{};
  hello.header = {wire::magic,         uint16_t(wire::Type::hello), 0,
                  wire::version_major, wire::version_minor,         sizeof hello};
  std::snprintf(hello.namespace_name, sizeof hello.namespace_name, "default");
  hello.arena_bytes = 64 << 10;
  return hello;
}

class PassedFds : public ::testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    if (GetParam()) setenv("SPECKVD_DESCRIPTORS_PASS", "1", 1);
    else unsetenv("SPECKVD_DESCRIPTORS_PASS");
    ASSERT_TRUE(daemon_.start()) << daemon_.log();
    ::chmod(daemon_.folder().c_str(), 0755);
  }
  void TearDown() override {
    unsetenv("SPECKVD_DESCRIPTORS_PASS");
    const pid_t pid = daemon_.pid();
    ::kill(pid, SIGTERM);
    siginfo_t ended{};
    bool gone = false;
    for (int i = 0; i < 20'000 && !gone; i++, usleep(1000))
      gone = waitid(P_PID, id_t(pid), &ended, WEXITED | WNOHANG | WNOWAIT) == 0 && ended.si_pid;
    EXPECT_TRUE(gone) << "SIGTERM does not end it";
  }
  void victim_is_served() {
    RawClient client;  // it has patience, and an end of it
    ASSERT_EQ(client.open(daemon_.socket_path(), "default", 64 << 10), 0) << daemon_.log();
  }

  static DaemonOptions options() {
    DaemonOptions options;
    options.daemon_lines = "socket_mode = \"0666\"\n";
    return options;
  }
  DaemonProcess daemon_{options()};
};

TEST_P(PassedFds, WithTheFirstMessage) {
  victim_is_served();
  const size_t before = descriptors(daemon_.pid());
  for (int i = 0; i < 3; i++) {
    Lingering lingering;
    const int fd = connected_to(daemon_.socket_path());
    const wire::Hello hello = hello_to_default();
    daemon_.pause();  // or the daemon lets go first, and it is the test that waits
    lingering.let_go(send_along(fd, &hello, sizeof hello, lingering.fd()));
    daemon_.resume();
    victim_is_served();
    close(fd);
  }
  bool back = false;
  for (int i = 0; i < 20'000 && !back; i++, usleep(1000))
    back = descriptors(daemon_.pid()) <= before;
  EXPECT_TRUE(back) << "connections are not closed while what was sent into them lingers";
}

TEST_P(PassedFds, WithAMessageThatIsNotRead) {
  for (int i = 0; i < 3; i++) {
    Lingering lingering;
    const int fd = connected_to(daemon_.socket_path());
    const wire::Hello hello = hello_to_default();
    daemon_.pause();  // so that all of it is there when the first is looked at
    EXPECT_EQ(::send(fd, "nonsense", 8, MSG_NOSIGNAL), 8);
    lingering.let_go(send_along(fd, &hello, sizeof hello, lingering.fd()));
    daemon_.resume();
    victim_is_served();
    close(fd);
  }
}

// A message of no bytes looks like the end of the connection.
TEST_P(PassedFds, BehindAnEmptyMessage) {
  Lingering lingering;
  const int fd = connected_to(daemon_.socket_path());
  daemon_.pause();
  EXPECT_EQ(::send(fd, "", 0, MSG_NOSIGNAL), 0);
  lingering.let_go(send_along(fd, "x", 1, lingering.fd()));
  close(fd);
  daemon_.resume();
  victim_is_served();
}

// Their closing takes a while each; until it is done that user is told so, and nobody else.
TEST_P(PassedFds, WhoseConnectionsCannotBeClosedIsRefusedUntilTheyAre) {
  if (!GetParam()) GTEST_SKIP() << "this kernel may refuse them all";
  if (geteuid() != 0) GTEST_SKIP() << "becomes another user";
  daemon_.pause();
  std::vector<Lingering> lingering(40);
  std::vector<int> fds;
  for (Lingering& each : lingering) {
    fds.push_back(connected_to(daemon_.socket_path()));
    EXPECT_EQ(::send(fds.back(), "nonsense", 8, MSG_NOSIGNAL), 8);
    each.let_go(send_along(fds.back(), "x", 1, each.fd()));
  }
  daemon_.resume();
  RawClient refused;
  EXPECT_EQ(refused.open(daemon_.socket_path(), "default", 64 << 10), -EBUSY);
  EXPECT_EQ(Client(daemon_.socket_path()).opened(), -EBUSY);
  const pid_t other = fork();
  if (other == 0) {
    if (setgid(20041) != 0 || setuid(20041) != 0) _exit(2);
    RawClient stranger;  // in no namespace: that is all he is told
    _exit(stranger.open(daemon_.socket_path(), "default", 64 << 10) == -EACCES ? 0 : 1);
  }
  int status = -1;
  waitpid(other, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 0);
  int error = -EBUSY;
  for (int i = 0; i < 20'000 && error == -EBUSY; i++, usleep(1000)) {
    RawClient again;
    error = again.open(daemon_.socket_path(), "default", 64 << 10);
  }
  EXPECT_EQ(error, 0);
  for (const int fd : fds) close(fd);
}

// Who goes on in spite of that is refused by the kernel, without a descriptor of the daemon's.
TEST_P(PassedFds, OfOneWhoGoesOnSendingThemAreRefusedAtTheSocketsFile) {
  if (!GetParam()) GTEST_SKIP() << "this kernel may refuse them all";
  if (geteuid() != 0) GTEST_SKIP() << "becomes another user";
  constexpr uid_t hostile = 20041, other = 20042;
  constexpr size_t many = 300;  // 6 s of closing; the door's queue takes them
  const std::string path = daemon_.socket_path();
  int go[2];
  ASSERT_EQ(pipe(go), 0);
  daemon_.pause();
  const pid_t child = fork();
  if (child == 0) {
    if (setgid(hostile) != 0 || setuid(hostile) != 0) _exit(255);
    std::vector<Lingering> lingering(many);
    for (Lingering& each : lingering) {
      const int fd = connected_to(path);
      EXPECT_EQ(::send(fd, "nonsense", 8, MSG_NOSIGNAL), 8);
      each.let_go(send_along(fd, "x", 1, each.fd()));
      close(fd);
    }
    EXPECT_EQ(write(go[1], "g", 1), 1);
    pause();  // it keeps the other ends
  }
  char byte = 0;
  ASSERT_EQ(read(go[0], &byte, 1), 1);
  daemon_.resume();
  int told = 0;
  for (int i = 0; i < 5000 && told != EACCES; i++, usleep(1000)) told = told_to(hostile, path);
  EXPECT_EQ(told, EACCES) << "each of its connections takes a descriptor: "
                          << descriptors(daemon_.pid()) << " are open";
  EXPECT_EQ(told_to(other, path), 0);
  victim_is_served();
  for (int i = 0; i < 60'000 && told != 0; i++, usleep(1000)) told = told_to(hostile, path);
  EXPECT_EQ(told, 0) << "shut out for ever";
  ::kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  close(go[0]);
  close(go[1]);
}

// Connections that nobody has accepted yet go with the listener: TearDown() is the test.
TEST_P(PassedFds, ToAListenerThatGoes) {
  daemon_.pause();
  Lingering lingering;
  std::vector<int> fds;
  for (int i = 0; i < 40; i++) fds.push_back(connected_to(daemon_.socket_path()));
  lingering.let_go(send_along(fds.back(), "x", 1, lingering.fd()));
  ::kill(daemon_.pid(), SIGTERM);
  daemon_.resume();
  for (const int fd : fds) close(fd);
}

INSTANTIATE_TEST_SUITE_P(Kernels, PassedFds, ::testing::Bool(), [](const auto& which) {
  return which.param ? "ThatCannotRefuse" : "AsItIs";
});

}  // namespace
