// SPDX-License-Identifier: Apache-2.0
// victim.hpp - an ordinary client that knows all that it stored: puts, reads back and removes
// blocks until it is told to stop, and compares every byte of every block.
//
// What must hold, whatever happens to the daemon meanwhile: a get gives the bytes that were put, or
// misses; a block that was acknowledged is there until it is removed (where none is evicted), and
// not there afterwards; a call ends. What does not is counted in the Tally. For sieges and chaos.
#pragma once

#include <deque>
#include <random>
#include <string>
#include <vector>

#include "client.hpp"
#include "roles.hpp"

namespace speckv::test {

struct Habits {
  bool down = false;        // the daemon may die or stand still meanwhile: a put may fail
  bool evicted = false;     // blocks may be evicted: a miss is no loss
  bool spilled = false;     // they may lie in a tier below: a hold brings them back. One that was
                            // evicted before it was written is no loss; half of them are sent down
  size_t blocks_max = 500;  // that it keeps: 18 KiB each with one layout
  uint64_t seed = 1;
  std::vector<uint32_t> layers = {3};  // one layout each; a block has 6 KiB a layer
};

class Victim {
 public:
  Victim(const std::string& socket_path, const char* space, Tally& tally, const Habits& habits);
  // Until tally.stop.
  void run();

 private:
  struct Block {
    uint64_t number;
    uint32_t kind;      // which of its layouts
    bool safe = false;  // it was seen to stand below
  };
  struct Kind {
    uint32_t layout;
    Kv kv;
  };

  void put(const Block& block);
  void look(const Block& block);
  int read(const Block& block);
  bool send_down(const Block& block);
  bool is_kept(const Block& block) const;
  void came_up(uint64_t number);
  void look_at_what_is_safe();
  void look_for_ghost();
  void remove_oldest();
  void remove(const Block& block);

  Client client_;
  Tally& tally_;
  const Habits habits_;
  std::vector<Kind> kinds_;
  std::deque<Block> kept_, removed_;
  std::deque<Block> unsure_;  // of which no answer came: removed, since nobody else would
  std::minstd_rand random_;
  uint64_t lives_ = 0;  // of the daemon, that have ended
};

}  // namespace speckv::test
