// SPDX-License-Identifier: Apache-2.0
// completion_rings.hpp - where completions of a back end go: told from other writes by their place.
//
// see() before each work(), which alone writes; no lock of the back end may be held then.
#pragma once

#include <array>
#include <optional>

#include "backend.hpp"
#include "hw/speckv_engine.h"
#include "hw/speckv_regs.h"

namespace speckv::device {

class CompletionRings {
 public:
  struct Ring {
    uint64_t base = 0;   // bus address
    uint32_t slots = 0;  // 0: it lies nowhere
  };
  void see(Backend& backend) {
    for (uint32_t i = 0; i < rings_.size(); ++i) {
      const uint32_t at = i * SPECKV_REG_QUEUES_STRIDE;
      const uint32_t setup = backend.read(SPECKV_REG_QUEUES_SETUP + at);
      const uint32_t extent = (setup & SPECKV_REG_QUEUES_SETUP_CQ_EXTENT_MASK) >>
                              SPECKV_REG_QUEUES_SETUP_CQ_EXTENT_SHIFT;
      const uint32_t log2_slots = (setup & SPECKV_REG_QUEUES_SETUP_LOG2_SLOTS_MASK) >>
                                  SPECKV_REG_QUEUES_SETUP_LOG2_SLOTS_SHIFT;
      rings_[i] = {};
      if (extent >= SPECKV_REG_EXTENTS_COUNT) continue;
      const uint32_t area = extent * SPECKV_REG_EXTENTS_STRIDE;
      const uint64_t base = uint64_t{backend.read(SPECKV_REG_EXTENTS_BASE_HIGH + area)} << 32 |
                            (backend.read(SPECKV_REG_EXTENTS_BASE_LOW + area) & ~63u);
      // one that was switched off still ends what it has
      rings_[i] = {base + backend.read(SPECKV_REG_QUEUES_CQ_OFFSET + at), 1u << log2_slots};
    }
  }
  // Whose completion a write of so many bytes is.
  std::optional<uint32_t> queue_of(uint64_t address, size_t bytes) const {
    if (bytes != SPECKV_ENGINE_SLOT_BYTES) return {};
    for (uint32_t i = 0; i < rings_.size(); ++i)
      if (address - rings_[i].base < uint64_t{rings_[i].slots} * SPECKV_ENGINE_SLOT_BYTES) return i;
    return {};
  }
  const Ring& operator[](uint32_t queue) const { return rings_[queue]; }

 private:
  std::array<Ring, SPECKV_REG_QUEUES_COUNT> rings_;
};

}  // namespace speckv::device
