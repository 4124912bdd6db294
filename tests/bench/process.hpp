// SPDX-License-Identifier: Apache-2.0
// process.hpp - a server the bench starts for itself in a directory of its own, and takes down
// again.
//
// Who calls it: the suites that measure through speckvd or beside redis-server. The directory is
// private (0700) under $TMPDIR or /tmp; when the object goes, so do the process, what it mounted
// there, and the directory.
#pragma once

#include <signal.h>
#include <sys/types.h>

#include <string>
#include <vector>

namespace speckv::bench {

// Gives this process mounts of its own, so that what a server mounts is gone with the bench,
// however that ends. Without the right to do so nothing is mounted either.
void keep_mounts_private();

class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

class Process {
 public:
  Process() = default;
  ~Process() { stop(); }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  // Starts a program, its output into log_path, and waits until somebody listens on socket_path.
  // Returns: "" or one sentence with the end of the log.
  std::string start(const std::vector<std::string>& arguments, const std::string& log_path,
                    const std::string& socket_path);
  void signal(int number) const { kill(pid_, number); }
  // CPU time that its threads have had so far, those whose name begins so.
  double cpu_s(const std::string& thread = "") const;
  // SIGTERM, then after five seconds SIGKILL.
  void stop();

 private:
  pid_t pid_ = -1;
};

// The program's path in $PATH, "" when it is not there.
std::string find_program(const std::string& name);

}  // namespace speckv::bench
