// SPDX-License-Identifier: Apache-2.0
// layout.hpp - a registered layout and what follows from it, worked out once.
//
// Made on the control thread when a client registers it; immutable and never freed afterwards
// (LayoutTable is bounded), so data threads read it without a lock.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "codec/chan_table.hpp"
#include "codec/segment.hpp"
#include "shm/layout_math.hpp"
#include "status.hpp"

namespace speckv {

// A calibration table as it was read from its file; goes to clients in a sealed memfd.
struct CalibrationTable {
  codec::ChanWeights weights;
  uint64_t hash = 0;
  uint32_t bytes = 0;
  int fd = -1;
};

struct Layout {
  speckv_layout desc;
  uint64_t fingerprint = 0;
  uint32_t preset_id = 0;  // never SPECKV_PRESET_DAEMON
  codec::Preset preset;    // as this build stores it
  uint64_t block_bytes = 0;
  uint64_t segment_raw_bytes = 0;
  uint32_t stored_bytes[2] = {0, 0};  // payload of a segment; [1]: of a sequence's first block
  uint32_t stored_raw_bytes = 0;      // payload of a segment that the codec refused
  // What chanq knows of this layout's channels; nullptr where chanq does not take its pages.
  std::unique_ptr<codec::ChanTables> tables;
  const CalibrationTable* calibration =
      nullptr;  // what `tables` was made from; nullptr: equal widths
};

constexpr uint32_t layouts_max = 1024;  // distinct (fingerprint, preset) pairs in one daemon's life

class LayoutTable {
 public:
  // Checks, resolves the preset and returns the one Layout for it. Thread: control.
  Result<const Layout*> add(const speckv_layout& desc, uint32_t default_preset);
  size_t size() const { return table_.size(); }
  // Reads every *.chan file of a folder. A file that is no table is an error: a table that silently
  // does not count would be found out by the quality of answers only.
  Status load_calibrations(const std::string& folder);
  size_t calibrations() const { return calibrations_.size(); }

 private:
  const CalibrationTable* calibration_for(const speckv_layout& desc) const;

  std::vector<std::unique_ptr<CalibrationTable>> calibrations_;
  std::vector<std::unique_ptr<Layout>> table_;
};

}  // namespace speckv
