// SPDX-License-Identifier: Apache-2.0
// progress.hpp - how far a phase is: a bar with the time left on a terminal, a line each tenth
// elsewhere. Stderr only.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace speckv::qa {

class Progress {
 public:
  Progress(std::string what, uint64_t total);
  ~Progress();
  void step();

 private:
  void show() const;

  std::string what_;
  uint64_t total_;
  uint64_t finished_ = 0;
  bool terminal_;
  std::chrono::steady_clock::time_point start_;
};

}  // namespace speckv::qa
