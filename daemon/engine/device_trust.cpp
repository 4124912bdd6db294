// SPDX-License-Identifier: Apache-2.0
// device_trust.cpp - see device.hpp: when the device is set aside, when what it had is over, and
// how it is trusted again.
#include "engine/device_engine.hpp"

namespace speckv {

namespace {
// A probe waits in the kernel until the device has answered a reset: a second each for its own and
// for the function's, and as much again.
constexpr uint32_t probe_ms = 4000;
}  // namespace

void DeviceEngine::distrust(const EncodeJob&) {
  if (!is_live()) return;
  add(facts_.device.lies);
  set_aside(Mistrust::lied);
}

void DeviceEngine::set_aside(Mistrust reason) {
  good_tests_ = 0;
  if (!is_live()) {
    if (reason == Mistrust::gone) facts_.device.reason.store(reason, std::memory_order_relaxed);
    return;
  }
  stand(Standing::aside);
  trust_++;
  facts_.device.reason.store(reason, std::memory_order_relaxed);
  add(facts_.device.set_aside);
  tables_.forget();
  good_ = 0;
  retry_ns_ = now_ns_ + pause_ns_;
  pause_ns_ = std::min(2 * pause_ns_, pause_ns_max);
}

// The driver refused it, or nobody knows what became of it (speckv_cmd.h). EIO and what was refused
// is over; after ETIMEDOUT it is when the device has answered a reset, after ENODEV perhaps never.
void DeviceEngine::without_answer(Command& command) {
  const int error = command.operation.result;
  const bool late = error == -ETIMEDOUT, gone = error == -ENODEV;
  if (late) add(facts_.device.late);
  else if (error != -EAGAIN) add(facts_.device.errors);
  if (late || gone || error == -EIO)
    set_aside(late ? Mistrust::late : gone ? Mistrust::gone : Mistrust::reset);
  if (error == -EACCES) tables_.forget();
  if (late) {
    command.unanswered = true;
    unanswered_++;
    if (command.task == Task::decode) {  // it may still write to its own place alone
      command.job->by_cpu = true;
      add(facts_.device.again);
      decode_again_.push_back(std::exchange(command.job, nullptr));
    }
    return begin_probe();
  }
  if (command.job) give_back(command, gone ? Retry::elsewhere : Retry::here);
  else release(command);
}

// An empty command: the driver takes it when the device has answered its reset.
void DeviceEngine::begin_probe() {
  if (!own_.is_free()) return;
  own_.words = speckv_cmd{};
  own_.words.opcode = SPECKV_CMD_NOP;
  own_.words.timeout_ms = probe_ms;
  ask(own_, Task::probe);
}

void DeviceEngine::probed(Command& command) {
  const int result = command.operation.result;
  release(command);
  if (result == -ENODEV) {
    set_aside(Mistrust::gone);
    end_unanswered(Retry::elsewhere);
  }
  if (result >= 0) end_unanswered(Retry::here);
}

void DeviceEngine::end_unanswered(Retry retry) {
  for (Command& command : commands_) {
    if (!command.unanswered) continue;
    command.unanswered = false;
    unanswered_--;
    if (command.job) give_back(command, retry);
    else release(command);
  }
}

void DeviceEngine::begin_self_test() {
  own_.words = self_test_.command(stage_of(own_));
  own_.words.source = own_.words.target = options_.staging.handle;
  own_.words.source_offset = stage_offset(own_);
  own_.words.target_offset = stage_offset(own_) + SelfTest::target_offset;
  if (ask(own_, Task::self_test)) add(facts_.device.self_tests);
}

void DeviceEngine::self_tested(Command& command) {
  const int result = command.operation.result;
  const bool good = result >= 0 && status_of(command) == SPECKV_STATUS_OK &&
                    done_bytes(command) == self_test_.bytes() &&
                    self_test_.is_right(stage_of(command), command.operation.detail);
  if (!good) {
    good_tests_ = 0;
    retry_ns_ = now_ns_ + pause_ns_;
    pause_ns_ = std::min(2 * pause_ns_, pause_ns_max);
  } else if (++good_tests_ == self_tests_wanted) {
    good_tests_ = 0;
    stand(Standing::live);
  }
  // It wrote, if at all, to its own place.
  release(command);
  if (result == -ETIMEDOUT) add(facts_.device.late);
  if (result == -ENODEV) set_aside(Mistrust::gone);
}

void DeviceEngine::turn(uint64_t now_ns) {
  now_ns_ = now_ns;
  if (is_live() || !own_.is_free()) return;
  if (unanswered_) begin_probe();
  else if (now_ns_ >= retry_ns_) begin_self_test();
}

}  // namespace speckv
