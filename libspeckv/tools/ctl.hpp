// SPDX-License-Identifier: Apache-2.0
// ctl.hpp - the parts of speckvctl: its options, its connection, one function a command.
//
// Private to speckvctl*.cpp and ctl_*.cpp. Every command prints either for a person or, with
// --json, one JSON value. Returns of commands are exit statuses: 0 good, 1 the answer is bad
// (doctor found a fault, no such block, a read was wrong), 2 the question was.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace speckv::ctl {

struct Options {
  std::string socket;       // --socket, $SPECKV_SOCKET, /run/speckv/speckv.sock
  int32_t daemon_uid = -1;  // --daemon-uid; -1: root's, user speckv's or our own
  std::string space;        // bench: --namespace; "": the first one
  std::string preset;       // bench: --preset; "": exact and the namespace's own
  bool json = false;
  uint64_t limit = 100;            // ls: --limit
  int64_t turns = -1;              // top: -n; -1: until interrupted
  double interval_s = 1;           // top: -d
  std::vector<std::string> words;  // of the command, its name first
};

// A question that could not be answered: what to print, and the exit status.
struct Failure {
  std::string text;
};

// Asks the daemon. Throws: Failure when it cannot be reached or refuses; its own {"error"} too.
nlohmann::ordered_json ask(const Options& options, const std::string& request);

int show_status(const Options& options);
int show_top(const Options& options);
int show_list(const Options& options);
int show_info(const Options& options);
int show_size(const Options& options);
int run_bench(const Options& options);
int run_doctor(const Options& options);
int run_region(const Options& options);  // asks the kernel, not the daemon

// "1.5 GiB", "12.0 MiB", "731 B".
std::string human_bytes(double bytes);
// "12.3k", "4.56M", "17".
std::string human_count(double count);
// "3 d 4 h", "5 min 12 s".
std::string human_time(double seconds);
// Columns padded to their widest cell; the first row is the head. The first column is left-aligned,
// others right.
std::string table(const std::vector<std::vector<std::string>>& rows);

}  // namespace speckv::ctl
