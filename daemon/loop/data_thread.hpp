// SPDX-License-Identifier: Apache-2.0
// data_thread.hpp - one shard of every namespace, one io_uring, one thread.
//
// The loop: wait, reap into a list, run the list, serve rings, tick. Completions never run inside
// reaping. Nothing here blocks but the one wait, and that has a deadline. Control speaks to it by
// post(): a bounded mailbox and an eventfd. It answers through Session and ShardCounters only.
#pragma once

#include <liburing.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <vector>

#include "journey/shard.hpp"
#include "session/session.hpp"
#include "shm/index.hpp"

namespace speckv {

struct DataThreadCounters {
  std::atomic<uint64_t> wakeups{0}, submissions{0}, rejected{0};
};

class DataThread {
 public:
  // A namespace's share: its shard, and the index header where this thread says that it sleeps.
  struct Space {
    std::unique_ptr<Shard> shard;
    shm::IndexHeader* index = nullptr;
  };
  DataThread(uint32_t shard, std::vector<Space> spaces, std::unique_ptr<Engine> engine);
  ~DataThread();

  Status start();
  void stop();  // serves what is in the rings, then joins

  // Control thread. add: before the client learns its descriptors. remove: the session's rings are
  // not read again.
  bool add_session(std::shared_ptr<Session> session);
  bool remove_session(std::shared_ptr<Session> session);
  // This part of a namespace's pool is gone. Waits while the mailbox is full.
  void lose(uint32_t space, const LostRange& range);

  const ShardCounters& counters(uint32_t space) const { return spaces_[space].shard->counters(); }
  const DataThreadCounters& counters() const { return counters_; }

 private:
  struct Mail {
    std::shared_ptr<Session> session;  // none: a loss
    bool add = false;
    uint32_t space = 0;
    LostRange lost;
  };
  struct Client {
    std::shared_ptr<Session> session;
    uint64_t doorbell = 0;  // io_uring reads it into here
    bool armed = false;
    bool leaving = false;
  };

  bool post(Mail mail);
  void run();
  void wait();
  void reap();
  void run_list();
  bool serve_rings();
  bool serve_one(Client& client);
  int serve(Client& client, shm::Submission submission, uint32_t* ret_flags);
  void tick();
  void open_mail();
  void admit(std::shared_ptr<Session> session);
  void dismiss(uint64_t session_id);
  void rebuild_guards(uint32_t space);
  void arm(int fd, uint64_t* into, uint64_t user_data);
  void set_sleeping(bool sleeping);
  bool anything_to_do() const;

  uint32_t shard_;
  std::vector<Space> spaces_;
  std::unique_ptr<Engine> engine_;
  io_uring ring_{};
  bool ring_ready_ = false;
  std::vector<uint64_t> reaped_;  // user_data of completions of this turn
  std::unordered_map<uint64_t, Client> clients_;
  std::mutex mail_lock_;
  std::vector<Mail> mail_;
  int mail_fd_ = -1;
  uint64_t mail_count_ = 0;
  bool mail_armed_ = false;
  std::atomic<bool> stopping_{false};
  uint64_t now_ns_ = 0, ticked_ns_ = 0;
  std::thread thread_;
  DataThreadCounters counters_;
};

}  // namespace speckv
