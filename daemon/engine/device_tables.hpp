// SPDX-License-Identifier: Apache-2.0
// device_tables.hpp - what lies in a codec engine's table memory (include/hw/speckv_engine.h):
// turns of a few thetas, and slots of widths; which of them a job names, and what has to be loaded
// first.
//
// A job whose tables are there pins them until its command has ended; one whose tables are not
// there is told what to load, one table at a time, and goes elsewhere meanwhile. What nobody has
// pinned makes room, the longest unused first. Called by device.cpp and by tests; asks nobody, and
// allocates only when it is made. One data thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/engine.hpp"
#include "uapi/linux/speckv.h"

namespace speckv {

// The part of table memory that one data thread has to itself.
struct TableShare {
  uint32_t first_theta = 0, thetas = 0;
  uint32_t first_width = 0, widths = 0;  // slots
};

class DeviceTables {
 public:
  static constexpr size_t load_bytes_max = 32768;  // of one table: turns, or widths of 256 heads

  explicit DeviceTables(const TableShare& share);

  struct Pins {
    int turns = -1, widths = -1;  // entries; -1: none
  };
  // Names in *cmd the tables that the job wants and pins them. Returns: false when they are not all
  // there. Requires: needs_tables(job).
  bool pin(const EncodeJob& job, speckv_cmd* cmd, Pins* ret);
  void unpin(const Pins& pins);

  struct Load {
    bool is_turns = false;
    int entry = -1;
    uint64_t target_offset = 0;  // in table memory
    uint32_t bytes = 0;
    uint64_t number = 0;  // of all loads
  };
  // The next table that this job lacks, written to `into`; it is under way until loaded(). Returns:
  // false when what it lacks is under way already, or has no place.
  bool next_load(const EncodeJob& job, std::span<std::byte> into, Load* ret);
  void loaded(const Load& load, bool is_there);
  // The engine has lost everything, or nobody knows. Loads under way do not count either.
  void forget();

 private:
  enum class State : uint8_t { empty, loading, there };
  struct Entry {
    State state = State::empty;
    uint32_t pins = 0;
    uint64_t used = 0, load = 0;
    // Turns: of a theta and so many rotated channels, for tokens and pairs up to these.
    float theta = 0;
    uint32_t rotated = 0, tokens = 0, pairs = 0;
    // Widths: of one layer, in slots [first, first + count).
    uint64_t tables_id = 0;
    uint32_t layer = 0, codec = 0, first = 0, count = 0;
  };
  struct Wanted;

  int find_turns(const Wanted& wanted) const;
  int find_widths(const Wanted& wanted) const;
  bool load_turns(const EncodeJob& job, const Wanted& wanted, std::span<std::byte> into, Load* ret);
  bool load_widths(const EncodeJob& job, const Wanted& wanted, std::span<std::byte> into,
                   Load* ret);
  int room_for_widths(uint32_t count, uint32_t* ret_first);
  int oldest(const std::vector<Entry>& entries) const;

  const TableShare share_;
  std::vector<Entry> turns_, widths_;
  uint64_t clock_ = 0;
};

}  // namespace speckv
