// SPDX-License-Identifier: Apache-2.0
// s3fifo.cpp - S3-FIFO (Yang et al., SOSP'23): a small queue filters what is used once.
//
// A new block enters `small` (a tenth of what is resident), one that the ghosts remember enters
// `main`. The cold end of small moves to main when it was read at least twice, else it goes; the
// cold end of main gets another round for each read. Knows nothing of sequences: it is here to be
// compared with.
#include <array>

#include "predict/block_lists.hpp"
#include "predict/ghost_table.hpp"
#include "predict/policies.hpp"

namespace speckv::predict {
namespace {

class S3Fifo final : public EvictionPolicy {
 public:
  explicit S3Fifo(uint32_t capacity) : lists_(capacity, 3), states_(capacity), ghosts_(capacity) {}

  void on_insert(uint32_t block, const BlockFacts& facts) override {
    uint64_t age_ns = 0;
    uint32_t visits = 0;
    const bool seen = ghosts_.take(facts.key_hash, facts.now_ns, &age_ns, &visits);
    states_[block] = {facts.key_hash, facts.now_ns, seen ? kMain : kSmall, 0, true};
    push(block, states_[block].list);
  }

  void on_hit(uint32_t block, uint64_t) override {
    State& state = states_[block];
    if (state.resident && state.reads < kReadsMax) ++state.reads;
  }

  void on_remove(uint32_t block) override {
    State& state = states_[block];
    if (!state.resident) return;
    pop(block);
    state.resident = false;
    if (state.list == kSmall) ghosts_.insert(state.key_hash, state.inserted_ns, 0);
  }

  uint32_t coldest(uint64_t, std::span<const uint8_t> pinned,
                   std::span<uint32_t> ret_blocks) override {
    uint32_t found = 0;
    for (; found < ret_blocks.size(); ++found) {
      uint32_t& block = ret_blocks[found];
      if (!next_victim(pinned, &block)) break;
      proposed_from_[found] = states_[block].list;
      pop(block);
      push(block, kProposed);
    }
    for (uint32_t i = found; i-- > 0;) {  // all back to where they were, the coldest last
      pop(ret_blocks[i]);
      states_[ret_blocks[i]].list = proposed_from_[i];
      lists_.push_cold(proposed_from_[i], ret_blocks[i]);
      ++size_[proposed_from_[i]];
    }
    return found;
  }

  uint32_t resident() const override { return size_[kSmall] + size_[kMain]; }
  std::string_view name() const override { return "s3fifo"; }

 private:
  static constexpr uint32_t kSmall = 0;
  static constexpr uint32_t kMain = 1;
  static constexpr uint32_t kProposed = 2;     // while coldest() looks for the next
  static constexpr uint32_t kSmallShare = 10;  // the paper's 10 %
  static constexpr uint8_t kReadsMax = 3;      // the paper's two bits
  static constexpr uint8_t kPromoteReads = 2;  // the paper's "more than once"
  struct State {
    uint64_t key_hash = 0;
    uint64_t inserted_ns = 0;
    uint32_t list = kSmall;
    uint8_t reads = 0;
    bool resident = false;
  };

  bool next_victim(std::span<const uint8_t> pinned, uint32_t* ret_block) {
    // a block of main is met at most reads + 1 times, one of small once, a pinned one once a call
    uint64_t left = uint64_t(resident()) * (kReadsMax + 2);
    for (uint32_t pinned_met = 0; left > 0 && pinned_met <= resident(); --left) {
      const bool small_is_full = uint64_t(size_[kSmall]) * kSmallShare >= resident();
      const bool from_small = small_is_full || lists_.empty(kMain);
      const uint32_t block = lists_.coldest(from_small ? kSmall : kMain);
      if (block == kNoBlock) return false;
      State& state = states_[block];
      const bool is_pinned = !pinned.empty() && pinned[block] != 0;
      const bool again = from_small ? state.reads >= kPromoteReads : state.reads > 0;
      if (!is_pinned && !again) {
        *ret_block = block;
        return true;
      }
      pop(block);
      if (is_pinned) {
        ++pinned_met;
      } else {
        state.reads = from_small ? 0 : uint8_t(state.reads - 1);
      }
      push(block, kMain);
    }
    return any_unpinned(pinned, ret_block);  // rare: the queue whose turn it is is all pinned
  }
  bool any_unpinned(std::span<const uint8_t> pinned, uint32_t* ret_block) const {
    for (uint32_t block = 0; block < states_.size(); ++block) {
      if (!states_[block].resident || states_[block].list == kProposed ||
          (!pinned.empty() && pinned[block] != 0))
        continue;
      *ret_block = block;
      return true;
    }
    return false;
  }
  void push(uint32_t block, uint32_t list) {
    states_[block].list = list;
    lists_.push_hot(list, block);
    ++size_[list];
  }
  void pop(uint32_t block) {
    lists_.unlink(block);
    --size_[states_[block].list];
  }

  BlockLists lists_;
  std::vector<State> states_;
  GhostTable ghosts_;
  uint32_t size_[3] = {0, 0, 0};
  std::array<uint32_t, kProposalsMax> proposed_from_{};
};

}  // namespace

std::unique_ptr<EvictionPolicy> make_s3fifo(uint32_t capacity, uint32_t /*ghosts_min*/) {
  return std::make_unique<S3Fifo>(capacity);
}

}  // namespace speckv::predict
