// SPDX-License-Identifier: Apache-2.0
// ghost_table.hpp - remembers keys that were evicted: when they were last used and how often.
//
// Who uses it: the policies of this folder. 8 bytes a key in buckets of eight (one cache line);
// a full bucket forgets its oldest. A 28-bit tag beside the bucket number: a false find is rarer
// than 1 in 30 million, and costs one wrong guess.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <vector>

namespace speckv::predict {

class GhostTable {
 public:
  static constexpr uint32_t kVisitsMax = 15;

  explicit GhostTable(uint64_t keys)
      : mask_(std::bit_ceil(std::max<uint64_t>(keys, kWays)) / kWays - 1),
        entries_((mask_ + 1) * kWays) {}

  void insert(uint64_t key_hash, uint64_t touched_ns, uint32_t visits) {
    Entry* const bucket = bucket_of(key_hash);
    const Entry entry{tag_of(key_hash), std::min(visits, kVisitsMax), ms(touched_ns)};
    Entry* place = bucket;
    for (uint32_t way = 0; way < kWays; ++way) {
      if (bucket[way].tag == entry.tag || bucket[way].tag == 0) {
        place = &bucket[way];
        break;
      }
      // ages wrap after 49 days; differences from the new entry's time stay right
      if (entry.touched_ms - bucket[way].touched_ms > entry.touched_ms - place->touched_ms) {
        place = &bucket[way];
      }
    }
    *place = entry;
    empty_ = false;
  }

  // Forgets the key as well. Returns: false when it is not remembered.
  bool take(uint64_t key_hash, uint64_t now_ns, uint64_t* ret_age_ns, uint32_t* ret_visits) {
    if (empty_) return false;  // a restart asks for every block: no look at memory for each
    Entry* const bucket = bucket_of(key_hash);
    for (uint32_t way = 0; way < kWays; ++way) {
      if (bucket[way].tag != tag_of(key_hash)) continue;
      *ret_age_ns = uint64_t(ms(now_ns) - bucket[way].touched_ms) * kNsPerMs;
      *ret_visits = bucket[way].visits;
      bucket[way] = {};
      return true;
    }
    return false;
  }

 private:
  static constexpr uint32_t kWays = 8;
  static constexpr uint64_t kNsPerMs = 1'000'000;
  struct Entry {
    uint32_t tag : 28 = 0;  // 0: free
    uint32_t visits : 4 = 0;
    uint32_t touched_ms = 0;
  };
  static_assert(sizeof(Entry) == 8);

  static uint32_t ms(uint64_t ns) { return uint32_t(ns / kNsPerMs); }
  static uint32_t tag_of(uint64_t key_hash) {
    return std::max<uint32_t>(uint32_t(key_hash >> 36), 1);
  }
  Entry* bucket_of(uint64_t key_hash) { return &entries_[(key_hash & mask_) * kWays]; }

  uint64_t mask_;
  std::vector<Entry> entries_;
  bool empty_ = true;  // nothing was ever inserted
};

}  // namespace speckv::predict
