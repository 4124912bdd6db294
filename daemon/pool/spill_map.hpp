// SPDX-License-Identifier: Apache-2.0
// spill_map.hpp - which blocks a spill file has, and where: 52 bytes a block, all taken at start.
//
// Used by spill_store on the shard's data thread. Entries keep their number as long as they live,
// and those of one parcel hang together, so that a parcel can be reclaimed without looking for
// them. A key is known by its 64-bit hash; the image on the medium has all of it, and is believed
// alone. Never allocates after construction, never does I/O.
#pragma once

#include <cstdint>
#include <vector>

#include "assert.hpp"
#include "pool/huge_vector.hpp"
#include "shm/key.hpp"

namespace speckv {

// How much memory the map of so many blocks takes.
constexpr uint64_t spill_map_bytes_a_block = 52;

class SpillMap {
 public:
  static constexpr uint32_t none = UINT32_MAX;
  struct Entry {
    uint64_t hash = 0;
    uint64_t content = 0;
    uint32_t unit = 0;  // where its parcel begins; while it is being written: the parcel's number
    uint32_t at64 = 0, bytes64 = 0;  // of the image, in its parcel
    uint32_t next_of_hash = none;
    uint32_t next = none, previous = none;  // of its parcel
    uint16_t number = 0;                    // in its parcel's table
    bool writing = false;                   // not on the medium yet
    bool used = false;                      // it was fetched since it was written
    bool dead = false;                      // found no more; its page is to say so
    bool lost = false;    // found no more, and it may stand in its unit until that has been wiped
    bool copied = false;  // from a parcel that makes room, not from the pool
  };
  static_assert(sizeof(Entry) == 48);

  explicit SpillMap(uint32_t entries_max)
      : entries_(make_huge_vector(entries_max, Entry{})),
        heads_(make_huge_vector(entries_max, none)) {
    for (uint32_t i = 0; i < entries_max; i++)
      entries_[i].next_of_hash = i + 1 < entries_max ? i + 1 : none;
    unused_ = entries_max ? 0 : none;
  }

  uint32_t size() const { return size_; }
  uint32_t capacity() const { return uint32_t(entries_.size()); }
  bool full() const { return unused_ == none; }
  Entry& at(uint32_t number) { return entries_[number]; }
  const Entry& at(uint32_t number) const { return entries_[number]; }

  // Returns: none when it is not there.
  uint32_t find(uint64_t hash) const {
    if (heads_.empty()) return none;
    uint32_t at = heads_[place(hash)];
    while (at != none && entries_[at].hash != hash) at = entries_[at].next_of_hash;
    return at;
  }
  // It will be looked for: of many, each call for all of them fetches what the next one needs:
  // where they hang, the first block that hangs there, the second one.
  void expect(uint64_t hash) const {
    if (!heads_.empty()) __builtin_prefetch(&heads_[place(hash)]);
  }
  void expect_first(uint64_t hash) const {
    if (heads_.empty()) return;
    const uint32_t first = heads_[place(hash)];
    if (first != none) __builtin_prefetch(&entries_[first]);
  }
  void expect_second(uint64_t hash) const {
    if (heads_.empty()) return;
    const uint32_t first = heads_[place(hash)];
    const uint32_t second = first == none ? none : entries_[first].next_of_hash;
    if (second != none) __builtin_prefetch(&entries_[second]);
  }
  // Adds it to the list that begins at *list. Requires: not full(), and the hash is not there.
  uint32_t insert(uint64_t hash, uint32_t* list) {
    SPECKV_ASSERT(unused_ != none, "a block was added to a full map of the spill file");
    const uint32_t fresh = unused_;
    unused_ = entries_[fresh].next_of_hash;
    Entry& entry = entries_[fresh];
    entry = Entry{};
    entry.hash = hash;
    entry.next_of_hash = heads_[place(hash)];
    heads_[place(hash)] = fresh;
    link(fresh, list);
    size_++;
    return fresh;
  }
  void erase(uint32_t number, uint32_t* list) {
    unhash(number);
    unlink(number, list);
    entries_[number].next_of_hash = unused_;
    unused_ = number;
    size_--;
  }
  // Not found any more; it keeps its number, and its place in its parcel's list.
  void hide(uint32_t number) {
    unhash(number);
    entries_[number].next_of_hash = none;
    entries_[number].dead = true;
  }
  // Not found any more, and nothing but a wipe of its unit ends it.
  void lose(uint32_t number) {
    hide(number);
    entries_[number].dead = false;
    entries_[number].lost = true;
  }
  // Requires: it was hidden, or lost.
  void free_hidden(uint32_t number, uint32_t* list) {
    if (list) unlink(number, list);
    entries_[number].next_of_hash = unused_;
    unused_ = number;
    size_--;
  }
  void leave_list(uint32_t number, uint32_t* list) {
    unlink(number, list);
    entries_[number].next = entries_[number].previous = none;
  }
  void move(uint32_t number, uint32_t* from, uint32_t* to) {
    unlink(number, from);
    link(number, to);
  }

 private:
  uint64_t place(uint64_t hash) const {
    return uint64_t((static_cast<unsigned __int128>(mix64(hash)) * heads_.size()) >> 64);
  }
  void unhash(uint32_t number) {
    uint32_t* link_to = &heads_[place(entries_[number].hash)];
    while (*link_to != number) {
      SPECKV_ASSERT(*link_to != none, "a block was taken from the spill map that is not there");
      link_to = &entries_[*link_to].next_of_hash;
    }
    *link_to = entries_[number].next_of_hash;
  }
  void link(uint32_t number, uint32_t* list) {
    entries_[number].next = *list;
    entries_[number].previous = none;
    if (*list != none) entries_[*list].previous = number;
    *list = number;
  }
  void unlink(uint32_t number, uint32_t* list) {
    const Entry& entry = entries_[number];
    (entry.previous == none ? *list : entries_[entry.previous].next) = entry.next;
    if (entry.next != none) entries_[entry.next].previous = entry.previous;
  }

  std::vector<Entry> entries_;
  std::vector<uint32_t> heads_;
  uint32_t unused_, size_ = 0;
};

}  // namespace speckv
