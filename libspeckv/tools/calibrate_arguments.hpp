// SPDX-License-Identifier: Apache-2.0
// calibrate_arguments.hpp - what speckv-calibrate's command line says, or the reason why it says
// nothing. Who calls it: speckv_calibrate.cpp. Never: opens a file.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "llama/calibration.hpp"

namespace speckv::calibrate {

inline constexpr uint32_t kSkippedTokens = 256;  // too little past to tell presets apart

extern const char* const kUsage;

struct Arguments {
  std::string model, out, table, to_f16;
  std::vector<std::string> texts, rows;
  llama::CalibrationOptions options;
  bool help = false;
};

// Returns: false with one sentence: the word, what was expected.
[[nodiscard]] bool parse(int count, char** words, Arguments* ret, std::string* ret_why);

}  // namespace speckv::calibrate
