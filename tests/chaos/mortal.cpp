// SPDX-License-Identifier: Apache-2.0
// mortal.cpp - what a store of the journey or of the slab pool means in speckvd-mortal: perhaps the
// end. SPECKV_MORTAL=FILE:N kills the process by SIGKILL after the N-th store of that source file.
//
// speckvd-mortal is speckvd with ../sim/kill_points.hpp in front of these sources; it is never
// installed. What it was doing is its last line on standard error.
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace speckv::sim {
namespace {

struct Fate {
  std::string file;
  std::atomic<long> left{0};
  Fate() {
    const char* text = std::getenv("SPECKV_MORTAL");
    const char* colon = text ? std::strrchr(text, ':') : nullptr;
    if (!colon) return;
    file.assign(text, size_t(colon - text));
    left = std::atol(colon + 1);
  }
};
Fate fate;

}  // namespace

void store_done(const char* file, int line) {
  if (fate.left.load(std::memory_order_relaxed) <= 0) return;
  const char* name = std::strrchr(file, '/');
  name = name ? name + 1 : file;
  if (fate.file != name || fate.left.fetch_sub(1, std::memory_order_relaxed) != 1) return;
  dprintf(2, "mortal: %s:%d\n", name, line);
  kill(getpid(), SIGKILL);
  for (;;) pause();
}

}  // namespace speckv::sim
