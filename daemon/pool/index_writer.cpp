// SPDX-License-Identifier: Apache-2.0
// index_writer.cpp - see index_writer.hpp. Each change makes the bucket's sequence odd, writes,
// makes it even, and is noted behind the buckets for those who follow.
#include "pool/index_writer.hpp"

#include "assert.hpp"
#include "shm/atomics.hpp"

namespace speckv {

using namespace shm;

namespace {
class BucketWrite {
 public:
  explicit BucketWrite(Bucket& bucket) : seq_(bucket.head.seq) {
    SPECKV_ASSERT(load_relaxed(seq_) % 2 == 0, "a bucket of the index has two writers");
    store_relaxed(seq_, load_relaxed(seq_) + 1);
    release_fence();
  }
  ~BucketWrite() { store_release(seq_, load_relaxed(seq_) + 1); }
  BucketWrite(const BucketWrite&) = delete;
  BucketWrite& operator=(const BucketWrite&) = delete;

 private:
  uint64_t& seq_;
};

void add_overflow(Bucket& bucket, int by) {
  SPECKV_ASSERT(by > 0 || load_relaxed(bucket.head.overflow) > 0,
                "more keys came back to their first bucket than had left it");
  BucketWrite write(bucket);
  store_relaxed(bucket.head.overflow, uint16_t(load_relaxed(bucket.head.overflow) + by));
}
}  // namespace

IndexWriter::IndexWriter(std::byte* index_file, uint32_t shard)
    : table_(reinterpret_cast<Bucket*>(index_file + index_header_bytes)), view_(index_file, shard) {
  buckets_ = view_.buckets();
  table_ += uint64_t(shard) * buckets_;
  const uint32_t shards = reinterpret_cast<const IndexHeader*>(index_file)->shards;
  changes_ = reinterpret_cast<ChangeRing*>(index_file + changes_offset(shards, buckets_, shard));
}

void IndexWriter::format(std::byte* index_file, uint32_t shards, uint32_t buckets, uint64_t pool_id,
                         uint64_t epoch, bool has_below) {
  auto* header = reinterpret_cast<IndexHeader*>(index_file);
  header->version = index_version;
  header->shards = shards;
  header->buckets = buckets;
  header->pool_id = pool_id;
  header->epoch = epoch;
  header->has_below = has_below;
  store_release(header->magic, index_magic);
}

int IndexWriter::free_slot(const Bucket& bucket) {
  for (uint32_t i = 0; i < bucket_entries; i++)
    if (load_relaxed(bucket.head.tags[i]) == 0) return int(i);
  return -1;
}

void IndexWriter::place(Bucket& bucket, int slot, const Entry& entry, uint16_t tag) {
  SPECKV_ASSERT(load_relaxed(bucket.head.tags[slot]) == 0,
                "an entry of the index was written over another one");
  BucketWrite write(bucket);
  store_racing(&bucket.entries[slot], entry);
  store_relaxed(bucket.head.tags[slot], tag);
}

bool IndexWriter::has_room(uint64_t hash) const {
  const uint32_t first = first_bucket(hash, buckets_), second = second_bucket(hash, buckets_);
  return free_slot(bucket(first)) >= 0 || free_slot(bucket(second)) >= 0 || movable(first) >= 0 ||
         movable(second) >= 0;
}

bool IndexWriter::insert(uint64_t hash, const Entry& entry) {
  SPECKV_ASSERT(entry.gen % 2 == 0, "a slot was published that is being written");
  Entry known;
  SPECKV_DEBUG_ASSERT(!find(entry.key, hash, &known), "a key was published twice");
  const uint32_t first = first_bucket(hash, buckets_), second = second_bucket(hash, buckets_);
  int slot = free_slot(bucket(first));
  if (slot < 0 && free_slot(bucket(second)) < 0 &&
      (move_one_aside(first) || move_one_aside(second)))
    slot = free_slot(bucket(first));
  if (slot >= 0) {
    place(bucket(first), slot, entry, tag_of(hash));
    note_change(*changes_, entry.key, ChangeKind::placed);
    size_++;
    return true;
  }
  slot = free_slot(bucket(second));
  if (slot < 0) return false;
  add_overflow(bucket(first),
               +1);  // before the entry, so that a reader of the entry's key looks there
  place(bucket(second), slot, entry, tag_of(hash));
  note_change(*changes_, entry.key, ChangeKind::placed);
  size_++;
  return true;
}

int IndexWriter::movable(uint32_t from) const {
  for (uint32_t i = 0; i < bucket_entries; i++) {
    const uint64_t hash = hash_key(bucket(from).entries[i].key);
    const uint32_t other = second_bucket(hash, buckets_);
    if (first_bucket(hash, buckets_) == from && other != from && free_slot(bucket(other)) >= 0)
      return int(i);
  }
  return -1;
}

// Moves one entry that sits in its first bucket to its second. The reader may miss it for a moment
// between the two writes only if it looked at the first bucket after and at the second before: it
// is written there first. Whoever looks through all buckets may pass it by: it is noted once more.
bool IndexWriter::move_one_aside(uint32_t from) {
  const int i = movable(from);
  if (i < 0) return false;
  Bucket& full = bucket(from);
  const Entry entry = full.entries[i];
  const uint64_t hash = hash_key(entry.key);
  const uint32_t other = second_bucket(hash, buckets_);
  place(bucket(other), free_slot(bucket(other)), entry, tag_of(hash));
  {
    BucketWrite write(full);
    store_relaxed(full.head.overflow, uint16_t(load_relaxed(full.head.overflow) + 1));
    store_relaxed(full.head.tags[i], 0);
  }
  note_change(*changes_, entry.key, ChangeKind::placed);
  return true;
}

bool IndexWriter::replace(uint64_t hash, const Entry& entry) {
  SPECKV_ASSERT(entry.gen % 2 == 0, "a slot was published that is being written");
  for (uint32_t which : {first_bucket(hash, buckets_), second_bucket(hash, buckets_)}) {
    Bucket& candidate = bucket(which);
    for (uint32_t i = 0; i < bucket_entries; i++) {
      if (load_relaxed(candidate.head.tags[i]) != tag_of(hash) ||
          !(candidate.entries[i].key == entry.key))
        continue;
      BucketWrite write(candidate);
      store_racing(&candidate.entries[i], entry);
      return true;
    }
  }
  return false;
}

bool IndexWriter::erase(const Key& key, uint64_t hash) {
  const uint32_t first = first_bucket(hash, buckets_), second = second_bucket(hash, buckets_);
  for (uint32_t which : {first, second}) {
    Bucket& candidate = bucket(which);
    for (uint32_t i = 0; i < bucket_entries; i++) {
      if (load_relaxed(candidate.head.tags[i]) != tag_of(hash) ||
          !(candidate.entries[i].key == key))
        continue;
      {
        BucketWrite write(candidate);
        store_relaxed(candidate.head.tags[i], 0);
      }
      if (which != first) add_overflow(bucket(first), -1);
      note_change(*changes_, key, ChangeKind::erased);
      SPECKV_ASSERT(size_ > 0, "more entries of the index were erased than there were");
      size_--;
      return true;
    }
  }
  return false;
}

}  // namespace speckv
