// SPDX-License-Identifier: Apache-2.0
// run.hpp - the measurement: every arm serves the same turns, and what came out.
//
// What it is: the loop over turns and arms, and the figures of each arm. Arms are interleaved turn
// by turn in shuffled order, so that whatever else the machine does falls on all of them alike. Who
// calls it: main.cpp.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "arm.hpp"
#include "quality.hpp"
#include "workload.hpp"

namespace speckv::qa {

struct Sample {
  Turn turn;
  uint32_t prompt_tokens;
  uint32_t reused;
  double ttft_ms;
  double total_ms;
};

struct ArmResult {
  std::string name;
  std::vector<Sample> samples;  // in the order of turns
  Holding holding;
  std::optional<Quality> quality;

  double requests_per_s() const;
  double ttft_ms(double quantile) const;
  uint64_t tokens_reused() const;
  double ratio() const;  // raw / stored; 0 when it stores nothing
};

// Gives every arm the KV of every document, computed once, before the clock starts.
void load_documents(const Workload& load, Context& context, const std::vector<Arm*>& arms);

std::vector<ArmResult> run_turns(const Workload& load, const std::vector<Arm*>& arms);

// What the store costs where nothing comes back: prompts that no arm has seen, one after the other
// through both arms. Returns: requests/s of `ours` / of `alone`; 0 when load asks for no such
// prompts. Fills up the store of `ours`.
double fresh_ratio(const Workload& load, Arm& alone, Arm& ours);

}  // namespace speckv::qa
