// SPDX-License-Identifier: Apache-2.0
// layout_widths.hpp - with which bit widths chanq stores the K of one layout in one namespace:
// equal ones, a calibration table's, or from some moment on those that speckvd has measured itself.
//
// One object for a layout and namespace, whatever the preset; a namespace has its own, so that what
// one tenant stores never shapes another's pages. Made by LayoutTable on the control thread, freed
// when no session's layout uses it. Threading: data threads read current(), takes() and feed
// reach(); adopt() is the control thread's, once. What readers rely on: a set of widths, once in
// use, stays readable, and a slot's fingerprint says which set it was stored with.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "status.hpp"
#include "widths/calibration.hpp"
#include "widths/key_reach.hpp"

namespace speckv {

struct Widths {
  uint64_t fingerprint = 0;  // shm::stored_fingerprint(): what slots and index entries carry
  // nullptr where chanq does not take the layout's pages.
  std::unique_ptr<codec::ChanTables> tables;
  const CalibrationTable* file = nullptr;  // what clients need for it; nullptr: equal widths
};

class LayoutWidths {
 public:
  // calibration: the operator's table for these weights, or nullptr; outlives this. own_path: where
  // a table that is measured here is kept, empty: nothing is measured. One that is there already
  // counts from the start; a damaged one is told to the log and replaced.
  static Result<std::unique_ptr<LayoutWidths>> make(const speckv_layout& layout,
                                                    const CalibrationTable* calibration,
                                                    const std::string& own_path);

  // What new slots are stored with, once their owner has been told of it.
  const Widths& current() const { return *current_.load(std::memory_order_acquire); }
  // Whether pages of this layout have the shape that the tables are for. False only where two
  // layouts share a fingerprint.
  bool fits(const speckv_layout& layout) const;
  // Whether slots of this fingerprint hold this layout's KV, by widths that its readers know.
  bool takes(uint64_t fingerprint) const {
    return fingerprint == equal_.fingerprint || fingerprint == current().fingerprint;
  }
  // Returns: those that this fingerprint stands for, or nullptr.
  const Widths* find(uint64_t fingerprint) const {
    if (fingerprint == equal_.fingerprint) return &equal_;
    const Widths& now = current();
    return fingerprint == now.fingerprint ? &now : nullptr;
  }
  // nullptr: nothing (more) to measure.
  KeyReach* reach() { return reach_ && reach_->wanted() ? reach_.get() : nullptr; }

  // Whether there is, or is to be, a table that was measured here: it keeps a descriptor.
  bool has_own_table() const { return own_ || reach_; }
  // Control thread: some of what is wanted is measured, and would be lost with this.
  bool measuring() const { return reach_ && !adopted_ && reach_->tokens() > 0; }

  // Makes the measured table, keeps its file, and switches to it. Returns: false when there is
  // nothing to adopt. Without its file a restarted daemon could not read what is stored from here
  // on: an error keeps the widths as they are, for good.
  Result<bool> adopt();

 private:
  explicit LayoutWidths(const speckv_layout& layout) : layout_(layout) {}
  Status read_own();
  Status use(const CalibrationTable& table);

  const speckv_layout layout_;
  std::string own_path_;
  Widths equal_;
  Widths table_;
  std::unique_ptr<CalibrationTable> own_;
  std::unique_ptr<KeyReach> reach_;
  bool adopted_ = false;
  std::atomic<const Widths*> current_{&equal_};
};

}  // namespace speckv
