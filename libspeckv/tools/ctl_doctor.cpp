// SPDX-License-Identifier: Apache-2.0
// ctl_doctor.cpp - goes through what commonly makes a tier slow, leaky or short-lived, and says
// what to do about it: asks the daemon and the machine, has doctor_judge decide, opens a session in
// each namespace, prints. Changes nothing.
#include <algorithm>
#include <cstdio>
#include <cstring>

#include "speckv/speckv.h"
#include "tools/ctl.hpp"
#include "tools/doctor.hpp"

namespace speckv::ctl {
namespace {

using nlohmann::ordered_json;

const char* word(State state) {
  return state == State::good ? "ok" : state == State::advice ? "advice" : "FAULT";
}

// Opens a session as any client would; what the daemon says of itself is not enough.
Finding try_session(const Options& options, const std::string& space) {
  speckv_open_args args{};
  args.size = sizeof args;
  args.socket_path = options.socket.c_str();
  args.namespace_name = space.c_str();
  args.daemon_uid = options.daemon_uid;
  speckv_session* session = nullptr;
  const int result = speckv_open(&args, &session);
  if (result == 0) speckv_close(session);
  const std::string check = "session in " + space;
  if (result == 0)
    return {check, State::good, std::string("opens, libspeckv ") + speckv_version(), ""};
  if (result == -EACCES)
    return {check, State::advice, std::strerror(-result),
            "this user may not use it: see uids, gids and anyone in the configuration"};
  return {check, State::fault, std::strerror(-result),
          "clients cannot connect: see the daemon's log"};
}

std::vector<Finding> examine(const Options& options) {
  ordered_json status;
  try {
    status = ask(options, "status");
  } catch (const Failure& failure) {
    return {{"daemon", State::fault, "not reached", failure.text}};
  }
  std::vector<Finding> findings = judge(status, look_at_machine());
  for (const ordered_json& space : status.at("namespaces"))
    findings.push_back(try_session(options, space.at("name").get<std::string>()));
  return findings;
}

}  // namespace

int run_doctor(const Options& options) {
  const std::vector<Finding> findings = examine(options);
  int faults = 0;
  auto list = ordered_json::array();
  size_t width = 0;
  for (const Finding& finding : findings) width = std::max(width, finding.check.size());
  for (const Finding& finding : findings) {
    faults += finding.state == State::fault;
    list.push_back(
        {{"check", finding.check}, {"state", word(finding.state)}, {"text", finding.text}});
    if (!finding.advice.empty()) list.back()["advice"] = finding.advice;
    if (options.json) continue;
    std::printf("%-6s  %-*s  %s\n", word(finding.state), int(width), finding.check.c_str(),
                finding.text.c_str());
    if (!finding.advice.empty())
      std::printf("%*s  -> %s\n", int(width) + 8, "", finding.advice.c_str());
  }
  if (options.json)
    std::puts(ordered_json{{"faults", faults}, {"findings", list}}
                  .dump(2, ' ', false, ordered_json::error_handler_t::replace)
                  .c_str());
  return faults ? 1 : 0;
}

}  // namespace speckv::ctl
