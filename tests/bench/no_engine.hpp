// SPDX-License-Identifier: Apache-2.0
// no_engine.hpp - for benches of a shard alone: an engine that completes each job at once and
// writes nothing, and the CPU time of the calling thread.
//
// Included by pool_bench.cpp and restart_bench.cpp only.
#pragma once

#include <time.h>

#include <utility>
#include <vector>

#include "engine/engine.hpp"

namespace speckv {

class NoEngine final : public Engine {
 public:
  bool start(EncodeJob* job) override {
    job->refusal = codec::Refusal::none;
    job->checksum = 0;
    job->failed = false;
    done_ = job;
    return true;
  }
  void reap(std::vector<EncodeJob*>* ret_completed) override {
    if (done_) ret_completed->push_back(std::exchange(done_, nullptr));
  }
  bool cancel(EncodeJob*) override { return false; }
  int wake_fd() const override { return -1; }
  uint32_t jobs_max() const override { return 1; }
  void stop() override {}
  const EngineFacts& facts() const override { return facts_; }

 private:
  EncodeJob* done_ = nullptr;
  EngineFacts facts_;
};

inline double cpu_s() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return double(now.tv_sec) + double(now.tv_nsec) / 1e9;
}

}  // namespace speckv
