// SPDX-License-Identifier: Apache-2.0
// index.hpp - one index per namespace: from address (key.hpp) to place, read by clients without
// asking anybody.
//
//   index file = IndexHeader (4 KiB) | shard 0: buckets | ... | shard 0: changes (changes.hpp) |
//   ... bucket     = BucketHead (64 B: sequence, tags) | 7 entries of 64 B
//
// One writer per shard (a data thread), any number of readers. Each key has two buckets; the second
// is looked at only if the first says that keys of its overflowed. A bucket's sequence is odd while
// it is being written. Sized at start and never grown; a writer that finds both buckets full must
// evict first.
#pragma once

#include <cstddef>
#include <cstdint>

#include "shm/atomics.hpp"
#include "shm/changes.hpp"
#include "shm/key.hpp"

namespace speckv::shm {

constexpr uint64_t index_magic = 0x313058444e49564bull;  // "KVINDX01"
constexpr uint32_t index_version =
    4;  // 1: entries under keys, whatever their layout; 2: no changes; 3: no has_below
constexpr uint32_t index_header_bytes = 4096;
constexpr uint32_t bucket_entries = 7;
constexpr int seq_spins_max =
    128;  // a bucket write takes tens of ns; one that never ends belongs to a dead writer

struct IndexHeader {
  uint64_t magic;
  uint32_t version;
  uint32_t shards;
  uint32_t buckets;  // of one shard
  uint32_t retired;  // 1: a newer daemon has taken over: connect again
  uint64_t pool_id;
  uint64_t epoch;      // of this index: numbers of changes mean nothing in another
  uint32_t has_below;  // 1: what is not here may lie in a tier below: ask for it
  alignas(64) uint32_t
      shard_sleeping[64];  // 1: the data thread waits in the kernel: ring its doorbell
};
static_assert(sizeof(IndexHeader) <= index_header_bytes);

enum EntryFlags : uint16_t {
  entry_record = 1
};  // ref is a record's slot, else the block's only segment

struct Entry {
  Key key;           // the block's address
  uint64_t ref = 0;  // region and offset of the slot (pool_format.hpp)
  uint64_t gen = 0;  // of that slot
  uint64_t fingerprint = 0;
  uint32_t block = 0;   // the daemon's number for it, for touches
  uint16_t layers = 0;  // segments: those of side bytes count
  uint16_t flags = 0;
};
static_assert(sizeof(Entry) == 64);

struct BucketHead {
  uint64_t seq;
  uint16_t tags[bucket_entries];  // 0: empty
  uint16_t overflow;              // keys that belong here and live in their second bucket
  uint64_t reserved[5];
};
static_assert(sizeof(BucketHead) == 64);

struct Bucket {
  BucketHead head;
  Entry entries[bucket_entries];
};
static_assert(sizeof(Bucket) == 512);

inline uint16_t tag_of(uint64_t hash) {
  const auto tag = uint16_t(hash >> 48);
  return tag ? tag : 1;
}
inline uint32_t first_bucket(uint64_t hash, uint32_t buckets) {
  return uint32_t(((hash & 0xffffffffull) * buckets) >> 32);
}
inline uint32_t second_bucket(uint64_t hash, uint32_t buckets) {
  return uint32_t(((mix64(hash ^ 0xa0761d6478bd642full) & 0xffffffffull) * buckets) >> 32);
}
inline uint64_t changes_offset(uint32_t shards, uint32_t buckets, uint32_t shard) {
  return index_header_bytes + uint64_t(shards) * buckets * sizeof(Bucket) +
         shard * sizeof(ChangeRing);
}
inline uint64_t index_file_bytes(uint32_t shards, uint32_t buckets) {
  return changes_offset(shards, buckets, shards);
}

// What one shard's readers need. Cheap to copy; owns nothing.
class IndexView {
 public:
  IndexView() = default;
  IndexView(const std::byte* file, uint32_t shard) {
    const auto* header = reinterpret_cast<const IndexHeader*>(file);
    buckets_ = header->buckets;
    table_ =
        reinterpret_cast<const Bucket*>(file + index_header_bytes) + uint64_t(shard) * buckets_;
    changes_ =
        reinterpret_cast<const ChangeRing*>(file + changes_offset(header->shards, buckets_, shard));
  }
  const ChangeRing& changes() const { return *changes_; }
  uint32_t buckets() const { return buckets_; }
  const Bucket& bucket(uint32_t i) const { return table_[i]; }

  void prefetch(uint64_t hash) const {
    __builtin_prefetch(&table_[first_bucket(hash, buckets_)].head);
  }
  // Prefetches the entry that the tag points to; call after prefetch() had time to arrive.
  void prefetch_entry(uint64_t hash) const {
    const Bucket& bucket = table_[first_bucket(hash, buckets_)];
    const int slot = match(bucket.head, tag_of(hash), 0);
    if (slot >= 0) __builtin_prefetch(&bucket.entries[slot]);
  }
  // Copies the addresses of a bucket's entries. Returns: how many, or -1: it is in change.
  int addresses(uint32_t i, Key (&ret_addresses)[bucket_entries]) const {
    const Bucket& bucket = table_[i];
    for (int spin = 0; spin < seq_spins_max; spin++) {
      const uint64_t seq = load_acquire(bucket.head.seq);
      if (seq & 1) {
        spin_pause();
        continue;
      }
      int count = 0;
      for (uint32_t entry = 0; entry < bucket_entries; entry++)
        if (load_relaxed(bucket.head.tags[entry]))
          copy_racing(&ret_addresses[count++], bucket.entries[entry].key);
      acquire_fence();
      if (load_relaxed(bucket.head.seq) == seq) return count;
    }
    return -1;
  }
  // Returns: true and a whole entry; false: not there, or its bucket was in change for too long.
  bool find(const Key& key, uint64_t hash, Entry* ret_entry) const {
    const Bucket& first = table_[first_bucket(hash, buckets_)];
    uint16_t overflow = 0;
    if (find_in(first, key, tag_of(hash), ret_entry, &overflow)) return true;
    if (!overflow) return false;
    return find_in(table_[second_bucket(hash, buckets_)], key, tag_of(hash), ret_entry, &overflow);
  }

 private:
  static int match(const BucketHead& head, uint16_t tag, uint32_t from) {
    for (uint32_t i = from; i < bucket_entries; i++)
      if (load_relaxed(head.tags[i]) == tag) return int(i);
    return -1;
  }
  static bool find_in(const Bucket& bucket, const Key& key, uint16_t tag, Entry* ret_entry,
                      uint16_t* ret_overflow) {
    for (int spin = 0; spin < seq_spins_max; spin++) {
      const uint64_t seq = load_acquire(bucket.head.seq);
      if (seq & 1) {
        spin_pause();
        continue;
      }
      bool found = false;
      for (int i = match(bucket.head, tag, 0); i >= 0;
           i = match(bucket.head, tag, uint32_t(i) + 1)) {
        copy_racing(ret_entry, bucket.entries[i]);
        if (ret_entry->key == key) {
          found = true;
          break;
        }
      }
      *ret_overflow = load_relaxed(bucket.head.overflow);
      acquire_fence();
      if (load_relaxed(bucket.head.seq) == seq) return found;
    }
    *ret_overflow = 0;
    return false;
  }

  const Bucket* table_ = nullptr;
  const ChangeRing* changes_ = nullptr;
  uint32_t buckets_ = 0;
};

}  // namespace speckv::shm
