// SPDX-License-Identifier: Apache-2.0
// chains.hpp - a small pool of named blocks for the policies' tests: put, get, and see who went.
//
// Plays the daemon's part of policy.hpp: slots are given and taken back here, parents are looked up
// by name. Asserts (by gtest) that a victim is resident and not pinned. Used by tests/unit/predict.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "predict/policy.hpp"

namespace speckv::predict {

class Chains {
 public:
  Chains(std::string_view policy, uint32_t capacity);

  uint64_t now_ns = 0;
  void wait_s(double s) { now_ns += uint64_t(s * 1e9); }

  // Puts one block after `parent` ("" : it is the first). Returns: false when nothing could go.
  bool put(const std::string& name, const std::string& parent = "");
  // A request for the chain prefix0, prefix1, ... of n blocks: reads what leads, puts the rest.
  // Returns: how many led.
  uint32_t ask(const std::string& prefix, uint32_t n);
  void hit(const std::string& name);
  void remove(const std::string& name);
  void pin(const std::string& name, bool pinned);

  bool has(const std::string& name) const { return slot_of_.count(name) != 0; }
  uint32_t leading(const std::string& prefix) const;
  uint32_t slot(const std::string& name) const { return slot_of_.at(name); }
  EvictionPolicy& policy() { return *policy_; }
  const std::vector<std::string>& evicted() const { return evicted_; }
  // Evicted while a child that was put after them, with them resident, still was.
  uint32_t evicted_parents() const { return evicted_parents_; }

 private:
  bool make_room();

  std::unique_ptr<EvictionPolicy> policy_;
  std::map<std::string, uint32_t> slot_of_;
  std::vector<std::string> name_of_;
  std::vector<std::string> parent_of_;  // as the policy was told; cleared when the parent goes
  std::vector<uint8_t> pinned_;
  std::vector<uint32_t> free_;
  std::vector<std::string> evicted_;
  uint32_t evicted_parents_ = 0;
};

}  // namespace speckv::predict
