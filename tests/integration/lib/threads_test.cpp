// SPDX-License-Identifier: Apache-2.0
// Proves that one session may be shared by threads: readers verify every value while a small pool
// turns over under them, completions are each seen once by some reaper, waits wake, and close()
// waits for who is inside. Seeds are printed.
#include <poll.h>
#include <unistd.h>

#include <atomic>
#include <random>
#include <thread>

#include "client.hpp"

namespace speckv::test {
namespace {

using Threads = LibTest;

TEST_F(Threads, ReadersAndWritersOverASmallPool) {
  DaemonOptions options;
  options.pool_bytes = "16MiB";
  begin(options);
  const unsigned seed = std::random_device{}();
  std::printf("seed %u\n", seed);
  speckv_layout layout = small_layout(2);
  layout.head_dim = 64;
  const uint32_t number = client().add_layout(layout);
  constexpr uint64_t keys = 3000;  // 16 KiB each: three times the pool
  std::atomic<uint64_t> hits{0}, wrong{0};
  std::atomic<int> unexpected{0}, completions{0}, submitted{0};
  std::atomic<int> writing{2};
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 2; t++)
    threads.emplace_back([&, t] {  // writers, which also reap whatever has come
      std::mt19937 random(seed + t);
      Kv kv(layout, Arrangement::transposed_v);
      for (int i = 0; i < 2000; i++) {
        const uint64_t key = random() % keys;
        kv.fill(key);
        speckv_put_op op = Client::put_op(key, kv);
        const int tried = speckv_put(client().get(), number, &op, 1);
        if (tried == 1) submitted++;
        else if (op.ret_result != -EAGAIN) unexpected++;
        speckv_completion done[16];
        const int got = speckv_reap(client().get(), done, 16);
        for (int k = 0; k < got; k++) {
          if (done[k].result != 0 && done[k].result != -ENOSPC) unexpected++;
          completions++;
        }
      }
      writing--;
    });
  for (unsigned t = 0; t < 2; t++)
    threads.emplace_back([&, t] {
      std::mt19937 random(seed + 100 + t);
      Kv kv(layout, Arrangement::token_major);
      while (writing > 0) {
        const uint64_t key = random() % keys;
        speckv_get_op op{};
        std::memcpy(op.key, key_of(key).bytes, sizeof op.key);
        op.buf = kv.buf();
        const int got = speckv_get(client().get(), number, &op, 1);
        if (got == 1) {
          hits++;
          wrong += kv.wrong(key);
        } else if (got != 0 || op.ret_result != -ENOENT) {
          unexpected++;
        }
      }
    });
  for (std::thread& thread : threads) thread.join();
  completions += int(client().reap(size_t(submitted - completions)).size());
  EXPECT_EQ(completions, submitted);
  EXPECT_EQ(unexpected, 0);
  EXPECT_GT(hits, 0u);
  EXPECT_EQ(wrong, 0u);
  EXPECT_EQ(client().stats().corrupt, 0u);
  EXPECT_EQ(speckv_wait(client().get(), 0), -ENOTCONN);
}

TEST_F(Threads, EveryWaiterWakes) {
  begin();
  const speckv_layout layout = small_layout();
  const uint32_t number = client().add_layout(layout);
  constexpr int waiters = 4, each = 50;
  std::atomic<int> seen{0}, submitted{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < waiters; t++)
    threads.emplace_back([&, t] {
      Kv kv(layout, Arrangement::token_major);
      kv.fill(uint64_t(t));
      const auto keys = keys_of(uint64_t(t), 1);
      for (int i = 0; i < each; i++) {
        speckv_put_op op = Client::put_op(uint64_t(t * each + i), kv);
        if (speckv_put(client().get(), number, &op, 1) == 1) submitted++;
        uint8_t hit = 0;
        uint64_t hold = 0;  // a waiter of its own kind among them
        const int held = speckv_hold(client().get(), number, as_keys(keys), 1, second_ns,
                                     20 * second_ns, &hit, &hold);
        EXPECT_GE(held, 0);
        if (held == 1) {
          EXPECT_EQ(speckv_unhold(client().get(), hold), 0);
        }
        const int waited = speckv_wait(client().get(), 20 * second_ns);
        EXPECT_TRUE(waited == 0 || waited == -ENOTCONN) << waited;
        speckv_completion done;
        const int got = speckv_reap(client().get(), &done, 1);
        if (got > 0) seen += got;
      }
    });
  for (std::thread& thread : threads) thread.join();
  seen += int(client().reap(size_t(submitted - seen)).size());
  EXPECT_EQ(seen, submitted);
  EXPECT_EQ(submitted, waiters * each);
}

TEST_F(Threads, CloseWaitsAndWakes) {
  begin();
  const speckv_layout layout = small_layout();
  for (int round = 0; round < 20; round++) {
    auto shared = std::make_unique<Client>(daemon().socket_path(), nullptr, 1u << 20);
    ASSERT_EQ(shared->opened(), 0);
    const uint32_t number = shared->add_layout(layout);
    speckv_session* session = shared->get();
    std::atomic<int> bad{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; t++)
      threads.emplace_back([&, t] {
        Kv kv(layout, Arrangement::token_major);
        kv.fill(uint64_t(t));
        for (;;) {
          speckv_put_op op = Client::put_op(uint64_t(t), kv);
          int result = speckv_put(session, number, &op, 1);
          if (result >= 0) result = speckv_wait(session, 60 * second_ns);
          speckv_completion done[4];
          if (result == 0 || result == -ENOTCONN) result = speckv_reap(session, done, 4);
          if (result == -ESHUTDOWN) return;
          if (result < 0) bad++;
        }
      });
    usleep(2000);
    shared->close();
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(bad, 0);
  }
}

TEST_F(Threads, TheEventDescriptor) {
  begin();
  const speckv_layout layout = small_layout();
  const uint32_t number = client().add_layout(layout);
  const int event = speckv_event_fd(client().get());
  pollfd readable{event, POLLIN, 0};
  EXPECT_EQ(poll(&readable, 1, 0), 0);
  Kv kv(layout, Arrangement::token_major);
  kv.fill(1);
  for (uint64_t i = 0; i < 10; i++) {
    speckv_put_op op = Client::put_op(i, kv);
    ASSERT_EQ(speckv_put(client().get(), number, &op, 1), 1);
  }
  int total = 0;
  while (total < 10) {
    ASSERT_EQ(poll(&readable, 1, 20'000), 1)
        << total;  // as long as something is left, it is readable
    speckv_completion done;
    total += speckv_reap(client().get(), &done, 1);
  }
  speckv_completion done;
  EXPECT_EQ(speckv_reap(client().get(), &done, 1), 0);
  EXPECT_EQ(poll(&readable, 1, 0), 0);
}

}  // namespace
}  // namespace speckv::test
