// SPDX-License-Identifier: Apache-2.0
// index_writer.hpp - the one writer of a shard's part of the index (shm/index.hpp is the readers'
// half).
//
// Called by: journey, on the shard's data thread only. Never allocates, never evicts: when both
// buckets of a key are full it says so beforehand and names what lives there; which of that goes is
// the caller's choice.
#pragma once

#include <cstdint>

#include "shm/index.hpp"

namespace speckv {

class IndexWriter {
 public:
  IndexWriter(std::byte* index_file, uint32_t shard);

  // Lays out an empty index file. Requires: file has index_file_bytes(shards, buckets) bytes, all
  // zero. epoch: another one for each index that is made, never 0.
  static void format(std::byte* index_file, uint32_t shards, uint32_t buckets, uint64_t pool_id,
                     uint64_t epoch = 1, bool has_below = false);

  bool find(const Key& key, uint64_t hash, shm::Entry* ret_entry) const {
    return view_.find(key, hash, ret_entry);
  }

  // Returns: whether insert() would find a place now.
  bool has_room(uint64_t hash) const;
  // Calls visit(entry) for each that lives in one of the key's two buckets.
  template <typename Visit>
  void for_each_neighbour(uint64_t hash, Visit&& visit) const;
  // For many inserts, one after the other: loads the bucket, without waiting for it.
  void ask_for(uint64_t hash) const {
    static_cast<void>(*static_cast<const volatile uint64_t*>(
        &bucket(shm::first_bucket(hash, buckets_)).head.seq));
  }
  // Publishes entry. Requires: its key is not in the index. Returns: false when both buckets are
  // full and no entry could be moved aside.
  bool insert(uint64_t hash, const shm::Entry& entry);
  // The key's entry becomes this one, by one write of its bucket: a reader finds the old one or the
  // new one. Nobody who follows changes is told: the key was and is there. Returns: false if it is
  // not.
  bool replace(uint64_t hash, const shm::Entry& entry);
  // Unpublishes. Returns: false if the key was not there.
  bool erase(const Key& key, uint64_t hash);

  uint64_t size() const { return size_; }
  uint64_t capacity() const { return uint64_t(buckets_) * shm::bucket_entries; }
  const shm::IndexView& view() const { return view_; }

 private:
  shm::Bucket& bucket(uint32_t i) { return table_[i]; }
  const shm::Bucket& bucket(uint32_t i) const { return table_[i]; }
  static int free_slot(const shm::Bucket& bucket);
  static void place(shm::Bucket& bucket, int slot, const shm::Entry& entry, uint16_t tag);
  // Returns: number of an entry of this full bucket that has room in its second one, or -1.
  int movable(uint32_t from) const;
  bool move_one_aside(uint32_t from);

  shm::Bucket* table_;
  shm::ChangeRing* changes_;
  uint32_t buckets_;
  uint64_t size_ = 0;
  shm::IndexView view_;
};

template <typename Visit>
void IndexWriter::for_each_neighbour(uint64_t hash, Visit&& visit) const {
  const uint32_t first = shm::first_bucket(hash, buckets_);
  const uint32_t second = shm::second_bucket(hash, buckets_);
  for (uint32_t which = 0; which < (first == second ? 1u : 2u); which++) {
    const shm::Bucket& home = bucket(which ? second : first);
    for (uint32_t i = 0; i < shm::bucket_entries; i++)
      if (home.head.tags[i]) visit(home.entries[i]);
  }
}

}  // namespace speckv
