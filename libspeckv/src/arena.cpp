// SPDX-License-Identifier: Apache-2.0
#include "src/arena.hpp"

#include <bit>
#include <cerrno>
#include <cstring>
#include <new>

namespace speckv::lib {

Arena::~Arena() { delete[] bits_; }

int Arena::reset(uint32_t chunks) {
  const uint32_t words = (chunks + 63) / 64;
  if (chunks_ != chunks || !bits_) {
    auto* bits = new (std::nothrow) uint64_t[words + 1];
    if (!bits) return -ENOMEM;
    delete[] bits_;
    bits_ = bits;
  }
  std::memset(bits_, 0, words * sizeof(uint64_t));
  chunks_ = free_ = chunks;
  next_ = 0;
  return 0;
}

uint32_t Arena::find(uint32_t from, uint32_t to, uint32_t count) const {
  uint32_t run = 0;
  for (uint32_t chunk = from; chunk < to; chunk++) {
    if (run == 0 && chunk % 64 == 0 && bits_[chunk / 64] == ~0ull) {
      chunk += 63;  // 64 taken ones at once
      continue;
    }
    run = taken(chunk) ? 0 : run + 1;
    if (run == count) return chunk + 1 - count;
  }
  return no_chunk;
}

uint32_t Arena::take(uint32_t count) {
  if (count == 0 || count > free_) return no_chunk;
  uint32_t first = find(next_, chunks_, count);
  if (first == no_chunk) {
    const uint64_t wrap = uint64_t(next_) + count - 1;  // runs that begin before next_
    first = find(0, wrap < chunks_ ? uint32_t(wrap) : chunks_, count);
  }
  if (first == no_chunk) return no_chunk;
  for (uint32_t i = first; i < first + count; i++) bits_[i / 64] |= 1ull << (i % 64);
  free_ -= count;
  next_ = first + count == chunks_ ? 0 : first + count;
  return first;
}

void Arena::give(uint32_t first, uint32_t count) {
  for (uint32_t i = first; i < first + count; i++) bits_[i / 64] &= ~(1ull << (i % 64));
  free_ += count;
}

}  // namespace speckv::lib
