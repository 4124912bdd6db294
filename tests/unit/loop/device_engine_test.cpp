// SPDX-License-Identifier: Apache-2.0
// device_engine_test.cpp - the engine that has a device: what it gives to it and what to the cpu,
// that tables come first, and that no wrong answer gets through as far as it is checked.
#include "device_fixture.hpp"

namespace {

using namespace speckv;
using namespace speckv::test;

// ---- what it is given --------------------------------------------------------------------------

TEST_F(Device, StoresWhatTheCpuStores) {
  for (const uint32_t dtype : {SPECKV_DTYPE_F16, SPECKV_DTYPE_BF16})
    for (const uint32_t preset : {SPECKV_PRESET_Q8, SPECKV_PRESET_NEAR_LOSSLESS,
                                  SPECKV_PRESET_BALANCED, SPECKV_PRESET_COMPACT}) {
      SCOPED_TRACE(preset);
      begin(layout(preset, dtype));
      load_tables();
      const uint64_t before = facts().segments;
      for (const bool first : {false, true}) {
        DeviceJob job;
        ask(&job, 4, first);
        ASSERT_TRUE(engine_->start(&job));
        ASSERT_EQ(io_.under_way.size(), 1u);
        EXPECT_TRUE(reap().empty()) << "it has no answer yet";
        end_all();
        ASSERT_EQ(reap().size(), 1u);
        EXPECT_EQ(job.retry, EncodeJob::Retry::none);
        expect_right(job);
      }
      EXPECT_EQ(facts().segments, before + 2);
      EXPECT_EQ(facts().checked, facts().segments);
    }
}

TEST_F(Device, TablesComeBeforeWhoNamesThem) {
  begin(SPECKV_PRESET_BALANCED);
  DeviceJob job, other;
  ask(&job, 0);
  ASSERT_TRUE(engine_->start(&job));
  EXPECT_EQ(reap().size(), 1u) << "the cpu does it meanwhile";
  expect_right(job);
  ASSERT_EQ(io_.under_way.size(), 1u);
  EXPECT_EQ(io_.under_way.begin()->second.opcode, SPECKV_CMD_LOAD);
  ask(&other, 3);  // of the same layer: its widths, while the turns are on their way
  ASSERT_TRUE(engine_->start(&other));
  EXPECT_EQ(reap().size(), 1u);
  ASSERT_EQ(io_.under_way.size(), 2u) << "each table once";
  end_all();
  EXPECT_EQ(io_.loads, 2u);
  ask(&job, 0);
  ASSERT_TRUE(engine_->start(&job));
  ASSERT_EQ(io_.under_way.size(), 1u);
  EXPECT_EQ(io_.under_way.begin()->second.opcode, SPECKV_CMD_ENCODE);
  end_all();
  EXPECT_EQ(reap().size(), 1u);
  expect_right(job);
  EXPECT_EQ(facts().segments, 1u);
  EXPECT_EQ(facts().by_cpu, 2u);
}

TEST_F(Device, WhatItDoesNotTakeIsTheCpus) {
  DeviceJob job;
  begin(SPECKV_PRESET_EXACT);
  const auto is_cpus = [&] {
    EXPECT_TRUE(engine_->start(&job));
    EXPECT_TRUE(io_.under_way.empty());
    EXPECT_EQ(reap().size(), 1u);
    expect_right(job);
  };
  ask(&job, 1);
  is_cpus();  // raw bytes would only be copied once more
  speckv_layout desc = layout(SPECKV_PRESET_Q8);
  desc.head_dim = 80;
  begin(desc);
  ask(&job, 1);
  is_cpus();
  begin(SPECKV_PRESET_Q8);
  ask(&job, 1);
  std::vector<std::byte> elsewhere(job.out.size());
  job.out = elsewhere;
  is_cpus();  // a slot that no command can name
  ask(&job, 1);
  job.out = {job.out.data() + 32, job.out.size()};
  is_cpus();  // or that begins within a beat
  ask(&job, 1);
  io_.refuses = true;
  is_cpus();  // the ring is full
  EXPECT_EQ(facts().set_aside, 0u);
}

TEST_F(Device, IsFullBeforeItsStagingMemoryIs) {
  begin(SPECKV_PRESET_Q8, 1, 4);
  std::deque<DeviceJob> jobs(4);
  for (uint32_t i = 0; i < 4; i++) {
    ask(&jobs[i], i);
    EXPECT_EQ(engine_->start(&jobs[i]), i < 3) << "one place is for probes and self-tests";
  }
  EXPECT_EQ(io_.under_way.size(), 3u);
  end_all();
  EXPECT_EQ(reap().size(), 3u);
  EXPECT_TRUE(engine_->start(&jobs[3]));
}

// ---- answers -----------------------------------------------------------------------------------

TEST_F(Device, ALieIsFoundBeforeItIsHandedOut) {
  for (const Fault fault : {Fault::garbage, Fault::checksum, Fault::length, Fault::lie}) {
    for (const uint32_t workers : {0u, 2u}) {
      begin(SPECKV_PRESET_BALANCED, 1, 5, workers);
      load_tables();
      DeviceJob job;
      EXPECT_EQ(answered(fault, &job), EncodeJob::Retry::here);
      EXPECT_EQ(facts().standing, Standing::aside);
      EXPECT_EQ(facts().reason, Mistrust::lied);
      EXPECT_EQ(facts().lies, 1u);
      ASSERT_TRUE(engine_->start(&job));
      EXPECT_TRUE(io_.under_way.empty()) << "not again";
      EXPECT_EQ(reap().size(), 1u);
      EXPECT_EQ(job.retry, EncodeJob::Retry::none);
      expect_right(job);
      engine_->stop();
    }
  }
}

// What docs/security.md says of a rate: its own sum over wrong bytes passes until a sample finds
// it.
TEST_F(Device, WhatIsNotASampleIsBelieved) {
  begin(SPECKV_PRESET_BALANCED, 4);
  load_tables();
  const uint64_t given = facts().segments, checked = facts().checked;
  uint64_t wrong = 0;
  for (int i = 0; i < 4 && facts().standing == Standing::live; i++) {
    DeviceJob job;
    wrong += answered(Fault::lie, &job) == EncodeJob::Retry::none;
  }
  EXPECT_EQ(facts().standing, Standing::aside);
  EXPECT_EQ(facts().segments, given + wrong);
  EXPECT_LT(wrong, 4u);
  EXPECT_EQ(facts().checked, checked + 1);
}

TEST_F(Device, AllThatALiarHasIsDoneAgain) {
  begin(SPECKV_PRESET_Q8);
  std::deque<DeviceJob> jobs(4);
  for (uint32_t i = 0; i < 4; i++) {
    ask(&jobs[i], i);
    ASSERT_TRUE(engine_->start(&jobs[i]));
  }
  end(io_.under_way.begin()->first, Fault::garbage);
  reap();
  end_all();
  reap();
  for (DeviceJob& job : jobs) {
    EXPECT_EQ(job.back, 1u);
    EXPECT_EQ(job.retry, EncodeJob::Retry::here) << "whether it was right or not";
    EXPECT_TRUE(job.by_cpu);
  }
  EXPECT_EQ(facts().segments, 0u);
}

TEST_F(Device, NoAnswerIsWaitedForUntilTheResetIs) {
  begin(SPECKV_PRESET_Q8);
  DeviceJob job;
  ask(&job, 5);
  ASSERT_TRUE(engine_->start(&job));
  end_all(Fault::late);
  EXPECT_EQ(facts().standing, Standing::aside);
  EXPECT_EQ(facts().late, 1u);
  for (int i = 0; i < 100; i++) {
    EXPECT_TRUE(reap().empty()) << "its slot may still be written to";
    pass(second / 10);
    end_all();
  }
  ASSERT_EQ(io_.under_way.size(), 1u) << "one probe";
  io_.answer_reset();
  end_all();
  ASSERT_EQ(reap().size(), 1u);
  EXPECT_EQ(job.retry, EncodeJob::Retry::here);
  ASSERT_TRUE(engine_->start(&job));
  EXPECT_EQ(reap().size(), 1u);
  expect_right(job);
  EXPECT_TRUE(comes_back(0)) << "the pause is long over";
}

TEST_F(Device, OneThatAnswersNoResetGetsTheSlot) {
  begin(SPECKV_PRESET_Q8);
  DeviceJob job;
  ask(&job, 5);
  ASSERT_TRUE(engine_->start(&job));
  end_all(Fault::late);
  pass(1000);
  io_.is_dead = true;
  end_all();
  ASSERT_EQ(reap().size(), 1u);
  EXPECT_EQ(job.retry, EncodeJob::Retry::elsewhere);
  EXPECT_EQ(facts().reason, Mistrust::gone) << "so that control asks for it again";
  DeviceJob other;
  io_.is_dead = false;
  begin(SPECKV_PRESET_Q8);
  EXPECT_EQ(answered(Fault::gone, &other), EncodeJob::Retry::elsewhere);
  EXPECT_EQ(facts().reason, Mistrust::gone);
}

// All places may be without an answer: the probe has one of its own.
TEST_F(Device, AllOfThemLate) {
  begin(SPECKV_PRESET_Q8, 1, 4);
  std::deque<DeviceJob> jobs(3);
  for (uint32_t i = 0; i < 3; i++) {
    ask(&jobs[i], i);
    ASSERT_TRUE(engine_->start(&jobs[i]));
  }
  end_all(Fault::late);
  pass(1000);
  EXPECT_EQ(facts().late, 3u);
  EXPECT_EQ(facts().set_aside, 1u);
  io_.answer_reset();
  end_all();
  EXPECT_EQ(reap().size(), 3u);
  EXPECT_TRUE(comes_back(2 * second));
}

TEST_F(Device, AResetIsOverWhenItIsTold) {
  begin(SPECKV_PRESET_BALANCED);
  load_tables();
  const uint64_t loads = io_.loads;
  DeviceJob job;
  EXPECT_EQ(answered(Fault::reset, &job), EncodeJob::Retry::here);
  EXPECT_EQ(facts().reason, Mistrust::reset);
  EXPECT_TRUE(comes_back(2 * second));
  load_tables_again(loads);
}

TEST_F(Device, AnAnswerThatComesTwiceCountsOnce) {
  begin(SPECKV_PRESET_Q8);
  DeviceJob job;
  ask(&job, 5);
  ASSERT_TRUE(engine_->start(&job));
  Operation* const operation = io_.under_way.begin()->first;
  end(operation);
  EXPECT_TRUE(engine_->completed(operation));
  EXPECT_EQ(reap().size(), 1u);
  EXPECT_TRUE(engine_->completed(operation));
  EXPECT_TRUE(reap().empty());
  EXPECT_EQ(job.back, 1u);
  EXPECT_EQ(facts().under_way, 0u);
  Operation stranger;
  EXPECT_FALSE(engine_->completed(&stranger));
}

TEST_F(Device, ARefusalIsTheCpusToSay) {
  begin(SPECKV_PRESET_BALANCED);
  load_tables();
  DeviceJob job;
  ask(&job, 5);
  const uint16_t infinity = 0x7c00;
  std::memcpy(&job.bytes[64], &infinity, 2);
  judge(&job);
  ASSERT_TRUE(engine_->start(&job));
  end_all();
  ASSERT_EQ(reap().size(), 1u);
  EXPECT_EQ(job.retry, EncodeJob::Retry::here);
  ASSERT_TRUE(engine_->start(&job));
  ASSERT_EQ(reap().size(), 1u);
  EXPECT_EQ(job.refusal, codec::Refusal::not_finite);
  EXPECT_EQ(facts().standing, Standing::live);
  EXPECT_EQ(answered(Fault::refused, &job), EncodeJob::Retry::here) << "a lie costs it the segment";
}

// near-lossless promises something of every token, which the device knows nothing of.
TEST_F(Device, APromiseIsKeptWhoeverEncodes) {
  for (const uint32_t check_one_in : {1u, 1000u}) {
    begin(SPECKV_PRESET_NEAR_LOSSLESS, check_one_in);
    load_tables();
    uint64_t bounded = 0;
    for (int i = 0; i < 8; i++) {
      DeviceJob job;
      ask(&job, 5);
      if (i % 2) {  // one loud token among quiet ones
        for (size_t at = 0; at < job.bytes.size() / 2; at += 2) {  // of K
          const uint16_t bits = at / 128 % 32 == 7 ? 0x6000 : 0x2c00 + uint16_t(at % 512);
          std::memcpy(&job.bytes[at], &bits, 2);
        }
        judge(&job);
        EXPECT_EQ(job.right_refusal, codec::Refusal::token_bound);
      }
      ASSERT_TRUE(engine_->start(&job));
      end_all();
      ASSERT_EQ(reap().size(), 1u);
      EXPECT_EQ(job.retry, EncodeJob::Retry::none);
      expect_right(job);
      bounded += job.refusal == codec::Refusal::token_bound;
    }
    EXPECT_EQ(bounded, 4u);
    EXPECT_EQ(facts().lies, 0u);
  }
}

TEST_F(Device, ATableThatIsNotThereIsLoadedAgain) {
  begin(SPECKV_PRESET_BALANCED);
  load_tables();
  const uint64_t loads = io_.loads;
  DeviceJob job;
  EXPECT_EQ(answered(Fault::table, &job), EncodeJob::Retry::here);
  EXPECT_EQ(facts().standing, Standing::live) << "that is no lie";
  load_tables_again(loads);
  EXPECT_EQ(answered(Fault::none, &job), EncodeJob::Retry::none);
  expect_right(job);
}

TEST_F(Device, AFullQueueIsNobodysFault) {
  begin(SPECKV_PRESET_Q8);
  DeviceJob job;
  EXPECT_EQ(answered(Fault::busy, &job), EncodeJob::Retry::here);
  EXPECT_EQ(facts().standing, Standing::live);
  EXPECT_EQ(facts().errors, 0u);
  EXPECT_EQ(answered(Fault::bus, &job), EncodeJob::Retry::here);
  EXPECT_EQ(facts().reason, Mistrust::broken);
}

}  // namespace
