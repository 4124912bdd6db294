// SPDX-License-Identifier: Apache-2.0
// block_lists.hpp - many doubly linked lists over dense block numbers, in one array.
//
// Who uses it: the policies of this folder. Every call is O(1); nothing is allocated after
// construction. A block is on one list at most; the caller knows on which.
#pragma once

#include <cassert>
#include <cstdint>
#include <vector>

#include "predict/policy.hpp"

namespace speckv::predict {

// Each list runs from its cold end (evicted first) to its hot end.
class BlockLists {
 public:
  BlockLists(uint32_t capacity, uint32_t lists)
      : capacity_(capacity), links_(size_t(capacity) + lists) {
    for (uint32_t list = 0; list < lists; ++list) links_[head(list)] = {head(list), head(list)};
  }

  bool empty(uint32_t list) const { return links_[head(list)].hotter == head(list); }
  // Returns: kNoBlock when the list is empty.
  uint32_t coldest(uint32_t list) const {
    const uint32_t node = links_[head(list)].hotter;
    return node < capacity_ ? node : kNoBlock;
  }

  // Returns: the next block towards the hot end, kNoBlock at the end. Requires: block is on a list.
  uint32_t hotter(uint32_t block) const {
    const uint32_t node = links_[block].hotter;
    return node < capacity_ ? node : kNoBlock;
  }

  void push_hot(uint32_t list, uint32_t block) {
    insert(links_[head(list)].colder, block, head(list));
  }
  void push_cold(uint32_t list, uint32_t block) {
    insert(head(list), block, links_[head(list)].hotter);
  }
  // Requires: other is on a list.
  void push_colder_than(uint32_t other, uint32_t block) {
    insert(links_[other].colder, block, other);
  }
  // Requires: block is on a list.
  void unlink(uint32_t block) {
    const Link at = links_[block];
    links_[at.colder].hotter = at.hotter;
    links_[at.hotter].colder = at.colder;
  }

 private:
  struct Link {
    uint32_t colder;
    uint32_t hotter;
  };
  uint32_t head(uint32_t list) const { return capacity_ + list; }
  void insert(uint32_t colder, uint32_t block, uint32_t hotter) {
    assert(block < capacity_);
    links_[block] = {colder, hotter};
    links_[colder].hotter = block;
    links_[hotter].colder = block;
  }

  uint32_t capacity_;
  std::vector<Link> links_;
};

}  // namespace speckv::predict
