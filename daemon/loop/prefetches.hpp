// SPDX-License-Identifier: Apache-2.0
// prefetches.hpp - who waits for which block that is being fetched, and how much a namespace may
// fetch: one table for its shard, sized at start.
//
//   group = one number of one client: its budget, and its wants
//   want  = one key of a group that is on its way
//
// Used by loop/server alone, on its thread. A group lives until its last key was asked and
// none of its keys is on its way; wants and groups are bounded together, so a client that never
// says its last key has groups of its namespace until it goes, and nothing else. Never allocates
// after construction.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "assert.hpp"
#include "pool/byte_budget.hpp"
#include "shm/key.hpp"

namespace speckv {

class Prefetches {
 public:
  static constexpr uint32_t none = UINT32_MAX;
  struct Want {
    Key key;
    uint64_t user_data = 0;
    uint64_t deadline_ns = 0;
    uint32_t group = none;
    uint32_t next = none;  // of its group, or of the unused ones
    uint32_t next_of_hash = none;
  };
  struct Group {
    void* asker = nullptr;  // none: unused
    uint64_t number = 0;
    uint64_t bytes_left = 0;
    uint32_t wants = none;
    bool more_follow = false;  // keys that have not been asked yet
    uint32_t next = none;      // of the same hash, or of the unused ones
  };

  // wants_max: keys on their way at once. Of groups there may be as many.
  explicit Prefetches(uint32_t wants_max)
      : wants_(wants_max),
        groups_(wants_max),
        want_heads_(2 * size_t(wants_max) + 1, none),
        group_heads_(2 * size_t(wants_max) + 1, none) {
    for (uint32_t i = 0; i < wants_max; i++)
      wants_[i].next = groups_[i].next = i + 1 < wants_max ? i + 1 : none;
    unused_want_ = unused_group_ = wants_max ? 0 : none;
  }

  uint32_t under_way() const { return under_way_; }
  bool full() const { return unused_want_ == none; }

  // Returns: the group of this number, made with its budget when there is none, or nullptr: there
  // is no room.
  Group* group(void* asker, uint64_t number, uint64_t budget) {
    uint32_t& head = group_heads_[place(number)];
    for (uint32_t i = head; i != none; i = groups_[i].next)
      if (groups_[i].number == number && groups_[i].asker == asker) return &groups_[i];
    if (unused_group_ == none) return nullptr;
    const uint32_t fresh = unused_group_;
    unused_group_ = groups_[fresh].next;
    groups_[fresh] = {asker, number, budget, none, true, head};
    head = fresh;
    return &groups_[fresh];
  }
  // Requires: not full().
  void add(Group& group, const Key& key, uint64_t user_data, uint64_t deadline_ns) {
    SPECKV_ASSERT(unused_want_ != none, "more keys on their way than the table has room for");
    const uint32_t fresh = unused_want_;
    unused_want_ = wants_[fresh].next;
    uint32_t& head = want_heads_[place(key.word[0])];
    wants_[fresh] = {key, user_data, deadline_ns, index_of(group), group.wants, head};
    group.wants = head = fresh;
    under_way_++;
  }
  // The group goes when nothing of it is left.
  void settle(Group& group) {
    if (!group.asker || group.more_follow || group.wants != none) return;
    erase(group);
  }
  bool wanted(const Key& key) const {
    for (uint32_t i = want_heads_[place(key.word[0])]; i != none; i = wants_[i].next_of_hash)
      if (wants_[i].key == key) return true;
    return false;
  }
  // Ends the wants of a key. visit(asker, want): it is out of the table already.
  template <typename Visit>
  void end_key(const Key& key, Visit&& visit) {
    for (uint32_t i = want_heads_[place(key.word[0])]; i != none;) {
      const Want want = wants_[i];
      if (want.key == key) end_want(i, visit);
      i = want.next_of_hash;
    }
  }
  // Ends what is past its deadline.
  template <typename Visit>
  void end_late(uint64_t now_ns, Visit&& visit) {
    for (uint32_t i = 0; under_way_ > 0 && i < wants_.size(); i++)
      if (wants_[i].group != none && wants_[i].deadline_ns <= now_ns) end_want(i, visit);
  }
  // Ends a group with all of its wants. Returns: false: there is none.
  template <typename Visit>
  bool end_group(void* asker, uint64_t number, Visit&& visit) {
    for (uint32_t i = group_heads_[place(number)]; i != none; i = groups_[i].next)
      if (groups_[i].number == number && groups_[i].asker == asker) {
        end(groups_[i], visit);
        return true;
      }
    return false;
  }
  // Every group of a client that is gone.
  template <typename Visit>
  void end_those_of(void* asker, Visit&& visit) {
    for (Group& group : groups_)
      if (group.asker == asker) end(group, visit);
  }

 private:
  uint32_t index_of(const Group& group) const { return uint32_t(&group - groups_.data()); }
  size_t place(uint64_t value) const { return size_t(mix64(value) % want_heads_.size()); }

  template <typename Visit>
  void end(Group& group, Visit&& visit) {
    group.more_follow = true;  // so that it stays until we are through
    while (group.wants != none) end_want(group.wants, visit);
    erase(group);
  }
  template <typename Visit>
  void end_want(uint32_t i, Visit&& visit) {
    const Want want = wants_[i];
    Group& group = groups_[want.group];
    void* const asker = group.asker;
    uint32_t* link = &group.wants;
    while (*link != i) link = &wants_[*link].next;
    *link = want.next;
    link = &want_heads_[place(want.key.word[0])];
    while (*link != i) link = &wants_[*link].next_of_hash;
    *link = want.next_of_hash;
    wants_[i] = {};
    wants_[i].next = unused_want_;
    unused_want_ = i;
    under_way_--;
    settle(group);
    visit(asker, want);
  }
  void erase(Group& group) {
    uint32_t* link = &group_heads_[place(group.number)];
    while (*link != index_of(group)) link = &groups_[*link].next;
    *link = group.next;
    group = {};
    group.next = unused_group_;
    unused_group_ = index_of(group);
  }

  std::vector<Want> wants_;
  std::vector<Group> groups_;
  std::vector<uint32_t> want_heads_, group_heads_;
  uint32_t unused_want_, unused_group_;
  uint32_t under_way_ = 0;
};

}  // namespace speckv
