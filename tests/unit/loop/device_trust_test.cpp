// SPDX-License-Identifier: Apache-2.0
// device_trust_test.cpp - how a device that was set aside is trusted again, and that a job comes
// back exactly once, with the cpu's bytes, whatever a device does.
#include "device_fixture.hpp"

namespace {

using namespace speckv;
using namespace speckv::test;

TEST_F(Device, ThreeRightAnswersInARowAndPausesThatDouble) {
  begin(SPECKV_PRESET_Q8);
  DeviceJob job;
  answered(Fault::garbage, &job);
  pass(pause_ns_min / 2);
  EXPECT_TRUE(io_.under_way.empty()) << "not before its pause is over";
  uint64_t pause_ns = pause_ns_min;
  for (int i = 0; i < 9; i++) {
    pass(pause_ns);
    ASSERT_EQ(io_.under_way.size(), 1u);
    end_all();
    pass(1000);
    ASSERT_EQ(io_.under_way.size(), 1u) << "the second one follows at once";
    end_all(i % 3 == 0 ? Fault::lie : i % 3 == 1 ? Fault::bus : Fault::length);
    pause_ns = std::min(2 * pause_ns, pause_ns_max);
    pass(pause_ns / 2);
    EXPECT_TRUE(io_.under_way.empty()) << i;
    EXPECT_EQ(facts().standing, Standing::aside);
  }
  EXPECT_TRUE(comes_back(pause_ns));
  EXPECT_EQ(facts().set_aside, 1u);
  EXPECT_EQ(answered(Fault::none, &job), EncodeJob::Retry::none);
}

// It had this when it was found out, and answers when it is trusted again.
TEST_F(Device, AnAnswerFromBeforeItWasSetAsideCountsForNothing) {
  begin(SPECKV_PRESET_Q8, 64);
  DeviceJob early, other;
  ask(&early, 1);
  ASSERT_TRUE(engine_->start(&early));
  Operation* const held = io_.under_way.begin()->first;
  const auto end_the_other = [&](Fault fault) {
    for (const auto& [operation, words] : io_.under_way)
      if (operation != held) return end(operation, fault);
  };
  ask(&other, 2);
  ASSERT_TRUE(engine_->start(&other));
  end_the_other(Fault::length);
  ASSERT_EQ(facts().standing, Standing::aside);
  pass(pause_ns_min);
  for (uint32_t i = 0; i < self_tests_wanted; i++, pass(1000)) end_the_other(Fault::none);
  ASSERT_EQ(facts().standing, Standing::live);
  reap();
  end(held, Fault::none);
  EXPECT_EQ(reap().size(), 1u);
  EXPECT_TRUE(early.by_cpu);
  EXPECT_EQ(early.retry, EncodeJob::Retry::here);
}

// Whatever it does, in whatever order: each job comes back once for each start, and in the end with
// the cpu's bytes; nothing is handed out that a late device could still change.
TEST_F(Device, AnyDeviceCostsNothingButTime) {
  constexpr Fault faults[] = {Fault::garbage, Fault::checksum, Fault::length, Fault::lie,
                              Fault::refused, Fault::table,    Fault::bus,    Fault::busy,
                              Fault::reset,   Fault::late};
  for (uint32_t seed = 1; seed <= 40; seed++) {
    SCOPED_TRACE(seed);
    random_.seed(seed);
    begin(seed % 2 ? SPECKV_PRESET_BALANCED : SPECKV_PRESET_NEAR_LOSSLESS);
    std::deque<DeviceJob> jobs(24);
    std::vector<DeviceJob*> to_start;
    for (uint32_t i = 0; i < jobs.size(); i++) {
      ask(&jobs[i], i);
      to_start.push_back(&jobs[i]);
    }
    size_t done = 0;
    for (int turn = 0; turn < 4000 && done < jobs.size(); turn++) {
      if (!to_start.empty() && engine_->start(to_start.back())) to_start.pop_back();
      if (!io_.under_way.empty()) {
        auto one = io_.under_way.begin();
        std::advance(one, random_() % io_.under_way.size());
        end(one->first, random_() % 8 ? Fault::none : faults[random_() % std::size(faults)]);
      }
      if (random_() % 16 == 0) io_.answer_reset();
      pass(random_() % (second / 4));
      std::vector<EncodeJob*> back;
      engine_->reap(&back);
      for (EncodeJob* each : back) {
        auto* job = static_cast<DeviceJob*>(each);
        if (job->retry != EncodeJob::Retry::none) to_start.push_back(job);
        else done++;
      }
    }
    EXPECT_EQ(done, jobs.size());
    io_.answer_reset();
    for (const DeviceJob& job : jobs) expect_right(job);
  }
}

}  // namespace
