// SPDX-License-Identifier: Apache-2.0
#include "siege.hpp"

#include <grp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
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

uint64_t Tally::put_ns(double share) const {
  uint64_t all = 0, seen = 0;
  for (const auto& count : put_log2) all += count;
  for (size_t i = 0; i < put_log2.size(); i++)
    if ((seen += put_log2[i]) >= share * double(all)) return uint64_t{1} << (i + 1);
  return 0;
}

Siege::Siege() : daemon_(options()) {
  // The folder is the test's own; its socket is for everybody here.
  ::chmod(daemon_.folder().c_str(), 0755);
  void* shared =
      mmap(nullptr, sizeof(Tally), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  tally_ = shared == MAP_FAILED ? nullptr : static_cast<Tally*>(shared);
}

Siege::~Siege() {
  end();
  if (tally_) munmap(tally_, sizeof(Tally));
}

void Siege::send(uid_t uid, std::function<void()> role) {
  const pid_t child = fork();
  if (child > 0) children_.push_back(child);
  if (child != 0) return;
  if (setgroups(0, nullptr) != 0 || setgid(uid) != 0 || setuid(uid) != 0) _exit(126);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  role();
  _exit(0);
}

void Siege::end() {
  if (tally_) tally_->stop = true;
  for (const pid_t child : children_) {
    int status;
    for (int i = 0; i < 30'000 && waitpid(child, &status, WNOHANG) == 0; i++) {
      if (i == 29'999) ::kill(child, SIGKILL);
      usleep(1000);
    }
  }
  children_.clear();
  if (tally_) tally_->stop = false;
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
