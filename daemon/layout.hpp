// SPDX-License-Identifier: Apache-2.0
// layout.hpp - a registered layout and what follows from it, worked out once.
//
// Made on the control thread when a client registers it; immutable and never freed afterwards
// (LayoutTable is bounded), so data threads read it without a lock.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "codec/segment.hpp"
#include "shm/layout_math.hpp"
#include "status.hpp"
#include "widths/layout_widths.hpp"

namespace speckv {

struct Layout {
  speckv_layout desc;
  uint64_t identity = 0;  // shm::layout_fingerprint(): its blocks' part of the namespace
  Key mask;               // from keys to addresses: shm/key.hpp
  // As stored: never SPECKV_PRESET_DAEMON, and q8 (or exact) where the head size asks for it.
  uint32_t preset_id = 0;
  codec::Preset preset;  // as this build stores it
  uint64_t block_bytes = 0;
  uint64_t segment_raw_bytes = 0;
  uint32_t stored_bytes[2] = {0, 0};  // payload of a segment; [1]: of a sequence's first block
  uint32_t stored_raw_bytes = 0;      // payload of a segment that the codec refused
  // Of a bounded preset: how a segment is stored in which a token would lose too much.
  codec::Preset fallback{};
  uint32_t fallback_bytes[2] = {0, 0};
  // Shared by the presets of this layout in its namespace; outlives this.
  LayoutWidths* widths = nullptr;
  bool measures = false;  // its preset stores K by chanq, so widths matter
};

constexpr uint32_t layouts_max = 1024;  // distinct (layout, namespace, preset) in a daemon's life
// Of all layouts' widths together: 400 layouts of 80 layers and 8 kv heads. Who registers giants
// is refused then, before the memory is taken.
constexpr uint64_t widths_bytes_max = 512u << 20;

class LayoutTable {
 public:
  // Checks, resolves the preset and returns the one Layout for it. space: the namespace's name.
  // Thread: control.
  Result<const Layout*> add(const speckv_layout& desc, uint32_t default_preset,
                            const std::string& space);
  size_t size() const { return table_.size(); }
  // Reads every *.chan file of a folder. A file that is no table is an error: a table that silently
  // does not count would be found out by the quality of answers only.
  Status load_calibrations(const std::string& folder);
  size_t calibrations() const { return calibrations_.size(); }
  // From here on layouts without a calibration measure their own widths, kept in this folder.
  Status measure_in(const std::string& folder);
  // Takes over what data threads have measured since the last call. Returns: one for each, its text
  // a line for the log; an error where the widths could not be kept and are not used.
  std::vector<Status> adopt_measured();

 private:
  const CalibrationTable* calibration_for(const speckv_layout& desc) const;
  Result<LayoutWidths*> widths_for(const speckv_layout& desc, const std::string& space);

  std::vector<std::unique_ptr<CalibrationTable>> calibrations_;
  std::string own_folder_;  // empty: nothing is measured
  uint64_t widths_bytes_ = 0;
  std::map<std::pair<std::string, uint64_t>, std::unique_ptr<LayoutWidths>> widths_;
  std::vector<std::unique_ptr<Layout>> table_;
};

}  // namespace speckv
