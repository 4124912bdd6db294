// SPDX-License-Identifier: Apache-2.0
// undertaker.cpp - see undertaker.hpp.
#include "session/undertaker.hpp"

#include <pthread.h>

#include <utility>

namespace speckv {

Undertaker::~Undertaker() {
  stopping_.store(true, std::memory_order_release);
  calls_.fetch_add(1, std::memory_order_release);
  calls_.notify_one();
  thread_.join();
}

void Undertaker::take(Session* ended) {
  Session* first = ended_.load(std::memory_order_relaxed);
  do ended->next_ended_ = first;
  while (!ended_.compare_exchange_weak(first, ended, std::memory_order_release,
                                       std::memory_order_relaxed));
  calls_.fetch_add(1, std::memory_order_release);
  calls_.notify_one();
}

void Undertaker::set_on_gone(GoneFn on_gone) {
  std::lock_guard lock(on_gone_lock_);
  on_gone_ = std::move(on_gone);
}

void Undertaker::run() {
  pthread_setname_np(pthread_self(), "speckv-ended");
  for (;;) {
    const uint32_t calls = calls_.load(std::memory_order_acquire);
    const bool last = stopping_.load(std::memory_order_acquire);
    Session* session = ended_.exchange(nullptr, std::memory_order_acquire);
    while (session) {
      Session* next = session->next_ended_;
      const Session::Identity identity = session->identity();
      const uint64_t arena_bytes = session->arena_bytes();
      if (leave_.load(std::memory_order_acquire)) session->memory_->leave();
      delete session;
      {
        std::lock_guard lock(on_gone_lock_);
        if (on_gone_) on_gone_(identity, arena_bytes);
      }
      session = next;
    }
    if (last) return;
    calls_.wait(calls, std::memory_order_acquire);
  }
}

}  // namespace speckv
