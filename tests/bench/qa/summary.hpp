// SPDX-License-Identifier: Apache-2.0
// summary.hpp - what the run found, in three forms: a table on stdout, summary.json, report.html.
//
// Who calls it: main.cpp, last. Never: measures or judges anew; each form shows the same Findings.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "check.hpp"
#include "run.hpp"
#include "workload.hpp"

namespace speckv::qa {

// One promise of the design and what this run says of it.
struct Goal {
  std::string name;
  double value;
  double goal;
  bool reached() const { return value >= goal; }
};

struct Findings {
  std::string cpu;      // the machine's own word for it
  std::string library;  // libspeckv's version and instruction set
  std::string medium;   // of the pool, as configured
  int threads = 0;
  uint64_t pool_bytes = 0;
  uint64_t kv_bytes = 0;  // of all sessions at the end, uncompressed
  CheckResult check;
  std::vector<ArmResult> arms;
  double fresh_ratio = 0;  // of the default preset; see run.hpp
  std::vector<Goal> goals;
};

// The names that arms have in every form.
inline constexpr char kAlone[] = "engine alone";
inline constexpr char kHostCache[] = "engine + own RAM cache";
inline constexpr char kResident[] = "engine holds all (bound)";
std::string speckv_arm(const std::string& preset);

// Fills goals from the arms that ran.
void judge(Findings* findings);

void print_table(const Findings& findings, const Workload& load);
// What `judge` found: the check, and each preset's loss.
void write_quality(const std::string& file, const CheckResult& check,
                   const std::vector<std::pair<std::string, Quality>>& presets);
void write_summary(const std::string& file, const Findings& findings, const Workload& load);
void write_report(const std::string& file, const Findings& findings, const Workload& load);

}  // namespace speckv::qa
