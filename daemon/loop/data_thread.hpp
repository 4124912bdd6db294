// SPDX-License-Identifier: Apache-2.0
// data_thread.hpp - one shard of every namespace, one io_uring, one thread.
//
// The loop: wait, reap into a list, run the list, open mail, let the server have its turns.
// Completions never run inside reaping. Nothing here blocks but the one wait, and that has a
// deadline. What is served, and in which order, is loop/server. Control speaks to it by a bounded
// mailbox; a session's end needs no room there: it is a mark in the session, and a poke. It answers
// through Session and counters only.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "engine/engine.hpp"
#include "loop/io_ring.hpp"
#include "loop/server.hpp"

namespace speckv {

struct DataThreadCounters {
  std::atomic<uint64_t> wakeups{0};
  // CLOCK_MONOTONIC of its last turn. It turns every 50 ms; if it does not, it is stuck
  // (docs/metrics.md).
  std::atomic<uint64_t> turned_ns{0};
};

class DataThread {
 public:
  using Space = Server::Space;
  DataThread(uint32_t shard, std::vector<Space> spaces, std::unique_ptr<Engine> engine);
  ~DataThread();

  void share_prefetch(uint64_t bytes_s) { server_.share_prefetch(bytes_s); }  // before start()
  Status start();
  void stop();  // serves what is in the rings, then joins

  // Control thread. add: before the client learns its descriptors. Returns: false when the mailbox
  // is full.
  [[nodiscard]] bool add_session(std::shared_ptr<Session> session);
  // After session.end(): its rings are not read again. Never fails, never waits.
  void session_ended();
  // Its next turn comes now.
  void wake() { poke(); }
  // This part of a namespace's pool is gone. Returns: false when the mailbox is full: tell it
  // again.
  [[nodiscard]] bool lose(uint32_t space, const LostRange& range);

  const ShardCounters& counters(uint32_t space) const { return server_.shard_counters(space); }
  // Of a namespace without a tier below: nullptr. Its counters may be read by anyone.
  const SpillStore* spill(uint32_t space) const { return server_.spill(space); }
  const ServerCounters& served() const { return server_.counters(); }
  const DataThreadCounters& counters() const { return counters_; }
  const EngineFacts& engine() const { return engine_->facts(); }
  uint64_t io_errors() const;

 private:
  struct Mail {
    std::shared_ptr<Session> session;  // none: a loss
    uint32_t space = 0;
    LostRange lost;
  };

  bool post(Mail mail);
  void poke();
  void run();
  void wait(uint64_t wait_ns);
  void run_list();
  void open_mail();
  void finish();

  const uint32_t shard_;
  std::unique_ptr<Engine> engine_;
  IoRing io_;
  Server server_;
  std::vector<Operation*> completed_;
  Operation mailbox_, engine_wake_;
  int mail_fd_ = -1;
  std::mutex mail_lock_;
  std::vector<Mail> mail_, opened_;
  std::atomic<bool> mail_came_{false}, some_ended_{false}, stopping_{false};
  DataThreadCounters counters_;
  std::thread thread_;  // last: it uses the rest
};

}  // namespace speckv
