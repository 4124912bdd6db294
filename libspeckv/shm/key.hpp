// SPDX-License-Identifier: Apache-2.0
// key.hpp - a block's 32-byte key as four words, and the hash that places it.
//
// Keys come from callers and may be anything: the hash mixes all 32 bytes. It is no secret and no
// defence against a caller who looks for collisions: such a caller fills buckets of its own
// namespace only.
#pragma once

#include <cstdint>
#include <cstring>

#include "speckv/layout.h"

namespace speckv {

struct Key {
  uint64_t word[4] = {0, 0, 0, 0};

  static Key from(const void* bytes) {
    Key key;
    std::memcpy(key.word, bytes, SPECKV_KEY_BYTES);
    return key;
  }
  bool operator==(const Key& other) const {
    return ((word[0] ^ other.word[0]) | (word[1] ^ other.word[1]) | (word[2] ^ other.word[2]) |
            (word[3] ^ other.word[3])) == 0;
  }
  bool is_zero() const { return (word[0] | word[1] | word[2] | word[3]) == 0; }
};

// 64-bit finaliser with full avalanche (constants: splitmix64, Steele et al., OOPSLA 2014).
constexpr uint64_t mix64(uint64_t x) {
  x ^= x >> 30;
  x *= 0xbf58476d1ce4e5b9ull;
  x ^= x >> 27;
  x *= 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

inline uint64_t hash_key(const Key& key) {
  const uint64_t a = mix64(key.word[0] ^ 0x9e3779b97f4a7c15ull) + key.word[1];
  const uint64_t b = mix64(key.word[2] ^ 0xd1b54a32d192ed03ull) + key.word[3];
  return mix64(a ^ ((b << 32) | (b >> 32)));
}

// Which shard of `shards` owns a key. Uses bits that the index does not use for its tag.
inline uint32_t shard_of(uint64_t hash, uint32_t shards) {
  return uint32_t((hash >> 36) & 0xfff) % shards;
}

}  // namespace speckv
