// SPDX-License-Identifier: Apache-2.0
// monitor.hpp - a mutex and a condition on CLOCK_MONOTONIC, with a deadline on every wait.
//
// Plain pthread, because std::condition_variable allocates nothing but may throw. Used by src/
// only.
#pragma once

#include <pthread.h>

#include <cstdint>
#include <ctime>

namespace speckv::lib {

class Monitor {
 public:
  Monitor() {
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&changed_, &attributes);
    pthread_condattr_destroy(&attributes);
  }
  ~Monitor() {
    pthread_cond_destroy(&changed_);
    pthread_mutex_destroy(&mutex_);
  }
  Monitor(const Monitor&) = delete;
  Monitor& operator=(const Monitor&) = delete;

  void lock() { pthread_mutex_lock(&mutex_); }
  bool try_lock() { return pthread_mutex_trylock(&mutex_) == 0; }
  void unlock() { pthread_mutex_unlock(&mutex_); }
  void wake_all() { pthread_cond_broadcast(&changed_); }
  // Requires: locked. Returns at a wake or at the deadline (CLOCK_MONOTONIC), whichever is first.
  void wait_until(uint64_t deadline_ns) {
    constexpr uint64_t second = 1'000'000'000;
    constexpr uint64_t far_s = uint64_t{1} << 32;  // past it a time_t sum could overflow
    const uint64_t s = deadline_ns / second;
    const timespec until{time_t(s < far_s ? s : far_s), long(deadline_ns % second)};
    pthread_cond_timedwait(&changed_, &mutex_, &until);
  }

 private:
  pthread_mutex_t mutex_ = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t changed_;
};

class Locked {
 public:
  explicit Locked(Monitor& monitor) : monitor_(monitor) { monitor_.lock(); }
  ~Locked() { monitor_.unlock(); }
  Locked(const Locked&) = delete;
  Locked& operator=(const Locked&) = delete;

 private:
  Monitor& monitor_;
};

}  // namespace speckv::lib
