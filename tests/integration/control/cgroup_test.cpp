// SPDX-License-Identifier: Apache-2.0
// cgroup_test.cpp - a daemon in a control group whose limit its memory does not fit says so in a
// sentence, at start and for each arena, and is not killed.
//
// How: a real group of the memory hierarchy that is mounted here, version 2 or 1, made below the
// test's own; the daemon is started by a child that joined it. Where groups cannot be made the test
// says why and skips. What the kernel would do otherwise is looked at, too: a process that takes
// more than the limit is killed there.
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <memory>
#include <sstream>

#include "clients.hpp"

namespace speckv::test {
namespace {

constexpr uint64_t mib = 1 << 20;

// A group with a limit, below the one that this process is in.
class Group {
 public:
  Group() {
    const std::string own = read("/proc/self/cgroup");
    std::istringstream lines(own);
    for (std::string line; std::getline(lines, line);) {
      const size_t first = line.find(':'), second = line.find(':', first + 1);
      const std::string kind = line.substr(first + 1, second - first - 1);
      const std::string below = line.substr(second + 1);
      if (kind == "memory") try_at("/sys/fs/cgroup/memory" + below, "memory.limit_in_bytes");
      if (kind.empty()) try_second("/sys/fs/cgroup", below);
    }
  }
  ~Group() {
    for (int i = 0; i < 1000 && !folder_.empty() && rmdir(folder_.c_str()) != 0; i++) usleep(5000);
  }
  Group(const Group&) = delete;
  Group& operator=(const Group&) = delete;

  bool made() const { return !folder_.empty(); }
  const std::string& why_not() const { return why_not_; }
  const std::string& folder() const { return folder_; }
  bool limit(uint64_t bytes) { return write(limit_file_, std::to_string(bytes)); }
  // Runs work() in a child that is in the group. Returns: its wait status.
  int run(const std::function<int()>& work) {
    const pid_t child = fork();
    if (child == 0) _exit(write("cgroup.procs", std::to_string(getpid())) ? work() : 125);
    int status = -1;
    waitpid(child, &status, 0);
    return status;
  }
  bool write(const std::string& file, const std::string& text) const {
    std::ofstream out(folder_ + "/" + file);
    return bool(out << text << std::flush);
  }

 private:
  static std::string read(const std::string& path) {
    std::ifstream file(path);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
  }
  // A group of version 2 hands its controllers to those below only if it has no process itself:
  // try the own one, then the root.
  void try_second(const std::string& mount, const std::string& below) {
    for (const std::string& parent : {mount + below, mount}) {
      if (read(parent + "/cgroup.controllers").find("memory") == std::string::npos) continue;
      std::ofstream(parent + "/cgroup.subtree_control") << "+memory" << std::flush;
      try_at(parent, "memory.max");
    }
  }
  void try_at(const std::string& parent, const std::string& limit_file) {
    if (made()) return;
    const std::string folder = parent.substr(0, parent.find_last_not_of('/') + 1) +
                               "/speckv-test-" + std::to_string(getpid());
    if (mkdir(folder.c_str(), 0755) != 0) {
      why_not_ += folder + ": " + std::strerror(errno) + "; ";
      return;
    }
    if (access((folder + "/" + limit_file).c_str(), W_OK) == 0) {
      folder_ = folder;
      limit_file_ = limit_file;
    } else {
      why_not_ += folder + " has no " + limit_file + "; ";
      rmdir(folder.c_str());
    }
  }

  std::string folder_, limit_file_, why_not_ = "no memory hierarchy of control groups: ";
};

class Cgroup : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!group_.made()) GTEST_SKIP() << group_.why_not();
  }
  DaemonOptions options(const std::string& pool) {
    DaemonOptions options;
    options.data_threads = 1;
    options.pool_bytes = pool;
    options.session_lines = "arena_bytes_max = \"256MiB\"\n";
    options.index_entries = "1024";
    options.cgroup = group_.folder();
    return options;
  }
  Group group_;
};

TEST_F(Cgroup, TheKernelKillsWhoTakesMore) {
  ASSERT_TRUE(group_.limit(64 * mib));
  const int status = group_.run([] {
    void* memory = mmap(nullptr, 256 * mib, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    return memory == MAP_FAILED ? 1 : 0;
  });
  if (WIFEXITED(status)) GTEST_SKIP() << "this kernel does not enforce the limit (swap?)";
  EXPECT_EQ(WTERMSIG(status), SIGKILL);
}

TEST_F(Cgroup, APoolAboveTheLimitIsRefusedInASentence) {
  ASSERT_TRUE(group_.limit(128 * mib));
  for (const char* medium : {"shm", "memfd"}) {
    DaemonOptions big = options("256MiB");
    big.medium = medium;
    DaemonProcess daemon(big);
    EXPECT_FALSE(daemon.start()) << medium;
    EXPECT_NE(daemon.log().find("left of the memory limit of the control group " + group_.folder()),
              std::string::npos)
        << medium << ": " << daemon.log();
  }
}

// The pool fits, some arenas do; the first that does not is refused, and the daemon serves on.
TEST_F(Cgroup, AnArenaAboveTheLimitIsRefusedAndTheDaemonServesOn) {
  ASSERT_TRUE(group_.limit(256 * mib));
  DaemonProcess daemon(options("64MiB"));
  ASSERT_TRUE(daemon.start()) << daemon.log();
  const std::string& path = daemon.socket_path();
  std::vector<std::unique_ptr<Wire>> held;
  int error = 0;
  for (int i = 0; i < 8 && error == 0; i++) {
    held.push_back(std::make_unique<Wire>(path));
    error = held.back()->hello("default", 64 * mib);
  }
  EXPECT_EQ(error, ENOMEM);
  EXPECT_GE(held.size(), 2u) << "one at least fits";
  EXPECT_NE(held.back()->text().find("ask for less"), std::string::npos) << held.back()->text();
  EXPECT_NE(daemon.log().find("left of the memory limit of the control group"), std::string::npos)
      << daemon.log();
  const nlohmann::json status = status_of(path);
  ASSERT_TRUE(status.is_object()) << "it lives";
  EXPECT_EQ(status["daemon"]["memory_limit_bytes"], 256 * mib);
  const size_t fitted = held.size() - 1;
  held.clear();
  EXPECT_TRUE(status_becomes(path, "arenas_bytes", 0));
  for (size_t i = 0; i < fitted; i++) {
    held.push_back(std::make_unique<Wire>(path));
    EXPECT_EQ(held.back()->hello("default", 64 * mib), 0) << held.back()->text();
  }
}

}  // namespace
}  // namespace speckv::test
