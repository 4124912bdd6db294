// SPDX-License-Identifier: Apache-2.0
// read_block.hpp - steps (2) to (7) of the read protocol (docs/protocol.md) for one block that the
// index named.
//
// Reads memory that the daemon may rewrite at any moment: each header is copied once, by whole
// words, and only the copy is looked at; offsets are checked against the map; decoders take any
// bytes. Makes no system call. Called by get.cpp.
#pragma once

#include "shm/pool_format.hpp"
#include "src/session.hpp"

namespace speckv::lib {

// Between the numbered steps; a stress test replaces it to sleep there.
#ifdef SPECKV_READ_STEP_HOOK
extern "C" void speckv_test_read_step(int step);
inline void read_step(int step) { speckv_test_read_step(step); }
#else
inline void read_step(int) {}
#endif

// This thread's guard slot while it reads. Without one (all taken) reading goes on unguarded.
class Guard {
 public:
  explicit Guard(const Connection& connection);
  ~Guard();
  Guard(const Guard&) = delete;
  Guard& operator=(const Guard&) = delete;
  // Names entries[0 .. count) and nothing else to the daemon, then one full fence for all of them.
  // Requires: count <= shm::guard_names.
  void protect(const shm::Entry* const entries[], uint32_t count);

 private:
  shm::GuardSlot* slot_ = nullptr;
};

enum class Outcome : uint8_t { hit, changed, corrupt };

struct BlockReader {
  const Connection& connection;
  const LayoutInfo& info;
  const WidthSet& widths;  // info's, of the entry's fingerprint
  const shm::IndexView& view;
  const Key& address;
  uint64_t hash;

  // Steps (3) to (7). Requires: entry was found under key, its fingerprint is the widths', its
  // layers are the layout's, and the guard names it.
  Outcome read(const shm::Entry& entry, const speckv_buf& buf, bool stream) const;

 private:
  bool still_published(const shm::Entry& entry) const;
  const std::byte* near_slot_at(uint64_t ref, uint64_t payload_bytes) const;
  const std::byte* slot_at(uint64_t ref, uint64_t payload_bytes) const;
  bool unchanged(const std::byte* slot, uint64_t gen) const;
  // A header that does not fit: changed if its gen moved on, else corrupt.
  Outcome misfit(const std::byte* slot, uint64_t gen) const;
  Outcome read_record(const shm::Entry& entry, const speckv_buf& buf, bool stream) const;
  Outcome read_segment(uint64_t ref, const std::byte* slot, uint64_t gen, uint32_t layer,
                       const speckv_view* views, bool stream) const;
  Outcome read_side(const shm::SegmentRef& ref, const std::byte* slot, uint32_t number,
                    const speckv_view& view) const;
};

}  // namespace speckv::lib
