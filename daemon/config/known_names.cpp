// SPDX-License-Identifier: Apache-2.0
// known_names.cpp - the policies and presets that this build has, from their registries.
#include "codec/codec.hpp"
#include "config/config.hpp"
#include "predict/policy.hpp"

namespace speckv::config {

KnownNames known_names() {
  KnownNames known;
  for (std::string_view name : predict::policy_names()) known.policies.emplace_back(name);
  known.policy_default = predict::policy_default(1);
  known.policy_spread = predict::policy_default(2);
  for (uint32_t id = SPECKV_PRESET_EXACT; id <= SPECKV_PRESET_LOSSLESS; id++) {
    codec::Preset preset;
    if (codec::preset(id, &preset)) known.presets.emplace_back(codec::preset_name(id), id);
  }
  // near-lossless where its codecs exist, else the best that does
  for (const auto& [name, id] : known.presets)
    if (id == SPECKV_PRESET_NEAR_LOSSLESS ||
        (id == SPECKV_PRESET_Q8 && known.preset_default.empty()))
      known.preset_default = name;
  if (known.preset_default.empty() && !known.presets.empty())
    known.preset_default = known.presets.front().first;
  return known;
}

}  // namespace speckv::config
