// SPDX-License-Identifier: Apache-2.0
// process.cpp - starting and stopping the servers. See process.hpp.
#include "process.hpp"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

namespace speckv::bench {
namespace {

using namespace std::chrono_literals;
constexpr auto kStartWait = 180s;  // a pool of some GiB is filled with zeros first
constexpr auto kStopWait = 5s;
constexpr auto kPoll = 10ms;

bool listens(const std::string& socket_path, int type) {
  const int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, socket_path.c_str(), sizeof address.sun_path - 1);
  const bool connected =
      connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  close(fd);
  return connected;
}

std::string end_of(const std::string& log_path) {
  std::ifstream in(log_path);
  std::stringstream text;
  text << in.rdbuf();
  const std::string all = text.str();
  return all.size() > 400 ? all.substr(all.size() - 400) : all;
}

}  // namespace

void keep_mounts_private() {
  if (unshare(CLONE_NEWNS) == 0) mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr);
}

TempDir::TempDir() {
  const char* base = getenv("TMPDIR");
  std::string pattern = std::string(base ? base : "/tmp") + "/speckv-bench-XXXXXX";
  if (mkdtemp(pattern.data()) == nullptr) {
    std::perror("bench: cannot make a directory under $TMPDIR");
    std::exit(1);
  }
  path_ = pattern;
}

TempDir::~TempDir() {
  // the daemon's pool outlives it by design; here nobody comes back for it
  umount2((path_ + "/pool").c_str(), MNT_DETACH);
  std::error_code error;
  std::filesystem::remove_all(path_, error);
}

std::string Process::start(const std::vector<std::string>& arguments, const std::string& log_path,
                           const std::string& socket_path) {
  std::vector<char*> argv;
  for (const auto& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  const int log = open(log_path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  pid_ = fork();
  if (pid_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    dup2(log, STDOUT_FILENO);
    dup2(log, STDERR_FILENO);
    execv(argv[0], argv.data());
    std::perror(argv[0]);
    _exit(127);
  }
  close(log);
  if (pid_ < 0) return std::string("fork: ") + std::strerror(errno);
  const auto give_up = std::chrono::steady_clock::now() + kStartWait;
  while (std::chrono::steady_clock::now() < give_up) {
    // redis-server listens on a stream socket, speckvd on one of packets
    if (listens(socket_path, SOCK_STREAM) || listens(socket_path, SOCK_SEQPACKET)) return "";
    if (waitpid(pid_, nullptr, WNOHANG) == pid_) {
      pid_ = -1;
      return arguments[0] + " ended at once: " + end_of(log_path);
    }
    std::this_thread::sleep_for(kPoll);
  }
  stop();
  return arguments[0] + " does not listen on " + socket_path + ": " + end_of(log_path);
}

double Process::cpu_s(const std::string& thread) const {
  double total_ns = 0;
  std::error_code error;
  const std::string tasks = "/proc/" + std::to_string(pid_) + "/task";
  for (const auto& task : std::filesystem::directory_iterator(tasks, error)) {
    double on_cpu_ns = 0;
    std::string name;
    std::getline(std::ifstream(task.path() / "comm"), name);
    if (name.rfind(thread, 0) != 0) continue;
    std::ifstream in(task.path() / "schedstat");
    if (in >> on_cpu_ns) total_ns += on_cpu_ns;
  }
  return total_ns * 1e-9;
}

void Process::stop() {
  if (pid_ <= 0) return;
  kill(pid_, SIGTERM);
  const auto give_up = std::chrono::steady_clock::now() + kStopWait;
  while (waitpid(pid_, nullptr, WNOHANG) == 0) {
    if (std::chrono::steady_clock::now() > give_up) kill(pid_, SIGKILL);
    std::this_thread::sleep_for(kPoll);
  }
  pid_ = -1;
}

std::string find_program(const std::string& name) {
  std::stringstream path(getenv("PATH") ? getenv("PATH") : "/usr/bin");
  for (std::string folder; std::getline(path, folder, ':');) {
    if (access((folder + "/" + name).c_str(), X_OK) == 0) return folder + "/" + name;
  }
  return "";
}

}  // namespace speckv::bench
