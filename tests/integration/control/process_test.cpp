// SPDX-License-Identifier: Apache-2.0
// process_test.cpp - the life of the process: signals, descriptors that are not there, the file of
// the socket; and --check-config refuses what a start refuses.
//
// How: speckvd under a shell that spoils its surroundings first.
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <memory>
#include <sstream>

#include "clients.hpp"

namespace speckv::test {
namespace {

DaemonOptions small_daemon() {
  DaemonOptions options;
  options.medium = "memfd";
  options.pool_bytes = "8MiB";
  options.data_threads = 1;
  return options;
}

// speckvd, started by a line of shell in which $D is the program with its configuration.
class Spoiled {
 public:
  explicit Spoiled(const std::string& line, const DaemonOptions& options = small_daemon())
      : files_(options) {
    pid_ = fork();
    if (pid_ == 0) {
      const std::string command =
          std::string(SPECKVD_PATH) + " --config " + files_.folder() + "/speckvd.toml";
      setenv("D", command.c_str(), 1);
      setenv("LOG", (files_.folder() + "/log").c_str(), 1);
      execl("/bin/sh", "sh", "-c", line.c_str(), static_cast<char*>(nullptr));
      _exit(127);
    }
    for (int i = 0; i < 2000 && !Wire(path()).connected(); i++) usleep(10'000);
  }
  ~Spoiled() { end(SIGKILL); }
  int end(int signal) {
    if (pid_ < 0) return -1;
    kill(pid_, signal);
    int status = 0;
    waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  bool alive() const { return waitpid(pid_, nullptr, WNOHANG) == 0; }
  pid_t pid() const { return pid_; }
  std::string path() const { return files_.socket_path(); }
  DaemonProcess& files() { return files_; }
  bool logs(const std::string& text) const {
    for (int i = 0; i < 2000; i++, usleep(10'000))
      if (files_.log().find(text) != std::string::npos) return true;
    return false;
  }

 private:
  DaemonProcess files_;  // never started: its folder and configuration
  pid_t pid_;
};

std::string link_of(pid_t pid, int fd) {
  char target[256] = "";
  const std::string path = "/proc/" + std::to_string(pid) + "/fd/" + std::to_string(fd);
  const ssize_t bytes = readlink(path.c_str(), target, sizeof target - 1);
  return bytes > 0 ? std::string(target, size_t(bytes)) : "";
}

TEST(Process, LivesOnWhenNobodyReadsItsLog) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  Spoiled daemon("exec $D >&" + std::to_string(ends[1]) + " 2>&1");
  close(ends[0]);
  close(ends[1]);
  for (int i = 0; i < 3; i++) EXPECT_EQ(Wire(daemon.path()).hello("default"), 0);
  EXPECT_TRUE(daemon.alive());
  EXPECT_EQ(daemon.end(SIGTERM), 0);
}

TEST(Process, HangupReadsTheLogLevelAgain) {
  Spoiled daemon("exec $D >$LOG 2>&1");
  kill(daemon.pid(), SIGHUP);
  EXPECT_TRUE(daemon.logs("SIGHUP: log level info"));
  const std::string config = daemon.files().folder() + "/speckvd.toml";
  std::ifstream in(config);
  std::stringstream text;
  text << in.rdbuf();
  in.close();
  std::string changed = text.str();
  changed.insert(changed.find("[daemon]\n") + 9, "log_level = \"wanr\"\n");
  std::ofstream(config) << changed;
  kill(daemon.pid(), SIGHUP);
  EXPECT_TRUE(daemon.logs("SIGHUP: the log level stays")) << "a configuration that is wrong";
  EXPECT_EQ(Wire(daemon.path()).hello("default"), 0);
}

TEST(Process, ClosedStandardDescriptorsAreNoFiles) {
  Spoiled daemon("exec $D <&- >&- 2>&-");
  ASSERT_EQ(Wire(daemon.path()).hello("default"), 0);
  for (int fd = 0; fd < 3; fd++) EXPECT_EQ(link_of(daemon.pid(), fd), "/dev/null") << fd;
}

TEST(Process, KeeperClosesNoGapEither) {
  DaemonProcess files(small_daemon());
  const std::string line = std::string("exec ") + KEEPER_PATH + " " + SPECKVD_PATH + " --config " +
                           files.folder() + "/speckvd.toml <&- >&- 2>&-";
  const pid_t keeper = fork();
  if (keeper == 0) {
    execl("/bin/sh", "sh", "-c", line.c_str(), static_cast<char*>(nullptr));
    _exit(127);
  }
  for (int i = 0; i < 2000 && !Wire(files.socket_path()).connected(); i++) usleep(10'000);
  for (int fd = 0; fd < 3; fd++) EXPECT_EQ(link_of(keeper, fd), "/dev/null") << fd;
  kill(keeper, SIGTERM);
  waitpid(keeper, nullptr, 0);
}

TEST(Process, ADeletedSocketIsMadeAgain) {
  Spoiled daemon("exec $D >$LOG 2>&1");
  Wire before(daemon.path());
  ASSERT_EQ(before.hello("default"), 0);
  ASSERT_EQ(unlink(daemon.path().c_str()), 0);
  int error = -1;
  for (int i = 0; i < 2000 && error != 0; i++, usleep(10'000))
    error = Wire(daemon.path()).hello("default");
  EXPECT_EQ(error, 0);
  EXPECT_TRUE(daemon.logs("made again"));
  EXPECT_EQ(before.layout(layout_number(1)), 0) << "who was connected stays so";
  EXPECT_EQ(daemon.end(SIGTERM), 0);
  EXPECT_NE(access(daemon.path().c_str(), F_OK), 0) << "and goes with the daemon";
}

TEST(Process, AnotherDaemonsSocketStays) {
  Spoiled first("exec $D >$LOG 2>&1");
  const std::string path = first.path();
  unlink(path.c_str());
  const int ours = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  while (bind(ours, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    unlink(path.c_str());  // the daemon may have been quicker
  ASSERT_EQ(listen(ours, 1), 0);
  const int other = open("/dev/null", O_RDONLY);
  EXPECT_TRUE(first.logs("cannot be made again yet")) << "it does not take what is not its own";
  EXPECT_EQ(first.end(SIGTERM), 0);
  EXPECT_EQ(access(path.c_str(), F_OK), 0) << "nor removes it";
  close(ours);
  close(other);
}

TEST(Process, OnlyASocketIsReplaced) {
  DaemonProcess daemon(small_daemon());
  std::ofstream(daemon.socket_path()) << "notes";
  EXPECT_FALSE(daemon.start());
  EXPECT_NE(daemon.log().find("no socket"), std::string::npos) << daemon.log();
  std::ifstream notes(daemon.socket_path());
  std::string word;
  notes >> word;
  EXPECT_EQ(word, "notes");
}

TEST(Process, TakesTheDescriptorsItMayHave) {
  Spoiled daemon("ulimit -S -n 64; exec $D >$LOG 2>&1");
  rlimit limit{};
  ASSERT_EQ(prlimit(daemon.pid(), RLIMIT_NOFILE, nullptr, &limit), 0);
  EXPECT_EQ(limit.rlim_cur, limit.rlim_max);
}

TEST(Process, RunsWhereLittleMemoryMayBeLocked) {
  if (geteuid() != 0) GTEST_SKIP() << "becomes another user, whose locked memory is counted";
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_MEMLOCK, &before), 0);
  const rlimit little{64 << 10, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_MEMLOCK, &little), 0);
  DaemonOptions options = small_daemon();
  options.uid = 20031;
  DaemonProcess daemon(options);
  EXPECT_TRUE(daemon.start()) << daemon.log();
  options.data_threads = 3;
  DaemonProcess wide(options);
  EXPECT_FALSE(wide.start());
  EXPECT_NE(wide.log().find("raise LimitMEMLOCK"), std::string::npos) << wide.log();
  EXPECT_EQ(setrlimit(RLIMIT_MEMLOCK, &before), 0);
}

// A daemon in a user namespace that maps nobody: its own uid is 65534 there, and so is that of
// everybody who comes.
TEST(Process, InAUserNamespaceNobodyIsItsOwn) {
  if (geteuid() != 0 || std::system("unshare -U true 2>/dev/null") != 0)
    GTEST_SKIP() << "becomes other users; makes user namespaces";
  for (const bool anyone : {false, true}) {
    DaemonOptions options = small_daemon();
    options.daemon_lines = "socket_mode = \"0777\"\n";
    if (anyone) options.namespace_lines = "anyone = true\n";
    Spoiled daemon("exec unshare -U $D >$LOG 2>&1", options);
    chmod(daemon.files().folder().c_str(), 0755);
    const auto served = [&] { return Wire(daemon.path()).hello("default") == 0; };
    const auto refused = [&] { return Wire(daemon.path()).hello("default") == EACCES; };
    EXPECT_EQ(as_uid(20032, {}, anyone ? std::function<bool()>(served) : refused), 0)
        << daemon.files().log();
    EXPECT_TRUE(anyone ? served() : refused()) << "not even whom it runs as outside";
    EXPECT_FALSE(status_of(daemon.path()).is_object()) << "nobody may ask";
  }
}

TEST(Process, OutOfDescriptorsIsSaid) {
  Spoiled daemon("ulimit -n 64; exec $D >$LOG 2>&1");
  EXPECT_TRUE(daemon.logs("raise LimitNOFILE, or lower sessions_max")) << daemon.files().log();
  std::vector<std::unique_ptr<Wire>> held;
  int error = 0;
  for (int i = 0; i < 60 && error == 0; i++) {
    held.push_back(std::make_unique<Wire>(daemon.path()));
    error = held.back()->hello("default");
  }
  EXPECT_EQ(error, EMFILE) << held.back()->text();
  // Not even a descriptor for the connection: the reserve tells them. Sessions that are open go on.
  for (int i = 0; i < 20; i++) {
    held.push_back(std::make_unique<Wire>(daemon.path()));
    EXPECT_EQ(held.back()->hello("default"), EMFILE) << i << held.back()->text();
  }
  EXPECT_EQ(held.front()->layout(layout_number(1)), 0);
  const std::string log = daemon.files().log();
  size_t lines = 0;
  for (size_t at = 0; (at = log.find("accept:", at)) != std::string::npos; at++) lines++;
  EXPECT_LE(lines, 1u) << log;
  held.clear();
  for (int i = 0; i < 2000 && error != 0; i++, usleep(10'000))
    error = Wire(daemon.path()).hello("default");
  EXPECT_EQ(error, 0) << "and it recovers";
}

struct Check {
  int exit_status;
  std::string out;
};

Check run_speckvd(const std::string& arguments) {
  const std::string command = std::string("timeout 20 ") + SPECKVD_PATH + " " + arguments + " 2>&1";
  FILE* pipe = popen(command.c_str(), "r");
  Check check{-1, ""};
  char part[4096];
  for (size_t got; (got = fread(part, 1, sizeof part, pipe)) > 0;) check.out.append(part, got);
  const int status = pclose(pipe);
  check.exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return check;
}

// How a start ends within so many KiB of address space: 0 is a daemon that listens.
int start_within(unsigned kib, std::string* ret_log) {
  DaemonProcess files(small_daemon());
  const std::string config = files.folder() + "/speckvd.toml", log = files.folder() + "/log";
  const pid_t pid = fork();
  if (pid == 0) {
    const std::string line = "ulimit -v " + std::to_string(kib) + " && exec " + SPECKVD_PATH +
                             " --config " + config + " >" + log + " 2>&1";
    execl("/bin/sh", "sh", "-c", line.c_str(), static_cast<char*>(nullptr));
    _exit(127);
  }
  int status = 0;
  for (int i = 0; i < 20'000 && waitpid(pid, &status, WNOHANG) == 0; i++, usleep(1000)) {
    if (!Wire(files.socket_path()).connected()) continue;
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    return 0;
  }
  std::stringstream text;
  text << std::ifstream(log).rdbuf();
  *ret_log = text.str();
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// Wherever the address space gives out, in a map, a table or a thread, there is a sentence.
TEST(Process, NoAddressSpaceIsSaid) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer takes it all";
#endif
  int result = 127;
  for (unsigned kib = 8'000; result != 0 && kib < 400'000; kib += 2'000) {
    std::string log;
    result = start_within(kib, &log);
    if (result == 0 || result == 127) continue;  // its libraries do not fit
    EXPECT_EQ(result, 1) << kib << " KiB: " << log;
    EXPECT_EQ(log.find("std::"), std::string::npos) << kib << " KiB: " << log;
    EXPECT_NE(log.find("speckvd: "), std::string::npos) << kib << " KiB: " << log;
  }
  EXPECT_EQ(result, 0);
}

TEST(Process, AFullQueueIsSomebodyWhoListens) {
  DaemonProcess daemon(small_daemon());
  const int stuck = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, daemon.socket_path().c_str(), sizeof address.sun_path - 1);
  ASSERT_EQ(bind(stuck, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(listen(stuck, 0), 0);
  Wire fills(daemon.socket_path());
  const Check run = run_speckvd("--config " + daemon.folder() + "/speckvd.toml");
  EXPECT_EQ(run.exit_status, 1) << "it would wait for ever: 124";
  EXPECT_NE(run.out.find("listens there"), std::string::npos) << run.out;
  close(stuck);
}

TEST(Process, CheckConfigRefusesWhatAStartRefuses) {
  const auto both = [](DaemonOptions options, const std::string& says,
                       bool file_at_socket = false) {
    DaemonProcess daemon(options);
    if (file_at_socket) std::ofstream(daemon.socket_path()) << "notes";
    const Check check = run_speckvd("--check-config " + daemon.folder() + "/speckvd.toml");
    EXPECT_EQ(check.exit_status, 1) << check.out;
    EXPECT_NE(check.out.find(says), std::string::npos) << check.out;
    EXPECT_FALSE(daemon.start());
    EXPECT_NE(daemon.log().find(says), std::string::npos) << daemon.log();
  };
  DaemonOptions options = small_daemon();
  options.data_threads = 64;
  both(options, "2MiB for each");
  options = small_daemon();
  options.daemon_lines = "tables = \"/no/such/folder\"\n";
  both(options, "/no/such/folder");
  options = small_daemon();
  options.pool_lines = "numa_node = 999\n";
  both(options, "numa_node = 999");
  options = small_daemon();
  options.index_entries = "0";
  both(options, "index_entries");
  options = small_daemon();
  options.pool_bytes = "60TiB";
  both(options, "make the pool or the arenas smaller");
  both(small_daemon(), "no socket", true);
}

TEST(Process, CheckConfigSaysWhatAStartTakes) {
  DaemonProcess daemon(small_daemon());
  ASSERT_TRUE(daemon.start()) << daemon.log();
  const Check check = run_speckvd("--check-config " + daemon.folder() + "/speckvd.toml");
  EXPECT_EQ(check.exit_status, 0) << "a daemon that runs is no error: " << check.out;
  EXPECT_NE(check.out.find("memory at start  "), std::string::npos) << check.out;
  EXPECT_NE(check.out.find("descriptors      "), std::string::npos) << check.out;
}

}  // namespace
}  // namespace speckv::test
