// SPDX-License-Identifier: Apache-2.0
// ctl_doctor.cpp - goes through what commonly makes a tier slow, leaky or short-lived, and says
// what to do about it.
//
// Each check looks at the daemon's own figures or at this machine's settings; none changes
// anything. `fault` means that something promised is not kept; `advice` that it is kept but could
// be better.
#include <cstdio>
#include <cstring>
#include <fstream>

#include "speckv/speckv.h"
#include "tools/ctl.hpp"

namespace speckv::ctl {
namespace {

using nlohmann::ordered_json;

enum class State { good, advice, fault };

struct Finding {
  std::string check;
  State state = State::good;
  std::string text, advice;
};

const char* word(State state) {
  return state == State::good ? "ok" : state == State::advice ? "advice" : "FAULT";
}

double number(const ordered_json& object, const char* field) {
  return object.at(field).get<double>();
}

void check_isolation(const ordered_json& daemon, std::vector<Finding>* ret) {
  const auto text = daemon.at("isolation").get<std::string>();
  const bool whole = text.rfind("by read-only mount", 0) == 0;
  ret->push_back(
      {"isolation", whole ? State::good : State::advice, text,
       whole ? ""
             : "processes of the daemon's uid could write: run it as root or give it CAP_SYS_ADMIN "
               "(the unit file does), with medium \"shm\""});
}

void check_restart(const ordered_json& daemon, std::vector<Finding>* ret) {
  const bool survives = daemon.at("survives_daemon").get<bool>();
  ret->push_back({"restart", survives ? State::good : State::advice,
                  survives ? "blocks outlive the daemon" : "blocks end with the daemon",
                  survives ? "" : "use medium \"shm\" (with CAP_SYS_ADMIN) or \"devdax\""});
}

void check_engine(const ordered_json& daemon, std::vector<Finding>* ret) {
  const auto isa = daemon.at("codec_isa").get<std::string>();
  const bool simd = isa != "scalar" && isa != "EMU128";
  ret->push_back({"codec", simd ? State::good : State::advice, isa,
                  simd ? "" : "no vector instructions in use: expect a tenth of the speed"});
  if (daemon.at("emulated").get<bool>())
    ret->push_back({"emulation", State::advice, daemon.at("medium").get<std::string>(),
                    "the medium is throttled: figures of it are emulated; remove emulated_... for "
                    "production"});
}

void check_pages(const ordered_json& space, std::vector<Finding>* ret) {
  const bool huge = number(space, "pool_page_bytes") >= 2 << 20;
  ret->push_back(
      {"pages of " + space.at("name").get<std::string>(), huge ? State::good : State::advice,
       human_bytes(number(space, "pool_page_bytes")),
       huge
           ? ""
           : "no 2 MiB pages: memory was fragmented when the pool was made, or "
             "/sys/kernel/mm/transparent_hugepage/shmem_enabled says deny, or huge_pages = false"});
}

void check_room(const ordered_json& space, std::vector<Finding>* ret) {
  const std::string name = space.at("name").get<std::string>();
  const double blocks = number(space, "blocks"), entries = number(space, "index_entries");
  char text[96];
  std::snprintf(text, sizeof text, "%.0f blocks, room for %.0f", blocks, entries);
  const bool short_index =
      blocks > 0.95 * entries && number(space, "free_units") > 0.05 * number(space, "units");
  ret->push_back(
      {"index of " + name, short_index ? State::advice : State::good, text,
       short_index ? "the index is full while the pool is not: raise index_entries" : ""});
  std::snprintf(text, sizeof text, "%.2f %% of the pool", 100 * number(space, "waste"));
  const bool wasted = number(space, "waste") > 0.02;
  ret->push_back({"waste of " + name, wasted ? State::advice : State::good, text,
                  wasted ? "slot sizes fit 2 MiB badly: another block_tokens may fit better" : ""});
}

void check_troubles(const ordered_json& space, std::vector<Finding>* ret) {
  const std::string name = space.at("name").get<std::string>();
  const double failed = number(space, "failed_blocks"), written = number(space, "written_blocks");
  char text[96];
  std::snprintf(text, sizeof text, "%.0f failed, %.0f written", failed, written);
  const bool many = failed > 0.01 * written;
  ret->push_back(
      {"puts of " + name, many ? State::advice : State::good, text,
       many ? "the pool was full of held blocks, or clients sent what they may not: see the log"
            : ""});
  const double refused = number(space, "refused_segments");
  if (refused > 0) {
    std::snprintf(text, sizeof text, "%.0f segments stored raw", refused);
    ret->push_back({"codec of " + name, State::advice, text,
                    "their values were NaN, Inf or out of range: check the model's KV, or use "
                    "preset \"exact\""});
  }
}

void check_clients(const ordered_json& status, std::vector<Finding>* ret) {
  for (const ordered_json& session : status.at("sessions"))
    if (number(session, "dropped_completions") > 0)
      ret->push_back(
          {"session " + session.at("id").dump(), State::advice,
           session.at("dropped_completions").dump() + " completions dropped",
           "pid " + session.at("pid").dump() + " does not reap: a fault of that program"});
  const double malformed = number(status.at("daemon"), "malformed_messages");
  if (malformed > 0)
    ret->push_back({"messages", State::advice,
                    status.at("daemon").at("malformed_messages").dump() + " malformed",
                    "something else than libspeckv talks to the socket"});
}

// Memory of a tmpfs or memfd can be swapped out: a hit would then read a disk.
void check_swap(const ordered_json& daemon, std::vector<Finding>* ret) {
  if (daemon.at("medium").get<std::string>().rfind("devdax", 0) == 0) return;
  std::ifstream file("/proc/swaps");
  std::string line;
  int devices = -1;  // its first line is a head
  while (std::getline(file, line)) devices++;
  const bool swap = devices > 0;
  ret->push_back(
      {"swap", swap ? State::advice : State::good, swap ? "on" : "off",
       swap ? "the pool's pages can be swapped out: swapoff, or keep enough memory free" : ""});
}

// Opens a session as any client would; what the daemon says of itself is not enough.
void check_session(const Options& options, const ordered_json& status, std::vector<Finding>* ret) {
  const std::string space = options.space.empty()
                                ? status.at("namespaces").at(0).at("name").get<std::string>()
                                : options.space;
  speckv_open_args args{};
  args.size = sizeof args;
  args.socket_path = options.socket.c_str();
  args.namespace_name = space.c_str();
  args.daemon_uid = -1;
  speckv_session* session = nullptr;
  const int result = speckv_open(&args, &session);
  if (result == 0) speckv_close(session);
  const bool refused = result == -EACCES;
  ret->push_back(
      {"session in " + space,
       result == 0 ? State::good
       : refused   ? State::advice
                   : State::fault,
       result == 0 ? std::string("opens, libspeckv ") + speckv_version() : std::strerror(-result),
       result == 0 ? ""
       : refused   ? "this user may not use it: see uids, gids and anyone in the configuration"
                   : "clients cannot connect: see the daemon's log"});
}

std::vector<Finding> examine(const Options& options) {
  std::vector<Finding> findings;
  ordered_json status;
  try {
    status = ask(options, "status");
  } catch (const Failure& failure) {
    return {{"daemon", State::fault, "not reached", failure.text}};
  }
  const ordered_json& daemon = status.at("daemon");
  findings.push_back(
      {"daemon", State::good, "speckvd " + daemon.at("version").get<std::string>(), ""});
  check_isolation(daemon, &findings);
  check_restart(daemon, &findings);
  check_engine(daemon, &findings);
  check_swap(daemon, &findings);
  for (const ordered_json& space : status.at("namespaces")) {
    check_pages(space, &findings);
    check_room(space, &findings);
    check_troubles(space, &findings);
  }
  check_clients(status, &findings);
  check_session(options, status, &findings);
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
