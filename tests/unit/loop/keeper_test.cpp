// SPDX-License-Identifier: Apache-2.0
// keeper_test.cpp - what one process leaves with its supervisor the next one finds, through
// speckvd-keeper as through systemd; a stranger's words are not listened to.
//
// How: this program is also the command that the keeper runs. Each time it is started it appends a
// line on what it found to a file, leaves a memfd with its number in it, and ends as told.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <iterator>

#include "loop/notify.hpp"
#include "loop/supervisor.hpp"

namespace {

constexpr const char* name = "number";

std::string text_of(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// The command: found number, then leaves the next. argv: --run LOG WAY...; the n-th start ends the
// n-th way: kill, fail, stay (until SIGTERM), end.
int run(int count, char** values) {
  const int kept = speckv::take_kept_fd(name);
  int number = 0;
  if (kept >= 0 && pread(kept, &number, sizeof number, 0) != sizeof number) return 9;
  std::ofstream(values[2], std::ios::app)
      << (kept >= 0 ? "found " + std::to_string(number) : "nothing") << "\n";
  number++;
  const int next = memfd_create("number", MFD_CLOEXEC);
  if (pwrite(next, &number, sizeof number, 0) != sizeof number) return 9;
  speckv::keep_fd(name, next);
  const std::string way = number + 2 < count ? values[number + 2] : "end";
  if (way == "kill") raise(SIGKILL);
  if (way == "stay") {
    std::ofstream(values[2], std::ios::app) << "stays\n";
    pause();
  }
  return way == "fail" ? 3 : 0;
}

class Keeper : public ::testing::Test {
 protected:
  void SetUp() override {
    log_ = ::testing::TempDir() + "speckv_keeper_" + std::to_string(getpid());
    unlink(log_.c_str());
  }
  void TearDown() override {
    if (pid_ > 0) ::kill(pid_, SIGKILL);
    unlink(log_.c_str());
  }
  void start(std::vector<const char*> ways) {
    std::vector<const char*> command{KEEPER_PATH, "/proc/self/exe", "--run", log_.c_str()};
    char self[4096] = "";
    ASSERT_GT(readlink("/proc/self/exe", self, sizeof self - 1), 0);
    command[1] = self;
    command.insert(command.end(), ways.begin(), ways.end());
    command.push_back(nullptr);
    pid_ = fork();
    if (pid_ == 0) {
      execv(KEEPER_PATH, const_cast<char**>(command.data()));
      _exit(127);
    }
  }
  int end() {
    int status = 0;
    waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
  }
  bool logged(const std::string& text) {
    for (int i = 0; i < 2000 && text_of(log_) != text; i++) usleep(10'000);
    return text_of(log_) == text;
  }

  std::string log_;
  pid_t pid_ = -1;
};

TEST_F(Keeper, WhatWasLeftIsFoundAfterACrash) {
  start({"kill", "fail", "end"});
  EXPECT_EQ(end(), 0) << "its own end is its command's";
  EXPECT_EQ(text_of(log_), "nothing\nfound 1\nfound 2\n");
}

TEST_F(Keeper, HangupRestartsAndTermEnds) {
  start({"stay", "stay"});
  ASSERT_TRUE(logged("nothing\nstays\n"));
  ASSERT_EQ(::kill(pid_, SIGHUP), 0);
  ASSERT_TRUE(logged("nothing\nstays\nfound 1\nstays\n")) << text_of(log_);
  ASSERT_EQ(::kill(pid_, SIGTERM), 0);
  EXPECT_EQ(end(), 128 + SIGTERM);
}

TEST(Supervisor, WithoutOneNothingIsKeptAndNothingFails) {
  for (const char* each : {"NOTIFY_SOCKET", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"})
    unsetenv(each);
  speckv::keep_fd(name, 0);
  EXPECT_EQ(speckv::take_kept_fd(name), -1);
}

TEST(Supervisor, TheEnvironmentOfAnotherProcessIsNotOurs) {
  setenv("LISTEN_FDS", "1", 1);
  setenv("LISTEN_FDNAMES", name, 1);
  setenv("LISTEN_PID", std::to_string(getppid()).c_str(), 1);
  EXPECT_EQ(speckv::take_kept_fd(name), -1);
  setenv("LISTEN_PID", std::to_string(getpid()).c_str(), 1);
  EXPECT_EQ(speckv::take_kept_fd("another"), -1);
  const int third = fcntl(0, F_GETFD) >= 0 ? dup2(0, 3) : -1;
  EXPECT_EQ(speckv::take_kept_fd(name), third);
  EXPECT_TRUE(fcntl(3, F_GETFD) & FD_CLOEXEC);
  for (const char* each : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}) unsetenv(each);
}

}  // namespace

int main(int count, char** values) {
  if (count > 2 && !std::strcmp(values[1], "--run")) return run(count, values);
  testing::InitGoogleTest(&count, values);
  return RUN_ALL_TESTS();
}
