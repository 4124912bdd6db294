// SPDX-License-Identifier: Apache-2.0
#include "siege.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace speckv::test {
namespace {

DaemonOptions options() {
  DaemonOptions options;
  options.data_threads = 1;
  options.pool_bytes = "8MiB";
  options.daemon_lines = "socket_mode = \"0666\"\n";
  for (const auto& [name, uid] :
       {std::pair{victim_space, victim_uid}, {hostile_space, hostile_uid}})
    options.more += std::string("[[namespace]]\nname = \"") + name +
                    "\"\nbytes = \"32MiB\"\nindex_entries = 8192\npreset = \"exact\"\nuids = [" +
                    std::to_string(uid) + "]\n";
  return options;
}

}  // namespace

Siege::Siege() : daemon_(options()) {
  // The folder is the test's own; its socket is for everybody here.
  ::chmod(daemon_.folder().c_str(), 0755);
}

uint64_t resident_bytes(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/statm");
  uint64_t size = 0, resident = 0;
  file >> size >> resident;
  return resident * uint64_t(sysconf(_SC_PAGESIZE));
}

uint64_t open_files(pid_t pid) {
  std::error_code gone;
  uint64_t count = 0;
  for ([[maybe_unused]] const auto& each :
       std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/fd", gone))
    count++;
  return count;
}

}  // namespace speckv::test
