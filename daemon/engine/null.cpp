// SPDX-License-Identifier: Apache-2.0
// null.cpp - see null.hpp.
#include "engine/null.hpp"

#include <algorithm>

#include "shm/key.hpp"

namespace speckv {

uint64_t NullEngine::random(uint64_t below) {
  random_ = mix64(random_ + 1);
  return random_ % below;
}

bool NullEngine::start(EncodeJob* job) {
  if (waiting_.size() + forgotten_.size() == jobs_max_ || random(256) < faults.full) return false;
  job->retry = EncodeJob::Retry::none;
  waiting_.push_back(job);
  return true;
}

// As a device that lied, was reset, or gave no answer and may still give one.
bool NullEngine::wants_again(EncodeJob* job) {
  if (job->by_cpu || job->work == Work::decode || random(256) >= faults.again) return false;
  job->by_cpu = true;
  job->retry = EncodeJob::Retry::here;
  if (haunted_.size() == haunted_max || random(4) != 0) return true;
  job->retry = EncodeJob::Retry::elsewhere;
  haunted_.push_back(job->out);
  return true;
}

void NullEngine::haunt() {
  if (haunted_.empty()) return;
  const std::span<std::byte> out = haunted_[random(haunted_.size())];
  std::fill(out.begin(), out.end(), std::byte(random(256)));
}

void NullEngine::complete(size_t count) {
  haunt();
  for (; count && !waiting_.empty(); count--) {
    const auto at = waiting_.begin() + ptrdiff_t(random(waiting_.size()));
    EncodeJob* const job = *at;
    waiting_.erase(at);
    if (wants_again(job)) {
      completed_.push_back(last_ = job);
      continue;
    }
    job->failed = random(256) < faults.failed;
    if (job->work == Work::encode && job->preset->k != codec::CodecId::raw)
      job->refusal = codec::Refusal::not_finite;
    else if (!job->failed) encode_now(*job);
    completed_.push_back(last_ = job);
  }
}

void NullEngine::want_again(EncodeJob::Retry retry) {
  EncodeJob* const job = waiting_.back();
  waiting_.pop_back();
  job->retry = retry;
  completed_.push_back(job);
}

void NullEngine::forget_one() {
  forgotten_.push_back(waiting_.back());
  waiting_.pop_back();
}

void NullEngine::remember() {
  waiting_.insert(waiting_.end(), forgotten_.begin(), forgotten_.end());
  forgotten_.clear();
}

void NullEngine::reap(std::vector<EncodeJob*>* ret_completed) {
  ret_completed->insert(ret_completed->end(), completed_.begin(), completed_.end());
  completed_.clear();
}

bool NullEngine::cancel(EncodeJob* job) { return cancels && std::erase(waiting_, job) == 1; }

}  // namespace speckv
