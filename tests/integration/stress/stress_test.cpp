// SPDX-License-Identifier: Apache-2.0
// stress_test.cpp - the read protocol on real processes: readers and writers over a pool that is
// too small, with delays between the numbered steps, a daemon that is killed at random moments,
// clients that are killed in every state.
//
// Proves, as far as a run can: every block that a get returned was one whole version of the key
// that was asked for; a change during a read never shows as a corrupt checksum; a killed daemon
// loses no published block; what dead clients held is free again. SPECKV_STRESS_SECONDS (default
// 20) and SPECKV_STRESS_SEED (default: random, printed) choose.
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <map>
#include <new>
#include <random>

#include <gtest/gtest.h>

#include "client_loops.hpp"
#include "daemon_process.hpp"
#include "tagged_block.hpp"

namespace speckv::test {
namespace {

constexpr uint32_t readers = 3, writers = 2;
constexpr uint64_t second_ns = 1'000'000'000;

uint64_t from_environment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text && *text ? std::strtoull(text, nullptr, 0) : otherwise;
}

uint64_t now_ns() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return uint64_t(now.tv_sec) * second_ns + uint64_t(now.tv_nsec);
}

class Stress : public ::testing::Test {
 protected:
  Stress() : daemon_(options()) {}

  static DaemonOptions options() {
    DaemonOptions options;
    options.pool_bytes = "32MiB";
    options.index_entries = "2048";
    return options;
  }

  void SetUp() override {
    seed_ = from_environment("SPECKV_STRESS_SEED", std::random_device()());
    std::printf("SPECKV_STRESS_SEED=%llu\n", static_cast<unsigned long long>(seed_));
    dice_.seed(seed_);
    void* map = mmap(nullptr, sizeof(SharedState), PROT_READ | PROT_WRITE,
                     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(map, MAP_FAILED);
    shared_ = new (map) SharedState;
    ASSERT_TRUE(daemon_.start()) << daemon_.log();
    for (uint32_t client = 0; client < readers + writers; client++) spawn(client, client == 0);
  }
  void TearDown() override {
    for (pid_t pid : clients_)
      if (pid > 0) ::kill(pid, SIGKILL), waitpid(pid, nullptr, 0);
  }

  void spawn(uint32_t client, bool slow_once) {
    std::fflush(nullptr);
    shared_->clients[client].pause_at.store(idle);
    shared_->clients[client].paused.store(idle);
    const uint64_t seed = seed_ * 1000 + ++spawned_;
    const pid_t pid = fork();
    if (pid == 0) {
      const ClientTask task{shared_, client, seed, daemon_.socket_path(), slow_once};
      if (client < readers) read_until_stopped(task);
      else write_until_stopped(task);
      _exit(0);
    }
    clients_[client] = pid;
  }

  // Kills one client that stands in `state`. Returns: false when none came there in 3 s (or while
  // no daemon was).
  bool kill_client_in(uint32_t state) {
    const uint32_t client = of_reader(state) ? 1 + roll(readers - 1) : readers + roll(writers);
    ClientSlot& slot = shared_->clients[client];
    slot.pause_at.store(state);
    for (int i = 0; i < 3000 && slot.paused.load() != state; i++) usleep(1000);
    const bool there = slot.paused.load() == state;
    if (there) {
      ::kill(clients_[client], SIGKILL);
      int status = 0;
      waitpid(clients_[client], &status, 0);
      spawn(client, false);
      client_kills_[state]++;
    }
    slot.pause_at.store(idle);
    return there;
  }

  void restart_daemon() {
    daemon_.kill();
    daemon_kills_++;
    usleep(roll(50'000));
    ASSERT_TRUE(daemon_.start()) << daemon_.log();
  }

  // A client that ended by itself has crashed.
  void check_clients_live() {
    for (uint32_t client = 0; client < readers + writers; client++) {
      int status = 0;
      if (waitpid(clients_[client], &status, WNOHANG) != clients_[client]) continue;
      clients_[client] = -1;
      FAIL() << "client " << client
             << " ended by itself: " << (WIFSIGNALED(status) ? "signal " : "exit status ")
             << (WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    }
  }

  void torment(uint64_t seconds) {
    const uint64_t end = now_ns() + seconds * second_ns;
    uint32_t state = reading_2;
    // At least one round of every state, and three kills of the daemon, however slow the machine.
    while (now_ns() < end || state < state_count || daemon_kills_ < 3) {
      usleep(50'000 + roll(100'000));
      if (state >= state_count) state = reading_2;
      if (kill_client_in(state) || now_ns() > end + 60 * second_ns) state++;
      if (roll(8) == 0 || (now_ns() > end && daemon_kills_ < 3)) restart_daemon();
      check_clients_live();
      if (HasFatalFailure()) return;
    }
  }

  void stop_clients() {
    shared_->stop.store(true);
    for (pid_t& pid : clients_) {
      if (pid <= 0) continue;
      int status = 0;
      waitpid(pid, &status, 0);
      EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
      pid = -1;
    }
  }

  void report() const {
    const auto number = [](const std::atomic<uint64_t>& counter) {
      return static_cast<unsigned long long>(counter.load());
    };
    std::printf(
        "%llu gets, %llu hits, %llu retries, %llu stale, %llu corrupt; %llu stored, %llu removed, "
        "%llu held\n",
        number(shared_->gets), number(shared_->hits), number(shared_->retries),
        number(shared_->stale), number(shared_->corrupt), number(shared_->stored),
        number(shared_->removed), number(shared_->held));
    std::printf("daemon killed %u times, %llu reconnects; clients killed:", daemon_kills_,
                number(shared_->reconnects));
    for (uint32_t state = reading_2; state < state_count; state++)
      std::printf("%s %s %u", state == reading_2 ? "" : ",", state_names[state],
                  client_kills_[state]);
    std::printf("\n");
  }

  uint32_t roll(uint32_t sides) { return uint32_t(dice_() % sides); }

  DaemonProcess daemon_;
  SharedState* shared_ = nullptr;
  pid_t clients_[clients_max] = {};
  std::mt19937_64 dice_;
  uint64_t seed_ = 0, spawned_ = 0;
  uint32_t client_kills_[state_count] = {};
  uint32_t daemon_kills_ = 0;
};

// One quiet session of the driver's own.
class Quiet {
 public:
  explicit Quiet(const std::string& socket_path) {
    speckv_open_args args{};
    args.size = sizeof args;
    args.socket_path = socket_path.c_str();
    args.daemon_uid = -1;
    EXPECT_EQ(speckv_open(&args, &session_), 0);
    for (uint32_t kind = 0; kind < 2; kind++) {
      const speckv_layout layout = stress_layout(kind);
      EXPECT_EQ(speckv_layout_register(session_, &layout, &layouts_[kind]), 0);
    }
  }
  ~Quiet() { speckv_close(session_); }
  Quiet(const Quiet&) = delete;
  Quiet& operator=(const Quiet&) = delete;

  using Versions = std::map<std::pair<uint32_t, uint32_t>, uint64_t>;
  // Every block that hits, and which version it is.
  Versions read_all() {
    Versions all;
    for (uint32_t kind = 0; kind < 2; kind++)
      for (uint32_t number = 0; number < numbers_of[kind]; number++) {
        speckv_get_op op{};
        stress_key(kind, number, op.key);
        op.buf = blocks_[kind].buf();
        if (speckv_get(session_, layouts_[kind], &op, 1) != 1) continue;
        uint64_t version = 0;
        EXPECT_TRUE(blocks_[kind].whole(number, 0, blocks_[kind].layers(), &version))
            << kind << "/" << number;
        all[{kind, number}] = version;
      }
    return all;
  }
  // Returns: the completion's result.
  int put_fresh(uint32_t kind, uint32_t number) {
    blocks_[kind].fill(number, 1);
    speckv_put_op op{};
    stress_key(kind, number, op.key);
    op.buf = blocks_[kind].buf();
    op.meta.position = SPECKV_POSITION_UNKNOWN;
    if (speckv_put(session_, layouts_[kind], &op, 1) != 1) return op.ret_result;
    speckv_completion done{};
    if (speckv_wait(session_, 20 * second_ns) != 0 || speckv_reap(session_, &done, 1) != 1)
      return -ETIMEDOUT;
    return done.result;
  }

 private:
  speckv_session* session_ = nullptr;
  uint32_t layouts_[2] = {};
  TaggedBlock blocks_[2]{TaggedBlock(0), TaggedBlock(1)};
};

TEST_F(Stress, EveryBlockReadIsWhole) {
  torment(from_environment("SPECKV_STRESS_SECONDS", 20));
  stop_clients();
  report();
  EXPECT_EQ(shared_->wrong.load(), 0u);
  EXPECT_EQ(shared_->corrupt.load(), 0u)
      << "a change during a read must show in the gen, not in the checksum";
  EXPECT_EQ(shared_->foreign.load(), 0u);
  EXPECT_EQ(shared_->unexpected.load(), 0u) << "call " << shared_->unexpected_call.load()
                                            << " gave " << shared_->unexpected_result.load();
  EXPECT_GT(shared_->hits.load(), 0u);
  EXPECT_GT(shared_->stored.load(), 0u);
  EXPECT_GT(shared_->retries.load() + shared_->stale.load(), 0u)
      << "no read was ever overtaken: nothing was tested";
  for (uint32_t state = reading_2; state < state_count; state++)
    EXPECT_GT(client_kills_[state], 0u) << "no client died in state: " << state_names[state];
  if (HasFailure()) std::printf("%s\n", daemon_.log().c_str());

  // A killed daemon loses nothing that was published. (Without root the pool is a memfd, which ends
  // with it.)
  if (geteuid() == 0) {
    const Quiet::Versions before = Quiet(daemon_.socket_path()).read_all();
    EXPECT_GT(before.size(), 100u);
    restart_daemon();
    const Quiet::Versions after = Quiet(daemon_.socket_path()).read_all();
    for (const auto& [block, version] : before) {
      const auto found = after.find(block);
      ASSERT_NE(found, after.end())
          << "lost by the restart: " << block.first << "/" << block.second;
      ASSERT_EQ(found->second, version) << block.first << "/" << block.second;
    }
  }
  // Nothing of the dead clients keeps room: twice the pool can be written.
  Quiet quiet(daemon_.socket_path());
  for (uint32_t number = 0; number < 1400; number++)
    ASSERT_EQ(quiet.put_fresh(0, 100'000 + number), 0) << number;
}

}  // namespace
}  // namespace speckv::test
