// SPDX-License-Identifier: Apache-2.0
// world.hpp - what the simulated parts share: the seed's random numbers, the clock, the trace, and
// what happens inside a call of the library while that waits or reads.
#pragma once

#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <vector>

#include "shm/key.hpp"

namespace speckv::sim {

class Random {
 public:
  explicit Random(uint64_t seed) : state_(mix64(seed + 0x5eed)) {}
  uint64_t next() { return mix64(state_ += 0x9e3779b97f4a7c15ull); }
  uint64_t below(uint64_t limit) { return limit ? next() % limit : 0; }
  // From first to last, both included.
  uint64_t range(uint64_t first, uint64_t last) { return first + below(last - first + 1); }
  bool chance(uint32_t of_1024) { return below(1024) < of_1024; }
  template <typename T>
  const T& one_of(const std::vector<T>& things) {
    return things[below(things.size())];
  }

 private:
  uint64_t state_;
};

// The oracle was contradicted: what it expected and what it saw.
struct Contradiction : std::runtime_error {
  using std::runtime_error::runtime_error;
};

[[gnu::format(printf, 1, 2)]] inline std::string text(const char* format, ...) {
  char line[512];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  return line;
}

inline void demand(bool holds, const std::string& what) {
  if (!holds) throw Contradiction(what);
}

class World {
 public:
  virtual ~World() = default;
  // Between two steps of the read protocol: others may run.
  virtual void while_reading() = 0;
  // A call waits for the daemon. Returns: false: the daemon has hung up.
  virtual bool while_waiting() = 0;

  uint64_t now_ns = 1'000'000'000;
};

// The one that runs now; the library's clock and poll(2) look here.
extern World* world;

}  // namespace speckv::sim
