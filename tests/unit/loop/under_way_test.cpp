// SPDX-License-Identifier: Apache-2.0
// under_way_test.cpp - puts that wait: every row of the table in docs/put-states.md, and whose jobs
// the engine gets.
//
// How: the server on plain memory with the null engine, which completes what the test says, in an
// order that a seed decides.
#include <algorithm>
#include <cstring>
#include <set>

#include "engine/null.hpp"
#include "server_fixture.hpp"

namespace {

using namespace speckv;
using namespace speckv::test;
using shm::Op;

class UnderWay : public ::testing::Test {
 protected:
  explicit UnderWay(uint32_t jobs_max = 16)
      : engine_(new NullEngine(1, jobs_max)), sim_(2, std::unique_ptr<Engine>(engine_)) {}
  void run_out() {
    for (int i = 0; i < 10'000 && (sim_.turn() || engine_->waiting()); i++) engine_->complete_all();
    EXPECT_EQ(sim_.server().under_way(), 0u);
    sim_.late_turn();
    for (uint32_t space = 0; space < 2; space++) {
      EXPECT_EQ(counters(space).puts_under_way, 0u);
      EXPECT_EQ(counters(space).puts_quarantined, 0u);
    }
  }
  void wait_for_deadline() {
    for (uint64_t ns = 0; ns <= put_deadline_ns + tick_ns; ns += tick_ns) sim_.late_turn();
  }
  const ShardCounters& counters(uint32_t space = 0) { return sim_.server().shard_counters(space); }
  void die(SimClient& client) {
    client.session->end();
    client.session.reset();
    sim_.server().dismiss_ended();
  }

  NullEngine* engine_;
  SimServer sim_;
};

// ---- order -------------------------------------------------------------------------------------

TEST_F(UnderWay, AnAnswerComesInAnyLaterTurn) {
  SimClient client = sim_.connect(0, 4);
  client.ask(Op::put, 1);
  sim_.turn();
  EXPECT_EQ(engine_->waiting(), 4u) << "one job a layer";
  EXPECT_EQ(client.answered(), 0u);
  engine_->complete(3);
  sim_.turn();
  EXPECT_EQ(client.answered(), 0u);
  EXPECT_EQ(counters().blocks, 0u) << "nothing is visible before it is whole";
  engine_->complete(1);
  EXPECT_TRUE(sim_.turn());
  ASSERT_EQ(client.answered(), 1u);
  EXPECT_EQ(client.last().result, 0);
  EXPECT_EQ(counters().blocks, 1u);
  EXPECT_EQ(sim_.io.signals[client.session->event_fd()], 1);
}

TEST_F(UnderWay, ASecondPutOfTheKeyJoinsTheFirst) {
  SimClient first = sim_.connect(0, 2), second = sim_.connect(0, 2);
  first.ask(Op::put, 1);
  sim_.turn();
  second.ask(Op::put, 1);
  sim_.turn();
  EXPECT_EQ(engine_->waiting(), 2u) << "it is encoded once";
  EXPECT_EQ(second.served(), 0u) << "it waits in its ring";
  EXPECT_FALSE(sim_.server().has_work()) << "and costs nothing while it waits";
  engine_->complete_all();
  sim_.turn();
  EXPECT_EQ(first.last().result, 0);
  EXPECT_EQ(second.last().result, 0);
  EXPECT_TRUE(second.last().flags & shm::completion_existed);
  run_out();
}

TEST_F(UnderWay, ASecondPutGoesOnByItselfWhenTheFirstFails) {
  SimClient first = sim_.connect(0, 2), second = sim_.connect(0, 2);
  first.ask(Op::put, 1);
  second.ask(Op::put, 1);
  sim_.turn();
  engine_->faults.failed = 256;
  engine_->complete_all();
  engine_->faults.failed = 0;
  sim_.turn();
  EXPECT_EQ(first.last().result, -EIO);
  EXPECT_EQ(second.answered(), 0u);
  run_out();
  EXPECT_EQ(second.last().result, 0);
  EXPECT_FALSE(second.last().flags & shm::completion_existed);
}

// ---- an engine that wants a job again ----------------------------------------------------------

TEST_F(UnderWay, AJobThatIsWantedAgainIsStartedAgain) {
  SimClient client = sim_.connect(0, 4);
  client.ask(Op::put, 1);
  sim_.turn();
  const std::byte* slot = engine_->job(3).out.data();
  engine_->want_again(EncodeJob::Retry::here);
  sim_.turn();
  ASSERT_EQ(engine_->waiting(), 4u);
  EXPECT_EQ(engine_->job(3).out.data(), slot) << "in the same slot";
  EXPECT_EQ(client.answered(), 0u);
  run_out();
  EXPECT_EQ(client.last().result, 0);
  EXPECT_EQ(counters().slots_given_up, 0u);
}

TEST_F(UnderWay, ASlotThatADeviceMayStillWriteToIsNobodysAnyMore) {
  SimClient client = sim_.connect(0, 4);
  client.ask(Op::put, 1);
  sim_.turn();
  std::byte* const slot = engine_->job(3).out.data();
  const size_t bytes = engine_->job(3).out.size();
  engine_->want_again(EncodeJob::Retry::elsewhere);
  sim_.turn();
  ASSERT_EQ(engine_->waiting(), 4u);
  EXPECT_NE(engine_->job(3).out.data(), slot);
  run_out();
  EXPECT_EQ(client.last().result, 0);
  EXPECT_EQ(counters().slots_given_up, 1u);
  std::memset(slot, 0x5a, bytes);  // it does
  // Everything is put, evicted and put again: nobody comes to lie there.
  for (int round = 0; round < 40; round++) {
    client.fill(client.tail + 64);
    run_out();
    client.reap();
  }
  EXPECT_GT(counters().evicted, 100u);
  EXPECT_EQ(std::count(slot, slot + bytes, std::byte{0x5a}), ptrdiff_t(bytes));
}

TEST_F(UnderWay, ASlotOfAPutThatFailsIsGivenUpAsWell) {
  SimClient client = sim_.connect(0, 2);
  client.ask(Op::put, 1);
  sim_.turn();
  engine_->faults.failed = 256;
  engine_->cancels = false;
  engine_->complete(1);
  engine_->faults.failed = 0;
  sim_.turn();
  engine_->want_again(EncodeJob::Retry::elsewhere);
  sim_.turn();
  EXPECT_EQ(client.last().result, -EIO);
  EXPECT_EQ(counters().slots_given_up, 1u);
  run_out();
}

// A device can write anywhere in what it was lent.
TEST_F(UnderWay, AGenThatIsNotOursIsFoundAndPutRight) {
  SimClient client = sim_.connect(0, 2);
  client.ask(Op::put, 1);
  sim_.turn();
  auto* header = reinterpret_cast<shm::SlotHeader*>(engine_->job(1).out.data()) - 1;
  const uint64_t gen = header->gen;
  header->gen = 4712;
  engine_->complete_all();
  sim_.turn();
  EXPECT_EQ(engine_->distrusted, 1u);
  EXPECT_EQ(client.answered(), 0u) << "that one is done again";
  ASSERT_EQ(engine_->waiting(), 1u);
  EXPECT_TRUE(engine_->job(0).by_cpu);
  EXPECT_EQ(header->gen, gen);
  run_out();
  EXPECT_EQ(client.last().result, 0);
}

TEST_F(UnderWay, RemoveAndHoldWaitForIt) {
  SimClient client = sim_.connect(0, 2), holder = sim_.connect(0, 2), other = sim_.connect(0, 2);
  client.ask(Op::put, 1);
  client.ask(Op::remove, 1);
  client.ask(Op::put, 2);
  holder.ask(Op::put, 3);
  holder.ask(Op::hold, 3);
  other.ask(Op::put, 4);
  sim_.turn();
  EXPECT_EQ(client.served(), 1u) << "and what is behind them in their ring";
  EXPECT_EQ(holder.served(), 1u);
  EXPECT_EQ(other.served(), 1u);
  run_out();
  EXPECT_EQ(client.answered(), 3u);
  for (uint32_t i = 0; i < 3; i++) EXPECT_EQ(client.completion(i).result, 0) << i;
  EXPECT_EQ(holder.last().result, 0);
  EXPECT_EQ(counters().removed, 1u);
  EXPECT_EQ(counters().held_blocks, 1u);
  EXPECT_EQ(counters().blocks, 3u);
}

// Whatever the seed decides: everything is answered, and the books balance.
TEST_F(UnderWay, AnyOrderWithFaultsEndsWithNothingLeftOver) {
  for (uint64_t seed = 1; seed <= 60; seed++) {
    auto* engine = new NullEngine(seed, 1 + uint32_t(seed % 7));
    SimServer sim(2, std::unique_ptr<Engine>(engine));
    engine->faults = {64, uint32_t(seed % 3) * 8};
    std::vector<SimClient> clients;
    for (uint32_t i = 0; i < 6; i++)
      clients.push_back(
          sim.connect(i % 2, 1 + (i * 5) % 12, i % 3 ? SPECKV_PRESET_EXACT : SPECKV_PRESET_Q8));
    for (SimClient& client : clients)
      for (uint64_t i = 0; i < 40; i++)
        client.ask(i % 5 == 4 ? Op::remove : Op::put, (seed * i) % 9);
    uint64_t turns = 0;
    const auto answered = [&] {
      uint64_t sum = 0;
      for (SimClient& client : clients) sum += client.answered();
      return sum;
    };
    for (; answered() < 240 && turns < 20'000; turns++) {
      sim.late_turn();
      engine->complete(seed % 5);
      if (seed % 5 == 0) engine->complete(1);
    }
    sim.late_turn();
    ASSERT_EQ(answered(), 240u) << "seed " << seed;
    EXPECT_EQ(sim.server().under_way(), 0u);
    EXPECT_EQ(sim.server().counters().engine_mistaken, 0u);
    for (uint32_t space = 0; space < 2; space++) {
      const ShardCounters& done = sim.server().shard_counters(space);
      EXPECT_EQ(done.puts - done.removed - done.evicted, done.blocks) << "seed " << seed;
    }
  }
}

// A page that the engine refuses moves its segment to raw, at any later turn.
TEST_F(UnderWay, ARefusedSegmentIsStartedAgain) {
  SimClient client = sim_.connect(0, 6, SPECKV_PRESET_Q8);
  client.ask(Op::put, 1);
  sim_.turn();
  engine_->complete_all();
  sim_.turn();
  EXPECT_EQ(client.answered(), 0u);
  EXPECT_EQ(engine_->waiting(), 6u);
  run_out();
  EXPECT_EQ(client.last().result, 0);
  EXPECT_EQ(counters().segments_refused, 6u);
}

// ---- what goes meanwhile -----------------------------------------------------------------------

TEST_F(UnderWay, AClientThatDiesKeepsItsMemoryUntilItsJobsEnd) {
  SimClient client = sim_.connect(0, 4), other = sim_.connect(0, 4);
  client.ask(Op::put, 1);
  sim_.turn();
  engine_->cancels = false;  // they run
  const std::weak_ptr<Session> watched = client.session;
  die(client);
  EXPECT_FALSE(watched.expired()) << "a job reads its arena";
  EXPECT_EQ(sim_.server().under_way(), 1u);
  other.ask(Op::put, 1);
  engine_->complete(3);
  sim_.turn();
  EXPECT_FALSE(watched.expired());
  EXPECT_EQ(other.served(), 0u);
  engine_->complete(1);
  sim_.turn();
  EXPECT_TRUE(watched.expired());
  EXPECT_EQ(counters().blocks, 0u);
  EXPECT_EQ(counters().puts_failed, 1u);
  run_out();
  EXPECT_EQ(other.last().result, 0);
}

TEST_F(UnderWay, JobsThatHaveNotBegunAreTakenBackAtOnce) {
  SimClient client = sim_.connect(0, 12);
  client.ask(Op::put, 1);
  client.ask(Op::put, 2);
  sim_.turn();
  EXPECT_GT(engine_->waiting(), 0u);
  const std::weak_ptr<Session> watched = client.session;
  die(client);
  EXPECT_TRUE(watched.expired());
  EXPECT_EQ(engine_->waiting(), 0u);
  EXPECT_EQ(sim_.server().under_way(), 0u);
}

TEST_F(UnderWay, ALostRangeFailsWhatLiesThereAndNothingElse) {
  SimClient client = sim_.connect(0, 2), other = sim_.connect(1, 2);
  client.ask(Op::put, 1);
  other.ask(Op::put, 1);
  sim_.turn();
  engine_->cancels = false;
  sim_.server().lose(0, {shm::unit_bytes, shm::unit_bytes});  // where the first slots are
  EXPECT_EQ(client.answered(), 0u) << "its slots are written to";
  EXPECT_EQ(sim_.server().under_way(), 2u);
  run_out();
  EXPECT_EQ(client.last().result, -EIO);
  EXPECT_EQ(other.last().result, 0);
  client.ask(Op::put, 1);
  run_out();
  EXPECT_EQ(client.last().result, 0) << "elsewhere";
}

TEST_F(UnderWay, AFullPoolWaitsForThoseUnderWay) {
  std::vector<SimClient> clients;  // 16 units of 2 MiB; 4 MiB a block: seven at a time
  for (int i = 0; i < 10; i++) clients.push_back(sim_.connect(0, 250));
  for (uint64_t i = 0; i < 10; i++) clients[i].ask(Op::put, i);
  for (int i = 0; i < 12; i++) sim_.turn(), engine_->complete(1);
  EXPECT_GE(sim_.server().under_way(), 3u);
  EXPECT_LT(sim_.server().under_way(), 8u);
  run_out();
  for (SimClient& client : clients) EXPECT_EQ(client.last().result, 0);
}

// ---- engines that misbehave --------------------------------------------------------------------

TEST_F(UnderWay, AnEngineThatNeverAnswersIsNotWaitedFor) {
  SimClient client = sim_.connect(0, 2);
  client.ask(Op::put, 1);
  sim_.turn();
  engine_->forget_one();
  engine_->complete_all();
  sim_.turn();
  EXPECT_EQ(client.answered(), 0u);
  wait_for_deadline();
  EXPECT_EQ(client.last().result, -EIO);
  EXPECT_EQ(counters().puts_overdue, 1u);
  sim_.late_turn();
  EXPECT_EQ(counters().puts_quarantined, 1u) << "it may still write there";
  client.ask(Op::put, 1);
  for (int i = 0; i < 4; i++) sim_.turn(), engine_->complete_all();
  EXPECT_EQ(client.answered(), 2u);
  EXPECT_EQ(client.last().result, 0) << "in other slots";
  engine_->remember();
  run_out();
  EXPECT_EQ(client.answered(), 2u) << "once is enough";
  EXPECT_EQ(counters().blocks, 1u);
}

TEST_F(UnderWay, AnEngineThatIsStuckFailsEverybodyWithinTheDeadline) {
  SimClient client = sim_.connect(0, 1);
  client.fill(100);
  sim_.turn();
  while (engine_->waiting()) engine_->forget_one();
  wait_for_deadline();
  for (int i = 0; i < 100 && client.answered() < 100; i++) sim_.late_turn();
  EXPECT_EQ(client.answered(), 100u);
  EXPECT_EQ(client.last().result, -EIO);
  engine_->remember();
  run_out();
}

// A daemon that was stopped (SIGSTOP, a debugger) has not been waited for.
TEST_F(UnderWay, TimeInWhichNobodyTurnedDoesNotCount) {
  SimClient client = sim_.connect(0, 2);
  client.ask(Op::put, 1);
  sim_.turn();
  sim_.turn_after(10 * put_deadline_ns);
  EXPECT_EQ(client.answered(), 0u);
  run_out();
  EXPECT_EQ(client.last().result, 0);
}

TEST_F(UnderWay, AJobThatComesBackTwiceIsSetAside) {
  SimClient client = sim_.connect(0, 1);
  client.ask(Op::put, 1);
  sim_.turn();
  engine_->complete_all();
  engine_->repeat();
  sim_.turn();
  EXPECT_EQ(client.answered(), 1u);
  EXPECT_EQ(sim_.server().counters().engine_mistaken, 1u);
}

TEST_F(UnderWay, AJobOfNobodyIsSetAside) {
  SimClient client = sim_.connect(0, 1);
  client.ask(Op::put, 1);
  EncodeJob strange;
  engine_->hand_out(&strange);
  sim_.turn();
  EXPECT_EQ(sim_.server().counters().engine_mistaken, 1u);
  run_out();
  EXPECT_EQ(client.answered(), 1u);
  EXPECT_EQ(client.last().result, 0);
}

TEST_F(UnderWay, AStopWithManyInFlightIsQuiet) {
  SimClient client = sim_.connect(0, 1);
  client.fill(500);
  sim_.turn();
  EXPECT_GT(sim_.server().under_way(), 10u);  // and the fixture ends
}

TEST_F(UnderWay, ARingFullOfPutsThatAllWait) {
  SimClient first = sim_.connect(0, 1), client = sim_.connect(0, 1), other = sim_.connect(0, 1);
  first.ask(Op::put, 1);
  sim_.turn();
  for (uint32_t i = 0; i < shm::sq_entries; i++) client.ask(Op::put, 1);
  other.ask(Op::put, 2);
  sim_.turn();
  EXPECT_EQ(client.served(), 0u);
  EXPECT_EQ(other.served(), 1u);
  run_out();
  EXPECT_EQ(client.answered(), uint32_t(shm::sq_entries));
  EXPECT_EQ(counters().puts_existed, uint64_t(shm::sq_entries));
}

// ---- whose jobs the engine gets ----------------------------------------------------------------

class ManyJobs : public UnderWay {
 protected:
  ManyJobs() : UnderWay(2 * puts_max) {}
};

TEST_F(ManyJobs, WithoutARecordLeftAStuckEngineFailsPutsAtOnce) {
  SimClient client = sim_.connect(0, 1), other = sim_.connect(1, 1);
  client.fill(100);
  sim_.turn();
  EXPECT_EQ(sim_.server().under_way(), puts_max) << "the others wait in their ring";
  EXPECT_EQ(client.served(), puts_max);
  while (engine_->waiting()) engine_->forget_one();
  wait_for_deadline();
  sim_.turn();
  EXPECT_EQ(client.answered(), 100u);
  EXPECT_EQ(client.last().result, -EIO);
  other.ask(Op::put, 1);
  sim_.turn();
  engine_->complete_all();
  sim_.turn();
  EXPECT_EQ(other.last().result, 0) << "another namespace has records of its own";
  engine_->remember();
  run_out();
}

class FewJobs : public UnderWay {
 protected:
  FewJobs() : UnderWay(2) {}
};

// One client beside seven that flood, in another namespace: half of what the engine does.
TEST_F(FewJobs, ANamespaceHasItsShareOfTheEngineWhileOthersFlood) {
  std::vector<SimClient> flood;
  for (int i = 0; i < 7; i++) flood.push_back(sim_.connect(0, 96));
  SimClient one = sim_.connect(1, 1);
  uint64_t of_one = 0, all = 0;
  for (int i = 0; i < 3'000; i++) {
    for (SimClient& client : flood) client.fill(4), client.reap();
    one.fill(100), one.reap();
    sim_.turn();
    for (size_t at = 0; at < engine_->waiting(); at++, all++)
      of_one += engine_->job(at).layout->desc.layers == 1;
    engine_->complete_all();
  }
  EXPECT_GT(double(of_one) / double(all), 0.4) << of_one << " of " << all;
  EXPECT_LT(double(of_one) / double(all), 0.6);
}

}  // namespace
