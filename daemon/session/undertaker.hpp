// SPDX-License-Identifier: Apache-2.0
// undertaker.hpp - where sessions end: a thread that unmaps their memory and empties their files.
//
// A client may keep descriptors of its session, and may make emptying the file slow (it holds the
// file's lock while it works on it). So no thread that others wait for does it, and what a session
// took counts until on_gone says that it is back. take() is called by whoever lets go last, a data
// thread too: it links the session into a list and never waits.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>

#include "session/session.hpp"

namespace speckv {

class Undertaker {
 public:
  using GoneFn = std::function<void(const Session::Identity& identity, uint64_t arena_bytes)>;

  Undertaker() : thread_([this] { run(); }) {}
  ~Undertaker();  // after the last session
  Undertaker(const Undertaker&) = delete;
  Undertaker& operator=(const Undertaker&) = delete;

  void take(Session* ended);
  // Called on the undertaker's thread for each session that has given back all it had. nullptr:
  // nobody wants to know any more; on_gone is not running when this returns.
  void set_on_gone(GoneFn on_gone);
  // The daemon ends: from now on files are left as they are, since clients have yet to read there
  // what became of their puts. They go with their clients' maps then.
  void leave_memory() { leave_.store(true, std::memory_order_release); }

 private:
  void run();

  std::atomic<Session*> ended_{nullptr};  // newest first
  std::atomic<uint32_t> calls_{0};        // waited for: something was taken, or it is over
  std::atomic<bool> stopping_{false}, leave_{false};
  std::mutex on_gone_lock_;
  GoneFn on_gone_;
  std::thread thread_;  // last: it uses the rest
};

}  // namespace speckv
