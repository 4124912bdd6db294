// SPDX-License-Identifier: Apache-2.0
// registry.cpp - the policies that exist, by name. A new policy is one file, one maker, one line
// here.
#include <array>

#include "predict/policies.hpp"

namespace speckv::predict {
namespace {

struct Entry {
  std::string_view name;
  std::unique_ptr<EvictionPolicy> (*make)(uint32_t capacity, uint32_t ghosts_min);
};

constexpr std::array kEntries = {
    Entry{"continuation", make_continuation},
    Entry{"lru", make_lru},
    Entry{"s3fifo", make_s3fifo},
};

constexpr auto kNames = [] {
  std::array<std::string_view, kEntries.size()> names;
  for (size_t i = 0; i < names.size(); ++i) names[i] = kEntries[i].name;
  return names;
}();

}  // namespace

std::span<const std::string_view> policy_names() { return kNames; }

// continuation wants a sequence's blocks in one shard; see README.md for what it loses otherwise.
std::string_view policy_default(uint32_t shards) { return shards > 1 ? "lru" : "continuation"; }

std::unique_ptr<EvictionPolicy> make_policy(std::string_view name, uint32_t capacity,
                                            uint32_t ghosts_min) {
  // kNoBlock, kParentAway and the list heads need numbers above the blocks'
  if (capacity == 0 || capacity > kCapacityMax) return nullptr;
  for (const Entry& entry : kEntries) {
    if (entry.name == name) return entry.make(capacity, ghosts_min);
  }
  return nullptr;
}

}  // namespace speckv::predict
