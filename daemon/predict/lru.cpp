// SPDX-License-Identifier: Apache-2.0
// lru.cpp - least recently used first; of one request's blocks, the last of the sequence first.
//
// The second half of that sentence is what engines' prefix caches do too: a chain that is touched
// from its first block to its last would else lose its first block first, and with it all its use.
#include "predict/block_lists.hpp"
#include "predict/policies.hpp"

namespace speckv::predict {
namespace {

class Lru final : public EvictionPolicy {
 public:
  explicit Lru(uint32_t capacity) : lists_(capacity, 1), states_(capacity) {}

  void on_insert(uint32_t block, const BlockFacts& facts) override {
    states_[block] = {facts.now_ns, facts.parent < states_.size() ? facts.parent : kNoBlock, true};
    link(block);
    ++resident_;
  }

  void on_hit(uint32_t block, uint64_t now_ns) override {
    if (!states_[block].resident) return;
    lists_.unlink(block);
    states_[block].touched_ns = now_ns;
    link(block);
  }

  void on_remove(uint32_t block) override {
    if (!states_[block].resident) return;
    lists_.unlink(block);
    states_[block].resident = false;
    --resident_;
  }

  uint32_t coldest(uint64_t, std::span<const uint8_t> pinned,
                   std::span<uint32_t> ret_blocks) override {
    uint32_t found = 0;
    uint32_t block = lists_.coldest(0);
    for (uint32_t left = resident_; left > 0 && found < ret_blocks.size(); --left) {
      const uint32_t next = lists_.hotter(block);
      if (pinned.empty() || pinned[block] == 0) {
        ret_blocks[found++] = block;
      } else {
        lists_.unlink(block);  // pinned: in use, hence not cold
        lists_.push_hot(0, block);
      }
      block = next != kNoBlock ? next : lists_.coldest(0);
    }
    return found;
  }

  uint32_t resident() const override { return resident_; }
  std::string_view name() const override { return "lru"; }

 private:
  struct State {
    uint64_t touched_ns = 0;
    uint32_t parent = kNoBlock;  // its slot may hold another block by now; only order hangs on it
    bool resident = false;
  };

  void link(uint32_t block) {
    const uint32_t parent = states_[block].parent;
    const bool touched_together = parent != kNoBlock && parent != block &&
                                  states_[parent].resident &&
                                  states_[parent].touched_ns == states_[block].touched_ns;
    if (touched_together) {
      lists_.push_colder_than(parent, block);
    } else {
      lists_.push_hot(0, block);
    }
  }

  BlockLists lists_;
  std::vector<State> states_;
  uint32_t resident_ = 0;
};

}  // namespace

std::unique_ptr<EvictionPolicy> make_lru(uint32_t capacity, uint32_t /*ghosts_min*/) {
  return std::make_unique<Lru>(capacity);
}

}  // namespace speckv::predict
