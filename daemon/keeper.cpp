// SPDX-License-Identifier: Apache-2.0
// keeper.cpp - speckvd-keeper COMMAND [ARGUMENT]...: runs speckvd where there is no systemd, and
// keeps its pool while it restarts.
//
// Extents of the driver live as long as a descriptor holds them. The daemon hands its descriptor
// over (FDSTORE=1 of sd_notify(3)) and gets it back when it is started again (LISTEN_FDS of
// sd_listen_fds(3)): systemd's fd store, and no more of it. A command that ends otherwise than by
// exit status 0 is started again, a second later if it had just begun. SIGHUP: ends the command and
// starts it again, pool kept. SIGTERM, SIGINT: ends it, then this; the pool goes with them.
// Never: reads what it keeps, listens to anybody but its own child.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <vector>

#include "standard_fds.hpp"

namespace {

constexpr size_t kept_max = 16;
constexpr int first_fd = 3;  // sd_listen_fds(3)
constexpr time_t began_just_now_s = 1;

struct Kept {
  std::string name;
  int fd;
};

struct Keeper {
  std::vector<char*> command;
  std::vector<Kept> kept;
  int socket = -1, signals = -1;
  std::string socket_name;  // "@..." for NOTIFY_SOCKET
  pid_t child = -1;
  time_t started_s = 0;
  bool ending = false, restarting = false;
};

int fail(const char* what) {
  std::fprintf(stderr, "speckvd-keeper: %s: %s\n", what, std::strerror(errno));
  return 1;
}

time_t now_s() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec;
}

// A socket in the abstract name space, with a name that the kernel chooses; senders are checked.
bool open_socket(Keeper& keeper) {
  keeper.socket = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const int yes = 1;
  socklen_t bytes = sizeof address;
  if (keeper.socket < 0 ||
      setsockopt(keeper.socket, SOL_SOCKET, SO_PASSCRED, &yes, sizeof yes) != 0 ||
      bind(keeper.socket, reinterpret_cast<sockaddr*>(&address), sizeof address.sun_family) != 0 ||
      getsockname(keeper.socket, reinterpret_cast<sockaddr*>(&address), &bytes) != 0)
    return false;
  keeper.socket_name =
      "@" + std::string(address.sun_path + 1, bytes - offsetof(sockaddr_un, sun_path) - 1);
  return true;
}

// In the child: kept descriptors to 3, 4, ..., and their names in the environment.
void pass_descriptors(const Keeper& keeper) {
  std::string names;
  std::vector<int> high;
  for (const Kept& each : keeper.kept) {
    high.push_back(fcntl(each.fd, F_DUPFD, first_fd + int(kept_max)));
    names += (names.empty() ? "" : ":") + each.name;
  }
  for (size_t i = 0; i < high.size(); i++) {
    dup2(high[i], first_fd + int(i));
    close(high[i]);
  }
  setenv("NOTIFY_SOCKET", keeper.socket_name.c_str(), 1);
  setenv("LISTEN_PID", std::to_string(getpid()).c_str(), 1);
  setenv("LISTEN_FDS", std::to_string(keeper.kept.size()).c_str(), 1);
  setenv("LISTEN_FDNAMES", names.c_str(), 1);
}

bool start(Keeper& keeper) {
  keeper.started_s = now_s();
  keeper.restarting = false;
  const pid_t parent = getpid();
  keeper.child = fork();
  if (keeper.child != 0) return keeper.child > 0;
  prctl(PR_SET_PDEATHSIG, SIGTERM);  // nobody keeps anything for it any more
  if (getppid() != parent) _exit(1);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  std::signal(SIGPIPE, SIG_DFL);
  pass_descriptors(keeper);
  execvp(keeper.command[0], keeper.command.data());
  fail(keeper.command[0]);
  _exit(127);
}

void forget(Keeper& keeper, const std::string& name) {
  for (size_t i = keeper.kept.size(); i-- > 0;) {
    if (keeper.kept[i].name != name) continue;
    close(keeper.kept[i].fd);
    keeper.kept.erase(keeper.kept.begin() + long(i));
  }
}

// Value of "NAME=value\n" in a message, or "".
std::string field(const std::string& message, const std::string& name) {
  const std::string lines = "\n" + message + "\n";
  const size_t at = lines.find("\n" + name + "=");
  if (at == std::string::npos) return "";
  const size_t begin = at + name.size() + 2;
  return lines.substr(begin, lines.find('\n', begin) - begin);
}

// One datagram. Returns: false when there is none. fd -1: none came along.
bool receive(int socket, std::string* ret_text, pid_t* ret_sender, int* ret_fd) {
  char text[4096];
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(ucred)) + CMSG_SPACE(16 * sizeof(int))];
  iovec part{text, sizeof text};
  msghdr packet{};
  packet.msg_iov = &part;
  packet.msg_iovlen = 1;
  packet.msg_control = control;
  packet.msg_controllen = sizeof control;
  const ssize_t bytes = recvmsg(socket, &packet, MSG_CMSG_CLOEXEC);
  if (bytes < 0) return false;
  ret_text->assign(text, size_t(bytes));
  *ret_sender = -1;
  *ret_fd = -1;
  for (cmsghdr* c = CMSG_FIRSTHDR(&packet); c; c = CMSG_NXTHDR(&packet, c)) {
    if (c->cmsg_level != SOL_SOCKET) continue;
    if (c->cmsg_type == SCM_CREDENTIALS) {
      ucred sender{};
      std::memcpy(&sender, CMSG_DATA(c), sizeof sender);
      *ret_sender = sender.pid;
    } else if (c->cmsg_type == SCM_RIGHTS) {
      for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
        if (*ret_fd >= 0) close(*ret_fd);
        std::memcpy(ret_fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
      }
    }
  }
  return true;
}

void listen(Keeper& keeper) {
  std::string text;
  pid_t sender = -1;
  int fd = -1;
  while (receive(keeper.socket, &text, &sender, &fd)) {
    const std::string name = field(text, "FDNAME");
    const bool known = sender == keeper.child && !name.empty() &&
                       name.find(':') == std::string::npos && name.size() < 64;
    if (known && field(text, "FDSTOREREMOVE") == "1") forget(keeper, name);
    if (known && fd >= 0 && field(text, "FDSTORE") == "1" && keeper.kept.size() < kept_max)
      keeper.kept.push_back({name, fd});
    else if (fd >= 0) close(fd);
  }
}

// The child has ended. Returns: whether this goes on.
bool ended(Keeper& keeper, int status) {
  keeper.child = -1;
  const bool well = WIFEXITED(status) && WEXITSTATUS(status) == 0;
  if (keeper.ending || (well && !keeper.restarting)) return false;
  if (WIFSIGNALED(status))
    std::fprintf(stderr, "speckvd-keeper: %s ended by signal %d, starting it again\n",
                 keeper.command[0], WTERMSIG(status));
  else
    std::fprintf(stderr, "speckvd-keeper: %s ended with status %d, starting it again\n",
                 keeper.command[0], WEXITSTATUS(status));
  if (!keeper.restarting && now_s() - keeper.started_s <= began_just_now_s) sleep(1);
  return start(keeper);
}

// Returns: whether this goes on.
bool on_signals(Keeper& keeper, int* ret_status) {
  signalfd_siginfo signal{};
  while (read(keeper.signals, &signal, sizeof signal) == sizeof signal) {
    if (signal.ssi_signo == SIGCHLD) {
      int status = 0;
      while (keeper.child > 0 && waitpid(keeper.child, &status, WNOHANG) == keeper.child) {
        listen(keeper);  // what it said before it ended
        *ret_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        if (!ended(keeper, status)) return false;
      }
      continue;
    }
    keeper.restarting = signal.ssi_signo == SIGHUP;
    keeper.ending = !keeper.restarting;
    if (keeper.child > 0) kill(keeper.child, SIGTERM);
  }
  return true;
}

}  // namespace

int main(int count, char** values) {
  if (!speckv::open_standard_fds()) return 1;
  if (count < 2 || values[1][0] == '-') {
    std::fputs(
        "usage: speckvd-keeper COMMAND [ARGUMENT]...\n"
        "Runs speckvd and keeps its pool while it restarts, where there is no systemd: "
        "speckvd(8).\n",
        count == 2 && !std::strcmp(values[1], "--help") ? stdout : stderr);
    return count == 2 && !std::strcmp(values[1], "--help") ? 0 : 2;
  }
  Keeper keeper;
  keeper.command.assign(values + 1, values + count);
  keeper.command.push_back(nullptr);
  sigset_t mine;
  sigemptyset(&mine);
  for (int signal : {SIGCHLD, SIGTERM, SIGINT, SIGHUP}) sigaddset(&mine, signal);
  std::signal(SIGPIPE, SIG_IGN);  // who reads our words may go; the child chooses anew
  sigprocmask(SIG_BLOCK, &mine, nullptr);
  keeper.signals = signalfd(-1, &mine, SFD_CLOEXEC | SFD_NONBLOCK);
  if (keeper.signals < 0) return fail("signalfd");
  if (!open_socket(keeper)) return fail("a socket for the daemon's messages");
  if (!start(keeper)) return fail("fork");
  int status = 0;
  for (;;) {
    pollfd ready[2] = {{keeper.socket, POLLIN, 0}, {keeper.signals, POLLIN, 0}};
    if (poll(ready, 2, -1) < 0 && errno != EINTR) return fail("poll");
    listen(keeper);
    if (!on_signals(keeper, &status)) return status;
  }
}
