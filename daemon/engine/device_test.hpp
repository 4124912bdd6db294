// SPDX-License-Identifier: Apache-2.0
// device_test.hpp - a segment whose stored bytes are known, for trying a codec engine that was set
// aside. Called by device.cpp; asks nobody, and allocates only when it is made.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "codec/segment.hpp"
#include "uapi/linux/speckv.h"

namespace speckv {

class SelfTest {
 public:
  static constexpr uint64_t target_offset = 1u << 20;  // in the place of its command

  // Of a shape and by a codec that this engine takes.
  explicit SelfTest(const speckv_engine_info& can);

  // Writes the raw segment to the place and takes from it what an earlier answer may have left.
  // Returns: its command, but for where the place is.
  speckv_cmd command(std::span<std::byte> place) const;
  uint32_t bytes() const { return uint32_t(stored_.size()); }
  bool is_right(std::span<const std::byte> place, uint64_t checksum) const;

 private:
  speckv_cmd command_{};
  std::vector<std::byte> raw_, stored_;
  uint64_t checksum_ = 0;
};

}  // namespace speckv
