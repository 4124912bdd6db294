// SPDX-License-Identifier: Apache-2.0
// engine_choice.hpp - who encodes and who decodes faster, a codec engine or the cpu: measured,
// preset by preset, as a data thread would ask them, on the pool's own memory.
//
// Called by Engines on the control thread, before any data thread runs; takes some tenths of a
// second. Measures what a put waits for: the copy to staging memory and all checks but the samples
// are in it.
#pragma once

#include <string>
#include <vector>

#include "engine/device.hpp"
#include "loop/io.hpp"

namespace speckv {

struct EngineRates {
  std::string preset;
  codec::CodecId k{};  // by which its segments are known
  Work work = Work::encode;
  double device_bytes_s = 0, cpu_bytes_s = 0;  // of raw bytes; 0: it does not take them
  bool is_device_faster() const { return device_bytes_s > cpu_bytes_s; }
};

// 64 segments of each preset, encoded and decoded by both. options: of one data thread; its staging
// memory is used for all of it. io: of the calling thread, with room for commands. workers: encode
// threads of the cpu.
std::vector<EngineRates> measure_engines(const DeviceOptions& options, Io& io, uint32_t workers,
                                         int numa_node);

}  // namespace speckv
