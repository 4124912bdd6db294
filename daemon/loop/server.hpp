// SPDX-License-Identifier: Apache-2.0
// server.hpp - serves the rings of one shard's sessions, in turns: what a data thread does while it
// is awake.
//
// Knows no ring of the kernel, no thread and no clock: Io, memory and now_ns are given, so a test
// runs it on plain memory, turn by turn. loop/data_thread waits, reaps and opens mail for it.
//
// A step is one entry of a ring, or one layer of a put that is under way: its job goes to the
// engine, and the put goes on when that has completed, in this turn or in any later one. Whose step
// is next: deficit round robin by bytes, over namespaces first, then over a namespace's sessions.
// Each round gives each of them a quantum; what is served is taken off, and who is in debt waits.
// The engine's queue is short, so this is also who has the engine's workers. A turn ends after
// turn_cost_max, so that mail, doorbells and the tick are looked at in between.
//
// What cannot be done yet (the engine is full, no record is left, the entry's key is under way)
// stays where it is, with what is behind it in its ring; others go on. It is tried again when
// something has moved. What waits for the tier below is set aside: its ring goes on. One thread.
// Never: waits, logs, trusts what a client can write.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "engine/engine.hpp"
#include "journey/shard.hpp"
#include "loop/io.hpp"
#include "loop/prefetches.hpp"
#include "session/session.hpp"
#include "shm/index.hpp"

namespace speckv {

// Costs are bytes: those of a layer that is encoded, and what an entry's handling takes beside.
constexpr int64_t entry_cost = 4 << 10;  // about 1 µs of encoding
constexpr int64_t session_quantum = 64 << 10;
constexpr int64_t space_quantum = 256 << 10;
constexpr int64_t turn_cost_max = 1 << 20;  // less than 1 ms of encoding
constexpr uint64_t tick_ns = 20'000'000;    // touches, holds and limbo need no finer clock
// Between two ticks: this thread was stopped, and says nothing of the engine's time.
constexpr uint64_t away_ns = 1'000'000'000;
// A key is on its way for so long at most, whatever deadline its asker gave.
constexpr uint64_t fetch_ns_max = 60'000'000'000;
constexpr uint32_t announced_max = 32;  // holds behind the one that waits, which are told of
constexpr size_t fetches_collected_max = 1024;  // in one turn without allocating
constexpr size_t set_aside_max = 256;  // entries of a namespace that wait outside of their rings

struct ServerCounters {
  std::atomic<uint64_t> submissions{0}, rejected{0};
  std::atomic<uint64_t> io_failed{0};  // polls and signals that were refused or ended with an error
  std::atomic<uint64_t> engine_mistaken{0};  // jobs that it gave back and did not have
};

class Server {
 public:
  // A namespace's share: its shard, and the index header where this thread says that it sleeps.
  struct Space {
    std::unique_ptr<Shard> shard;
    shm::IndexHeader* index = nullptr;
    // What its clients' prefetches may have here at once, and read in a second.
    uint32_t prefetch_keys_max = 1024;
    uint64_t prefetch_bytes_s = UINT64_MAX;
    uint64_t prefetch_bytes_s_min = 0;  // of these, that others leave it: share_prefetch()
  };
  // io, engine (the shards' own): outlive this.
  Server(uint32_t shard, std::vector<Space> spaces, Io& io, Engine& engine);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // What prefetches of all namespaces may read in a second beyond what each is guaranteed. Before
  // the first turn.
  void share_prefetch(uint64_t bytes_s) { shared_prefetch_ = ByteBudget(bytes_s); }

  // Its rings are served from now on. A session that has ended already is not taken.
  void admit(std::shared_ptr<Session> session);
  // Lets go of every session that has ended: what it held ends, its rings and its memory are not
  // looked at again.
  void dismiss_ended();
  void lose(uint32_t space, const LostRange& range);
  // One that Io completed and that is not the caller's own.
  void completed(Operation* operation);

  // Serves for one turn, and ticks when it is time. Returns: false when nobody asks for anything.
  bool turn(uint64_t now_ns);
  bool has_work() const;
  // Puts that the engine works on, and tiers below that the kernel works for.
  size_t under_way() const;
  // Whether doorbells are to be rung: raise it, then look at has_work() once more.
  void set_sleeping(bool sleeping);

  size_t sessions() const;
  // Operations of sessions that have been let go, which the kernel has not ended yet.
  size_t leaving() const { return leaving_.size(); }
  const ShardCounters& shard_counters(uint32_t space) const;
  const SpillStore* spill(uint32_t space) const { return tenants_[space].space.shard->spill(); }
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
    Put* first = nullptr;      // its puts that have jobs to start, oldest first
    uint64_t blocked_at = 0;   // progress_ when its next step could not be done
    uint32_t announced = 0;    // up to this entry of its ring the shard was told of its holds
  };
  struct SetAside {
    Client* client;
    shm::Submission submission;
  };
  struct Tenant {
    explicit Tenant(Space given)
        : space(std::move(given)),
          wants(space.prefetch_keys_max),
          prefetch_budget(space.prefetch_bytes_s),
          prefetch_guaranteed(space.prefetch_bytes_s_min) {
      set_aside.reserve(set_aside_max);
    }
    Space space;
    Prefetches wants;
    ByteBudget prefetch_budget, prefetch_guaranteed;
    std::vector<SetAside> set_aside;  // oldest first
    uint64_t tried_at = 0;            // progress_ when they were last tried
    std::vector<std::unique_ptr<Client>> clients;
    size_t next = 0;  // whom the round has come to
    uint64_t round = 1;
    Share share;
  };

  int64_t serve_next();
  int64_t serve_tenant(Tenant& tenant);
  int64_t serve_client(Tenant& tenant, Client& client);
  int64_t step(Tenant& tenant, Client& client);
  int64_t serve_entry(Tenant& tenant, Client& client);
  int serve(Tenant& tenant, Client& client, shm::Submission submission, uint32_t* ret_flags,
            Put** ret_put);
  int serve_key(Tenant& tenant, Client& client, const shm::Submission& submission,
                const Session::Registered& registered, uint32_t* ret_flags, Put** ret_put);
  int serve_put(Tenant& tenant, Client& client, const shm::Submission& submission,
                const Session::Registered& registered, uint32_t* ret_flags, Put** ret_put);
  // server_near.cpp
  void touched(Tenant& tenant, Client& client, uint32_t block);
  void serve_near();
  // server_fetch.cpp
  int serve_hold(Tenant& tenant, Client& client, const shm::Submission& submission,
                 const Layout& layout);
  void announce_holds(Shard& shard, Client& client, uint32_t layout_number, const Layout& layout);
  int serve_fetch(Tenant& tenant, Client& client, const shm::Submission& submission,
                  const Layout& layout);
  int fetch(Tenant& tenant, Prefetches::Group& group, const shm::Submission& submission,
            const Layout& layout);
  int locate(Shard& shard, const Key& key, const Layout& layout) const;
  int serve_fetch_end(Tenant& tenant, Client& client, uint64_t number);
  bool collect_fetched();
  void end_late_fetches(Tenant& tenant);
  void drop_fetches_of(Tenant& tenant, Client& client);
  void end_want(Tenant& tenant, void* asker, const Prefetches::Want& want, int result);

  uint64_t prefetch_left(Tenant& tenant);
  void take_prefetch(Tenant& tenant, uint64_t bytes);

  // server_clients.cpp
  bool set_aside(Tenant& tenant, Client& client, const shm::Submission& submission);
  void serve_set_aside(Tenant& tenant);
  void forget_set_aside(Tenant& tenant, Client& client);
  bool collect();
  void want_step(Shard& shard, Put& put);
  void leave_list(Put& put);
  void settle(Shard& shard);
  void answer(Put& put, int result);
  void fail_overdue(Shard& shard, bool was_away);
  bool can_step(const Client& client) const;
  void tell(Client& client);
  void tell_answered();
  void tick();
  void watch(Client& client);
  void let_go(std::unique_ptr<Client> client);
  void rebuild_guards(Tenant& tenant);
  bool can_step(const Tenant& tenant) const;

  const uint32_t shard_;
  Io& io_;
  Engine& engine_;
  std::vector<EncodeJob*> completed_;
  std::vector<FetchEnd> fetched_;
  ByteBudget shared_prefetch_{UINT64_MAX};
  std::vector<Client*> to_tell_;  // that got answers which they have not been woken for
  uint64_t progress_ = 1;         // moves when something that could not be done may be done now
  uint64_t moved_ns_ = 0;         // when the engine last took a job or gave one back
  uint64_t near_blocked_at_ = 0;  // progress_ when the engine took no job for near memory
  std::vector<Tenant> tenants_;
  size_t next_ = 0;
  uint64_t round_ = 1;
  std::vector<std::unique_ptr<Client>> leaving_;
  uint64_t now_ns_ = 0, ticked_ns_ = 0;
  ServerCounters counters_;
};

}  // namespace speckv
