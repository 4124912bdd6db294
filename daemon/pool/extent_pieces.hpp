// SPDX-License-Identifier: Apache-2.0
// extent_pieces.hpp - one pool out of what a region has: an extent, or several that lie beside each
// other in one range with holes where somebody keeps granules.
//
// A page that a client has pinned, or a poisoned one, is out of reach for as long as it takes; it
// must cost its granule and not the pool around it. Private to pool/ and its test; control thread.
// Knows no device: it asks an ExtentSource.
#pragma once

#include <vector>

#include "pool/extent_device.hpp"

namespace speckv::pool {

// At most this part of a pool may be holes: beyond it the operator has to act.
constexpr uint64_t holes_part = 16;

struct Pieces {
  uint64_t offset = 0, bytes = 0;  // the whole range; its first and last granules are held
  std::vector<uint64_t> handles;
  std::vector<LostRange> holes;  // from the range's start
};

// The extents in entries, in order of their offsets, as one range.
Pieces pieces_of(const std::vector<speckv_extent_entry>& entries);

// `bytes` in one range of the device. what: whose pool, for the error, which says who is in the
// way. On an error nothing is held that was not before.
Result<Pieces> alloc_pieces(ExtentSource& source, const std::string& what, uint64_t bytes,
                            uint64_t cookie);

}  // namespace speckv::pool
