// SPDX-License-Identifier: Apache-2.0
// null.hpp - the engine of tests: stores raw and refuses every other preset; completes when it is
// told to, in an order that a seed decides, and is full, fails, forgets or repeats itself as often
// as the test likes.
//
// Encodes in complete(), on the calling thread: a test decides between which two turns that is.
#pragma once

#include "engine/engine.hpp"

namespace speckv {

class NullEngine final : public Engine {
 public:
  explicit NullEngine(uint64_t seed = 1, uint32_t jobs_max = 16)
      : random_(seed), jobs_max_(jobs_max) {}

  // Chances in 256.
  struct Faults {
    uint32_t full = 0;    // start() says that it is
    uint32_t failed = 0;  // a job comes back undone
    uint32_t again = 0;   // and wants to be started again, once; sometimes with another out
  } faults;

  // Completes so many of the jobs that it has, whichever the seed says.
  void complete(size_t count);
  void complete_all() { complete(waiting_.size()); }
  // One of its jobs comes back undone and wants to be started again.
  void want_again(EncodeJob::Retry retry);
  // One of its jobs is never completed any more, until remember().
  void forget_one();
  void remember();
  // The job that was completed last is handed out once more.
  void repeat() { completed_.push_back(last_); }
  // And one that it was never given.
  void hand_out(EncodeJob* strange) { completed_.push_back(strange); }
  void distrust(const EncodeJob&) override { distrusted++; }
  uint32_t distrusted = 0;
  size_t waiting() const { return waiting_.size(); }
  const EncodeJob& job(size_t at) const { return *waiting_[at]; }

  bool start(EncodeJob* job) override;
  void reap(std::vector<EncodeJob*>* ret_completed) override;
  bool cancel(EncodeJob* job) override;
  int wake_fd() const override { return -1; }
  uint32_t jobs_max() const override { return jobs_max_; }
  void stop() override { waiting_.clear(); }
  const EngineFacts& facts() const override { return facts_; }

  bool cancels = true;  // false: every job has begun

 private:
  static constexpr size_t haunted_max = 3;  // each is a slot that its pool does not get back

  uint64_t random(uint64_t below);
  bool wants_again(EncodeJob* job);
  void haunt();

  uint64_t random_;
  uint32_t jobs_max_;
  std::vector<EncodeJob*> waiting_, completed_, forgotten_;
  EncodeJob* last_ = nullptr;
  std::vector<std::span<std::byte>> haunted_;  // what a late device still writes to
  EngineFacts facts_;
};

}  // namespace speckv
