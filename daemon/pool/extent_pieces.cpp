// SPDX-License-Identifier: Apache-2.0
// extent_pieces.cpp - see extent_pieces.hpp.
#include "pool/extent_pieces.hpp"

#include <algorithm>

namespace speckv::pool {
namespace {

constexpr uint64_t granule = SPECKV_GRANULE_BYTES;
constexpr uint32_t zeroing_wait_ms = 10'000;  // of one step; then the plain way is taken

// Extents of one try, given back unless it is kept.
class Try {
 public:
  Try(ExtentSource& source, uint64_t cookie, uint64_t holes_max)
      : source_(source), cookie_(cookie), holes_max_(holes_max / granule) {}
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
    extent.timeout_ms = zeroing_wait_ms;
    const int error = source_.try_alloc(&extent);
    if (error == 0) {
      got_.push_back({extent.handle, extent.offset, extent.bytes, cookie_, 0});
      return true;
    }
    if (error != ENOSPC) return false;
    if (end - offset == granule) return ++holes_ <= holes_max_;
    const uint64_t middle = offset + (end - offset) / 2 / granule * granule;
    return fill(offset, middle) && fill(middle, end);
  }
  // Whether it is the whole range, from its first granule to its last.
  bool covers(uint64_t offset, uint64_t bytes) const {
    return !got_.empty() && got_.front().offset == offset &&
           got_.back().offset + got_.back().bytes == offset + bytes;
  }
  uint64_t hole_bytes() const { return holes_ * granule; }
  Pieces keep() {
    Pieces pieces = pieces_of(got_);
    got_.clear();
    return pieces;
  }

 private:
  ExtentSource& source_;
  const uint64_t cookie_;
  const uint64_t holes_max_;
  uint64_t holes_ = 0;
  std::vector<speckv_extent_entry> got_;
};

// Bytes that nobody can have: not for want of room, and so worth a hole.
uint64_t kept_bytes(ExtentSource& source) {
  const auto now = source.stat();
  return now.ok() ? now.value().quarantined_bytes + now.value().poisoned_bytes : 0;
}

// The range that begins at offset, if nothing is missing in it but what is kept.
bool try_at(ExtentSource& source, uint64_t offset, uint64_t bytes, uint64_t cookie, Pieces* ret) {
  if (offset + bytes > source.device_bytes()) return false;
  Try range(source, cookie, bytes / holes_part);
  if (!range.fill(offset, offset + bytes) || !range.covers(offset, bytes)) return false;
  if (range.hole_bytes() > kept_bytes(source)) return false;
  *ret = range.keep();
  return true;
}

// Returns: 0 when the granule can be had, now or once it is zeroed; else an errno.
int probe_granule(ExtentSource& source, uint64_t offset) {
  speckv_alloc probe{};
  probe.flags = SPECKV_ALLOC_AT;
  probe.offset = offset;
  probe.bytes = granule;
  probe.timeout_ms = zeroing_wait_ms;
  const int error = source.try_alloc(&probe);
  return error ? error : source.free(probe.handle).error();
}

// As low as can be, over what is kept; a little higher where a hole would be at an end.
bool try_low(ExtentSource& source, uint64_t bytes, uint64_t cookie, Pieces* ret) {
  uint64_t first = 0;
  for (int error = ENOSPC; error != 0; first += error ? granule : 0) {
    error = first + bytes <= source.device_bytes() ? probe_granule(source, first) : ERANGE;
    if (error != 0 && error != ENOSPC) return false;
  }
  for (uint64_t shift = 0; shift < 4; shift++)
    if (try_at(source, first + shift * granule, bytes, cookie, ret)) return true;
  return false;
}

// With the longest run in it, as far to the right as the region goes, or to the left.
bool try_around_longest(ExtentSource& source, uint64_t bytes, uint64_t cookie, Pieces* ret) {
  const auto now = source.stat();
  speckv_alloc run{};
  run.bytes = now.ok() ? now.value().longest_bytes : 0;
  if (run.bytes == 0 || run.bytes >= bytes || source.try_alloc(&run) != 0) return false;
  (void)source.free(run.handle);
  const uint64_t right = std::min<uint64_t>(run.offset, source.device_bytes() - bytes);
  const uint64_t end = run.offset + run.bytes;
  return try_at(source, right, bytes, cookie, ret) ||
         try_at(source, end > bytes ? end - bytes : 0, bytes, cookie, ret);
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
  // Low: a pool that keeps clear of what is kept would leave no range for the next one.
  const bool is_wanted = bytes <= source.device_bytes();
  if (is_wanted && try_low(source, bytes, cookie, &pieces)) return pieces;
  const auto whole = source.alloc(what, bytes, cookie);
  if (whole.ok()) {
    const speckv_alloc& extent = whole.value();
    return pieces_of({{extent.handle, extent.offset, bytes, extent.cookie, 0}});
  }
  if (is_wanted && whole.status().error() == ENOSPC &&
      try_around_longest(source, bytes, cookie, &pieces))
    return pieces;
  return whole.status();
}

}  // namespace speckv::pool
