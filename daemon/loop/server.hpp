// SPDX-License-Identifier: Apache-2.0
// server.hpp - serves the rings of one shard's sessions, in turns: what a data thread does while it
// is awake.
//
// Knows no ring of the kernel, no thread and no clock: Io, memory and now_ns are given, so a test
// runs it on plain memory, turn by turn. loop/data_thread waits, reaps and opens mail for it.
//
// Whose turn it is: deficit round robin by bytes, over namespaces first, then over a namespace's
// sessions. Each round gives each of them a quantum; what is served is taken off, and who is in
// debt waits. A turn ends after turn_cost_max or one large block, so that mail, doorbells and the
// tick are looked at in between. Between the layers of a block the other namespaces have their
// share too (between_segments): they have shards of their own. Its own namespace waits for all of
// it. One thread. Never: waits, logs, trusts what a client can write.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "journey/shard.hpp"
#include "loop/io.hpp"
#include "session/session.hpp"
#include "shm/index.hpp"

namespace speckv {

// Costs are bytes: those of a put's block, and for every entry what its handling takes beside.
constexpr int64_t entry_cost = 4 << 10;  // about 1 µs of encoding
constexpr int64_t session_quantum = 64 << 10;
constexpr int64_t space_quantum = 256 << 10;
constexpr int64_t turn_cost_max = 1 << 20;  // less than 1 ms, where no block is larger
constexpr uint64_t tick_ns = 20'000'000;    // touches, holds and limbo need no finer clock

struct ServerCounters {
  std::atomic<uint64_t> submissions{0}, rejected{0};
  std::atomic<uint64_t> io_failed{0};  // polls and signals that were refused or ended with an error
};

class Server {
 public:
  // A namespace's share: its shard, and the index header where this thread says that it sleeps.
  struct Space {
    std::unique_ptr<Shard> shard;
    shm::IndexHeader* index = nullptr;
  };
  // io: outlives this.
  Server(uint32_t shard, std::vector<Space> spaces, Io& io);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Its rings are served from now on. A session that has ended already is not taken.
  void admit(std::shared_ptr<Session> session);
  // Lets go of every session that has ended: what it held ends, its rings and its memory are not
  // looked at again.
  void dismiss_ended();
  void lose(uint32_t space, const LostRange& range);
  // One that Io completed and that is not the caller's own.
  void completed(Operation* operation);

  // Within a turn, from the engine: that many bytes of a block have been encoded. If its namespace
  // is in debt by now, the others go on before it does.
  void between_segments(int64_t raw_bytes);
  // Serves for one turn, and ticks when it is time. Returns: false when nobody asks for anything.
  bool turn(uint64_t now_ns);
  bool has_work() const;
  // Whether doorbells are to be rung: raise it, then look at has_work() once more.
  void set_sleeping(bool sleeping);

  size_t sessions() const;
  // Operations of sessions that have been let go, which the kernel has not ended yet.
  size_t leaving() const { return leaving_.size(); }
  const ShardCounters& shard_counters(uint32_t space) const;
  const ServerCounters& counters() const { return counters_; }

 private:
  // Of one namespace, or of one session. Credit is positive for who may be served; rounds that
  // passed while nobody looked count, yet are not saved up.
  struct Share {
    int64_t credit = 0;
    uint64_t round = 0;
    void earn(uint64_t now_round, int64_t quantum);
  };
  struct Client {
    Operation doorbell;
    std::shared_ptr<Session> session;  // none: it has been let go
    Share share;
    bool unsignalled = false;  // its event fd was not signalled when it should have been
  };
  struct Tenant {
    Space space;
    std::vector<std::unique_ptr<Client>> clients;
    size_t next = 0;  // whom the round has come to
    uint64_t round = 1;
    Share share;
    bool busy = false;    // one of its entries is being served
    int64_t charged = 0;  // of that, taken off its credit already
  };

  int64_t serve_next(bool may_write_off);
  int64_t serve_tenant(Tenant& tenant);
  int64_t serve_client(Tenant& tenant, Client& client);
  int serve(Shard& shard, Session& session, shm::Submission submission, uint32_t* ret_flags,
            int64_t* ret_cost);
  int serve_put(Shard& shard, Session& session, const shm::Submission& submission,
                const Session::Registered& registered, uint32_t* ret_flags, int64_t* ret_cost);
  void tell(Client& client);
  void tick();
  void watch(Client& client);
  void let_go(std::unique_ptr<Client> client);
  void rebuild_guards(Tenant& tenant);
  bool asks(const Client& client) const { return client.session->has_submissions(shard_); }
  bool asks(const Tenant& tenant) const;

  const uint32_t shard_;
  Io& io_;
  std::vector<Tenant> tenants_;
  size_t next_ = 0;
  uint64_t round_ = 1;
  Tenant* running_ = nullptr;  // the busy one whose entry is not interrupted by another's
  std::vector<std::unique_ptr<Client>> leaving_;
  uint64_t now_ns_ = 0, ticked_ns_ = 0;
  ServerCounters counters_;
};

}  // namespace speckv
