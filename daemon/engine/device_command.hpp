// SPDX-License-Identifier: Apache-2.0
// device_command.hpp - a job in the driver's words (uapi/linux/speckv_cmd.h), and whether a codec
// engine takes it. Pure: names no memory, asks nobody.
//
// Called by device.cpp and by tests. What is not taken is the cpu's, for that segment only.
#pragma once

#include "engine/engine.hpp"
#include "uapi/linux/speckv.h"

namespace speckv {

// ENCODE or DECODE of this job, but for where its bytes lie, its widths, its theta and its
// deadline. Returns: false when the engine does not take its shape or its codecs, or when there is
// nothing to code: raw bytes would only be copied once more. What a bounded preset promises is not
// the engine's to keep.
bool codec_command(const EncodeJob& job, const speckv_engine_info& can, speckv_cmd* ret);

// Whether what it stores depends on tables (DeviceTables).
bool needs_tables(const EncodeJob& job);

}  // namespace speckv
