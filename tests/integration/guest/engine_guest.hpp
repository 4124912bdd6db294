// SPDX-License-Identifier: Apache-2.0
// engine_guest.hpp - what the tests and the demo of a codec engine share: a daemon that has one, a
// client that puts and reads three presets, and the device process, which is asked to do wrong by
// the guest's third serial port.
#pragma once

#include <array>
#include <string>

#include "guest.hpp"

namespace speckv::test {

constexpr uint64_t engine_blocks_max = real_blocks / 3;  // of each preset
constexpr uint32_t engine_presets[] = {SPECKV_PRESET_NEAR_LOSSLESS, SPECKV_PRESET_BALANCED,
                                       SPECKV_PRESET_COMPACT};
constexpr uint64_t engine_pages = 36;    // of a block: 6 layers, K and V, 3 heads
constexpr uint64_t engine_segments = 6;  // of a block

// One line to the device process. Returns: whether its answer was "ok".
bool device_is_told(const std::string& line);

// check_one_in = 1. kind: of [engine].
DaemonOptions engine_daemon(const char* kind, uint32_t deadline_ms = 2000);

// What a client put, and what it read back, of each preset: each has blocks of its own. Lies in
// memory that children share.
struct EngineStory {
  uint64_t blocks = 0, stored = 0, read = 0;
  uint64_t sums[std::size(engine_presets)][engine_blocks_max] = {};

  uint64_t wanted() const { return blocks * std::size(engine_presets); }
  bool is_whole() const { return stored == wanted() && read == wanted(); }
  bool reads_like(const EngineStory& other) const;
};

// A client of uid_one tells it. blocks: of each preset. first_number: other ones than before.
EngineStory* tell_engine_story(const std::string& socket_path, uint64_t blocks);

}  // namespace speckv::test
