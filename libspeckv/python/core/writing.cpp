// SPDX-License-Identifier: Apache-2.0
// writing.cpp - see writing.hpp.
#include "writing.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>

namespace speckv::python {

namespace {

constexpr uint64_t wait_ns_max = 100'000'000;  // how long stop is not looked at

uint64_t user_data_of(size_t count) {
  static std::atomic<uint64_t> next{uint64_t{1} << 63};  // apart from what callers of put() use
  return next.fetch_add(count);
}

}  // namespace

uint64_t now_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return uint64_t(now.tv_sec) * 1'000'000'000 + uint64_t(now.tv_nsec);
}

Writing::Writing(speckv_session* session, size_t count)
    : session_(session), count_(count), to_submit_(count), first_user_data_(user_data_of(count)) {}

int Writing::run(uint64_t until_ns, const std::atomic<bool>* stop) {
  for (;;) {
    const size_t before = to_submit_;
    if (const int error = submit()) return give_up(error);
    reap();
    if (!to_submit_ && !under_way_) return 0;
    if (stop && stop->load()) return give_up(-ECANCELED);
    if (to_submit_ != before) continue;
    const uint64_t now = now_ns();
    if (now >= until_ns) return give_up(-ETIMEDOUT);
    const int error = speckv_wait(session_, std::min(until_ns - now, wait_ns_max));
    if (error == -ENOTCONN) {  // nothing is under way, or the daemon is gone: look once more
      reap();
      if (under_way_) return give_up(-ECONNRESET);
      if (to_submit_ && to_submit_ == before) return give_up(-EAGAIN);
    } else if (error != 0 && error != -ETIMEDOUT) {
      return give_up(error);
    }
  }
}

// Submits runs of operations that are not submitted yet, until the arena or the ring is full.
int Writing::submit() {
  for (size_t i = 0; i < count_ && to_submit_;) {
    size_t end = i;
    while (end < count_ && end - i < SPECKV_BATCH_MAX && result(end) == -EAGAIN) end++;
    if (end == i) {
      i++;
      continue;
    }
    const int tried = submit_run(i, end);
    if (tried < 0) return tried == -EAGAIN ? 0 : tried;
    if (!submitted(i, end)) return 0;
    i = end;
  }
  return 0;
}

// Counts what a run's results say. Returns: whether all of it was taken or refused.
bool Writing::submitted(size_t begin, size_t end) {
  bool whole = true;
  for (size_t i = begin; i < end; i++) {
    int32_t& answer = result(i);
    whole &= answer != -EAGAIN;
    if (answer == -EAGAIN) continue;
    to_submit_--;
    if (answer != 0) continue;
    answer = -EINPROGRESS;
    under_way_++;
  }
  return whole;
}

void Writing::reap() {
  std::array<speckv_completion, 256> done;
  for (int n; (n = speckv_reap(session_, done.data(), unsigned(done.size()))) > 0;)
    for (int i = 0; i < n; i++) {
      const uint64_t place = done[i].user_data - first_user_data_;
      if (place >= count_) continue;  // of another batch, which was given up
      result(place) = done[i].result;
      good_ += done[i].result == 0;
      under_way_--;
    }
}

int Writing::give_up(int error) {
  for (size_t i = 0; i < count_; i++)
    if (result(i) == -EAGAIN || result(i) == -EINPROGRESS) result(i) = error;
  return error;
}

Storing::Storing(speckv_session* session, uint32_t layout, speckv_put_op* ops, size_t count)
    : Writing(session, count), layout_(layout), ops_(ops) {
  for (size_t i = 0; i < count; i++) {
    ops[i].user_data = user_data(i);
    ops[i].ret_result = -EAGAIN;
  }
}

int Storing::submit_run(size_t begin, size_t end) {
  return speckv_put(session_, layout_, ops_ + begin, unsigned(end - begin));
}

Removing::Removing(speckv_session* session, uint32_t layout, const Key* keys, size_t count)
    : Writing(session, count), layout_(layout), keys_(keys), results_(count, -EAGAIN) {}

// One call a key: completions of one call all carry the same user data.
int Removing::submit_run(size_t begin, size_t end) {
  for (size_t i = begin; i < end; i++) {
    const int tried = speckv_remove(session_, layout_, keys_ + i, 1, user_data(i));
    if (tried < 0 && i == begin) return tried;
    if (tried < 0) break;
    results_[i] = 0;
  }
  return 0;
}

}  // namespace speckv::python
