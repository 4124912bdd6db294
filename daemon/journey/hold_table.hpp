// SPDX-License-Identifier: Apache-2.0
// hold_table.hpp - holds by their number, and the blocks that each keeps: sized at start.
//
// Places beyond this table's own are taken from the namespace's HoldRoom, and go back there. Used
// by hold.cpp, retain.cpp and lose.cpp on the shard's data thread. Every hold has at least one
// block, so there are never more holds than held blocks. Never allocates after construction; which
// hold ends, and what that means for a block, is the caller's.
#pragma once

#include <cstdint>
#include <vector>

#include "assert.hpp"
#include "journey/hold_room.hpp"
#include "shm/key.hpp"

namespace speckv {

class HoldTable {
 public:
  static constexpr uint32_t none = UINT32_MAX;
  struct Hold {
    uint64_t number = 0;
    uint64_t session_id = 0;
    uint32_t uid = 0;
    uint64_t until_ns = 0;
    uint32_t blocks = none;  // its first one in nodes_
    uint32_t next = none;    // of the same hash, or of the unused ones
    bool used = false;
  };

  // room: outlives this; nullptr: the table is the only limit.
  explicit HoldTable(uint32_t blocks_max, HoldRoom* room = nullptr)
      : room_(room), holds_(blocks_max), nodes_(blocks_max), heads_(2 * blocks_max + 1, none) {
    for (uint32_t i = 0; i < blocks_max; i++) {
      holds_[i].next = i + 1 < blocks_max ? i + 1 : none;
      nodes_[i].next = holds_[i].next;
    }
    unused_hold_ = unused_node_ = blocks_max ? 0 : none;
  }

  uint32_t blocks() const { return blocks_; }  // held ones, each as often as it is held
  // Takes a place for one more block. Returns: false when there is none.
  bool take_place() { return unused_node_ != none && (!room_ || room_->take()); }

  // Returns: nullptr when there is none.
  Hold* find(uint64_t number) {
    for (uint32_t i = heads_[place(number)]; i != none; i = holds_[i].next)
      if (holds_[i].number == number) return &holds_[i];
    return nullptr;
  }
  // Requires: take_place(), and no hold has this number.
  Hold* make(uint64_t number) {
    SPECKV_ASSERT(unused_hold_ != none, "more holds than held blocks");
    SPECKV_ASSERT(!holds_[unused_hold_].used, "a hold in use was listed as unused");
    const uint32_t fresh = unused_hold_;
    unused_hold_ = holds_[fresh].next;
    holds_[fresh] = Hold{};
    holds_[fresh].number = number;
    holds_[fresh].next = heads_[place(number)];
    holds_[fresh].used = true;
    heads_[place(number)] = fresh;
    return &holds_[fresh];
  }
  // Requires: take_place(), once for each.
  void add(Hold& hold, uint32_t block) {
    SPECKV_ASSERT(unused_node_ != none, "more held blocks than the table has room for");
    const uint32_t fresh = unused_node_;
    unused_node_ = nodes_[fresh].next;
    nodes_[fresh] = {block, hold.blocks};
    hold.blocks = fresh;
    blocks_++;
  }
  // Ends it: calls visit(block) for each of its blocks.
  template <typename Visit>
  void end(Hold& hold, Visit&& visit) {
    drop_blocks_if(
        hold, [](uint32_t) { return true; }, visit);
    erase(hold);
  }
  // Takes the blocks for which leaves(block) is true out of every hold, and calls visit(block) for
  // each; ends those that have none left.
  template <typename Leaves, typename Visit>
  void drop_blocks(Leaves&& leaves, Visit&& visit) {
    for (Hold& hold : holds_) {
      if (!hold.used) continue;
      drop_blocks_if(hold, leaves, visit);
      if (hold.blocks == none) erase(hold);
    }
  }
  // Ends each hold for which over(hold) is true.
  template <typename Over, typename Visit>
  void end_those(Over&& over, Visit&& visit) {
    for (uint32_t i = 0; blocks_ > 0 && i < holds_.size(); i++)
      if (holds_[i].used && over(holds_[i])) end(holds_[i], visit);
  }

 private:
  struct Node {
    uint32_t block = 0;
    uint32_t next = none;
  };
  uint64_t place(uint64_t number) const { return mix64(number) % heads_.size(); }
  template <typename Leaves, typename Visit>
  void drop_blocks_if(Hold& hold, Leaves&& leaves, Visit&& visit) {
    for (uint32_t* link = &hold.blocks; *link != none;) {
      const uint32_t node = *link, block = nodes_[node].block;
      if (!leaves(block)) {
        link = &nodes_[node].next;
        continue;
      }
      *link = nodes_[node].next;
      nodes_[node].next = unused_node_;
      unused_node_ = node;
      blocks_--;
      if (room_) room_->give_back();
      visit(block);
    }
  }
  void erase(Hold& hold) {
    SPECKV_ASSERT(hold.used && hold.blocks == none, "a hold ended with blocks, or twice");
    const auto number = uint32_t(&hold - holds_.data());
    uint32_t* link = &heads_[place(hold.number)];
    while (*link != number) link = &holds_[*link].next;
    *link = hold.next;
    hold = Hold{};
    hold.next = unused_hold_;
    unused_hold_ = number;
  }

  HoldRoom* const room_;
  std::vector<Hold> holds_;
  std::vector<Node> nodes_;
  std::vector<uint32_t> heads_;
  uint32_t unused_hold_, unused_node_;
  uint32_t blocks_ = 0;
};

}  // namespace speckv
