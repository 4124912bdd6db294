// SPDX-License-Identifier: Apache-2.0
// simulation.hpp - one run: a seed picks sizes, rates and mixes (a swarm), clients and daemon do
// what it says, then faults stop, everything must be answered, and the books must balance.
//
// simulation.cpp has the seed's choices, the daemon's side and the end; clients.cpp what clients
// do.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "daemon.hpp"
#include "oracle.hpp"

namespace speckv::sim {

// What a run may do at most: shrinking takes away.
enum Feature : uint32_t {
  kills = 1,
  scribblers = 2,
  lost_memory = 4,
  engine_faults = 8,
  stuck_jobs = 16,
  holds = 32,
  removals = 64,
  session_ends = 128,
  turns_while_reading = 256,
  batches = 512,
  parts = 1024,
  disk_faults = 2048,
  power = 4096,
  near_memory = 8192,
};
constexpr uint32_t all_features = 16383;

struct Limits {
  uint32_t clients = UINT32_MAX;
  uint64_t steps = UINT64_MAX;
  uint32_t features = all_features;
  bool trace = false;
};

class Simulation : public World {
 public:
  Simulation(uint64_t seed, const Limits& limits);
  ~Simulation() override;
  // Throws a Contradiction.
  void run();

  uint64_t operations() const { return operations_; }  // of clients
  uint64_t steps() const { return steps_; }
  uint32_t clients() const { return uint32_t(clients_.size()); }
  uint64_t hits() const { return hits_; }
  uint32_t lives() const { return daemon_->lives(); }
  uint64_t brought_near() const { return daemon_->brought_near(); }

  void while_reading() override;
  bool while_waiting() override;

 private:
  enum class Kind : uint8_t { put, remove, prefetch };
  struct Pending {
    Kind kind;
    Name name;
    uint64_t version;  // of a put; of a removal: when it was asked for
  };
  struct Client {
    uint32_t number = 0, space = 0, owner = 0;  // owner: of holds, new with each session
    bool scribbles = false;
    bool old = false;  // of a library that cannot read near memory
    std::shared_ptr<Session> session;
    std::unique_ptr<LibrarySession> library;
    std::map<uint64_t, Pending> pending;
    std::vector<uint64_t> holds, retained;
  };
  struct Rates {  // of 1024 steps
    uint32_t turn, complete, kill, kill_soon, lose, forget, session_end, scribble, slow, disk,
        power;
    std::vector<uint32_t> mix;  // which of a client's actions, several times each
  };

  // simulation.cpp
  void choose();
  void choose_near();
  void choose_rates();
  void choose_layouts();
  bool may(Feature feature) const { return limits_.features & feature; }
  void step();
  void daemon_step();
  void daemon_fault();
  void daemon_turn();
  void after_death();
  void end();
  void wait_for_all();
  void close_breakers(uint32_t space);
  void remove_all(uint32_t space);
  void find_nothing();
  void say(const std::string& what);

  // clients.cpp
  void connect(Client& client);
  void disconnect(Client& client);
  void act(Client& client);
  void put(Client& client);
  void put_in_parts(Client& client);
  void get(Client& client);
  void hold(Client& client);
  void unhold(Client& client);
  void adopt(Client& client);
  void retain(Client& client);
  void remove(Client& client);
  void touch(Client& client);
  void reap(Client& client);
  void scribble(Client& client);
  void name_some_blocks(Client& client, shm::GuardSlot& guard);
  void submit_anything(Client& client);
  void answered(const Pending& pending, int result, bool existed);
  Name any_name(const Client& client);

  const uint64_t seed_;
  const Limits limits_;
  Random random_;
  DaemonSizes sizes_;
  Rates rates_{};
  std::vector<speckv_layout> layouts_;
  std::vector<BlockBytes> blocks_;
  std::vector<std::vector<BlockBytes>> batch_;
  uint32_t keys_ = 0, old_clients_ = 0;  // old: every so manieth client; 0: none
  uint64_t arena_bytes_ = 0, steps_max_ = 0;
  std::unique_ptr<Daemon> daemon_;
  Oracle oracle_;
  std::vector<Client> clients_;
  uint32_t owners_ = 0;
  uint64_t operations_ = 0, steps_ = 0, hits_ = 0, user_data_ = 0;
  bool faults_ = true, inside_ = false;
  bool disks_failed_ = false;  // in this life: then a hold of what is spilled may miss
};

}  // namespace speckv::sim
