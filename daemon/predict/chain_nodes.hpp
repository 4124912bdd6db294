// SPDX-License-Identifier: Apache-2.0
// chain_nodes.hpp - the trie of stored chains: a node a block, found by its key, in two arrays.
//
// Who uses it: speculator.cpp. Nothing is allocated after construction. Links between nodes carry
// the key they were made for, so one to a node that was given to another block since reads as none.
// Memory: 40 bytes a node and, for finding it, 8 more.
#pragma once

#include <bit>
#include <cstdint>
#include <vector>

namespace speckv::predict {

inline constexpr uint32_t kNoNode = UINT32_MAX;

struct ChainNode {
  uint64_t key = 0;
  uint32_t parent = kNoNode, parent_tag = 0;
  uint32_t newest_child = kNoNode, newest_child_tag = 0;
  uint32_t session = UINT32_MAX;
  uint32_t position = 0;
  uint8_t source = 0;  // that had it fetched, while nobody has read it
  bool used = false;   // the node stands for a block
  bool away = false;   // the block is in a lower tier only
  bool asked = false;  // it is proposed, or on its way
  bool unread = false;
};
static_assert(sizeof(ChainNode) == 40);

class ChainNodes {
 public:
  explicit ChainNodes(uint32_t nodes)
      : nodes_(nodes), places_(std::bit_ceil(uint64_t(nodes) * 3 / 2 + 8), kNoNode) {
    free_.reserve(nodes);
    for (uint32_t n = nodes; n > 0; --n) free_.push_back(n - 1);
  }
  ChainNode& operator[](uint32_t node) { return nodes_[node]; }
  const ChainNode& operator[](uint32_t node) const { return nodes_[node]; }
  uint32_t size() const { return uint32_t(nodes_.size()); }

  uint32_t find(uint64_t key) const {
    for (uint64_t at = home(key);; at = next(at)) {
      if (places_[at] == kNoNode || nodes_[places_[at]].key == key) return places_[at];
    }
  }
  // Requires: the key has none. Returns: kNoNode when all are in use.
  uint32_t make(uint64_t key) {
    if (free_.empty()) return kNoNode;
    const uint32_t node = free_.back();
    free_.pop_back();
    nodes_[node] = {};
    nodes_[node].key = key;
    nodes_[node].used = true;
    uint64_t at = home(key);
    while (places_[at] != kNoNode) at = next(at);
    places_[at] = node;
    return node;
  }
  // Requires: node is in use.
  void drop(uint32_t node) {
    uint64_t hole = home(nodes_[node].key);
    while (places_[hole] != node) hole = next(hole);
    // whoever stands further along and could stand here moves up
    for (uint64_t at = next(hole); places_[at] != kNoNode; at = next(at)) {
      const uint64_t wants = home(nodes_[places_[at]].key);
      if (((at - wants) & mask()) < ((at - hole) & mask())) continue;
      places_[hole] = places_[at];
      hole = at;
    }
    places_[hole] = kNoNode;
    nodes_[node].used = false;
    free_.push_back(node);
  }

  static uint32_t tag(uint64_t key) { return uint32_t(key >> 32); }
  // Returns: the node, or kNoNode when it stands for another block since.
  uint32_t checked(uint32_t node, uint32_t wanted_tag) const {
    const bool same = node != kNoNode && nodes_[node].used && tag(nodes_[node].key) == wanted_tag;
    return same ? node : kNoNode;
  }
  // Parents are any keys that a client gave, and may be given in a circle: positions rise, or there
  // is no link.
  uint32_t parent_of(uint32_t node) const {
    const uint32_t parent = checked(nodes_[node].parent, nodes_[node].parent_tag);
    return parent != kNoNode && nodes_[parent].position < nodes_[node].position ? parent : kNoNode;
  }
  uint32_t newest_child_of(uint32_t node) const {
    const uint32_t child = checked(nodes_[node].newest_child, nodes_[node].newest_child_tag);
    return child != kNoNode && nodes_[child].position > nodes_[node].position ? child : kNoNode;
  }
  void set_parent(uint32_t node, uint32_t parent) {
    nodes_[node].parent = parent;
    nodes_[node].parent_tag = tag(nodes_[parent].key);
  }
  void set_newest_child(uint32_t node, uint32_t child) {
    nodes_[node].newest_child = child;
    nodes_[node].newest_child_tag = tag(nodes_[child].key);
  }

  uint64_t bytes() const {
    return nodes_.size() * (sizeof(ChainNode) + 4) + places_.size() * sizeof(uint32_t);
  }

 private:
  uint64_t mask() const { return places_.size() - 1; }
  // keys are hashes, but of whoever made them: their low bits may be a block number
  uint64_t home(uint64_t key) const { return (key * 0x9E3779B97F4A7C15ull >> 20) & mask(); }
  uint64_t next(uint64_t at) const { return (at + 1) & mask(); }

  std::vector<ChainNode> nodes_;
  std::vector<uint32_t> places_;  // open addressing, linear
  std::vector<uint32_t> free_;
};

}  // namespace speckv::predict
