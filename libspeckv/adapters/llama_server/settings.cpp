// SPDX-License-Identifier: Apache-2.0
// settings.cpp - see settings.hpp.
#include "settings.hpp"

#include <charconv>
#include <cstdlib>

namespace speckv::llama_server {

namespace {

constexpr uint32_t kWaitMsMax = 60'000;

struct Preset {
  const char* name;
  uint32_t preset;
};
constexpr Preset kPresets[] = {{"exact", SPECKV_PRESET_EXACT},
                               {"lossless", SPECKV_PRESET_LOSSLESS},
                               {"q8", SPECKV_PRESET_Q8},
                               {"near-lossless", SPECKV_PRESET_NEAR_LOSSLESS},
                               {"balanced", SPECKV_PRESET_BALANCED},
                               {"compact", SPECKV_PRESET_COMPACT},
                               {"tight", SPECKV_PRESET_TIGHT}};

std::string variable(const char* name, const char* otherwise) {
  const char* value = std::getenv(name);
  return value && *value ? value : otherwise;
}

// Returns: false with one sentence.
bool read_wait(uint32_t* ret_ms, std::string* ret_why) {
  const std::string text = variable("SPECKV_WAIT_MS", "");
  if (text.empty()) return true;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *ret_ms);
  if (error == std::errc() && end == text.data() + text.size() && *ret_ms <= kWaitMsMax)
    return true;
  *ret_why = "SPECKV_WAIT_MS=" + text + "; expected milliseconds, at most " +
             std::to_string(kWaitMsMax) + "; 0: only what is in the pool";
  return false;
}

}  // namespace

bool read_settings(Settings* ret_settings, std::string* ret_why) {
  Settings& settings = *ret_settings;
  settings.socket = variable("SPECKV_SOCKET", "");
  settings.name_space = variable("SPECKV_NAMESPACE", "default");
  settings.salt = variable("SPECKV_SALT", "");
  if (!read_wait(&settings.wait_ms, ret_why)) return false;
  const std::string name = variable("SPECKV_PRESET", "");
  if (name.empty()) return true;
  std::string names;
  for (const Preset& each : kPresets) {
    if (name == each.name) return settings.preset = each.preset, true;
    names += std::string(names.empty() ? "" : ", ") + each.name;
  }
  *ret_why = "SPECKV_PRESET=" + name + " is no preset; there are " + names;
  return false;
}

}  // namespace speckv::llama_server
