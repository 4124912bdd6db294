// SPDX-License-Identifier: Apache-2.0
#include "daemon_process.hpp"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace speckv::test {
namespace {

constexpr char prefix[] = "speckv-test-";

void remove_folder(const std::string& folder) {
  umount2((folder + "/pool").c_str(), MNT_DETACH);
  std::error_code ignored;
  std::filesystem::remove_all(folder, ignored);
}

// A test that was killed leaves its pool's memory mounted: the next one gives it back.
void sweep() {
  std::error_code ignored;
  for (const auto& entry :
       std::filesystem::directory_iterator(std::filesystem::temp_directory_path(), ignored)) {
    const std::string name = entry.path().filename().string();
    if (name.rfind(prefix, 0) != 0) continue;
    const pid_t owner = std::atoi(name.c_str() + sizeof prefix - 1);
    if (owner > 0 && ::kill(owner, 0) != 0 && errno == ESRCH) remove_folder(entry.path().string());
  }
}

std::string make_folder() {
  sweep();
  const std::string name = prefix + std::to_string(getpid()) + "-XXXXXX";
  std::string path = (std::filesystem::temp_directory_path() / name).string();
  if (!mkdtemp(path.data())) std::abort();
  return path;
}

std::string pool_table(const DaemonOptions& options) {
  if (const char* other = std::getenv("SPECKV_TEST_POOL")) return other;
  return "medium = \"" + options.medium + "\"\n" + options.pool_lines;
}

// A whole run of tests on another kind of daemon: what a test asks for itself goes before.
std::string daemon_lines(const DaemonOptions& options) {
  const char* other = std::getenv("SPECKV_TEST_DAEMON");
  return other && options.daemon_lines.empty() ? other : options.daemon_lines;
}

void write_config(const std::string& path, const std::string& folder,
                  const DaemonOptions& options) {
  std::ofstream file(path);
  file << "[daemon]\nsocket = \"" << folder << "/s\"\nruntime_dir = \"" << folder << "\"\n"
       << "data_threads = " << options.data_threads << "\nmetrics = \"" << options.metrics << "\"\n"
       << daemon_lines(options) << "\n[pool]\n"
       << pool_table(options) << "\n[session]\n"
       << options.session_lines << "\n"
       << "[[namespace]]\nname = \"default\"\nbytes = \"" << options.pool_bytes << "\"\n"
       << "index_entries = " << options.index_entries << "\npreset = \"" << options.preset << "\"\n"
       << options.namespace_lines << "\n"
       << options.more << "\n";
}

bool answers(const std::string& socket_path) {
  const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, socket_path.c_str(), sizeof address.sun_path - 1);
  const bool connected = connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  close(fd);
  return connected;
}

}  // namespace

DaemonProcess::DaemonProcess(const DaemonOptions& options)
    : folder_(make_folder()),
      socket_path_(folder_ + "/s"),
      cgroup_(options.cgroup),
      uid_(options.uid),
      keeper_(options.keeper),
      program_(options.program) {
  write_config(folder_ + "/speckvd.toml", folder_, options);
  if (uid_ == 0) return;
  if (chown(folder_.c_str(), uid_, uid_) != 0 || chmod(folder_.c_str(), 0755) != 0) std::abort();
}

bool DaemonProcess::start() {
  const std::string config = folder_ + "/speckvd.toml", log = folder_ + "/log";
  pid_ = fork();
  if (pid_ == 0) {
    prctl(PR_SET_PDEATHSIG, keeper_ ? SIGTERM : SIGKILL);  // a test that crashes leaves none behind
    const int fd = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    dup2(fd, 1);
    dup2(fd, 2);
    if (!cgroup_.empty() && !(std::ofstream(cgroup_ + "/cgroup.procs") << getpid() << std::flush))
      _exit(125);
    const char* other = std::getenv("SPECKVD");  // a build to test other than this one
    const std::string built = program_.empty() ? SPECKVD_PATH : program_;
    const std::string daemon = other ? other : built, keeper = daemon + "-keeper";
    if (uid_ != 0 && (setgid(uid_) != 0 || setuid(uid_) != 0)) _exit(126);
    prctl(PR_SET_PDEATHSIG, keeper_ ? SIGTERM : SIGKILL);  // again: it went with the uid
    for (std::string& line : environment_) putenv(line.data());
    if (clock_s_) enter_its_clock();
    if (keeper_)
      execl(keeper.c_str(), keeper.c_str(), daemon.c_str(), "--config", config.c_str(),
            static_cast<char*>(nullptr));
    execl(daemon.c_str(), "speckvd", "--config", config.c_str(), static_cast<char*>(nullptr));
    _exit(127);
  }
  for (int i = 0; i < 20'000; i++) {
    if (answers(socket_path_)) return true;
    int status = 0;
    if (waitpid(pid_, &status, WNOHANG) == pid_) {
      pid_ = -1;
      return false;
    }
    usleep(1000);
  }
  return false;
}

void DaemonProcess::end(int signal) {
  if (pid_ < 0) return;
  ::kill(pid_, signal);
  int status = 0;
  waitpid(pid_, &status, 0);
  pid_ = -1;
}

// In the child: a time namespace of its own.
void DaemonProcess::enter_its_clock() const {
  const std::string offset = std::to_string(clock_s_) + " 0\n";
  if (unshare(CLONE_NEWTIME) != 0) _exit(126);
  std::ofstream("/proc/self/timens_offsets") << "monotonic " + offset + "boottime " + offset;
  const int children = open("/proc/self/ns/time_for_children", O_RDONLY | O_CLOEXEC);
  if (children < 0 || setns(children, CLONE_NEWTIME) != 0) _exit(126);
}

bool DaemonProcess::wait_end(int timeout_ms) {
  int status = 0;
  for (int i = 0; i < timeout_ms; i++, usleep(1000))
    if (pid_ < 0 || waitpid(pid_, &status, WNOHANG) == pid_) {
      pid_ = -1;
      return true;
    }
  return false;
}

void DaemonProcess::stop() { end(SIGTERM); }
void DaemonProcess::kill() { end(SIGKILL); }

void DaemonProcess::pause() {
  ::kill(pid_, SIGSTOP);
  int status = 0;
  waitpid(pid_, &status, WUNTRACED);
}
void DaemonProcess::resume() { ::kill(pid_, SIGCONT); }

std::string DaemonProcess::log() const {
  std::ifstream file(folder_ + "/log");
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

DaemonProcess::~DaemonProcess() {
  kill();
  remove_folder(folder_);
}

}  // namespace speckv::test
