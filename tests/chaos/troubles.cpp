// SPDX-License-Identifier: Apache-2.0
// troubles.cpp - what may happen to daemon and clients. Each trouble leaves a daemon that lives and
// clients that are to be served; a new one is a function and a line in the table.
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>

#include "chaos.hpp"
#include "client.hpp"

namespace speckv::test {

const Chaos::Trouble Chaos::troubles[] = {
    {"killed", &Chaos::killed, 20},
    {"killed at a store", &Chaos::killed_at_a_store, 40},
    {"stopped", &Chaos::stopped, 4},
    {"the daemon stands still", &Chaos::daemon_stands_still, 4},
    {"a client stands still", &Chaos::client_stands_still, 4},
    {"a client is killed", &Chaos::client_is_killed, 4},
    {"a second daemon", &Chaos::second_daemon, 2},
    {"no descriptors", &Chaos::no_descriptors, 2},
    {"no space", &Chaos::no_space, 2},
    {"another clock", &Chaos::other_clock, 4},
    {nullptr, nullptr, 0},
};

void Chaos::killed() {
  usleep(unsigned(below(20'000)));
  daemon_.kill();
  note_death();
  live();
}

void Chaos::stopped() {
  usleep(unsigned(below(20'000)));
  daemon_.stop();
  note_death();
  live();
}

// Several lives in a row, which may end while they begin.
void Chaos::killed_at_a_store() {
  daemon_.kill();
  note_death();
  for (uint64_t lives = 1 + below(4); lives > 0; lives--) live_until_fate();
  live();
}

void Chaos::daemon_stands_still() {
  daemon_.pause();
  usleep(unsigned(below(200'000)));
  if (below(2)) {
    daemon_.kill();
    note_death();
    live();
  } else {
    daemon_.resume();
  }
}

// In the middle of a copy or a read, perhaps, over a death of the daemon.
void Chaos::client_stands_still() {
  Roles& roles = below(2) ? keepers_ : churners_;
  const size_t which = size_t(below(roles.count()));
  roles.signal(which, SIGSTOP);
  usleep(unsigned(below(50'000)));
  if (below(2)) killed();
  usleep(unsigned(below(50'000)));
  roles.signal(which, SIGCONT);
}

// Of the full namespace: nobody would remove what it leaves in the other.
void Chaos::client_is_killed() {
  churners_.signal(size_t(below(churners_.count())), SIGKILL);
  send_churner(clients_++);
}

// It is refused, with a sentence, and the first one does not notice.
void Chaos::second_daemon() {
  const std::string config = daemon_.folder() + "/speckvd.toml",
                    text = daemon_.folder() + "/second";
  const pid_t first = daemon_.pid();
  const std::string program = "/proc/" + std::to_string(first) + "/exe";
  const pid_t child = fork();
  if (child == 0) {
    const int fd = open(text.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    dup2(fd, 1);
    dup2(fd, 2);
    execl(program.c_str(), "speckvd", "--config", config.c_str(), static_cast<char*>(nullptr));
    _exit(127);
  }
  int status = 0;
  pid_t ended = 0;
  for (int i = 0; i < 20'000 && ended == 0; i++, usleep(1000))
    ended = waitpid(child, &status, WNOHANG);
  if (ended == 0) {
    ::kill(child, SIGKILL);
    waitpid(child, &status, 0);
    return fail("a second daemon lives beside the first");
  }
  std::ifstream file(text);
  std::stringstream said;
  said << file.rdbuf();
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 1 ||
      said.str().find("in use") == std::string::npos)
    fail("a second daemon ended otherwise than by a refusal: " + said.str());
  if (daemon_.pid() != first) fail("the first daemon went");
}

// Whoever asks is answered, and it serves those whom it has.
void Chaos::no_descriptors() {
  uint64_t files = 0;
  for ([[maybe_unused]] const auto& each :
       std::filesystem::directory_iterator("/proc/" + std::to_string(daemon_.pid()) + "/fd"))
    files++;
  rlimit before{}, tight{};
  if (prlimit(daemon_.pid(), RLIMIT_NOFILE, nullptr, &before) != 0) return fail("prlimit");
  tight = {files + below(12), before.rlim_max};
  prlimit(daemon_.pid(), RLIMIT_NOFILE, &tight, nullptr);
  {
    std::vector<std::unique_ptr<Client>> clients;
    for (int i = 0; i < 3; i++) {
      clients.push_back(std::make_unique<Client>(daemon_.socket_path(), "churn", 1 << 20));
      if (clients.back()->opened() == -ETIMEDOUT)
        fail("without descriptors, a client that asks is not answered");
    }
    wait_for_progress();
  }
  prlimit(daemon_.pid(), RLIMIT_NOFILE, &before, nullptr);
}

// The folder of the daemon is full while it starts again.
void Chaos::no_space() {
  daemon_.kill();
  note_death();
  const std::string path = daemon_.folder() + "/ballast";
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  struct statfs room {};
  if (fd >= 0 && fstatfs(fd, &room) == 0 && room.f_type == 0x01021994)  // a tmpfs: main.cpp
    for (int64_t left = int64_t(room.f_bfree); left > 0; left--)
      if (lseek(fd, (left - 1) * room.f_bsize, SEEK_SET) < 0 || write(fd, "", 1) != 1) break;
  close(fd);
  live();
  if (failures_ == 0) wait_for_progress();
  unlink(path.c_str());
}

// The next daemon lives in a time namespace: its clock is hours before or behind its clients'.
void Chaos::other_clock() {
  daemon_.kill();
  note_death();
  daemon_.set_clock(below(2) ? int64_t(below(1'000'000)) : -int64_t(below(3'000)));
  live();
  if (failures_ == 0) wait_for_progress();
  daemon_.kill();
  note_death();
  daemon_.set_clock(0);
  live();
}

}  // namespace speckv::test
