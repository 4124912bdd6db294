// SPDX-License-Identifier: Apache-2.0
// write_block.hpp - what put, put_layers and seal share: layers into the arena, and a block's
// submission.
#pragma once

#include "src/ring.hpp"

namespace speckv::lib {

// Copies layers into a block at `to`, which lies in the arena in canonical order.
void copy_layers(std::byte* to, const LayoutInfo& info, const speckv_buf& buf);
shm::Submission put_submission(const Key& key, const Meta& meta, int16_t layout_number,
                               uint64_t arena_offset);
// The arena offset that the daemon understands, of a chunk.
inline uint64_t chunk_offset(uint32_t chunk) { return uint64_t(chunk) * shm::arena_chunk_bytes; }

// Reconnects if the daemon is gone. Returns: 0, or -ENOTCONN while it could not be reached.
int ready_to_write(Session& session);

}  // namespace speckv::lib
