// SPDX-License-Identifier: Apache-2.0
// device.hpp - the engine that has a codec engine of the driver (docs/driver.md) do the work,
// beside a cpu engine that does what the device does not take, and whatever it was not trusted
// with.
//
// A job's raw bytes are copied to a place of the staging memory, which the device can reach; the
// device stores what it makes in the job's own slot. Commands go through the data thread's Io, and
// nobody waits for them. Tables are loaded before the first command that names them; until they are
// there, their segments are the cpu's.
//
// A decode goes the other way: from the slot to staging memory, and from there to where it is
// wanted. What of it fails is done by the cpu at once.
//
// Nothing that it wrote is handed out before it was checked: that it ended well, with the length
// that was asked for; one segment in check_one_in is encoded again by the cpu and compared, with
// its checksum. An answer that is wrong, none within the deadline, or a reset: the device is set
// aside. What it had is then done again by the cpu, as soon as the device cannot write there any
// more: a command that got no answer is over when the driver says that the device has answered a
// reset, and where it never does, the job wants another slot. Set aside, it is tried with a segment
// whose stored bytes are known, after a pause that doubles; three good answers in a row, and it is
// trusted again, with empty tables.
//
// Threading: as engine.hpp says. Never: names memory that it was not given, waits, logs (facts()
// has the numbers; control tells them).
#pragma once

#include <memory>
#include <vector>

#include "engine/device_tables.hpp"
#include "engine/engine.hpp"
#include "uapi/linux/speckv.h"

namespace speckv {

// Memory that commands can name: an extent of the control file.
struct DeviceExtent {
  std::byte* data = nullptr;
  uint64_t bytes = 0;
  uint64_t handle = 0;
};

struct DeviceOptions {
  int fd = -1;  // a control file that has the engine; outlives this
  speckv_engine_info can{};
  uint32_t queue = 0;
  // Raw bytes are copied here: a place of stage_bytes for each command that may be under way.
  DeviceExtent staging;
  std::vector<DeviceExtent> extents;  // where slots lie
  TableShare tables;
  uint32_t check_one_in = 64;  // segments; 1: each
  uint32_t deadline_ms = 1000;
};

// As much as a command may name.
constexpr uint64_t stage_bytes = SPECKV_CMD_BYTES_MAX;
// A segment that is full of what it was made from, which the device is tried with.
constexpr uint32_t self_tests_wanted = 3;
constexpr uint64_t pause_ns_min = 1'000'000'000, pause_ns_max = 64'000'000'000;
// So many good segments in a row, and the next pause is the shortest again.
constexpr uint32_t segments_to_forgive = 4096;

// cpu: what does the rest.
std::unique_ptr<Engine> make_device_engine(const DeviceOptions& options,
                                           std::unique_ptr<Engine> cpu);

}  // namespace speckv
