// SPDX-License-Identifier: Apache-2.0
// supervisor.cpp - see supervisor.hpp.
#include "loop/supervisor.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <sstream>

#include "loop/notify.hpp"

namespace speckv {

namespace {
constexpr int first_fd = 3;    // sd_listen_fds(3)
constexpr int fds_max = 1024;  // of which ours are few: a bound on what the environment may claim
}  // namespace

void keep_fd(const std::string& name, int fd) {
  notify("FDSTOREREMOVE=1\nFDNAME=" + name);
  notify("FDSTORE=1\nFDNAME=" + name, fd);
}

int take_kept_fd(const std::string& name) {
  const char* pid = std::getenv("LISTEN_PID");
  const char* count = std::getenv("LISTEN_FDS");
  const char* names = std::getenv("LISTEN_FDNAMES");
  if (!pid || !count || !names || std::atol(pid) != long(getpid())) return -1;
  std::istringstream words(names);
  std::string word;
  int found = -1;
  for (int i = 0; i < std::atoi(count) && i < fds_max && std::getline(words, word, ':'); i++) {
    const int fd = first_fd + i;
    if (word != name || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) continue;
    if (found >= 0) close(found);
    found = fd;
  }
  return found;
}

uint64_t watchdog_us() {
  const char* every = std::getenv("WATCHDOG_USEC");
  const char* pid = std::getenv("WATCHDOG_PID");
  if (!every || (pid && std::atol(pid) != long(getpid()))) return 0;
  const long long value = std::atoll(every);
  return value > 0 ? uint64_t(value) : 0;
}

}  // namespace speckv
