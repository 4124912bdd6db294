// SPDX-License-Identifier: Apache-2.0
#include "roles.hpp"

#include <grp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

namespace speckv::test {

uint64_t Tally::put_ns(double share) const {
  uint64_t all = 0, seen = 0;
  for (const auto& count : put_log2) all += count;
  for (size_t i = 0; i < put_log2.size(); i++)
    if ((seen += put_log2[i]) >= share * double(all)) return uint64_t{1} << (i + 1);
  return 0;
}

Roles::Roles() {
  void* shared =
      mmap(nullptr, sizeof(Tally), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) std::abort();
  tally_ = static_cast<Tally*>(shared);
}

Roles::~Roles() {
  end();
  munmap(tally_, sizeof(Tally));
}

void Roles::send(uid_t uid, const std::function<void()>& role) {
  const pid_t child = fork();
  if (child > 0) children_.push_back(child);
  if (child != 0) return;
  if (uid != 0 && (setgroups(0, nullptr) != 0 || setgid(uid) != 0 || setuid(uid) != 0)) _exit(126);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  role();
  _exit(0);
}

void Roles::signal(size_t which, int number) {
  ::kill(children_[which], number);
  if (number != SIGKILL) return;
  int status = 0;
  waitpid(children_[which], &status, 0);
  children_.erase(children_.begin() + ptrdiff_t(which));
}

void Roles::end() {
  tally_->stop = true;
  for (const pid_t child : children_) {
    int status;
    for (int i = 0; i < 30'000 && waitpid(child, &status, WNOHANG) == 0; i++) {
      if (i == 29'999) ::kill(child, SIGKILL);
      usleep(1000);
    }
  }
  children_.clear();
  tally_->stop = false;
}

}  // namespace speckv::test
