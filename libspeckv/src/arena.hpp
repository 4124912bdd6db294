// SPDX-License-Identifier: Apache-2.0
// arena.hpp - which 64 KiB chunks of a session's staging memory are in use: a bitmap, next fit.
//
// Next fit, so that a chunk that the daemon is still reading from its own cache is not taken again
// at once. Knows no addresses. Called under the session's lock. Never allocates after reset().
#pragma once

#include <cstdint>

namespace speckv::lib {

class Arena {
 public:
  static constexpr uint32_t no_chunk = UINT32_MAX;

  ~Arena();
  // Makes all of `chunks` free. Returns: 0 or -ENOMEM.
  [[nodiscard]] int reset(uint32_t chunks);
  // Returns: first of `count` neighbouring chunks, now taken, or no_chunk.
  uint32_t take(uint32_t count);
  void give(uint32_t first, uint32_t count);
  uint32_t chunks() const { return chunks_; }
  uint32_t chunks_free() const { return free_; }

 private:
  uint32_t find(uint32_t from, uint32_t to, uint32_t count) const;
  bool taken(uint32_t chunk) const { return bits_[chunk / 64] >> (chunk % 64) & 1; }

  uint64_t* bits_ = nullptr;
  uint32_t chunks_ = 0;
  uint32_t free_ = 0;
  uint32_t next_ = 0;
};

}  // namespace speckv::lib
