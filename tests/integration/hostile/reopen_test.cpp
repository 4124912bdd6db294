// SPDX-License-Identifier: Apache-2.0
// reopen_test.cpp - no way leads from what a client is given to a writable map of stored data, to
// another tenant's bytes or into the daemon.
//
// How: a table of ways, each tried as the hostile uid on a session's own descriptors and on the
// daemon's process; every one has to fail. A way that is new to a kernel is one more line. Needs
// root for the other uid.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <grp.h>
#include <linux/limits.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <functional>
#include <iostream>
#include <string>
#include <vector>

#include "raw_client.hpp"
#include "siege.hpp"

namespace speckv::test {
namespace {

struct Target {
  int fd;  // of the pool or the index
  pid_t daemon;
  std::string socket_path;
  std::string proc() const { return "/proc/self/fd/" + std::to_string(fd); }
  std::string of_daemon(const char* what) const {
    return "/proc/" + std::to_string(daemon) + "/" + what;
  }
};

// Returns: whether the way leads somewhere. May leave descriptors and maps behind.
struct Way {
  const char* name;
  std::function<bool(const Target&)> works;
};

bool opens(const std::string& path, int flags) { return open(path.c_str(), flags, 0600) >= 0; }
bool maps(int fd, int protection, int flags) {
  return mmap(nullptr, 4096, protection, flags, fd, 0) != MAP_FAILED;
}
// A private map of the file's own pages is no way to change them; a shared one is.
bool gains(const Target& target, int map_flags) {
  void* map = mmap(nullptr, 4096, PROT_READ, map_flags, target.fd, 0);
  return map != MAP_FAILED && mprotect(map, 4096, PROT_READ | PROT_WRITE) == 0;
}

std::vector<Way> by_opening_or_mapping() {
  std::vector<Way> ways;
  for (const auto& [name, flags] : {std::pair{"O_RDWR", O_RDWR},
                                    {"O_WRONLY", O_WRONLY},
                                    {"O_RDWR|O_TRUNC", O_RDWR | O_TRUNC},
                                    {"O_WRONLY|O_APPEND", O_WRONLY | O_APPEND},
                                    {"O_RDONLY|O_TRUNC", O_RDONLY | O_TRUNC},
                                    {"O_RDWR|O_CREAT", O_RDWR | O_CREAT},
                                    {"O_RDWR|O_DIRECT", O_RDWR | O_DIRECT},
                                    {"O_RDWR|O_SYNC", O_RDWR | O_SYNC},
                                    {"O_RDWR|O_NOATIME", O_RDWR | O_NOATIME}})
    ways.push_back({name, [f = flags](const Target& t) { return opens(t.proc(), f); }});
  const std::vector<Way> maps_of_it{
      {"write", [](const Target& t) { return write(t.fd, "x", 1) >= 0; }},
      {"pwrite", [](const Target& t) { return pwrite(t.fd, "x", 1, 4096) >= 0; }},
      {"pwritev2",
       [](const Target& t) {
         char byte = 'x';
         const iovec part{&byte, 1};
         return pwritev2(t.fd, &part, 1, 0, 0) >= 0;
       }},
      {"mmap shared, writable",
       [](const Target& t) { return maps(t.fd, PROT_READ | PROT_WRITE, MAP_SHARED); }},
      {"mmap shared, write only",
       [](const Target& t) { return maps(t.fd, PROT_WRITE, MAP_SHARED); }},
      {"mmap shared and validated",
       [](const Target& t) { return maps(t.fd, PROT_READ | PROT_WRITE, MAP_SHARED_VALIDATE); }},
      {"mprotect", [](const Target& t) { return gains(t, MAP_SHARED); }},
      {"mprotect of a locked map",
       [](const Target& t) { return gains(t, MAP_SHARED | MAP_LOCKED); }},
      {"/proc/self/mem over the map",
       [](const Target& t) {
         void* map = mmap(nullptr, 4096, PROT_READ, MAP_SHARED, t.fd, 0);
         if (map == MAP_FAILED) return false;
         const int mem = open("/proc/self/mem", O_RDWR);
         return mem >= 0 && pwrite(mem, "x", 1, off_t(uintptr_t(map))) == 1;
       }},
      {"process_vm_writev over the map",
       [](const Target& t) {
         void* map = mmap(nullptr, 4096, PROT_READ, MAP_SHARED, t.fd, 0);
         if (map == MAP_FAILED) return false;
         char byte = 'x';
         const iovec from{&byte, 1}, to{map, 1};
         return process_vm_writev(getpid(), &from, 1, &to, 1, 0) == 1;
       }},
      {"MADV_REMOVE",
       [](const Target& t) {
         void* map = mmap(nullptr, 4096, PROT_READ, MAP_SHARED, t.fd, 0);
         return map != MAP_FAILED && madvise(map, 4096, MADV_REMOVE) == 0;
       }},
  };
  ways.insert(ways.end(), maps_of_it.begin(), maps_of_it.end());
  return ways;
}

std::vector<Way> by_changing_the_file() {
  return {
      {"ftruncate", [](const Target& t) { return ftruncate(t.fd, 0) == 0; }},
      {"ftruncate, larger", [](const Target& t) { return ftruncate(t.fd, 1ll << 40) == 0; }},
      {"truncate", [](const Target& t) { return truncate(t.proc().c_str(), 0) == 0; }},
      {"punch hole",
       [](const Target& t) {
         return fallocate(t.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) == 0;
       }},
      {"zero range",
       [](const Target& t) { return fallocate(t.fd, FALLOC_FL_ZERO_RANGE, 0, 4096) == 0; }},
      {"collapse range",
       [](const Target& t) { return fallocate(t.fd, FALLOC_FL_COLLAPSE_RANGE, 0, 4096) == 0; }},
      {"insert range",
       [](const Target& t) { return fallocate(t.fd, FALLOC_FL_INSERT_RANGE, 0, 4096) == 0; }},
      {"fallocate", [](const Target& t) { return fallocate(t.fd, 0, 0, 1 << 30) == 0; }},
      {"copy_file_range into it",
       [](const Target& t) {
         const int from = memfd_create("from", 0);
         loff_t in = 0, out = 0;
         return ftruncate(from, 4096) == 0 && copy_file_range(from, &in, t.fd, &out, 4096, 0) > 0;
       }},
      {"splice into it",
       [](const Target& t) {
         int pipes[2];
         loff_t at = 0;
         return pipe(pipes) == 0 && write(pipes[1], "x", 1) == 1 &&
                splice(pipes[0], nullptr, t.fd, &at, 1, 0) > 0;
       }},
      {"fchmod", [](const Target& t) { return fchmod(t.fd, 0666) == 0; }},
      {"chmod", [](const Target& t) { return chmod(t.proc().c_str(), 0666) == 0; }},
      {"fchown", [](const Target& t) { return fchown(t.fd, geteuid(), getegid()) == 0; }},
      {"fsetxattr", [](const Target& t) { return fsetxattr(t.fd, "user.x", "x", 1, 0) == 0; }},
      {"futimens to a given time",
       [](const Target& t) {
         const timespec times[2] = {{1, 0}, {1, 0}};
         return futimens(t.fd, times) == 0;
       }},
      {"F_SETLEASE", [](const Target& t) { return fcntl(t.fd, F_SETLEASE, F_WRLCK) == 0; }},
      {"write lock",
       [](const Target& t) {
         struct flock lock {};
         lock.l_type = F_WRLCK;
         return fcntl(t.fd, F_SETLK, &lock) == 0;
       }},
      {"F_ADD_SEALS", [](const Target& t) { return fcntl(t.fd, F_ADD_SEALS, F_SEAL_WRITE) == 0; }},
  };
}

std::vector<Way> by_another_name() {
  return {
      {"linkat by descriptor",
       [](const Target& t) {
         return linkat(t.fd, "", AT_FDCWD, "/tmp/speckv-reopen", AT_EMPTY_PATH) == 0;
       }},
      {"linkat through /proc",
       [](const Target& t) {
         return linkat(AT_FDCWD, t.proc().c_str(), AT_FDCWD, "/tmp/speckv-reopen",
                       AT_SYMLINK_FOLLOW) == 0;
       }},
      {"a new user namespace, then O_RDWR",
       [](const Target& t) {
         return unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0 && opens(t.proc(), O_RDWR);
       }},
      {"remount writable",
       [](const Target& t) {
         return mount(nullptr, t.proc().c_str(), nullptr, MS_REMOUNT | MS_BIND, nullptr) == 0;
       }},
      {"bind mount of it",
       [](const Target& t) {
         return mount(t.proc().c_str(), "/tmp", nullptr, MS_BIND, nullptr) == 0;
       }},
  };
}

std::vector<Way> into_the_daemon() {
  return {
      {"ptrace attach",
       [](const Target& t) { return ptrace(PTRACE_ATTACH, t.daemon, nullptr, nullptr) == 0; }},
      {"ptrace seize",
       [](const Target& t) { return ptrace(PTRACE_SEIZE, t.daemon, nullptr, nullptr) == 0; }},
      {"its memory", [](const Target& t) { return opens(t.of_daemon("mem"), O_RDONLY); }},
      {"its memory, writable", [](const Target& t) { return opens(t.of_daemon("mem"), O_RDWR); }},
      {"its maps",
       [](const Target& t) {
         const int fd = open(t.of_daemon("maps").c_str(), O_RDONLY);
         char byte;
         return fd >= 0 && read(fd, &byte, 1) == 1;
       }},
      {"its environment",
       [](const Target& t) {
         const int fd = open(t.of_daemon("environ").c_str(), O_RDONLY);
         char byte;
         return fd >= 0 && read(fd, &byte, 1) == 1;
       }},
      {"its files",
       [](const Target& t) {
         for (int fd = 0; fd < 64; fd++)
           if (opens(t.of_daemon(("fd/" + std::to_string(fd)).c_str()), O_RDONLY)) return true;
         return false;
       }},
      {"its mapped files",
       [](const Target& t) { return opens(t.of_daemon("map_files"), O_RDONLY); }},
      {"its root", [](const Target& t) { return opens(t.of_daemon("root/etc"), O_RDONLY); }},
      {"its folder of work", [](const Target& t) { return opens(t.of_daemon("cwd/."), O_RDONLY); }},
      {"process_vm_readv",
       [](const Target& t) {
         char byte;
         const iovec to{&byte, 1}, from{reinterpret_cast<void*>(0x400000), 1};
         return process_vm_readv(t.daemon, &to, 1, &from, 1, 0) == 1;
       }},
      {"pidfd_getfd",
       [](const Target& t) {
         const auto pid = int(syscall(SYS_pidfd_open, t.daemon, 0));
         for (int fd = 0; pid >= 0 && fd < 64; fd++)
           if (syscall(SYS_pidfd_getfd, pid, fd, 0) >= 0) return true;
         return false;
       }},
      {"prlimit",
       [](const Target& t) {
         const rlimit none{0, 0};
         return prlimit(t.daemon, RLIMIT_NOFILE, &none, nullptr) == 0;
       }},
      {"kill", [](const Target& t) { return kill(t.daemon, 0) == 0; }},
      {"setpriority",
       [](const Target& t) { return setpriority(PRIO_PROCESS, id_t(t.daemon), 19) == 0; }},
      {"another tenant's namespace",
       [](const Target& t) { return RawClient().open(t.socket_path, victim_space, 1 << 20) == 0; }},
      {"the default namespace",
       [](const Target& t) { return RawClient().open(t.socket_path, "default", 1 << 20) == 0; }},
      {"a namespace that is not there answers like one that is another's",
       [](const Target& t) {
         return RawClient().open(t.socket_path, "nowhere", 1 << 20) !=
                RawClient().open(t.socket_path, victim_space, 1 << 20);
       }},
      {"removing the socket", [](const Target& t) { return unlink(t.socket_path.c_str()) == 0; }},
      {"renaming the socket",
       [](const Target& t) {
         return rename(t.socket_path.c_str(), "/tmp/speckv-reopen-socket") == 0;
       }},
  };
}

enum class Of { pool, index, daemon };

// Tries a way in a child of its own, as the hostile uid with a session of its own. Returns: whether
// it works.
bool works(const Way& way, Of of, Target target) {
  const pid_t child = fork();
  if (child == 0) {
    if (setgroups(0, nullptr) != 0 || setgid(hostile_uid) != 0 || setuid(hostile_uid) != 0)
      _exit(2);
    RawClient client;
    if (of != Of::daemon && client.open(target.socket_path, hostile_space, 1 << 20) != 0) _exit(3);
    if (of != Of::daemon) target.fd = of == Of::pool ? client.pool_fd() : client.index_fd();
    _exit(way.works(target) ? 1 : 0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return !WIFEXITED(status) || WEXITSTATUS(status) != 0;
}

TEST(Reopen, NoWayLeadsToWritableMapsOrIntoTheDaemon) {
  if (geteuid() != 0) GTEST_SKIP() << "a hostile client of another uid needs root to start it";
  Siege siege;
  ASSERT_TRUE(siege.daemon().start()) << siege.daemon().log();
  size_t tried = 0;
  const Target target{-1, siege.daemon().pid(), siege.daemon().socket_path()};
  const auto none_works = [&](const std::vector<Way>& ways, Of of, const char* name) {
    for (const Way& way : ways) EXPECT_FALSE(works(way, of, target)) << name << ": " << way.name;
    tried += ways.size();
  };
  for (const auto& [of, name] : {std::pair{Of::pool, "pool"}, {Of::index, "index"}}) {
    none_works(by_opening_or_mapping(), of, name);
    none_works(by_changing_the_file(), of, name);
    none_works(by_another_name(), of, name);
  }
  none_works(into_the_daemon(), Of::daemon, "daemon");
  // The harness itself: a way that leads somewhere is seen, and so is a session.
  EXPECT_TRUE(works({"reading", [](const Target& t) { return maps(t.fd, PROT_READ, MAP_SHARED); }},
                    Of::pool, target));
  std::cout << tried << " ways tried\n";
}

}  // namespace
}  // namespace speckv::test
