// SPDX-License-Identifier: Apache-2.0
// settings.hpp - what the environment says. docs/llama-server.md lists the variables.
#pragma once

#include <cstdint>
#include <string>

#include "speckv/speckv.h"

namespace speckv::llama_server {

inline constexpr uint32_t kBlockTokens = 64;  // what a prompt shares is found in steps of it
inline constexpr uint32_t kPageTokens = 32;

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
