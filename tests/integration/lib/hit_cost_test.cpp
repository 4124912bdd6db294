// SPDX-License-Identifier: Apache-2.0
// Proves that a hit makes no system call and no page fault, by counting both, and that a reader
// which touches all that it has mapped takes no memory. Each count has a control that must be above
// zero, so that it can fail.
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <signal.h>
#include <unistd.h>

#include <cinttypes>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "client.hpp"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SKIP_UNDER_SANITIZERS GTEST_SKIP() << "sanitizers make system calls and faults of their own"
#else
#define SKIP_UNDER_SANITIZERS static_cast<void>(0)
#endif

namespace speckv::test {
namespace {

// Blocks read in batches of 64, with all that the reading needs touched before.
class Reader {
 public:
  Reader(Client& client, const speckv_layout& layout, uint64_t blocks, uint64_t first = 0)
      : client_(client), first_(first) {
    number_ = client.add_layout(layout);
    for (uint64_t i = 0; i < blocks; i++) {
      kvs_.emplace_back(layout, Arrangement::token_major);
      speckv_get_op op{};
      std::memcpy(op.key, key_of(first + i).bytes, sizeof op.key);
      op.buf = kvs_.back().buf();
      ops_.push_back(op);
      keys_.push_back(key_of(first + i));
    }
    hits_.resize(blocks);
  }
  bool put_all() {
    for (uint64_t i = 0; i < kvs_.size(); i++)
      if (client_.put(number_, first_ + i, kvs_[i]) != 0) return false;
    return true;
  }
  // Returns: whether all hit.
  bool read_all() {
    const auto count = unsigned(ops_.size());
    const int got = speckv_get(client_.get(), number_, ops_.data(), count);
    const int known = speckv_exists(client_.get(), number_, as_keys(keys_), count, hits_.data());
    return got == int(count) && known == int(count);
  }

 private:
  Client& client_;
  uint64_t first_;
  uint32_t number_;
  std::vector<Kv> kvs_;
  std::vector<speckv_get_op> ops_;
  std::vector<KeyBytes> keys_;
  std::vector<uint8_t> hits_;
};

using HitCost = LibTest;

void mark() { syscall(SYS_getppid); }  // nobody else makes this call here

struct Counts {
  int between = 0;  // system calls between the first and the second mark
  int control = 0;  // between the second and the third: one getuid()
  int exit_status = -1;
};

Counts count_system_calls(pid_t child) {
  Counts counts;
  int marks = 0, status = 0;
  waitpid(child, &status, 0);
  ptrace(PTRACE_SETOPTIONS, child, nullptr, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
  bool entering = true;
  for (;;) {
    if (ptrace(PTRACE_SYSCALL, child, nullptr, nullptr) != 0) break;
    waitpid(child, &status, 0);
    if (WIFEXITED(status)) counts.exit_status = WEXITSTATUS(status);
    if (WIFEXITED(status) || WIFSIGNALED(status)) break;
    if (!(WIFSTOPPED(status) && WSTOPSIG(status) == (SIGTRAP | 0x80))) continue;
    if (entering) {
      __ptrace_syscall_info info{};
      ptrace(static_cast<__ptrace_request>(PTRACE_GET_SYSCALL_INFO), child, sizeof info, &info);
      if (info.entry.nr == SYS_getppid) marks++;
      else if (marks == 1) counts.between++;
      else if (marks == 2) counts.control++;
    }
    entering = !entering;
  }
  return counts;
}

TEST_F(HitCost, NoSystemCall) {
  SKIP_UNDER_SANITIZERS;
  begin();
  const std::string path = daemon().socket_path();
  const pid_t child = fork();
  if (child == 0) {
    Client own(path);
    Reader reader(own, small_layout(), 128);
    if (own.opened() != 0 || !reader.put_all() || !reader.read_all()) _exit(1);
    if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) _exit(77);
    raise(SIGSTOP);
    mark();
    bool all = true;
    for (int i = 0; i < 50; i++) all = reader.read_all() && all;
    mark();
    syscall(SYS_getuid);
    mark();
    _exit(all ? 0 : 2);
  }
  const Counts counts = count_system_calls(child);
  if (counts.exit_status == 77) GTEST_SKIP() << "ptrace is forbidden here";
  EXPECT_EQ(counts.exit_status, 0);
  EXPECT_EQ(counts.between, 0);
  EXPECT_EQ(counts.control, 1);
}

long minor_faults() {
  rusage usage{};
  getrusage(RUSAGE_THREAD, &usage);
  return usage.ru_minflt;
}

TEST_F(HitCost, NoPageFault) {
  SKIP_UNDER_SANITIZERS;
  begin();
  constexpr uint64_t blocks = 512;
  Reader known(client(), small_layout(), blocks), other(client(), small_layout(), blocks, 10'000);
  ASSERT_TRUE(known.put_all() && other.put_all());
  Client fresh(daemon().socket_path());  // its maps were populated when it connected
  ASSERT_EQ(fresh.opened(), 0);
  Reader warm(fresh, small_layout(), blocks), cold(fresh, small_layout(), blocks, 10'000);
  ASSERT_TRUE(warm.read_all());  // touches the code; destinations were written when they were made
  const long before = minor_faults();
  ASSERT_TRUE(cold.read_all());  // blocks that this session's map has not seen yet
  for (int i = 0; i < 20; i++) ASSERT_TRUE(warm.read_all());
  EXPECT_EQ(minor_faults() - before, 0);

  auto* page = static_cast<volatile char*>(
      mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  const long control = minor_faults();
  page[0] = 1;
  EXPECT_GT(minor_faults(), control);
}

uint64_t allocated_bytes(const std::string& folder) {
  uint64_t bytes = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    struct stat status {};
    if (stat(entry.path().c_str(), &status) == 0) bytes += uint64_t(status.st_blocks) * 512;
  }
  return bytes;
}

// Reads a byte of every page of every shared map of this process. Returns: how many bytes are
// mapped.
uint64_t touch_all_shared_maps() {
  std::ifstream maps("/proc/self/maps");
  std::string line;
  uint64_t total = 0;
  while (std::getline(maps, line)) {
    uint64_t from = 0, to = 0;
    char rights[5] = "";
    if (std::sscanf(line.c_str(), "%" SCNx64 "-%" SCNx64 " %4s", &from, &to, rights) != 3) continue;
    if (rights[0] != 'r' || rights[3] != 's') continue;
    for (uint64_t at = from; at < to; at += 4096)
      static_cast<void>(*reinterpret_cast<const volatile char*>(uintptr_t(at)));
    total += to - from;
  }
  return total;
}

TEST_F(HitCost, TouchingEverythingTakesNoMemory) {
  begin();
  const uint32_t number = client().add_layout(small_layout());
  Kv kv(small_layout(), Arrangement::token_major);
  ASSERT_EQ(client().put(number, 1, kv), 0);
  if (daemon().log().find("memfd") != std::string::npos)
    GTEST_SKIP() << "no mount of our own to look at";
  const std::string pool = daemon().folder() + "/pool";
  const uint64_t before = allocated_bytes(pool);
  EXPECT_GE(before, 64u << 20);  // all of it was allocated before anybody looked
  EXPECT_GE(touch_all_shared_maps(), 64u << 20);
  EXPECT_EQ(allocated_bytes(pool), before);
  EXPECT_EQ(client().get(number, 1, kv), 0);
}

}  // namespace
}  // namespace speckv::test
