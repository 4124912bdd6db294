// SPDX-License-Identifier: Apache-2.0
// block.hpp - open blocks: puts in parts and pages, both a run of arena chunks with a handle.
//
// A block keeps its connection's arena mapped (holders) until it ends, also when the daemon is
// gone: the caller may be writing there. Requires: rings locked, unless said. Called by
// put_parts.cpp and page.cpp.
#pragma once

#include "src/handle.hpp"
#include "src/ring.hpp"

namespace speckv::lib {

// Returns: 0 and a block of `kind` with its chunks, -ENOTCONN, -EBADF (layout refused), -EFBIG (the
// arena is smaller) or -EAGAIN.
int block_begin(Session& session, uint32_t layout, const LayoutInfo& info, BlockKind kind,
                uint32_t* ret_block);
// Ends a block. keep_chunks: they were submitted and come back with the completion.
void block_end(Session& session, uint32_t block, bool keep_chunks);
// Submits a complete block; on success it has ended. Returns: 0, -ECONNRESET (its daemon is gone)
// or -EAGAIN.
int block_submit(Session& session, uint32_t block, uint64_t user_data, uint32_t* ret_shard);

inline bool block_lost(const Session& session, const OpenBlock& block) {
  return block.connection != session.current.load() || block.connection->lost.load();
}
inline std::byte* block_base(const OpenBlock& block) {
  return block.connection->arena_base() + uint64_t(block.chunk_first) * shm::arena_chunk_bytes;
}
// Copies what the user says of a block. Returns: 0 or -EINVAL.
int set_meta(const speckv_meta* meta, Meta* ret_meta);

}  // namespace speckv::lib
