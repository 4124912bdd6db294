// SPDX-License-Identifier: Apache-2.0
// progress.cpp - see progress.hpp.
#include "progress.hpp"

#include <unistd.h>

#include <cstdio>

namespace speckv::qa {

Progress::Progress(std::string what, uint64_t total)
    : what_(std::move(what)),
      total_(total),
      terminal_(isatty(STDERR_FILENO) != 0),
      start_(std::chrono::steady_clock::now()) {
  show();
}

Progress::~Progress() {
  if (terminal_) std::fputc('\n', stderr);
}

void Progress::step() {
  const uint64_t tenth = finished_ * 10 / total_;
  ++finished_;
  if (terminal_ || finished_ * 10 / total_ != tenth) show();
}

void Progress::show() const {
  const double spent =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  const double left = finished_ == 0 ? 0 : spent / double(finished_) * double(total_ - finished_);
  if (!terminal_) {
    std::fprintf(stderr, "%s %llu/%llu, %.0f s\n", what_.c_str(), (unsigned long long)finished_,
                 (unsigned long long)total_, spent);
    return;
  }
  const std::string bar(size_t(finished_ * 30 / total_), '#');
  std::fprintf(stderr, "\r%-28s [%-30s] %llu/%llu, %3.0f s left ", what_.c_str(), bar.c_str(),
               (unsigned long long)finished_, (unsigned long long)total_, left);
}

}  // namespace speckv::qa
