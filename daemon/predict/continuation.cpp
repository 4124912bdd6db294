// SPDX-License-Identifier: Apache-2.0
// continuation.cpp - evicts the block whose return buys least: leaves first, ranked by ReuseModel.
//
// Two rules:
//  1. Only leaves go. A block whose child is resident is worth at least as much as that child, for
//     whoever reads the child reads it first. So it stands on no list until its last child went;
//     then it takes that child's place. What is resident is always a prefix of something.
//  2. Of the leaves, the one of least worth(visits, age). Blocks that were used more often are kept
//     longer; one that was used seconds ago may go before one that was used a minute ago, if that
//     is when people come back. Evicted keys are remembered, so ages beyond the pool's own are
//     learnt.
//  3. A block whose parent was followed by another block since is *superseded*: its session went on
//     elsewhere (its context was edited, a side conversation ended). Such blocks are counted apart,
//     for they come back far more rarely; that takes nothing but looking at who is read.
// Where parents are unknown or in another shard, positions stand in for the first rule: of blocks
// worth the same, the one deeper in its sequence goes first.
//
// A block that was fetched before anybody asked for it stands like one that was just used, and
// teaches the model nothing until it is used.
//
// Lists: one per (class, age bin), each from oldest to youngest; a block moves on to its next bin
// within kAdvanceNs of calls to coldest(). Parked: leaves that were found pinned.
#include <algorithm>
#include <array>
#include <limits>

#include "predict/block_lists.hpp"
#include "predict/ghost_table.hpp"
#include "predict/policies.hpp"
#include "predict/reuse_model.hpp"

namespace speckv::predict {
namespace {

constexpr uint32_t kBins = ReuseModel::kBins;
constexpr uint32_t kAgeLists = ReuseModel::kClasses * kBins;
constexpr uint16_t kParkedList = kAgeLists;  // pinned when they were asked for
constexpr uint16_t kLists = kAgeLists + 1;
constexpr uint16_t kNoList = UINT16_MAX;
constexpr uint64_t kAdvanceNs = 1'000'000;  // the finest bin
constexpr uint32_t kUnparkTries = 2;
constexpr uint32_t kDepthTries = 8;      // blocks of the same worth that are compared by position
constexpr uint64_t kGhostsPerBlock = 4;  // four pools' worth of evicted keys
// How a ghost remembers a block, in its four bits.
constexpr uint32_t kVisitsMax = 7;
constexpr uint32_t kGhostSuperseded = 8;

class Continuation final : public EvictionPolicy {
 public:
  Continuation(uint32_t capacity, uint32_t ghosts_min)
      : lists_(capacity, kLists),
        states_(capacity),
        ghosts_(std::max<uint64_t>(kGhostsPerBlock * capacity, ghosts_min)),
        model_(capacity) {}

  void on_insert(uint32_t block, const BlockFacts& facts) override;
  void on_hit(uint32_t block, uint64_t now_ns) override;
  void on_remove(uint32_t block) override;
  uint32_t coldest(uint64_t now_ns, std::span<const uint8_t> pinned,
                   std::span<uint32_t> ret_blocks) override;

  uint32_t resident() const override { return resident_; }
  std::string_view name() const override { return "continuation"; }

 private:
  struct State {
    uint64_t key_hash = 0;
    uint64_t touched_ns = 0;
    uint32_t parent = kNoBlock;
    uint32_t parent_generation = 0;  // the parent's when this block came: slots are reused
    uint32_t generation = 0;         // counts the blocks that had this slot
    uint32_t children = 0;
    uint32_t position = 0;             // 0 where unknown
    uint32_t newest_child = kNoBlock;  // may be gone, or another's child by now: is_child_of()
    uint16_t list = kNoList;
    uint8_t visits = 0;  // uses before the last one
    bool resident = false;
    bool proposed = false;  // while coldest() looks for the next
    bool superseded = false;
    bool unasked = false;  // fetched, and not used since
  };
  struct Proposal {  // how to put it back
    uint64_t parent_touched_ns;
    uint32_t hotter;  // its neighbour on its list
    uint16_t list;
  };

  uint32_t cls(const State& state) const {
    // somebody is about to ask for it: like those that are asked for most
    const uint32_t visits = state.unasked ? kVisitsMax : state.visits;
    return ReuseModel::class_of(visits, state.superseded);
  }
  uint64_t age_ns(const State& state) const {
    return now_ns_ > state.touched_ns ? now_ns_ - state.touched_ns : 0;
  }
  void see_time(uint64_t now_ns) { now_ns_ = std::max(now_ns_, now_ns); }

  bool is_pinned(std::span<const uint8_t> pinned, uint32_t block) const {
    return !pinned.empty() && pinned[block] != 0;
  }
  bool has_parent(const State& state) const {
    return state.parent < states_.size() && states_[state.parent].resident &&
           states_[state.parent].generation == state.parent_generation;
  }

  bool is_child_of(uint32_t block, uint32_t parent) const {
    return block < states_.size() && states_[block].resident && states_[block].parent == parent &&
           has_parent(states_[block]);
  }

  void follow(uint32_t block);
  void supersede(uint32_t block);
  bool next_victim(std::span<const uint8_t> pinned, uint32_t* ret_block);
  void set_aside(uint32_t block, Proposal* ret_proposal);
  void put_back(uint32_t block, const Proposal& proposal);
  void remember(State& state);
  // A child of this block went.
  void lose_child(uint32_t parent, uint64_t child_touched_ns);
  void put_on(uint16_t list, uint32_t block);
  void put_on_age_list(uint32_t block, bool cold);
  void take_off(uint32_t block);
  void advance_ages();
  void unpark(std::span<const uint8_t> pinned, uint32_t tries);
  // Returns: kNoList when no leaf is left.
  uint16_t least_worth_list() const;
  uint32_t deepest_of_coldest(uint16_t list) const;
  bool any_unpinned(std::span<const uint8_t> pinned, uint32_t* ret_block);

  BlockLists lists_;
  std::vector<State> states_;
  GhostTable ghosts_;
  ReuseModel model_;
  uint64_t now_ns_ = 0;
  uint64_t advanced_ns_ = 0;
  uint32_t resident_ = 0;
  uint32_t parked_ = 0;
  uint32_t hand_ = 0;  // any_unpinned() goes on where it stopped
  std::array<Proposal, kProposalsMax> proposals_{};
};

void Continuation::on_insert(uint32_t block, const BlockFacts& facts) {
  see_time(facts.now_ns);
  State& state = states_[block];
  const uint32_t generation = state.generation + 1;
  state = {};
  state.generation = generation;
  state.key_hash = facts.key_hash;
  state.touched_ns = facts.now_ns;
  state.position = facts.position == kPositionUnknown ? 0 : facts.position;
  state.resident = true;
  ++resident_;

  if (facts.speculative) {
    state.unasked = true;
  } else {
    remember(state);
    model_.on_use(cls(state));
  }

  if (facts.parent < states_.size() && facts.parent != block && states_[facts.parent].resident) {
    State& parent = states_[facts.parent];
    state.parent = facts.parent;
    state.parent_generation = parent.generation;
    if (parent.children++ == 0) take_off(facts.parent);
  }
  put_on_age_list(block, false);
  if (!facts.speculative) follow(block);
}

// Was here before: how often, and since when it is away.
void Continuation::remember(State& state) {
  uint64_t away_ns = 0;
  uint32_t remembered = 0;
  if (!ghosts_.take(state.key_hash, now_ns_, &away_ns, &remembered)) return;
  const uint32_t visits = remembered & kVisitsMax;
  model_.on_return(ReuseModel::class_of(visits, (remembered & kGhostSuperseded) != 0), away_ns);
  state.visits = uint8_t(std::min(visits + 1, kVisitsMax));
}

// What follows its parent is this block now. Whatever followed it until now is superseded, and what
// follows that. A block is marked once for each time it was used, so this is O(1) amortised.
void Continuation::follow(uint32_t block) {
  if (!has_parent(states_[block])) return;
  const uint32_t parent = states_[block].parent;
  const uint32_t before = states_[parent].newest_child;
  states_[parent].newest_child = block;
  if (before == block || !is_child_of(before, parent)) return;
  for (uint32_t at = before; at != kNoBlock && !states_[at].superseded;) {
    supersede(at);
    const uint32_t next = states_[at].newest_child;
    at = is_child_of(next, at) ? next : kNoBlock;
  }
}

void Continuation::supersede(uint32_t block) {
  State& state = states_[block];
  const uint32_t before = cls(state);
  state.superseded = true;
  if (!state.unasked) model_.on_moved(before, cls(state));
  if (state.list == kNoList || state.list == kParkedList) return;
  take_off(block);
  put_on_age_list(block, false);
}

void Continuation::on_hit(uint32_t block, uint64_t now_ns) {
  State& state = states_[block];
  if (!state.resident) return;
  see_time(now_ns);
  if (state.unasked) {
    remember(state);
  } else {
    model_.on_return(cls(state), age_ns(state));
    if (state.visits < kVisitsMax) ++state.visits;
  }
  state.superseded = state.unasked = false;
  model_.on_use(cls(state));
  state.touched_ns = now_ns_;
  follow(block);
  if (state.list == kNoList) return;  // has children
  take_off(block);
  put_on_age_list(block, false);
}

void Continuation::on_remove(uint32_t block) {
  State& state = states_[block];
  if (!state.resident) return;
  take_off(block);
  state.resident = false;
  --resident_;
  if (!state.unasked) {  // else its ghost is still there
    ghosts_.insert(state.key_hash, state.touched_ns,
                   state.visits | (state.superseded ? kGhostSuperseded : 0));
  }
  if (has_parent(state)) lose_child(state.parent, state.touched_ns);
}

void Continuation::lose_child(uint32_t parent, uint64_t child_touched_ns) {
  State& state = states_[parent];
  state.touched_ns = std::max(state.touched_ns, child_touched_ns);  // touches can be lost
  if (--state.children == 0 && !state.proposed) put_on_age_list(parent, true);
}

uint32_t Continuation::coldest(uint64_t now_ns, std::span<const uint8_t> pinned,
                               std::span<uint32_t> ret_blocks) {
  see_time(now_ns);
  unpark(pinned, kUnparkTries);
  advance_ages();
  uint32_t found = 0;
  for (; found < ret_blocks.size(); ++found) {
    if (!next_victim(pinned, &ret_blocks[found])) break;
    set_aside(ret_blocks[found], &proposals_[found]);
  }
  for (uint32_t i = found; i-- > 0;) put_back(ret_blocks[i], proposals_[i]);
  return found;
}

// As if it had been removed: its parent may be the next to go.
void Continuation::set_aside(uint32_t block, Proposal* ret_proposal) {
  State& state = states_[block];
  *ret_proposal = {0, kNoBlock, state.list};
  if (state.list != kNoList) ret_proposal->hotter = lists_.hotter(block);
  take_off(block);
  state.proposed = true;
  if (!has_parent(state)) return;
  ret_proposal->parent_touched_ns = states_[state.parent].touched_ns;
  lose_child(state.parent, state.touched_ns);
}

// Requires: called in the reverse order of set_aside(), so that its neighbour is back already.
void Continuation::put_back(uint32_t block, const Proposal& proposal) {
  State& state = states_[block];
  if (has_parent(state)) {
    State& parent = states_[state.parent];
    if (parent.children++ == 0) take_off(state.parent);
    parent.touched_ns = proposal.parent_touched_ns;
  }
  state.proposed = false;
  if (proposal.list == kNoList) return;
  state.list = proposal.list;
  parked_ += proposal.list == kParkedList ? 1 : 0;
  if (proposal.hotter == kNoBlock) lists_.push_hot(proposal.list, block);
  else if (states_[proposal.hotter].list == proposal.list)
    lists_.push_colder_than(proposal.hotter, block);
  else lists_.push_cold(proposal.list, block);  // its neighbour was found pinned meanwhile
}

bool Continuation::next_victim(std::span<const uint8_t> pinned, uint32_t* ret_block) {
  for (bool rechecked = false;;) {
    const uint16_t list = least_worth_list();
    if (list == kNoList && rechecked) return any_unpinned(pinned, ret_block);
    if (list == kNoList) {  // rare: pins may be gone since
      unpark(pinned, parked_);
      rechecked = true;
      continue;
    }
    const uint32_t block = deepest_of_coldest(list);
    if (!is_pinned(pinned, block)) {
      *ret_block = block;
      return true;
    }
    take_off(block);
    put_on(kParkedList, block);
  }
}

void Continuation::put_on(uint16_t list, uint32_t block) {
  states_[block].list = list;
  lists_.push_hot(list, block);
  parked_ += list == kParkedList ? 1 : 0;
}

void Continuation::put_on_age_list(uint32_t block, bool cold) {
  State& state = states_[block];
  state.list = uint16_t(cls(state) * kBins + ReuseModel::bin_of(age_ns(state)));
  if (cold) {
    lists_.push_cold(state.list, block);
  } else {
    lists_.push_hot(state.list, block);
  }
}

void Continuation::take_off(uint32_t block) {
  State& state = states_[block];
  if (state.list == kNoList) return;
  parked_ -= state.list == kParkedList ? 1 : 0;
  lists_.unlink(block);
  state.list = kNoList;
}

void Continuation::advance_ages() {
  if (now_ns_ - advanced_ns_ < kAdvanceNs) return;
  advanced_ns_ = now_ns_;
  // from the oldest bin, so that a block moves once
  for (uint32_t list = kAgeLists; list-- > 0;) {
    for (uint32_t block = lists_.coldest(list); block != kNoBlock; block = lists_.coldest(list)) {
      if (ReuseModel::bin_of(age_ns(states_[block])) <= list % kBins) break;
      take_off(block);
      put_on_age_list(block, false);
    }
  }
}

void Continuation::unpark(std::span<const uint8_t> pinned, uint32_t tries) {
  for (tries = std::min(tries, parked_); tries > 0; --tries) {
    const uint32_t block = lists_.coldest(kParkedList);
    take_off(block);
    if (is_pinned(pinned, block)) {
      put_on(kParkedList, block);
    } else {
      put_on_age_list(block, true);
    }
  }
}

uint16_t Continuation::least_worth_list() const {
  uint16_t least = kNoList;
  float least_worth = std::numeric_limits<float>::infinity();
  for (uint32_t list = 0; list < kAgeLists; ++list) {
    if (lists_.empty(list)) continue;
    const float worth = model_.worth(list / kBins, list % kBins);
    if (worth >= least_worth) continue;
    least = uint16_t(list);
    least_worth = worth;
  }
  return least;
}

// Requires: the list is not empty.
uint32_t Continuation::deepest_of_coldest(uint16_t list) const {
  uint32_t deepest = lists_.coldest(list);
  uint32_t block = deepest;
  for (uint32_t tries = kDepthTries; tries > 1; --tries) {
    block = lists_.hotter(block);
    if (block == kNoBlock) break;
    if (states_[block].position > states_[deepest].position) deepest = block;
  }
  return deepest;
}

// All leaves are pinned: whatever else is not. Linear, but only in this corner.
bool Continuation::any_unpinned(std::span<const uint8_t> pinned, uint32_t* ret_block) {
  for (uint32_t left = uint32_t(states_.size()); left > 0; --left) {
    hand_ = hand_ + 1 < states_.size() ? hand_ + 1 : 0;
    if (!states_[hand_].resident || states_[hand_].proposed || is_pinned(pinned, hand_)) continue;
    *ret_block = hand_;
    return true;
  }
  return false;
}

}  // namespace

std::unique_ptr<EvictionPolicy> make_continuation(uint32_t capacity, uint32_t ghosts_min) {
  return std::make_unique<Continuation>(capacity, ghosts_min);
}

}  // namespace speckv::predict
