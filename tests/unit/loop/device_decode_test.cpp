// SPDX-License-Identifier: Apache-2.0
// device_decode_test.cpp - the engine that has a device decodes, for near memory: the bytes are the
// cpu's, a wrong answer is found, and whatever fails is done by the cpu without a word to who
// asked.
#include "device_fixture.hpp"

namespace {

using namespace speckv;
using namespace speckv::test;

class DeviceDecode : public Device {
 protected:
  // Its stored bytes are the cpu's, in the pool.
  void ask_decode(DeviceJob* job, uint32_t slot, bool first = false) {
    ask(job, slot, first);
    std::copy(job->right.begin(), job->right.end(), job->out.begin());
    job->work = Work::decode;
    job->stored = job->out;
    decoded_.assign(layout_->stored_raw_bytes, std::byte{0xee});
    job->out = decoded_;
    job->raw = {};
    DeviceJob alone;
    alone.work = Work::decode;
    alone.layout = job->layout;
    alone.preset = job->preset;
    alone.tables = job->tables;
    alone.layer = job->layer;
    alone.first = first;
    alone.stored = job->stored;
    right_.assign(decoded_.size(), std::byte{0});
    alone.out = right_;
    encode_now(alone);
    right_sum_ = alone.checksum;
    stored_sum_ = alone.stored_checksum;
  }
  void expect_decoded(const DeviceJob& job) {
    EXPECT_EQ(job.back, 1u);
    EXPECT_EQ(job.retry, EncodeJob::Retry::none);
    EXPECT_FALSE(job.failed);
    EXPECT_TRUE(decoded_ == right_);
    EXPECT_EQ(job.checksum, right_sum_);
    EXPECT_EQ(job.stored_checksum, stored_sum_);
  }
  std::vector<std::byte> decoded_, right_;
  uint64_t right_sum_ = 0, stored_sum_ = 0;
};

TEST_F(DeviceDecode, GivesWhatTheCpuGives) {
  for (const uint32_t preset :
       {SPECKV_PRESET_Q8, SPECKV_PRESET_NEAR_LOSSLESS, SPECKV_PRESET_COMPACT})
    for (const bool first : {false, true}) {
      SCOPED_TRACE(preset);
      begin(preset);
      load_tables();
      DeviceJob job;
      ask_decode(&job, 4, first);
      ASSERT_TRUE(engine_->start(&job));
      ASSERT_EQ(io_.under_way.size(), 1u);
      EXPECT_TRUE(reap().empty());
      end_all();
      ASSERT_EQ(reap().size(), 1u);
      expect_decoded(job);
      EXPECT_EQ(io_.decodes, 1u);
      EXPECT_EQ(facts().decoded, 1u);
    }
}

TEST_F(DeviceDecode, WhateverFailsIsDoneByTheCpu) {
  for (const Fault fault : {Fault::garbage, Fault::checksum, Fault::length, Fault::lie, Fault::bus,
                            Fault::table, Fault::busy, Fault::reset, Fault::gone, Fault::late})
    for (const uint32_t workers : {0u, 2u}) {
      SCOPED_TRACE(int(fault));
      begin(SPECKV_PRESET_BALANCED, 1, 5, workers);
      load_tables();
      DeviceJob job;
      ask_decode(&job, 4);
      ASSERT_TRUE(engine_->start(&job));
      end_all(fault);
      for (int i = 0; i < 100 && job.back == 0; i++) reap();
      expect_decoded(job);
      EXPECT_EQ(facts().decoded, 0u);
      const bool is_lie = fault == Fault::garbage || fault == Fault::lie || fault == Fault::length;
      EXPECT_EQ(facts().lies, is_lie ? 1u : 0u);
      engine_->stop();
    }
}

// It may be rewritten meanwhile: then nobody lied, and who asked finds out by the sum.
TEST_F(DeviceDecode, WhatIsRewrittenMeanwhileIsNoLie) {
  begin(SPECKV_PRESET_Q8);
  DeviceJob job;
  ask_decode(&job, 4);
  ASSERT_TRUE(engine_->start(&job));
  auto* stored = const_cast<std::byte*>(job.stored.data());
  Operation* const operation = io_.under_way.begin()->first;
  io_.complete(operation);
  stored[100] ^= std::byte{1};
  EXPECT_TRUE(engine_->completed(operation));
  for (int i = 0; i < 100 && job.back == 0; i++) reap();
  EXPECT_NE(job.stored_checksum, stored_sum_);
  EXPECT_EQ(facts().lies, 0u);
  EXPECT_EQ(facts().standing, Standing::live);
}

}  // namespace
