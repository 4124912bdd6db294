// SPDX-License-Identifier: Apache-2.0
// chains.cpp - the pool of named blocks. See chains.hpp.
#include "chains.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

namespace speckv::predict {

Chains::Chains(std::string_view policy, uint32_t capacity)
    : policy_(make_policy(policy, capacity)),
      name_of_(capacity),
      parent_of_(capacity),
      pinned_(capacity, 0) {
  EXPECT_NE(policy_, nullptr) << policy;
  for (uint32_t slot = capacity; slot > 0; --slot) free_.push_back(slot - 1);
}

bool Chains::make_room() {
  if (!free_.empty()) return true;
  uint32_t slot = kNoBlock;
  if (!policy_->victim(now_ns, pinned_, &slot)) return false;
  EXPECT_LT(slot, name_of_.size());
  EXPECT_FALSE(name_of_[slot].empty()) << "a victim must be resident";
  EXPECT_EQ(pinned_[slot], 0) << "a pinned block must stay: " << name_of_[slot];
  evicted_.push_back(name_of_[slot]);
  evicted_parents_ += std::count(parent_of_.begin(), parent_of_.end(), name_of_[slot]) > 0;
  remove(name_of_[slot]);
  return true;
}

bool Chains::put(const std::string& name, const std::string& parent) {
  if (has(name)) {
    hit(name);
    return true;
  }
  if (!make_room()) return false;
  BlockFacts facts;
  facts.key_hash = std::hash<std::string>{}(name);
  facts.now_ns = now_ns;
  if (!parent.empty()) facts.parent = has(parent) ? slot(parent) : kParentAway;
  const uint32_t slot = free_.back();
  free_.pop_back();
  slot_of_[name] = slot;
  name_of_[slot] = name;
  parent_of_[slot] = has(parent) ? parent : "";
  policy_->on_insert(slot, facts);
  return true;
}

uint32_t Chains::ask(const std::string& prefix, uint32_t n) {
  uint32_t led = 0;
  for (; led < n && has(prefix + std::to_string(led)); ++led) hit(prefix + std::to_string(led));
  for (uint32_t i = led; i < n; ++i) {
    put(prefix + std::to_string(i), i > 0 ? prefix + std::to_string(i - 1) : "");
  }
  return led;
}

void Chains::hit(const std::string& name) { policy_->on_hit(slot(name), now_ns); }

void Chains::remove(const std::string& name_ref) {
  const std::string name = name_ref;
  const uint32_t at = slot(name);
  policy_->on_remove(at);
  slot_of_.erase(name);
  std::replace(parent_of_.begin(), parent_of_.end(), name_of_[at], std::string());
  name_of_[at].clear();
  parent_of_[at].clear();
  pinned_[at] = 0;
  free_.push_back(at);
}

void Chains::pin(const std::string& name, bool pinned) { pinned_[slot(name)] = pinned; }

uint32_t Chains::leading(const std::string& prefix) const {
  uint32_t n = 0;
  while (has(prefix + std::to_string(n))) ++n;
  return n;
}

}  // namespace speckv::predict
