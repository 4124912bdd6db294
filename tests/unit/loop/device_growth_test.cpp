// SPDX-License-Identifier: Apache-2.0
// device_growth_test.cpp - a command costs the data thread little, and nothing that stays: no
// memory grows over a thousand batches. Prints what one segment takes of the processor, less the
// copy.
#include <malloc.h>
#include <time.h>

#include "device_fixture.hpp"

namespace {

using namespace speckv;
using namespace speckv::test;

// Ends each command at once and writes nothing: what is left is the engine's own work.
class IdleDevice : public Io {
 public:
  int poll(Operation*, int) override { return -ENOSYS; }
  int read(Operation*, int, std::span<std::byte>, uint64_t) override { return -ENOSYS; }
  int write(Operation*, int, std::span<const std::byte>, uint64_t) override { return -ENOSYS; }
  int sync(Operation*, int) override { return -ENOSYS; }
  int cancel(Operation*) override { return -ENOSYS; }
  int signal(int) override { return 0; }
  void wait(uint64_t) override {}
  void reap(std::vector<Operation*>* ret_completed) override {
    ret_completed->insert(ret_completed->end(), ended_.begin(), ended_.end());
    ended_.clear();
  }
  int command(Operation* operation, int, uint32_t, std::span<const std::byte> words) override {
    speckv_cmd cmd;
    std::memcpy(&cmd, words.data(), sizeof cmd);
    *operation = {int(cmd.opcode == SPECKV_CMD_ENCODE ? cmd.bytes : 0), false};
    ended_.push_back(operation);
    return 0;
  }

 private:
  std::vector<Operation*> ended_;
};

uint64_t cpu_ns() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return uint64_t(now.tv_sec) * 1'000'000'000 + uint64_t(now.tv_nsec);
}

TEST_F(Device, ACommandLeavesNothingBehind) {
  constexpr uint32_t batch = 64, batches = 1000, warm = 100;
  begin(SPECKV_PRESET_BALANCED, 1u << 20, batch + 1);
  load_tables();  // and the first sample
  IdleDevice idle;
  engine_->attach(idle);
  std::deque<DeviceJob> jobs(batch);
  for (uint32_t i = 0; i < batch; i++) ask(&jobs[i], i % 32);
  std::vector<Operation*> ended;
  std::vector<EncodeJob*> back;
  uint64_t start_ns = 0, copy_ns = 0;
  size_t bytes_before = 0;
  for (uint32_t number = 0; number < batches; number++) {
    if (number == warm) {
      bytes_before = mallinfo2().uordblks;
      start_ns = cpu_ns();
    }
    const auto end_some = [&] {
      ended.clear();
      back.clear();
      idle.reap(&ended);
      for (Operation* operation : ended) engine_->completed(operation);
      engine_->turn(now_ns_ += 1000);
      engine_->reap(&back);
    };
    for (DeviceJob& job : jobs) {
      job.by_cpu = false;
      if (engine_->start(&job)) continue;
      end_some();  // it is full with half of the queue
      ASSERT_TRUE(engine_->start(&job));
    }
    end_some();
  }
  const uint64_t all_ns = cpu_ns() - start_ns;
  EXPECT_EQ(mallinfo2().uordblks, bytes_before);
  const uint64_t copies = uint64_t(batches - warm) * batch;
  start_ns = cpu_ns();
  for (uint64_t i = 0; i < copies; i++)
    std::memcpy(staging_->data() + i % batch * stage_bytes, jobs[i % batch].bytes.data(),
                jobs[i % batch].bytes.size());
  copy_ns = cpu_ns() - start_ns;
  std::printf(
      "a segment of %zu KiB: %.0f ns of the processor, its copy to staging memory %.0f ns\n",
      jobs[0].bytes.size() >> 10, double(all_ns) / double(copies),
      double(copy_ns) / double(copies));
  EXPECT_GT(facts().segments, copies / 2);
}

}  // namespace
