// SPDX-License-Identifier: Apache-2.0
// settings.hpp - what the environment says. docs/llama-server.md lists the variables.
#pragma once

#include <cstdint>
#include <string>

#include "speckv/speckv.h"

namespace speckv::llama_server {

// A prompt is kept in blocks of the first size, and what is left of it at its end in some of the
// second: what a prompt shares with what is kept is found in steps of that.
inline constexpr uint32_t kBlockTokens = 64, kPageTokens = 32;
inline constexpr uint32_t kFineTokens = 16;  // one page
inline constexpr uint32_t kFineBlocksMax = kBlockTokens / kFineTokens - 1;

struct Settings {
  std::string socket;                      // SPECKV_SOCKET; empty: the library's default
  std::string name_space = "default";      // SPECKV_NAMESPACE
  std::string salt;                        // SPECKV_SALT: servers of another salt share nothing
  uint32_t preset = SPECKV_PRESET_DAEMON;  // SPECKV_PRESET; unset: the namespace's
  uint32_t wait_ms = 200;                  // SPECKV_WAIT_MS: for what lies in a tier below the pool
};

// Returns: false with one sentence for a preset that there is not, or a wait that is no number.
[[nodiscard]] bool read_settings(Settings* ret_settings, std::string* ret_why);

}  // namespace speckv::llama_server
