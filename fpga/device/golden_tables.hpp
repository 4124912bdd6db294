// SPDX-License-Identifier: Apache-2.0
// golden_tables.hpp - table memory of the golden back end: turns of two thetas and slots of widths,
// as LOAD brings them, and what chanq makes of them.
//
// The rules are those of fpga/rtl/engine_tables.sv: a table counts from its last beat on, if no
// beat of the LOAD was read with an error, and no longer from its first beat on. It survives
// CONTROL.reset. Not thread-safe: work() alone fills and reads it, and a power-on waits for work().
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <span>
#include <vector>

#include "codec/chan_table.hpp"
#include "golden_registers.hpp"

namespace speckv::device {

class GoldenTables {
 public:
  static constexpr uint32_t thetas = 2, slots = 256;

  void power_on();
  // Whether a LOAD has one whole theta, or whole slots of widths.
  static bool takes(uint64_t offset, uint32_t bytes);
  // The next beat of a LOAD. failed: it, or one before it, could not be read.
  void put(uint32_t offset, std::span<const std::byte, SPECKV_ENGINE_BEAT_BYTES> beat, bool failed);

  // Whether all that this layout's heads ask for is there whole, from slot `first` on, and is what
  // some calibration may have made of `id`: the fast paths of the codec room rely on it.
  bool have(const LayoutRegisters& layout, codec::CodecId id, uint32_t first) const;
  // Makes them ready: tables(), one a head, until the next call. Requires: have().
  void prepare(const LayoutRegisters& layout, codec::CodecId id, uint32_t first);
  const codec::ChanTable* tables() const { return heads_.data(); }

 private:
  uint32_t width(uint32_t slot, size_t channel) const;

  std::array<std::byte, SPECKV_ENGINE_WIDTHS_OFFSET + slots * SPECKV_ENGINE_WIDTHS_BYTES> bytes_{};
  std::bitset<thetas> turns_whole_;
  std::bitset<slots> widths_whole_;
  codec::Rotation rotation_{};
  std::vector<codec::ChanTable> heads_;
};

}  // namespace speckv::device
