// SPDX-License-Identifier: Apache-2.0
// library_hooks.cpp - what the library calls instead of clock_gettime(2), poll(2) and nothing.
#include <poll.h>

#include <ctime>

#include "world.hpp"

namespace speckv::sim {
World* world = nullptr;
}

using speckv::sim::world;

extern "C" int speckv_sim_clock_gettime(clockid_t, timespec* ret_now) {
  ret_now->tv_sec = time_t(world->now_ns / 1'000'000'000);
  ret_now->tv_nsec = long(world->now_ns % 1'000'000'000);
  return 0;
}

// Of descriptors that do not exist: the last one is the socket.
extern "C" int speckv_sim_poll(pollfd* fds, nfds_t count, int timeout_ms) {
  for (nfds_t i = 0; i < count; i++) fds[i].revents = 0;
  if (timeout_ms == 0) return 0;
  if (world->while_waiting()) return 0;
  fds[count - 1].revents = POLLHUP;
  return 1;
}

extern "C" void speckv_test_read_step(int) { world->while_reading(); }
