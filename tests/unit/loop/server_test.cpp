// SPDX-License-Identifier: Apache-2.0
// server_test.cpp - the server on plain memory: whose turn it is, by bytes; what becomes of
// sessions whose kernel operations end late, fail or find no room; entries that are refused.
//
// How: SimIo notes what is asked of the kernel and completes nothing by itself; turns are counted,
// never timed.
#include <limits>

#include "server_fixture.hpp"
#include "speckv/speckv.h"

namespace {

using namespace speckv;
using namespace speckv::test;

uint64_t served_bytes(const std::vector<SimClient>& clients) {
  uint64_t sum = 0;
  for (const SimClient& client : clients) sum += client.served_bytes();
  return sum;
}

TEST(Server, AnswersAndSignalsOnceATurn) {
  SimServer sim;
  SimClient client = sim.connect(0, 1);
  for (int i = 0; i < 3; i++) client.put();
  EXPECT_TRUE(sim.turn());
  EXPECT_EQ(client.served(), 3u);
  EXPECT_EQ(client.last().result, 0);
  EXPECT_EQ(sim.io.signals[client.session->event_fd()], 1);
  EXPECT_FALSE(sim.turn());
  EXPECT_EQ(sim.io.signals[client.session->event_fd()], 1);
}

TEST(Server, BitsWithoutAMeaningAreRefused) {
  SimServer sim;
  SimClient client = sim.connect(0, 1);
  for (int i = 0; i < 11; i++) {
    shm::Submission submission{};
    submission.op = uint8_t(shm::Op::touch);
    submission.layout = uint16_t(client.layout);
    if (i == 0) submission.flags = 0x80;
    else if (i == 1) submission.budget = 1;
    else if (i == 2) submission.returns_ns = 1;
    else if (i == 3) submission.kind = SPECKV_KIND_TOOL;
    else submission.reserved[i - 4] = 1;
    client.submit(submission);
    sim.turn();
    EXPECT_EQ(client.last().result, -EINVAL) << i;
  }
  EXPECT_EQ(sim.server().counters().rejected, 11u);
}

// ---- sessions that go --------------------------------------------------------------------------

TEST(Server, ASessionGoesAtOnceThoughItsPollEndsLater) {
  SimServer sim;
  SimClient client = sim.connect(0, 1);
  ASSERT_EQ(sim.io.polls.size(), 1u);
  EXPECT_EQ(sim.io.polls[0].fd, client.session->doorbell(0));
  Operation* poll = sim.io.polls[0].operation;
  client.put();
  client.session->end();
  const std::weak_ptr<Session> watched = client.session;
  client.session.reset();
  sim.server().dismiss_ended();
  EXPECT_TRUE(watched.expired()) << "its memory stays for as long as the client likes";
  EXPECT_EQ(sim.server().sessions(), 0u);
  EXPECT_EQ(sim.io.cancels, std::vector<Operation*>{poll});
  EXPECT_EQ(sim.server().leaving(), 1u);
  EXPECT_FALSE(sim.turn());
  *poll = {1, true};  // it rang once more
  sim.server().completed(poll);
  EXPECT_EQ(sim.server().leaving(), 1u);
  *poll = {-ECANCELED, false};
  sim.server().completed(poll);
  EXPECT_EQ(sim.server().leaving(), 0u);
  EXPECT_EQ(sim.server().counters().io_failed, 0u);
}

TEST(Server, WhatFindsNoRoomIsAskedForAgain) {
  SimServer sim;
  sim.io.refuse = true;
  SimClient client = sim.connect(0, 1);
  client.put();
  sim.turn();
  EXPECT_EQ(client.served(), 1u) << "no poll is no reason not to serve";
  EXPECT_GE(sim.server().counters().io_failed, 2u);
  sim.io.refuse = false;
  sim.late_turn();
  ASSERT_EQ(sim.io.polls.size(), 1u);
  EXPECT_EQ(sim.io.signals[client.session->event_fd()], 1);
  Operation* poll = sim.io.polls[0].operation;
  sim.io.refuse = true;
  client.session->end();
  sim.server().dismiss_ended();
  EXPECT_TRUE(sim.io.cancels.empty());
  sim.io.refuse = false;
  sim.late_turn();
  EXPECT_EQ(sim.io.cancels, std::vector<Operation*>{poll});
}

TEST(Server, APollThatEndsIsStartedAgain) {
  SimServer sim;
  SimClient client = sim.connect(0, 1);
  Operation* poll = sim.io.polls[0].operation;
  *poll = {1, false};  // the completion queue was full
  sim.server().completed(poll);
  EXPECT_EQ(sim.io.polls.size(), 2u);
  *poll = {-ENOMEM, false};  // fails at once: not in a circle
  sim.server().completed(poll);
  EXPECT_EQ(sim.io.polls.size(), 2u);
  EXPECT_EQ(sim.server().counters().io_failed, 1u);
  sim.late_turn();
  EXPECT_EQ(sim.io.polls.size(), 3u);
}

TEST(Server, OneThatEndedBeforeItCameIsNotTaken) {
  SimServer sim;
  SimClient client = sim.connect(0, 1);
  client.session->end();
  sim.server().dismiss_ended();
  sim.server().admit(client.session);
  EXPECT_EQ(sim.server().sessions(), 0u);
}

// ---- whose turn it is --------------------------------------------------------------------------

constexpr uint32_t large = 96;  // layers: 1.5 MiB a block, more than a turn's cost

TEST(Server, ATurnEndsInTheMiddleOfALargeBlock) {
  SimServer sim;
  SimClient client = sim.connect(0, large);
  client.fill(2);
  EXPECT_TRUE(sim.turn());
  EXPECT_EQ(client.answered(), 0u) << "1.5 MiB in a turn of 1 MiB";
  EXPECT_EQ(sim.server().under_way(), 1u);
  for (int i = 0; i < 3; i++) sim.turn();
  EXPECT_EQ(client.answered(), 2u);
  EXPECT_FALSE(sim.turn());
}

// Between the layers of a large block all others get as many bytes as it, its own namespace's
// sessions too, and what they put in the middle of it is whole.
TEST(Server, ALargeBlockLetsOthersInBetweenItsLayers) {
  SimServer sim(3);
  SimClient big = sim.connect(0, large), neighbour = sim.connect(0, 1);
  SimClient second = sim.connect(1, 1), third = sim.connect(2, large);
  big.put();
  neighbour.put();
  second.fill(40);
  third.put();
  EXPECT_TRUE(sim.turn());
  EXPECT_EQ(big.answered(), 0u);
  EXPECT_EQ(neighbour.answered(), 1u);
  EXPECT_GE(second.answered(), 12u) << "a third of the turn's 64 layers";
  for (int i = 0; i < 4; i++) sim.turn();
  EXPECT_EQ(second.answered(), 40u);
  EXPECT_EQ(big.answered(), 1u);
  EXPECT_EQ(big.last().result, 0);
  EXPECT_EQ(third.last().result, 0);
  EXPECT_EQ(sim.server().shard_counters(1).puts, 40u);
}

TEST(Server, WhoComesWhileOthersFloodIsServedInTheNextTurns) {
  SimServer sim;
  std::vector<SimClient> flood;
  for (int i = 0; i < 7; i++) flood.push_back(sim.connect(0, large));
  for (SimClient& client : flood) client.fill(8);
  for (int i = 0; i < 10; i++) sim.turn();
  SimClient late = sim.connect(1, 1);
  late.put();
  sim.turn();
  sim.turn();
  EXPECT_EQ(late.served(), 1u);
}

// One session beside seven with large blocks, in another namespace: as many bytes as they.
TEST(Server, NamespacesGetEqualBytesWhateverTheirBlocksAndSessions) {
  SimServer sim;
  std::vector<SimClient> flood;
  for (int i = 0; i < 7; i++) flood.push_back(sim.connect(0, large));
  std::vector<SimClient> one{sim.connect(1, 1)};
  for (int i = 0; i < 200; i++) {
    for (SimClient& client : flood) client.fill(4), client.reap();
    one[0].fill(500), one[0].reap();
    sim.turn();
  }
  const double share = double(served_bytes(one)) / double(served_bytes(flood) + served_bytes(one));
  // A quantum is a sixth of the large block: so far may a turn's end be from an equal share.
  EXPECT_GT(share, 0.4) << served_bytes(one) << " beside " << served_bytes(flood);
  EXPECT_LT(share, 0.6);
}

TEST(Server, SessionsOfANamespaceGetEqualBytes) {
  SimServer sim(1);
  std::vector<SimClient> clients{sim.connect(0, large), sim.connect(0, 4)};
  for (int i = 0; i < 200; i++) {
    for (SimClient& client : clients) client.fill(100), client.reap();
    sim.turn();
  }
  const double share = double(clients[1].served_bytes()) / double(served_bytes(clients));
  EXPECT_GT(share, 0.42) << clients[1].served_bytes() << " of " << served_bytes(clients);
  EXPECT_LT(share, 0.55);
}

// Who was served much while nobody else asked owes the others nothing for ever, and is not kept
// waiting when alone.
TEST(Server, DebtsPassWithTheRounds) {
  SimServer sim;
  SimClient alone = sim.connect(0, large), other = sim.connect(1, 1);
  for (int i = 0; i < 20; i++) {
    alone.put();
    for (int turn = 0; turn < 2; turn++) EXPECT_TRUE(sim.turn());
    EXPECT_EQ(alone.answered(), uint32_t(i + 1));
    alone.reap();
  }
  // Both ask now: at most one quantum and one large block lie between two of its turns.
  alone.fill(2);
  other.fill(900);
  uint32_t turns = 0;
  while (alone.served() == 20 && turns < 100) sim.turn(), turns++;
  EXPECT_LE(turns, 4u);
}

TEST(Server, ATailThatLiesCostsItsOwner) {
  SimServer sim;
  SimClient liar = sim.connect(0, 1), honest = sim.connect(0, 1);
  for (uint32_t i = 1; i <= 50; i++) {
    shm::store_release(liar.area().sq_tail.value, i * 0x10000000u + 77);
    honest.put();
    sim.turn();
    EXPECT_EQ(honest.served(), i);
    honest.reap();
  }
}

}  // namespace
