// SPDX-License-Identifier: Apache-2.0
// library.hpp - a session of the real library whose memory is plain: what speckv_open() would have
// made by its handshake. All calls of speckv.h but open and close are then the product's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "speckv/speckv.h"

namespace speckv::sim {

struct SharedMemory {
  std::byte* session;
  uint64_t session_bytes, arena_bytes;
  std::byte* pool;
  uint64_t pool_bytes;
  std::byte* index;
  uint64_t index_bytes;
  std::byte* near;  // nullptr: none, or a library that cannot read it
  uint64_t near_bytes;
};

class LibrarySession {
 public:
  // layouts: the first is 0 for the library and for the daemon, and so on.
  LibrarySession(const SharedMemory& memory, const std::vector<speckv_layout>& layouts,
                 uint64_t hold_seed);
  ~LibrarySession();
  LibrarySession(const LibrarySession&) = delete;
  LibrarySession& operator=(const LibrarySession&) = delete;

  speckv_session* handle() const { return handle_; }
  // The daemon hung up: what is under way ends with -ECONNRESET.
  void lose();
  uint32_t under_way() const;  // operations, those that nobody reaps too
  // The daemon's own count says the same of what it took and what it answered.
  bool all_answered_once() const;

 private:
  void* slot_;
  void* session_;
  speckv_session* handle_ = nullptr;
};

}  // namespace speckv::sim
