// SPDX-License-Identifier: Apache-2.0
// Proves what a client sees of a daemon that dies: hits go on, each operation under way ends once
// with -ECONNRESET, writes say -ENOTCONN, and when a daemon is there again the client finds it by
// itself, with its layouts.
#include <poll.h>
#include <sched.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "client.hpp"

namespace speckv::test {
namespace {

class Restart : public LibTest {
 protected:
  void begin_with_blocks() {
    begin();
    layout_ = small_layout();
    number_ = client().add_layout(layout_);
    kv_ = std::make_unique<Kv>(layout_, Arrangement::token_major);
    for (uint64_t i = 0; i < 8; i++) ASSERT_EQ(client().put(number_, i, *kv_), 0);
  }
  // Misses until the library has reconnected. Returns: false after 20 s.
  bool reconnected(uint64_t before) {
    for (int i = 0; i < 4000; i++) {
      if (client().stats().reconnects > before) return true;
      client().get(number_, 987654, *kv_);
      usleep(5000);
    }
    return false;
  }
  // Writes until the library has seen that the daemon is gone.
  int put_until_refused() {
    for (int i = 0; i < 4000; i++) {
      kv_->fill(50'000);
      speckv_put_op op = Client::put_op(50'000 + uint64_t(i), *kv_);
      const int tried = speckv_put(client().get(), number_, &op, 1);
      submitted_ += tried == 1;
      if (tried < 0) return tried;
      if (tried == 0) return op.ret_result;
      usleep(1000);
    }
    return 0;
  }

  speckv_layout layout_;
  uint32_t number_ = 0;
  std::unique_ptr<Kv> kv_;
  unsigned submitted_ = 0;
};

TEST_F(Restart, HitsGoOnWithoutADaemon) {
  begin_with_blocks();
  daemon().kill();
  for (uint64_t i = 0; i < 8; i++) {
    ASSERT_EQ(client().get(number_, i, *kv_), 0);
    EXPECT_EQ(kv_->wrong(i), 0u);
  }
  EXPECT_TRUE(client().exists(number_, 3));
  EXPECT_EQ(client().get(number_, 100, *kv_), -ENOENT);
  EXPECT_EQ(put_until_refused(), -ENOTCONN);
  EXPECT_EQ(client().stats().connected, 0u);
  const auto lost = client().reap(submitted_);
  EXPECT_EQ(lost.size(), submitted_);
  for (const auto& done : lost) EXPECT_EQ(done.result, -ECONNRESET);
  const auto keys = keys_of(1, 1);
  uint8_t hit;
  uint64_t held;
  EXPECT_EQ(speckv_hold(client().get(), number_, as_keys(keys), 1, 1, second_ns, &hit, &held),
            -ENOTCONN);
  EXPECT_EQ(speckv_remove(client().get(), number_, as_keys(keys), 1, 0), -ENOTCONN);
  EXPECT_EQ(speckv_wait(client().get(), second_ns), -ENOTCONN);
  uint32_t other;
  layout_.layers = 7;
  EXPECT_EQ(speckv_layout_register(client().get(), &layout_, &other), -ENOTCONN);
  EXPECT_EQ(client().get(number_, 5, *kv_), 0);  // still
}

TEST_F(Restart, TheClientFindsTheNextDaemon) {
  begin_with_blocks();
  for (uint64_t round = 0; round < 3; round++) {
    daemon().kill();
    ASSERT_TRUE(daemon().start()) << daemon().log();
    ASSERT_TRUE(reconnected(round)) << daemon().log();
    EXPECT_EQ(client().stats().connected, 1u);
    for (uint64_t i = 0; i < 8; i++) {  // they outlived the daemon
      ASSERT_EQ(client().get(number_, i, *kv_), 0) << "round " << round << daemon().log();
      EXPECT_EQ(kv_->wrong(i), 0u);
    }
    ASSERT_EQ(client().put(number_, 100 + round, *kv_), 0);
    EXPECT_EQ(client().get(number_, 100 + round, *kv_), 0);
    EXPECT_EQ(kv_->wrong(100 + round), 0u);
  }
}

// Both on one CPU, where the daemon runs only when the caller sleeps: no reply is there at once.
void share_a_cpu(pid_t daemon) {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(sched_getcpu(), &one);
  sched_setaffinity(0, sizeof one, &one);
  const sched_param none{};
  for (const auto& task :
       std::filesystem::directory_iterator("/proc/" + std::to_string(daemon) + "/task")) {
    const pid_t thread = std::stoi(task.path().filename());
    sched_setaffinity(thread, sizeof one, &one);
    sched_setscheduler(thread, SCHED_BATCH, &none);  // never takes the CPU by waking up
  }
}

// A caller that comes by rarely finishes a handshake of 64 layouts in fewer calls than there are
// layouts: at one reply a call its whole timeout may pass, and it would begin again for ever.
TEST_F(Restart, ACallerThatComesByRarelyIsConnectedAgainWithManyLayouts) {
  begin_with_blocks();
  for (unsigned i = 1; i < 64; i++) {
    layout_.variant_digest[0] = uint8_t(i);
    client().add_layout(layout_);
  }
  cpu_set_t before;
  sched_getaffinity(0, sizeof before, &before);
  daemon().kill();
  ASSERT_TRUE(daemon().start()) << daemon().log();
  share_a_cpu(daemon().pid());
  for (int call = 0; call < 60 && client().stats().reconnects == 0; call++) {
    client().get(number_, 987654, *kv_);
    usleep(100'000);
  }
  EXPECT_EQ(client().stats().reconnects, 1u) << daemon().log();
  EXPECT_EQ(client().put(number_, 100, *kv_), 0);
  sched_setaffinity(0, sizeof before, &before);
}

// Bytes of this process's shared maps that have page table entries.
uint64_t shared_bytes_mapped() {
  std::ifstream smaps("/proc/self/smaps");
  uint64_t sum = 0;
  bool shared = false;
  for (std::string line; std::getline(smaps, line);) {
    char rights[8], range[64];
    unsigned long long kib = 0;
    if (std::sscanf(line.c_str(), "%63[0-9a-f-] %7s", range, rights) == 2)
      shared = rights[3] == 's';
    if (shared && std::sscanf(line.c_str(), "Rss: %llu kB", &kib) == 1) sum += kib << 10;
  }
  return sum;
}

// The call that finds a new daemon's pool of 64 MiB, and each after it, populates a little.
TEST_F(Restart, AMissPopulatesANewPoolInSteps) {
  begin_with_blocks();
  const uint64_t whole = shared_bytes_mapped();
  EXPECT_GE(whole, 64u << 20) << "speckv_open() populates all of it";
  daemon().kill();
  ASSERT_TRUE(daemon().start()) << daemon().log();
  ASSERT_TRUE(reconnected(0)) << daemon().log();
  uint64_t before = shared_bytes_mapped();
  EXPECT_LT(before, whole / 2);
  for (int i = 0; i < 4000 && before < whole; i++) {
    client().get(number_, 987654, *kv_);
    const uint64_t now = shared_bytes_mapped();
    EXPECT_LE(now, before + (11u << 20)) << "one step is 8 MiB, in pages of up to 2 MiB";
    before = now;
    usleep(1000);
  }
  EXPECT_GE(before, whole);
}

TEST_F(Restart, UnderWayEndsOnce) {
  begin_with_blocks();
  const int event = speckv_event_fd(client().get());
  ASSERT_GE(event, 0);
  daemon().pause();
  std::vector<Kv> blocks;
  for (uint64_t i = 0; i < 20; i++) {
    blocks.emplace_back(layout_, Arrangement::token_major);
    blocks.back().fill(200 + i);
    speckv_put_op op = Client::put_op(200 + i, blocks.back());
    ASSERT_EQ(speckv_put(client().get(), number_, &op, 1), 1);
  }
  daemon().kill();
  pollfd readable{event, POLLIN, 0};
  EXPECT_EQ(poll(&readable, 1, 20'000), 1);  // tells a poller that something happened
  std::vector<int> seen(20, 0);
  size_t total = 0;
  for (int i = 0; i < 2000 && total < 20; i++) {
    speckv_completion done[32];
    const int got = speckv_reap(client().get(), done, 32);
    ASSERT_GE(got, 0);
    for (int k = 0; k < got; k++) {
      EXPECT_EQ(done[k].result, -ECONNRESET);
      seen[size_t(done[k].user_data - 200)]++;
    }
    total += size_t(got);
    usleep(1000);
  }
  EXPECT_EQ(seen, std::vector<int>(20, 1));
  EXPECT_EQ(poll(&readable, 1, 0), 0);  // and is quiet again

  ASSERT_TRUE(daemon().start()) << daemon().log();
  ASSERT_TRUE(reconnected(0));
  EXPECT_EQ(speckv_event_fd(client().get()), event);
  kv_->fill(300);
  speckv_put_op op = Client::put_op(300, *kv_);
  ASSERT_EQ(speckv_put(client().get(), number_, &op, 1), 1);
  EXPECT_EQ(poll(&readable, 1, 20'000), 1);  // the same descriptor follows the new daemon
  speckv_completion done;
  while (speckv_reap(client().get(), &done, 1) == 0) usleep(1000);
  EXPECT_EQ(done.user_data, 300u);
  EXPECT_EQ(done.result, 0);
}

TEST_F(Restart, OpenPutsAndPagesAreLostButSafe) {
  begin_with_blocks();
  struct speckv_put* put = nullptr;
  struct speckv_page* page = nullptr;
  ASSERT_EQ(speckv_put_begin(client().get(), number_, key_of(70).bytes, nullptr, &put), 0);
  ASSERT_EQ(speckv_alloc(client().get(), number_, &page), 0);
  std::vector<speckv_view> views(6);
  ASSERT_EQ(speckv_page_views(page, views.data(), 6), 0);
  daemon().kill();
  ASSERT_TRUE(daemon().start()) << daemon().log();
  ASSERT_TRUE(reconnected(0));
  for (const speckv_view& view : views)
    std::memset(view.base, 1, speckv_block_bytes(&layout_) / 6);  // the old memory is still there
  EXPECT_EQ(speckv_append(page, 32), 32);
  EXPECT_EQ(speckv_seal(page, key_of(71).bytes, nullptr, 0), -ECONNRESET);
  const speckv_buf buf = kv_->buf();
  EXPECT_EQ(speckv_put_layers(put, &buf), -ECONNRESET);
  EXPECT_EQ(speckv_put_commit(put, 0), -ECONNRESET);
  EXPECT_EQ(speckv_release(page), 0);
  EXPECT_EQ(speckv_put_abort(put), 0);
  EXPECT_EQ(client().put(number_, 72, *kv_), 0);
}

}  // namespace
}  // namespace speckv::test
