// SPDX-License-Identifier: Apache-2.0
// device_fixture.hpp - the engine that has a device, on fake_device.hpp in place of the ring: the
// test says when each command ends, and how.
#pragma once

#include <deque>
#include <optional>
#include <random>

#include "engine/device.hpp"
#include "fake_device.hpp"
#include "server_fixture.hpp"

namespace speckv::test {

constexpr uint64_t device_slot_bytes = 64 << 10, second = 1'000'000'000;

struct DeviceJob : EncodeJob {
  std::vector<std::byte> bytes, right;
  uint64_t right_checksum = 0;
  codec::Refusal right_refusal = codec::Refusal::none;
  uint32_t back = 0;
};

class Device : public ::testing::Test {
 protected:
  void begin(uint32_t preset, uint32_t check_one_in = 1, uint32_t places = 5,
             uint32_t workers = 0) {
    begin(layout(preset), check_one_in, places, workers);
  }
  void begin(const speckv_layout& desc, uint32_t check_one_in = 1, uint32_t places = 5,
             uint32_t workers = 0) {
    engine_.reset();
    const auto made = layouts_.add(desc, desc.preset, "device");
    ASSERT_TRUE(made.ok()) << made.status().text();
    layout_ = made.value();
    io_ = FakeDevice();
    io_.tables = layout_->widths->current().tables.get();
    pool_.emplace(32 * device_slot_bytes);
    staging_.emplace(places * stage_bytes);
    io_.extents = {{7, {pool_->data(), pool_->bytes()}},
                   {9, {staging_->data(), staging_->bytes()}}};
    DeviceOptions options;
    options.fd = 5;
    options.can = FakeDevice::can();
    options.staging = {staging_->data(), staging_->bytes(), 9};
    options.extents = {{pool_->data(), pool_->bytes(), 7},
                       {staging_->data(), staging_->bytes(), 9}};
    options.tables = {0, 2, 0, 256};
    options.check_one_in = check_one_in;
    engine_ = make_device_engine(options, make_cpu_engine(workers));
    engine_->attach(io_);
    engine_->turn(now_ns_);
  }
  static speckv_layout layout(uint32_t preset, uint32_t dtype = SPECKV_DTYPE_F16) {
    speckv_layout desc{};
    desc.size = sizeof desc;
    desc.dtype = dtype;
    desc.layers = 3;
    desc.kv_heads = 2;
    desc.head_dim = 64;
    desc.block_tokens = 64;
    desc.page_tokens = 32;
    desc.rope = SPECKV_ROPE_HALF;
    desc.rope_theta[0] = 1e4F;
    desc.world = 1;
    desc.preset = preset;
    return desc;
  }
  // With values that no codec refuses, the answer of the cpu beside it.
  void ask(DeviceJob* job, uint32_t slot, bool first = false) {
    job->layout = layout_;
    job->preset = &layout_->preset;
    job->tables = layout_->widths->current().tables.get();
    job->tables_id = layout_->widths->current().fingerprint;
    job->layer = slot % 3;
    job->first = first;
    job->by_cpu = false;
    job->work = Work::encode;
    job->bytes.resize(layout_->segment_raw_bytes);
    const bool bf16 = layout_->desc.dtype == SPECKV_DTYPE_BF16;
    for (size_t i = 0; i < job->bytes.size(); i += 2) {
      const auto random = uint32_t(random_());
      const auto bits = uint16_t(bf16 ? (random & 0x807f) | 0x3f00 : (random & 0x83ff) | 0x3800);
      std::memcpy(&job->bytes[i], &bits, 2);
    }
    job->raw = job->bytes;
    const size_t stored = layout_->preset_id == SPECKV_PRESET_EXACT ? layout_->stored_raw_bytes
                                                                    : layout_->stored_bytes[first];
    job->out = {pool_->data() + slot * device_slot_bytes, stored};
    judge(job);
  }
  void judge(DeviceJob* job) {
    EncodeJob alone;
    alone.layout = job->layout;
    alone.preset = job->preset;
    alone.tables = job->tables;
    alone.layer = job->layer;
    alone.first = job->first;
    alone.raw = job->bytes;
    job->right.resize(job->out.size());
    alone.out = job->right;
    encode_now(alone);
    job->right_checksum = alone.checksum;
    job->right_refusal = alone.refusal;
  }
  // The commands that are under way end, each with this fault.
  void end_all(Fault fault = Fault::none) {
    std::vector<Operation*> operations;
    for (const auto& [operation, cmd] : io_.under_way) operations.push_back(operation);
    for (Operation* operation : operations) end(operation, fault);
  }
  void end(Operation* operation, Fault fault = Fault::none) {
    if (!io_.complete(operation, fault)) return;
    EXPECT_TRUE(engine_->completed(operation));
  }
  std::vector<EncodeJob*> reap() {
    std::vector<EncodeJob*> back;
    for (int i = 0; i < 1000 && back.empty(); i++) {
      engine_->reap(&back);
      if (engine_->wake_fd() < 0) break;
      if (back.empty()) usleep(100);
    }
    for (EncodeJob* job : back) static_cast<DeviceJob*>(job)->back++;
    return back;
  }
  void expect_right(const DeviceJob& job) {
    ASSERT_EQ(job.refusal, job.right_refusal);
    if (job.right_refusal != codec::Refusal::none) return;
    EXPECT_EQ(job.checksum, job.right_checksum);
    EXPECT_TRUE(std::equal(job.right.begin(), job.right.end(), job.out.begin()));
  }
  // So that what follows is the device's.
  void load_tables() {
    load_tables_of_all();
    ASSERT_EQ(facts().set_aside, 0u);
    ASSERT_EQ(facts().lies, 0u);
  }
  void load_tables_of_all() {
    for (uint32_t layer = 0; layer < 3; layer++)
      for (int i = 0; i < 2; i++) {
        DeviceJob job;
        ask(&job, layer);
        ASSERT_TRUE(engine_->start(&job));
        end_all();
        for (int k = 0; k < 100 && job.back == 0; k++) reap();
      }
  }
  void load_tables_again(uint64_t loads) {
    load_tables_of_all();
    EXPECT_EQ(io_.loads, 2 * loads) << "each table once more";
  }
  // One job that the device gets, and this answer. Returns: how it comes back.
  EncodeJob::Retry answered(Fault fault, DeviceJob* job) {
    ask(job, 5);
    EXPECT_TRUE(engine_->start(job));
    EXPECT_EQ(io_.under_way.size(), 1u);
    end_all(fault);
    EXPECT_EQ(reap().size(), 1u);
    return job->retry;
  }
  void pass(uint64_t ns) { engine_->turn(now_ns_ += ns); }
  // It answers rightly from now on. Returns: whether it is trusted again.
  bool comes_back(uint64_t after_ns) {
    pass(after_ns);
    for (uint32_t i = 0; i < self_tests_wanted; i++) {
      if (io_.under_way.size() != 1) return false;
      end_all();
      pass(1000);
    }
    return facts().standing == Standing::live;
  }
  const DeviceFacts& facts() const { return engine_->facts().device; }

  LayoutTable layouts_;
  const Layout* layout_ = nullptr;
  FakeDevice io_;
  std::optional<PlainRegion> pool_, staging_;
  std::unique_ptr<Engine> engine_;
  std::mt19937 random_{1};
  uint64_t now_ns_ = second;
};

}  // namespace speckv::test
