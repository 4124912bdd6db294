// SPDX-License-Identifier: Apache-2.0
// extent_pieces.cpp - see extent_pieces.hpp.
#include "pool/extent_pieces.hpp"

#include <algorithm>

namespace speckv::pool {
namespace {

constexpr uint64_t granule = SPECKV_GRANULE_BYTES;

// Extents of one try, given back unless it is kept.
class Try {
 public:
  Try(ExtentSource& source, uint64_t cookie, uint64_t holes_max)
      : source_(source), cookie_(cookie), holes_left_(holes_max / granule) {}
  ~Try() {
    for (const speckv_extent_entry& entry : got_) (void)source_.free(entry.handle);
  }
  Try(const Try&) = delete;
  Try& operator=(const Try&) = delete;

  // What can be had of [offset, end), by halves. Returns: false when that leaves too many holes.
  bool fill(uint64_t offset, uint64_t end) {
    if (offset >= end) return true;
    speckv_alloc extent{};
    extent.flags = SPECKV_ALLOC_AT;
    extent.offset = offset;
    extent.bytes = end - offset;
    extent.cookie = cookie_;
    if (source_.try_alloc(&extent) == 0) {
      got_.push_back({extent.handle, extent.offset, extent.bytes, cookie_, 0});
      return true;
    }
    if (end - offset == granule) return holes_left_ > 0 ? holes_left_--, true : false;
    const uint64_t middle = offset + (end - offset) / 2 / granule * granule;
    return fill(offset, middle) && fill(middle, end);
  }
  // Whether it is the whole range, from its first granule to its last.
  bool covers(uint64_t offset, uint64_t bytes) const {
    return !got_.empty() && got_.front().offset == offset &&
           got_.back().offset + got_.back().bytes == offset + bytes;
  }
  Pieces keep() {
    Pieces pieces = pieces_of(got_);
    got_.clear();
    return pieces;
  }

 private:
  ExtentSource& source_;
  const uint64_t cookie_;
  uint64_t holes_left_;
  std::vector<speckv_extent_entry> got_;
};

// The range that begins at offset.
bool try_at(ExtentSource& source, uint64_t offset, uint64_t bytes, uint64_t cookie,
            uint64_t holes_max, Pieces* ret) {
  if (offset + bytes > source.device_bytes()) return false;
  Try range(source, cookie, holes_max);
  if (!range.fill(offset, offset + bytes) || !range.covers(offset, bytes)) return false;
  *ret = range.keep();
  return true;
}

// Where the first free run of `bytes` begins. Returns: false when there is none.
bool find_run(ExtentSource& source, uint64_t bytes, uint64_t* ret_offset) {
  speckv_alloc probe{};
  probe.bytes = bytes;
  if (bytes == 0 || source.try_alloc(&probe) != 0) return false;
  *ret_offset = probe.offset;
  return source.free(probe.handle).ok();
}

// As low as can be, over what is kept; a little higher where a hole would be at an end.
bool try_low(ExtentSource& source, uint64_t bytes, uint64_t cookie, uint64_t holes_max,
             Pieces* ret) {
  uint64_t first = 0;
  if (!find_run(source, granule, &first)) return false;
  for (uint64_t shift = 0; shift < 4; shift++)
    if (try_at(source, first + shift * granule, bytes, cookie, holes_max, ret)) return true;
  return false;
}

// With the longest run in it, as far to the right as the region goes, or to the left.
bool try_around_longest(ExtentSource& source, uint64_t bytes, uint64_t cookie, uint64_t holes_max,
                        Pieces* ret) {
  const auto now = source.stat();
  const uint64_t longest = now.ok() ? now.value().longest_bytes : 0;
  uint64_t run = 0;
  if (longest >= bytes || !find_run(source, longest, &run)) return false;
  const uint64_t right = std::min(run, source.device_bytes() - bytes);
  const uint64_t left = run + longest > bytes ? run + longest - bytes : 0;
  return try_at(source, right, bytes, cookie, holes_max, ret) ||
         try_at(source, left, bytes, cookie, holes_max, ret);
}

}  // namespace

Pieces pieces_of(const std::vector<speckv_extent_entry>& entries) {
  Pieces pieces;
  for (const speckv_extent_entry& entry : entries) {
    if (pieces.handles.empty()) pieces.offset = entry.offset;
    const uint64_t at = entry.offset - pieces.offset;
    if (at > pieces.bytes) pieces.holes.push_back({pieces.bytes, at - pieces.bytes});
    pieces.bytes = at + entry.bytes;
    pieces.handles.push_back(entry.handle);
  }
  return pieces;
}

Result<Pieces> alloc_pieces(ExtentSource& source, const std::string& what, uint64_t bytes,
                            uint64_t cookie) {
  Pieces pieces;
  const auto before = source.stat();
  const uint64_t kept =
      before.ok() ? before.value().quarantined_bytes + before.value().poisoned_bytes : 0;
  const uint64_t holes_max = std::min(bytes / holes_part, kept);
  // Low: a pool that keeps clear of what is kept would leave no range for the next one.
  if (holes_max >= granule && try_low(source, bytes, cookie, holes_max, &pieces)) return pieces;
  const auto whole = source.alloc(what, bytes, cookie);
  if (whole.ok()) {
    const speckv_alloc& extent = whole.value();
    return pieces_of({{extent.handle, extent.offset, bytes, extent.cookie, 0}});
  }
  if (whole.status().error() == ENOSPC && holes_max >= granule &&
      try_around_longest(source, bytes, cookie, holes_max, &pieces))
    return pieces;
  return whole.status();
}

}  // namespace speckv::pool
