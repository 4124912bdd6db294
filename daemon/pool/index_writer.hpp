// SPDX-License-Identifier: Apache-2.0
// index_writer.hpp - the one writer of a shard's part of the index (shm/index.hpp is the readers'
// half).
//
// Called by: journey, on the shard's data thread only. Never allocates, never evicts: when both
// buckets of a key are full it says so and names an entry that the caller may evict.
#pragma once

#include <cstdint>

#include "shm/index.hpp"

namespace speckv {

class IndexWriter {
 public:
  IndexWriter(std::byte* index_file, uint32_t shard);

  // Lays out an empty index file. Requires: file has index_file_bytes(shards, buckets) bytes, all
  // zero.
  static void format(std::byte* index_file, uint32_t shards, uint32_t buckets, uint64_t pool_id);

  bool find(const Key& key, uint64_t hash, shm::Entry* ret_entry) const {
    return view_.find(key, hash, ret_entry);
  }

  // Publishes entry. Requires: its key is not in the index. Returns: false when both buckets are
  // full and no entry could be moved aside; then ret_in_the_way is a block that lives there.
  bool insert(uint64_t hash, const shm::Entry& entry, uint32_t* ret_in_the_way);
  // Unpublishes. Returns: false if the key was not there.
  bool erase(const Key& key, uint64_t hash);

  uint64_t size() const { return size_; }
  uint64_t capacity() const { return uint64_t(buckets_) * shm::bucket_entries; }
  const shm::IndexView& view() const { return view_; }

 private:
  shm::Bucket& bucket(uint32_t i) { return table_[i]; }
  static int free_slot(const shm::Bucket& bucket);
  static void place(shm::Bucket& bucket, int slot, const shm::Entry& entry, uint16_t tag);
  bool move_one_aside(uint32_t from);

  shm::Bucket* table_;
  uint32_t buckets_;
  uint64_t size_ = 0;
  shm::IndexView view_;
};

}  // namespace speckv
