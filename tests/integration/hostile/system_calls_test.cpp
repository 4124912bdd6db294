// SPDX-License-Identifier: Apache-2.0
// system_calls_test.cpp - which system calls a data thread makes while it works: those of the list
// below and no other, so that none can wait on what a client shares.
//
// How: traces the data thread of a real daemon (ptrace) while clients open, put, hold, remove,
// evict and go away, then compares. A new call there is a decision: it belongs on the list only if
// nothing that a client does can make it wait.
#include <gtest/gtest.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <map>
#include <thread>

#include "client.hpp"
#include "raw_client.hpp"

namespace {

using namespace speckv;
using namespace speckv::test;

const std::map<long, const char*> allowed = {
    {SYS_io_uring_enter, "the wait, with a deadline; polls and cancels"},
    {SYS_io_submit, "signals of event fds: loop/event_signal.hpp"},
    {SYS_io_getevents, "collects them, at once"},
    {SYS_futex, "the mailbox's lock, private to the process"},
    {SYS_mmap, "the allocator's"},
    {SYS_munmap, "the allocator's"},
    {SYS_mprotect, "the allocator's"},
    {SYS_madvise, "the allocator's"},
    {SYS_brk, "the allocator's"},
    {SYS_clock_gettime, "where there is no vDSO"},
    {SYS_restart_syscall, "the tracer's stops"},
};

pid_t thread_named(pid_t process, const std::string& wanted) {
  const std::string folder = "/proc/" + std::to_string(process) + "/task";
  for (const auto& task : std::filesystem::directory_iterator(folder)) {
    std::string name;
    std::getline(std::ifstream(task.path() / "comm"), name);
    if (name == wanted) return std::atoi(task.path().filename().c_str());
  }
  return -1;
}

// Counts a thread's system calls until told. The tracer is the thread that calls.
class Tracer {
 public:
  explicit Tracer(pid_t thread) : thread_(thread) {
    attached_ = ptrace(PTRACE_SEIZE, thread_, 0, PTRACE_O_TRACESYSGOOD) == 0 &&
                ptrace(PTRACE_INTERRUPT, thread_, 0, 0) == 0;
  }
  bool attached() const { return attached_; }
  void run(const std::atomic<bool>& over) {
    int status = 0;
    while (waitpid(thread_, &status, __WALL) == thread_ && WIFSTOPPED(status)) {
      if (over.load()) break;
      if (WSTOPSIG(status) == (SIGTRAP | 0x80)) note();
      const bool stop = status >> 16 == PTRACE_EVENT_STOP;
      const int signal = stop || WSTOPSIG(status) == (SIGTRAP | 0x80) ? 0 : WSTOPSIG(status);
      if (ptrace(PTRACE_SYSCALL, thread_, 0, signal) != 0) break;
    }
    ptrace(PTRACE_DETACH, thread_, 0, 0);
  }
  const std::map<long, uint64_t>& calls() const { return calls_; }

 private:
  void note() {
    __ptrace_syscall_info info{};
    if (ptrace(PTRACE_GET_SYSCALL_INFO, thread_, sizeof info, &info) > 0 &&
        info.op == PTRACE_SYSCALL_INFO_ENTRY)
      calls_[long(info.entry.nr)]++;
  }
  const pid_t thread_;
  bool attached_ = false;
  std::map<long, uint64_t> calls_;
};

void life_of_a_client(const std::string& socket_path, uint64_t first) {
  Client client(socket_path);
  if (client.opened() != 0) return;
  const speckv_layout layout = small_layout();
  const uint32_t number = client.add_layout(layout);
  Kv kv(layout, Arrangement::token_major);
  for (uint64_t i = 0; i < 300; i++) client.put(number, first + i, kv);
}

void life_of_an_attacker(const std::string& socket_path) {
  RawClient client;
  if (client.open(socket_path, "default", 64 << 10) != 0) return;
  fill(client.event_fd());
  for (uint32_t i = 1; i <= 50; i++) {
    shm::Submission submission{};
    submission.op = uint8_t(i % 8);
    client.submit(0, submission);
    client.completed(0, i);
  }
}

TEST(SystemCalls, OfADataThreadUnderLoad) {
  DaemonOptions options;
  options.data_threads = 1;
  options.pool_bytes = "8MiB";  // so that it evicts
  DaemonProcess daemon(options);
  ASSERT_TRUE(daemon.start()) << daemon.log();
  life_of_a_client(daemon.socket_path(), 1 << 20);  // the thread's own beginning is over
  Tracer tracer(thread_named(daemon.pid(), "speckv-data-0"));
  ASSERT_TRUE(tracer.attached()) << std::strerror(errno);
  std::atomic<bool> over{false};
  std::thread load([&] {
    for (uint64_t i = 0; i < 3; i++) {
      life_of_a_client(daemon.socket_path(), i * 1000);
      life_of_an_attacker(daemon.socket_path());
    }
    over = true;  // the thread turns every 50 ms: the tracer sees it at its next call
  });
  tracer.run(over);
  load.join();
  EXPECT_GT(tracer.calls().count(SYS_io_submit), 0u) << "nobody was signalled: no load?";
  for (const auto& [call, count] : tracer.calls())
    EXPECT_EQ(allowed.count(call), 1u) << "system call " << call << ", " << count << " times";
}

}  // namespace
