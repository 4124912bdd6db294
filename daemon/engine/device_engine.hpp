// SPDX-License-Identifier: Apache-2.0
// device_engine.hpp - the class behind device.hpp, for its two files alone: device.cpp has the way
// of a job, device_trust.cpp that of the engine's standing.
#pragma once

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "assert.hpp"
#include "engine/device.hpp"
#include "engine/device_test.hpp"

namespace speckv {

// A place of the staging memory, and what is under way from there.
struct DeviceCommand {
  enum class Task : uint8_t { none, encode, decode, load, self_test, probe };
  Operation operation;
  Task task = Task::none;
  speckv_cmd words{};
  EncodeJob* job = nullptr;
  DeviceTables::Pins pins;
  DeviceTables::Load load;
  bool asked = false;       // an answer will come
  bool unanswered = false;  // none came, and the device may still write
  bool to_check = false;    // its shadow is to be started
  uint32_t trust = 0;       // how often the device had been set aside when it was given
  EncodeJob shadow;
  std::unique_ptr<std::byte[]> scratch;  // what the shadow is encoded to

  bool is_free() const { return task == Task::none; }
};

class DeviceEngine final : public Engine {
 public:
  DeviceEngine(const DeviceOptions& options, std::unique_ptr<Engine> cpu)
      : options_(options),
        cpu_(std::move(cpu)),
        tables_(options.tables),
        self_test_(options.can),
        commands_(places(options)),
        own_(commands_.back()) {
    auto& extents = options_.extents;
    std::sort(extents.begin(), extents.end(),
              [](const DeviceExtent& a, const DeviceExtent& b) { return a.data < b.data; });
    facts_.workers = cpu_->facts().workers;
    facts_.device.standing = Standing::live;
    done_.reserve(commands_.size());
    decode_again_.reserve(commands_.size());
    cpu_done_.reserve(cpu_->jobs_max() + commands_.size());
  }

  bool needs_commands() const override { return true; }
  void attach(Io& io) override { io_ = &io; }
  bool start(EncodeJob* job) override;
  void reap(std::vector<EncodeJob*>* ret_completed) override;
  bool completed(Operation* operation) override;
  void turn(uint64_t now_ns) override;
  void distrust(const EncodeJob& job) override;
  // What the device has is not called back: it ends by itself, in good time.
  bool cancel(EncodeJob* job) override { return cpu_->cancel(job); }
  int wake_fd() const override { return cpu_->wake_fd(); }
  uint32_t jobs_max() const override { return cpu_->jobs_max() + uint32_t(commands_.size()); }
  // A command that is under way may still write to its slot. Whoever takes the pool over waits
  // until the driver knows of none.
  void stop() override { cpu_->stop(); }
  const EngineFacts& facts() const override {
    facts_.busy.store(cpu_->facts().busy.load(std::memory_order_relaxed),
                      std::memory_order_relaxed);
    return facts_;
  }

 private:
  using Command = DeviceCommand;
  using Task = DeviceCommand::Task;
  using Retry = EncodeJob::Retry;
  enum class Offer : uint8_t { taken, full, not_taken };

  // The last one is our own: others may all be without an answer. Half of the queue is others'.
  static size_t places(const DeviceOptions& options) {
    const uint64_t places = options.staging.bytes / stage_bytes;
    SPECKV_ASSERT(places >= 2 && options.check_one_in > 0, "a device has no place to work in");
    return size_t(std::min<uint64_t>(places, std::max(options.can.slots / 2, 2u)));
  }

  Offer offer(EncodeJob* job);
  bool name(std::span<const std::byte> slot, __u64* ret_handle, __u64* ret_offset) const;
  void begin_load(const EncodeJob& job);
  bool ask(Command& command, Task task);
  void release(Command& command);
  void give_back(Command& command, Retry retry);
  Command* free_command();
  std::span<std::byte> stage_of(const Command& command) const;
  uint64_t stage_offset(const Command& command) const { return number_of(command) * stage_bytes; }
  size_t number_of(const Command& command) const { return size_t(&command - commands_.data()); }

  void encoded(Command& command);
  void ended_well(Command& command);
  void ended_badly(Command& command);
  void decoded(Command& command);
  void decode_checked(Command& command);
  void begin_check(Command& command, bool is_sample);
  void start_shadows();
  void checked(Command& command);
  bool is_shadow(const EncodeJob* job) const;
  void loaded(Command& command);

  void without_answer(Command& command);
  void set_aside(Mistrust reason);
  void probed(Command& command);
  void end_unanswered(Retry retry);
  void self_tested(Command& command);
  void begin_probe();
  void begin_self_test();
  bool is_live() const { return standing_ == Standing::live; }
  // What it was given before it was set aside counts for nothing, also when it is trusted again.
  bool is_trusted(const Command& command) const { return is_live() && command.trust == trust_; }
  void stand(Standing standing) {
    standing_ = standing;
    facts_.device.standing.store(standing, std::memory_order_relaxed);
  }
  static void add(std::atomic<uint64_t>& counter, uint64_t much = 1) {
    counter.fetch_add(much, std::memory_order_relaxed);
  }
  static uint32_t status_of(const Command& command) {
    return uint32_t(command.operation.result) >> SPECKV_RESULT_STATUS_SHIFT;
  }
  static uint32_t done_bytes(const Command& command) {
    return uint32_t(command.operation.result) & ((1u << SPECKV_RESULT_STATUS_SHIFT) - 1);
  }

  DeviceOptions options_;
  std::unique_ptr<Engine> cpu_;
  Io* io_ = nullptr;
  DeviceTables tables_;
  SelfTest self_test_;
  std::vector<Command> commands_;
  Command& own_;  // for probes and self-tests
  std::vector<EncodeJob*> done_, cpu_done_;
  std::vector<EncodeJob*> decode_again_;  // by the cpu, when it has room
  Standing standing_ = Standing::live;
  uint32_t trust_ = 0;     // times that it was set aside
  uint64_t segments_ = 0;  // that it was given, for the choice of those that are checked
  uint64_t now_ns_ = 0, retry_ns_ = 0, pause_ns_ = pause_ns_min;
  uint32_t good_ = 0;        // segments since it was trusted
  uint32_t good_tests_ = 0;  // in a row
  uint32_t under_way_ = 0, unanswered_ = 0;
  mutable EngineFacts facts_;
};

}  // namespace speckv
