// SPDX-License-Identifier: Apache-2.0
// doctor.hpp - what `speckvctl doctor` finds: judgements over the daemon's figures and this
// machine's, as pure functions.
//
// A check decides by fields of `status`, never by a sentence that is meant for people; a field that
// an older daemon does not send is a check that is left out. Used by ctl_doctor.cpp, which asks and
// prints, and by tests with made-up figures.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace speckv::ctl {

// `fault`: something promised is not kept. `advice`: it is kept, but could be better.
enum class State { good, advice, fault };

struct Finding {
  std::string check;
  State state = State::good;
  std::string text, advice;
};

// What only the machine knows.
struct Machine {
  bool swap = false;
  std::string kernel;                    // the running one
  std::vector<std::string> kernels;      // that could be booted
  std::vector<std::string> with_module;  // of these, for which speckv.ko is installed
  bool module_loaded = false;
  enum class SecureBoot { off, on, unknown } secure_boot = SecureBoot::unknown;
};
Machine look_at_machine();

// Of the whole machine and daemon, then of each namespace, then of clients.
std::vector<Finding> judge(const nlohmann::ordered_json& status, const Machine& machine);

}  // namespace speckv::ctl
