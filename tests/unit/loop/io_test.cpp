// SPDX-License-Identifier: Apache-2.0
// io_test.cpp - io_uring and kernel AIO do what loop/io.hpp promises: each ring of a doorbell
// completes, a cancel ends a poll, more operations than the ring has room for are all done, and
// signal() returns at once from an eventfd that write(2) would wait for.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <memory>

#include "loop/io_ring.hpp"

namespace {

using namespace speckv;

constexpr uint64_t a_while_ns = 20'000'000'000;

class Ring : public ::testing::Test {
 protected:
  void SetUp() override {
    Status status = io_.open();
    if (status.ok()) status = io_.attach();
    ASSERT_TRUE(status.ok()) << status.text();
  }
  // What completes next; waits for it.
  std::vector<Operation*> next() {
    std::vector<Operation*> completed;
    io_.wait(a_while_ns);
    io_.reap(&completed);
    return completed;
  }
  void ring(int fd) {
    const uint64_t one = 1;
    ASSERT_EQ(write(fd, &one, sizeof one), ssize_t(sizeof one));
  }

  IoRing io_;
};

TEST_F(Ring, APollCompletesAtEachRingUntilItIsCancelled) {
  const int fd = eventfd(0, 0);
  Operation poll;
  ASSERT_EQ(io_.poll(&poll, fd), 0);
  for (int i = 0; i < 3; i++) {  // nobody reads the counter in between
    io_.wait(0);                 // it is there before the next ring
    ring(fd);
    ASSERT_EQ(next(), std::vector<Operation*>{&poll}) << i;
    EXPECT_GT(poll.result, 0);
    EXPECT_TRUE(poll.under_way);
  }
  ASSERT_EQ(io_.cancel(&poll), 0);
  while (poll.under_way) next();
  EXPECT_EQ(poll.result, -ECANCELED);
  EXPECT_EQ(io_.errors(), 0u);
  close(fd);
}

TEST_F(Ring, MoreThanTheQueuesHold) {
  constexpr size_t count = 5000;
  const int fd = eventfd(1, 0);
  auto polls = std::make_unique<Operation[]>(count);
  for (size_t i = 0; i < count; i++) ASSERT_EQ(io_.poll(&polls[i], fd), 0) << i;
  std::vector<bool> seen(count);
  size_t missing = count;
  while (missing > 0) {
    const auto completed = next();
    ASSERT_FALSE(completed.empty());
    for (Operation* operation : completed) {
      const auto i = size_t(operation - polls.get());
      missing -= !seen[i];
      seen[i] = true;
    }
  }
  close(fd);
}

TEST_F(Ring, ReadsAndWritesSayWhatBecameOfThem) {
  const int fd = memfd_create("io_test", MFD_CLOEXEC);
  const char text[] = "what was written";
  char back[sizeof text] = "";
  Operation operation;
  ASSERT_EQ(io_.write(&operation, fd, std::as_bytes(std::span(text)), 4096), 0);
  while (operation.under_way) next();
  EXPECT_EQ(operation.result, int(sizeof text));
  ASSERT_EQ(io_.read(&operation, fd, std::as_writable_bytes(std::span(back)), 4096), 0);
  while (operation.under_way) next();
  EXPECT_EQ(operation.result, int(sizeof text));
  EXPECT_STREQ(back, text);
  close(fd);
  ASSERT_EQ(io_.read(&operation, fd, std::as_writable_bytes(std::span(back)), 0), 0);
  while (operation.under_way) next();
  EXPECT_EQ(operation.result, -EBADF);
}

// What has no commands says so; and without room for them nothing is asked for at all.
TEST_F(Ring, ACommandIsItsFilesToAnswer) {
  const int fd = eventfd(0, 0);
  const std::byte words[80] = {};
  Operation operation, poll;
  EXPECT_EQ(io_.command(&operation, fd, 1, words), -EOPNOTSUPP);
  IoRing with;
  ASSERT_TRUE(with.open(true).ok());
  ASSERT_TRUE(with.attach().ok());
  ASSERT_EQ(with.command(&operation, fd, 1, words), 0);
  ASSERT_EQ(with.poll(&poll, fd), 0);
  ring(fd);
  std::vector<Operation*> completed;
  while (completed.size() < 2) {
    with.wait(a_while_ns);
    with.reap(&completed);
  }
  EXPECT_EQ(operation.result, -EOPNOTSUPP);
  EXPECT_EQ(operation.detail, 0u);
  EXPECT_GT(poll.result, 0);
  EXPECT_EQ(with.command(&operation, fd, 1, std::vector<std::byte>(81)), -EOPNOTSUPP);
  close(fd);
}

TEST_F(Ring, ASignalNeverWaits) {
  const int fd = eventfd(0, 0);  // blocking, as a client can make it
  const uint64_t brim = 0xfffffffffffffffe;
  for (int i = 0; i < 200; i++) ASSERT_EQ(io_.signal(fd), 0);
  uint64_t count = 0;
  ASSERT_EQ(read(fd, &count, sizeof count), ssize_t(sizeof count));
  EXPECT_EQ(count, 200u);
  ASSERT_EQ(write(fd, &brim, sizeof brim), ssize_t(sizeof brim));
  for (int i = 0; i < 200; i++) ASSERT_EQ(io_.signal(fd), 0) << i;
  close(fd);
  EXPECT_LT(io_.signal(fd), 0);
  EXPECT_EQ(io_.errors(), 1u);
}

}  // namespace
