// SPDX-License-Identifier: Apache-2.0
// Proves that memory which is lost under the daemon costs the blocks that lay there, and nothing
// else: poison, and the card pulled while clients read and write. Last of the extent's tests: the
// guest has no card afterwards.
#include <signal.h>
#include <unistd.h>

#include <atomic>

#include "guest.hpp"
#include "shm/pool_format.hpp"

namespace speckv::test {
namespace {

constexpr uint64_t mib = 1u << 20;

struct Tally {
  std::atomic<uint64_t> hits, misses, wrong, puts, puts_refused;
};

TEST(Loss, PoisonTakesTheBlocksThatLayThere) {
  DaemonProcess daemon(extent_daemon("32MiB"));
  ASSERT_TRUE(daemon.start()) << daemon.log();
  const std::string path = daemon.socket_path();
  auto* hits = static_cast<int*>(shared_memory(sizeof(int)));
  const auto count = [&] {
    RealClient client(path, "default");
    int wrong = 0;
    *hits = client.get_all(real_blocks, &wrong);
    return wrong;
  };
  ASSERT_EQ(run_as(uid_one,
                   [&] {
                     RealClient client(path, "default");
                     return client.put_all(real_blocks) == int(real_blocks) ? 0 : 1;
                   }),
            0);
  EXPECT_EQ(run_as(uid_one, count), 0);
  ASSERT_EQ(*hits, int(real_blocks));
  // 18 MiB of blocks lie behind the pool's header, those of unit 3 are segments.
  auto* offset = static_cast<uint64_t*>(shared_memory(sizeof(uint64_t)));
  ASSERT_EQ(run_as(uid_one,
                   [&] {
                     *offset = say_hello(path, "default").welcome.pool_offset;
                     return 0;
                   }),
            0);
  ASSERT_TRUE(poison(*offset + 7 * mib));
  EXPECT_TRUE(eventually([&] { return status_field(path, "lost_bytes") == 2 * mib; }));
  EXPECT_EQ(run_as(uid_one, count), 0) << "wrong bytes";
  EXPECT_LT(*hits, int(real_blocks));
  EXPECT_GT(*hits, int(real_blocks) / 2) << "only what lay there";
  const auto put_again = [&] {
    RealClient client(path, "default");
    if (client.put_all(real_blocks) != int(real_blocks)) return 1;
    int wrong = 0;
    return client.get_all(real_blocks, &wrong) == int(real_blocks) && !wrong ? 0 : 2;
  };
  EXPECT_EQ(run_as(uid_one, put_again), 0) << "there is room beside it: " << daemon.log();
  EXPECT_NE(daemon.log().find("2 MiB of its memory are lost"), std::string::npos) << daemon.log();
}

// One client's life until it is told to end.
int read_and_write(const std::string& path, uint64_t seed, Tally* tally,
                   const std::atomic<bool>* end) {
  RealClient client(path, "default");
  if (client.opened() != 0) return 1;
  for (uint64_t turn = 0; !end->load(); turn++) {
    const uint64_t number = mix64(seed * 1000 + turn) % real_blocks;
    const int result = client.get(number);
    tally->hits += result == 0;
    tally->misses += result == -ENOENT;
    tally->wrong += result != 0 && result != -ENOENT;
    if (turn % 8) continue;
    if (client.put(1000 + number) == 0) tally->puts++;
    else tally->puts_refused++;
  }
  return 0;
}

TEST(Loss, PulledUnderLoadClientsMissAndNothingElse) {
  DaemonProcess daemon(extent_daemon());
  ASSERT_TRUE(daemon.start()) << daemon.log();
  const std::string path = daemon.socket_path();
  ASSERT_EQ(run_as(uid_one,
                   [&] {
                     RealClient client(path, "default");
                     return client.put_all(real_blocks) == int(real_blocks) ? 0 : 1;
                   }),
            0);
  auto* tally = static_cast<Tally*>(shared_memory(sizeof(Tally)));
  auto* end = static_cast<std::atomic<bool>*>(shared_memory(sizeof(bool)));
  std::vector<pid_t> clients;
  for (uint64_t i = 0; i < 3; i++)
    clients.push_back(spawn_as(uid_one, [&] { return read_and_write(path, i, tally, end); }));
  EXPECT_TRUE(eventually([&] { return tally->hits > 300 && tally->puts > 10; }));
  EXPECT_EQ(tally->misses, 0u);
  ASSERT_TRUE(pull_card());
  EXPECT_TRUE(eventually([&] { return status_field(path, "lost_bytes") == 64 * mib; }));
  const uint64_t hits = tally->hits, misses = tally->misses, refused = tally->puts_refused;
  EXPECT_TRUE(eventually(
      [&] { return tally->misses > misses + 300 && tally->puts_refused > refused + 10; }));
  EXPECT_LE(tally->hits, hits + clients.size()) << "a read that was under way, no more";
  end->store(true);
  for (const pid_t client : clients) EXPECT_EQ(wait_for(client), 0) << "a client died";
  EXPECT_EQ(tally->wrong, 0u);
  std::printf("# %lu hits, then %lu misses, %lu wrong; %lu puts, then %lu refused\n",
              (unsigned long)tally->hits, (unsigned long)tally->misses, (unsigned long)tally->wrong,
              (unsigned long)tally->puts, (unsigned long)tally->puts_refused);
  EXPECT_EQ(::kill(daemon.pid(), 0), 0) << daemon.log();
  EXPECT_EQ(
      run_as(uid_one, [&] { return RealClient(path, "default").opened() == -ENODEV ? 0 : 1; }), 0)
      << "a new session is told so";
  EXPECT_NE(daemon.log().find("64 MiB of its memory are lost"), std::string::npos) << daemon.log();
}

}  // namespace
}  // namespace speckv::test
