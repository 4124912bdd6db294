// SPDX-License-Identifier: Apache-2.0
// engine_choice_test.cpp - who encodes faster is measured on both, and what an engine does not take
// is the cpu's. No test says which of them is faster.
#include "fake_device.hpp"
#include "loop/engine_choice.hpp"
#include "server_fixture.hpp"

namespace {

using namespace speckv;
using namespace speckv::test;

// As measure_engines() has it.
std::unique_ptr<codec::ChanTables> usual_tables() {
  speckv_layout layout{};
  layout.size = sizeof layout;
  layout.dtype = SPECKV_DTYPE_F16;
  layout.layers = layout.world = 1;
  layout.kv_heads = 8;
  layout.head_dim = 128;
  layout.page_tokens = 32;
  layout.block_tokens = 64;
  layout.rope = SPECKV_ROPE_HALF;
  layout.rope_theta[0] = 1e4F;
  std::string error;
  return codec::ChanTables::make(layout, nullptr, &error);
}

TEST(EngineChoice, MeasuresBothAndGivesTheCpuWhatTheEngineDoesNotTake) {
  PlainRegion staging(16 * stage_bytes);
  const auto tables = usual_tables();
  FakeDevice io;
  io.completes_by_itself = true;
  io.tables = tables.get();
  io.extents = {{9, {staging.data(), staging.bytes()}}};
  DeviceOptions options;
  options.fd = 5;
  options.can = FakeDevice::can();
  options.can.encoders &= ~(1u << uint32_t(codec::CodecId::xpack));
  options.can.decoders &= ~(1u << uint32_t(codec::CodecId::xpack));
  options.staging = {staging.data(), staging.bytes(), 9};
  options.tables = {0, 2, 0, 256};
  const std::vector<EngineRates> all = measure_engines(options, io, 0, -1);
  ASSERT_EQ(all.size(), 12u) << "each way";
  for (const EngineRates& rates : all) {
    SCOPED_TRACE(rates.preset);
    EXPECT_GT(rates.cpu_bytes_s, 0);
    if (rates.preset == "lossless") {
      EXPECT_EQ(rates.device_bytes_s, 0);
      EXPECT_FALSE(rates.is_device_faster());
    } else {
      EXPECT_GT(rates.device_bytes_s, 0);
    }
  }
  EXPECT_TRUE(io.under_way.empty());
  EXPECT_GE(io.encodes, 5u * 64);
  EXPECT_GE(io.decodes, 5u * 64);
  EXPECT_GT(io.loads, 4u);
}

TEST(EngineChoice, OneThatDoesNotAnswerIsNotFaster) {
  PlainRegion staging(4 * stage_bytes);
  FakeDevice io;
  io.refuses = true;
  DeviceOptions options;
  options.fd = 5;
  options.can = FakeDevice::can();
  options.staging = {staging.data(), staging.bytes(), 9};
  options.tables = {0, 2, 0, 256};
  for (const EngineRates& rates : measure_engines(options, io, 1, -1)) {
    EXPECT_EQ(rates.device_bytes_s, 0);
    EXPECT_GT(rates.cpu_bytes_s, 0);
  }
}

}  // namespace
