// SPDX-License-Identifier: Apache-2.0
// workers_test.cpp - encode workers beside the data threads, more of them than there are cores:
// blocks of many sizes from several clients are whole, and a daemon that is killed or stopped with
// puts in flight answers each of them once and keeps what it acknowledged.
//
// The rest of this folder runs on such a daemon too: lib_with_workers in CMakeLists.txt.
#include <unistd.h>

#include <cerrno>
#include <map>

#include "client.hpp"
#include "roles.hpp"
#include "victim.hpp"

namespace speckv::test {
namespace {

DaemonOptions with_workers() {
  DaemonOptions options;
  options.data_threads = 2;
  options.daemon_lines = "encode_threads = 5\n";  // one data thread has 2, the other 3
  return options;
}

TEST(Workers, BlocksOfManySizesFromSeveralClients) {
  DaemonProcess daemon(with_workers());
  ASSERT_TRUE(daemon.start()) << daemon.log();
  EXPECT_NE(daemon.log().find("encode_threads 5 beside 2 data threads"), std::string::npos);
  Roles roles;
  Tally& tally = roles.tally();
  for (uint64_t i = 0; i < 4; i++) {
    Habits habits;
    habits.seed = i + 1;
    habits.blocks_max = 20;
    habits.layers = {1, 2, 7, 40, 100};
    roles.send(0, [&, habits] { Victim(daemon.socket_path(), nullptr, tally, habits).run(); });
  }
  for (int i = 0; i < 60'000 && tally.puts < 400; i++) usleep(1000);
  roles.end();
  EXPECT_GE(tally.puts, 400u);
  EXPECT_EQ(tally.wrong, 0u);
  EXPECT_EQ(tally.lost, 0u);
  EXPECT_EQ(tally.ghosts, 0u);
  EXPECT_EQ(tally.failed_puts, 0u);
  EXPECT_EQ(tally.unanswered, 0u);
}

// Many puts on their way to the workers, and the daemon ends.
class InFlight : public ::testing::TestWithParam<bool> {
 protected:
  static constexpr uint32_t layers = 20;
  static constexpr uint64_t blocks = 64;

  // Returns: the number of puts that the library took.
  uint64_t submit(Client& client, uint32_t layout, uint64_t first, std::vector<Kv>& memory) {
    for (uint64_t i = 0; i < blocks; i++) {
      memory[i].fill(first + i);
      speckv_put_op op = Client::put_op(first + i, memory[i]);
      if (speckv_put(client.get(), layout, &op, 1) != 1) return i;
    }
    return blocks;
  }
};

TEST_P(InFlight, EachPutIsAnsweredOnceAndWhatWasStoredStays) {
  const bool killed = GetParam();
  DaemonProcess daemon(with_workers());
  ASSERT_TRUE(daemon.start()) << daemon.log();
  Client client(daemon.socket_path());
  ASSERT_EQ(client.opened(), 0);
  const speckv_layout layout = small_layout(layers);
  const uint32_t number = client.add_layout(layout);
  std::vector<Kv> memory;
  for (uint64_t i = 0; i < blocks; i++) memory.emplace_back(layout, Arrangement::token_major);
  uint64_t stored = 0, cut = 0;
  for (uint64_t round = 0; round < 8; round++) {
    const uint64_t first = 1 + round * blocks;
    const uint64_t asked = submit(client, number, first, memory);
    ASSERT_EQ(asked, blocks);
    usleep(unsigned(round) * 300);
    if (killed) daemon.kill();
    else daemon.stop();
    std::map<uint64_t, int> answers;
    for (const speckv_completion& done : client.reap(asked)) {
      EXPECT_EQ(answers.count(done.user_data), 0u) << "answered twice";
      answers[done.user_data] = done.result;
      EXPECT_TRUE(done.result == 0 || done.result == -ECONNRESET) << done.result;
    }
    EXPECT_EQ(answers.size(), asked);
    ASSERT_TRUE(daemon.start()) << daemon.log();
    int alive = -1;
    for (int i = 0; i < 2000 && alive != 0; i++, usleep(10'000))
      alive = client.put(number, 1'000'000 + round * 10'000 + uint64_t(i), memory[0]);
    ASSERT_EQ(alive, 0) << "the client does not find the next daemon";
    for (const auto& [key, result] : answers) {
      if (result != 0) {
        cut++;
        continue;
      }
      stored++;
      EXPECT_EQ(client.get(number, key, memory[0]), 0) << "acknowledged and gone: " << key;
      EXPECT_EQ(memory[0].wrong(key), 0u);
    }
  }
  std::cout << stored << " stored, " << cut << " cut short\n";
  if (!killed) {
    EXPECT_GT(stored, cut) << "a stop finishes what it was asked, and says so";
  }
}

INSTANTIATE_TEST_SUITE_P(End, InFlight, ::testing::Bool(), [](const auto& each) {
  return each.param ? std::string("Killed") : std::string("Stopped");
});

}  // namespace
}  // namespace speckv::test
