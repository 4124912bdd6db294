// SPDX-License-Identifier: Apache-2.0
// daemon_process.hpp - a speckvd of this build in a folder of its own, for one test.
//
// Starts it, waits until its socket answers, stops it by SIGTERM or SIGKILL, starts it again over
// the same pool. The destructor kills it, unmounts its pool and removes the folder. Not
// thread-safe.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace speckv::test {

struct DaemonOptions {
  std::string pool_bytes = "64MiB";
  std::string index_entries = "16384";
  std::string preset = "exact";
  unsigned data_threads = 2;
  std::string medium = "shm";
  std::string pool_lines;       // more of [pool], TOML
  std::string daemon_lines;     // more of [daemon]
  std::string metrics;          // address of its metrics; empty: none
  std::string session_lines;    // more of [session], TOML
  std::string namespace_lines;  // more of the namespace `default`
  std::string more;             // more tables
  uid_t uid = 0;                // whom it runs as, when the test is root
  std::string cgroup;   // folder of the control group that it runs in; empty: the test's own
  bool keeper = false;  // started by speckvd-keeper: pid() is then the keeper's
  std::string program;  // other than this build's speckvd
};

class DaemonProcess {
 public:
  explicit DaemonProcess(const DaemonOptions& options = {});
  ~DaemonProcess();
  DaemonProcess(const DaemonProcess&) = delete;
  DaemonProcess& operator=(const DaemonProcess&) = delete;

  // Returns: false when it did not come up in 20 s; log() says why.
  bool start();
  void stop();  // SIGTERM, and waits for its end
  void kill();  // SIGKILL, and waits for its end
  // Waits for its end without a signal. Returns: false when it lives on after so long.
  bool wait_end(int timeout_ms);
  // Of those that are started from now on: NAME=VALUE, and so much later a monotonic clock (root).
  void set_environment(std::vector<std::string> lines) { environment_ = std::move(lines); }
  void set_clock(int64_t seconds_later) { clock_s_ = seconds_later; }
  void pause();  // SIGSTOP, and waits until all its threads stand still
  void resume();
  pid_t pid() const { return pid_; }
  const std::string& folder() const { return folder_; }
  const std::string& socket_path() const { return socket_path_; }
  std::string log() const;

 private:
  void end(int signal);
  void enter_its_clock() const;

  std::string folder_;
  std::string socket_path_;
  std::string cgroup_;
  uid_t uid_;
  bool keeper_;
  std::string program_;
  std::vector<std::string> environment_;
  int64_t clock_s_ = 0;
  pid_t pid_ = -1;
};

}  // namespace speckv::test
