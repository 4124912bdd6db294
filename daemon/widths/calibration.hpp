// SPDX-License-Identifier: Apache-2.0
// calibration.hpp - one calibration table (docs/codec.md, section 6) as the daemon keeps it: read,
// and ready to be sent to clients in a sealed memfd.
//
// Control thread. Immutable once made.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "codec/chan_table.hpp"
#include "status.hpp"

namespace speckv {

struct CalibrationTable {
  codec::ChanWeights weights;
  uint64_t hash = 0;  // shm::hash_table() of the file's bytes
  uint32_t bytes = 0;
  int fd = -1;  // sealed: its bytes are the file's

  CalibrationTable() = default;
  ~CalibrationTable();
  CalibrationTable(const CalibrationTable&) = delete;
  CalibrationTable& operator=(const CalibrationTable&) = delete;

  bool is_for(const speckv_layout& layout) const;
};

// name: for the error, which says what is wrong with the bytes.
Result<std::unique_ptr<CalibrationTable>> make_calibration(std::span<const std::byte> file,
                                                           const std::string& name);
Result<std::unique_ptr<CalibrationTable>> read_calibration(const std::string& path);
// Writes the file beside its final name, then renames it: whoever reads it finds it whole or not.
Status write_calibration(std::span<const std::byte> file, const std::string& path);

}  // namespace speckv
