// SPDX-License-Identifier: Apache-2.0
// chaos.hpp - one run: real clients that know what they stored, a real daemon that lives many
// lives, and trouble that a seed picks.
//
// The clients are victims (../integration/lib/victim.hpp), each a process: some in a namespace in
// which nothing is evicted, some in one that is always full, some in one that is too small and has
// a spill file below it. chaos.cpp has the lives of the daemon and the verdict, troubles.cpp what
// happens to them. Needs root.
#pragma once

#include <cstdint>
#include <map>
#include <random>
#include <string>

#include "daemon_process.hpp"
#include "roles.hpp"

namespace speckv::test {

class Chaos {
 public:
  Chaos(uint64_t seed, bool loud);
  ~Chaos();
  Chaos(const Chaos&) = delete;
  Chaos& operator=(const Chaos&) = delete;
  // Until the daemon has died so often. Returns: whether all was well; says what was not.
  bool run(uint64_t deaths);

 private:
  struct Trouble {
    const char* name;
    void (Chaos::*happen)();
    uint32_t weight;
  };
  static const Trouble troubles[];

  // chaos.cpp
  void send_keeper(uint32_t number);
  void send_churner(uint32_t number);
  void send_spiller(uint32_t number);
  void live();             // the next life, without a fate
  void live_until_fate();  // one that ends at a store
  void wait_for_progress();
  void fail(const std::string& what);
  void say(const std::string& what) const;
  bool all_is_well() const;
  bool verdict();
  void note_death();
  uint64_t below(uint64_t end) { return random_() % end; }

  // troubles.cpp
  void killed();
  void stopped();
  void killed_at_a_store();
  void daemon_stands_still();
  void client_stands_still();
  void client_is_killed();
  void second_daemon();
  void no_descriptors();
  void no_space();
  void other_clock();

  const uint64_t seed_;
  const bool loud_;
  std::mt19937_64 random_;
  std::string spill_;  // a folder of its own
  DaemonProcess daemon_;
  Roles keepers_, churners_, spillers_;
  uint32_t clients_ = 0;
  uint64_t deaths_ = 0;
  std::map<std::string, uint64_t> happened_, sites_;
  size_t log_read_ = 0;
  uint32_t failures_ = 0;
};

}  // namespace speckv::test
