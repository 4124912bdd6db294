// SPDX-License-Identifier: Apache-2.0
// calibrate_progress.hpp - how far `speckv-calibrate --validate` is: texts done, tokens of this
// one, time left. On a terminal one line that changes; elsewhere a line a text. Writes to stderr.
#pragma once

#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>

namespace speckv::calibrate {

// A guess from the time so far; later tokens of a text cost a little more than early ones.
inline std::string time_left(double seconds_so_far, double share_done) {
  if (share_done <= 0) return "";
  const double left = seconds_so_far * (1 - share_done) / share_done;
  if (left < 90) return ", about " + std::to_string(int(left + 0.5)) + " s left";
  return ", about " + std::to_string(int(left / 60 + 0.5)) + " min left";
}

class Progress {
 public:
  Progress(uint32_t texts, uint32_t tokens) : texts_(texts), tokens_(tokens) {}

  void show(uint32_t tokens) {
    if (!terminal_) return;
    std::fprintf(stderr, "\r%u of %u texts done, token %u of %u%s    ", done_, texts_, tokens,
                 tokens_, left(tokens).c_str());
  }
  void next() {
    done_++;
    if (!terminal_) std::fprintf(stderr, "%u of %u texts done%s\n", done_, texts_, left(0).c_str());
  }
  void end() const {
    if (terminal_) std::fprintf(stderr, "\r\033[K");
  }

 private:
  std::string left(uint32_t tokens) const {
    const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - start_;
    const double share = (done_ + double(tokens) / tokens_) / texts_;
    return share < 1 ? time_left(spent.count(), share) : "";
  }

  uint32_t texts_, tokens_, done_ = 0;
  bool terminal_ = isatty(2) != 0;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace speckv::calibrate
