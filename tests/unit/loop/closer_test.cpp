// SPDX-License-Identifier: Apache-2.0
// closer_test.cpp - a close that waits for ever holds nobody but the sockets behind it.
//
// How: connections are socket pairs, and the close of the thread is the test's own: it waits until
// it is let.
#include "session/closer.hpp"

#include <gtest/gtest.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <functional>
#include <memory>

namespace speckv {
namespace {

constexpr uid_t attacker = 7, victim = 8;

struct Pair {
  int daemons = -1, clients = -1;
  Pair() {
    int ends[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    daemons = ends[0];
    clients = ends[1];
  }
  ~Pair() { close(clients); }
  void say(const char* text, size_t bytes) const {
    EXPECT_EQ(send(clients, text, bytes, 0), ssize_t(bytes));
  }
  // With a descriptor of its own end.
  void send_along(const char* text, size_t bytes) const {
    iovec part{const_cast<char*>(text), bytes};
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
    std::memcpy(CMSG_DATA(rights), &clients, sizeof(int));
    EXPECT_EQ(sendmsg(clients, &packet, 0), ssize_t(bytes));
  }
};

struct Gate {
  std::atomic<int> came{0};
  std::atomic<bool> open{false};
};

Closer::CloseFn through(const std::shared_ptr<Gate>& gate) {
  return [gate](int fd) {
    gate->came++;
    gate->open.wait(false);
    close(fd);
  };
}

void wait_for(const std::function<bool()>& what) {
  for (int i = 0; i < 20'000 && !what(); i++) usleep(1000);
  EXPECT_TRUE(what());
}

TEST(Closer, WhatHasDescriptorsInItIsClosedElsewhereAndHoldsNobody) {
  const auto gate = std::make_shared<Gate>();
  Closer closer(through(gate));
  Pair first, second, empty_message, clean, unread;
  first.send_along("x", 1);
  for (int i = 0; i < 3; i++) second.say("more", 4);
  second.send_along("x", 1);
  empty_message.say("", 0);
  empty_message.send_along("", 0);
  closer.close_connection(first.daemons, attacker);
  closer.close_connection(second.daemons, attacker);
  closer.close_connection(empty_message.daemons, attacker);
  wait_for([&] { return gate->came == 1; });
  closer.close_connection(clean.daemons, victim);
  EXPECT_EQ(fcntl(clean.daemons, F_GETFD), -1) << "closed at once";
  for (int i = 0; i < 3; i++) unread.say("more", size_t(i % 2 * 4));
  closer.close_connection(unread.daemons, victim);
  EXPECT_EQ(fcntl(unread.daemons, F_GETFD), -1) << "words alone wait behind nobody";
  EXPECT_EQ(closer.unclosed_of(attacker), 3u);
  EXPECT_EQ(closer.unclosed_of(victim), 0u);
  gate->open = true;
  gate->open.notify_all();
  wait_for([&] { return closer.unclosed() == 0; });
  EXPECT_EQ(gate->came, 3);
}

TEST(Closer, EndsThoughAThreadWaits) {
  const auto gate = std::make_shared<Gate>();
  Pair first;
  {
    Closer closer(through(gate));
    first.send_along("x", 1);
    closer.close_connection(first.daemons, attacker);
    wait_for([&] { return gate->came == 1; });
  }
  gate->open = true;  // its thread goes on by itself
  gate->open.notify_all();
}

TEST(Closer, SeesDescriptorsAndTakesNone) {
  Pair pair;
  EXPECT_FALSE(has_descriptors(pair.daemons));
  pair.say("x", 1);
  EXPECT_FALSE(has_descriptors(pair.daemons));
  char byte = 0;
  EXPECT_EQ(recv(pair.daemons, &byte, 1, 0), 1);
  pair.send_along("x", 1);
  const int next = dup(0);
  EXPECT_TRUE(has_descriptors(pair.daemons));
  EXPECT_EQ(dup(0), next + 1) << "no descriptor came";
  close(next);
  close(next + 1);
  close(pair.daemons);
}

}  // namespace
}  // namespace speckv
