// SPDX-License-Identifier: Apache-2.0
// key.hpp - a block's 32-byte key as four words, its address, and the hash that places it.
//
// A key says which tokens; a layout says whose part of their KV, and in which form. Blocks are
// kept by *address*: the key, masked by the layout's identity. So ranks, pipeline stages and models
// that use equal keys have blocks of their own: none is found, hidden or replaced under another's
// key. Wherever memory is shared or stored (index, slot headers, parents in records) a Key is an
// address; what callers give, submissions carry and people are shown is the key.
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

// What addresses of a layout differ from its keys by. identity: shm::layout_fingerprint(), so
// neither measured widths nor the preset move a block.
inline Key layout_mask(uint64_t identity) {
  Key mask;
  for (uint64_t i = 0; i < 4; i++) mask.word[i] = mix64(identity + (i + 1) * 0x9e3779b97f4a7c15ull);
  return mask;
}
// Returns: the address of a key, or the key of an address.
inline Key masked(const Key& key, const Key& mask) {
  Key other;
  for (int i = 0; i < 4; i++) other.word[i] = key.word[i] ^ mask.word[i];
  return other;
}
// The same of a parent: zeros say that there is none.
inline Key masked_parent(const Key& parent, const Key& mask) {
  return parent.is_zero() ? parent : masked(parent, mask);
}

// Which shard of `shards` owns a key. Uses bits that the index does not use for its tag.
inline uint32_t shard_of(uint64_t hash, uint32_t shards) {
  return uint32_t((hash >> 36) & 0xfff) % shards;
}

}  // namespace speckv
