// SPDX-License-Identifier: Apache-2.0
// layout.hpp - a registered layout and what follows from it, worked out once.
//
// Made on the control thread when a client registers it, immutable, and forgotten when the last
// session that names it is gone from every data thread: these read it without a lock, and reach it
// through a session alone. Stored blocks need none of it: they carry their fingerprint, and a
// layout that is registered again finds them.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "codec/segment.hpp"
#include "config/limits.hpp"
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
  uint32_t segments = 0;              // of a block: its layers', then those of its side bytes
  uint32_t stored_bytes[2] = {0, 0};  // payload of a segment; [1]: of a sequence's first block
  uint32_t stored_raw_bytes = 0;      // payload of a segment that the codec refused
  // Of a bounded preset: how a segment is stored in which a token would lose too much.
  codec::Preset fallback{};
  uint32_t fallback_bytes[2] = {0, 0};
  // Shared by the presets of this layout in its namespace; outlives this.
  LayoutWidths* widths = nullptr;
  bool measures = false;  // its preset stores K by chanq, so widths matter
};

// Distinct (layout, preset) and the bytes of their widths: what there may be, and what there is.
struct LayoutRoom {
  uint32_t layouts = limits::layouts_max_default;
  uint64_t widths_bytes = limits::widths_bytes_max_default;
  uint32_t fds = 0;  // of tables that were or will be measured, one each; bounded by layouts
};

class LayoutTable {
 public:
  // Bounds of all namespaces together, and of one.
  void limit(const LayoutRoom& room) { most_ = room; }
  void limit(const std::string& space, const LayoutRoom& room) { spaces_[space].most = room; }
  LayoutRoom used(const std::string& space) const;
  LayoutRoom used() const { return used_; }

  // Checks, resolves the preset and returns the one Layout for it, with no user yet. space: the
  // namespace's name. EXFULL: no room for another layout, ENOSR: for its widths. Thread: control,
  // as all.
  Result<const Layout*> add(const speckv_layout& desc, uint32_t default_preset,
                            const std::string& space);
  // The same, of those that are there. Returns: nullptr when there is none. Nothing grows.
  const Layout* find(const speckv_layout& desc, uint32_t default_preset,
                     const std::string& space) const;
  // A session names it from here on.
  void retain(const Layout* layout);
  // Requires: that session is gone from all data threads. The last one's layout is forgotten; its
  // widths, too, unless they are being measured: these wait for another session for a minute.
  void release(const Layout* layout, uint64_t now_ns);
  // Forgets widths that waited for too long.
  void forget_idle(uint64_t now_ns);
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
  using WidthsName = std::pair<std::string, uint64_t>;  // namespace, fingerprint
  struct SharedWidths {
    std::unique_ptr<LayoutWidths> widths;
    uint64_t bytes = 0;
    uint32_t layouts = 0;  // that use them
    uint32_t fds = 0;      // of a table of its own
    uint64_t idle_ns = 0;  // since when none does
  };
  struct Known {
    std::unique_ptr<Layout> layout;
    WidthsName widths;
    uint32_t sessions = 0;
  };
  struct Space {
    LayoutRoom most, used{0, 0};
  };

  const CalibrationTable* calibration_for(const speckv_layout& desc) const;
  Result<LayoutWidths*> widths_for(const speckv_layout& desc, const WidthsName& name);
  Status make_room_for_widths(Space& space, const std::string& name, uint64_t bytes);
  Result<std::unique_ptr<Layout>> make(const speckv_layout& desc, uint32_t preset,
                                       LayoutWidths* widths) const;
  void forget(std::map<WidthsName, SharedWidths>::iterator widths);

  std::vector<std::unique_ptr<CalibrationTable>> calibrations_;
  std::string own_folder_;  // empty: nothing is measured
  LayoutRoom most_, used_{0, 0};
  std::map<std::string, Space> spaces_;
  std::map<WidthsName, SharedWidths> widths_;
  std::vector<Known> table_;
};

}  // namespace speckv
