// SPDX-License-Identifier: Apache-2.0
// device.cpp - see device.hpp. A command's way: start() -> offer() -> ask(); completed() ->
// encoded() or loaded() or tested() ...; what is to be compared goes through the cpu engine as a
// job of its own, its shadow, and comes back in reap().
#include "engine/device.hpp"

#include <cstring>

#include "codec/checksum.hpp"
#include "engine/device_command.hpp"
#include "engine/device_engine.hpp"
#include "shm/atomics.hpp"

namespace speckv {

// ---- a job goes to the device ------------------------------------------------------------------

bool DeviceEngine::start(EncodeJob* job) {
  job->retry = Retry::none;
  if (job->work == Work::copy) return cpu_->start(job);
  if (!job->by_cpu && is_live()) {
    const Offer answer = offer(job);
    if (answer != Offer::not_taken) return answer == Offer::taken;
  }
  if (!cpu_->start(job)) return false;
  add(facts_.device.by_cpu);
  return true;
}

DeviceEngine::Offer DeviceEngine::offer(EncodeJob* job) {
  speckv_cmd words;
  const bool encodes = job->work == Work::encode;
  if (!codec_command(*job, options_.can, &words)) return Offer::not_taken;
  if (encodes ? !name(job->out, &words.target, &words.target_offset)
              : !name(job->stored, &words.source, &words.source_offset))
    return Offer::not_taken;
  Command* const command = free_command();
  if (!command) return Offer::full;
  if (needs_tables(*job) && !tables_.pin(*job, &words, &command->pins)) {
    begin_load(*job);
    return Offer::not_taken;
  }
  if (encodes) {
    // The client may write its arena meanwhile: from here on there is one version of it.
    std::memcpy(stage_of(*command).data(), job->raw.data(), job->raw.size());
    shm::release_fence();  // after the odd gen, before the device's first byte
  }
  (encodes ? words.source : words.target) = options_.staging.handle;
  (encodes ? words.source_offset : words.target_offset) = stage_offset(*command);
  command->words = words;
  command->job = job;
  if (ask(*command, encodes ? Task::encode : Task::decode)) return Offer::taken;
  release(*command);
  return Offer::not_taken;
}

// Whole beats are moved: what is behind the last one's end is the slot's, too.
bool DeviceEngine::name(std::span<const std::byte> slot, __u64* ret_handle,
                        __u64* ret_offset) const {
  const auto after = std::upper_bound(
      options_.extents.begin(), options_.extents.end(), slot.data(),
      [](const std::byte* at, const DeviceExtent& each) { return at < each.data; });
  if (after == options_.extents.begin()) return false;
  const DeviceExtent& extent = *(after - 1);
  const auto offset = uint64_t(slot.data() - extent.data);
  if (offset % 64 || offset >= extent.bytes || slot.size() + 63 > extent.bytes - offset)
    return false;
  *ret_handle = extent.handle;
  *ret_offset = offset;
  return true;
}

// One table; its job, and others until it is there, are the cpu's.
void DeviceEngine::begin_load(const EncodeJob& job) {
  Command* const command = free_command();
  if (!command || !tables_.next_load(job, stage_of(*command), &command->load)) return;
  command->words = speckv_cmd{};
  command->words.opcode = SPECKV_CMD_LOAD;
  command->words.flags = SPECKV_CMD_NOWAIT;
  command->words.source = options_.staging.handle;
  command->words.source_offset = stage_offset(*command);
  command->words.target_offset = command->load.target_offset;
  command->words.bytes = command->load.bytes;
  if (ask(*command, Task::load)) return;
  tables_.loaded(command->load, false);
  release(*command);
}

// Returns: false when it cannot be asked for now, and nothing is under way.
bool DeviceEngine::ask(Command& command, Task task) {
  command.words.queue = uint8_t(options_.queue);
  if (command.words.timeout_ms == 0) command.words.timeout_ms = options_.deadline_ms;
  const auto words = std::as_bytes(std::span(&command.words, 1));
  if (io_->command(&command.operation, options_.fd, SPECKV_IOC_COMMAND, words) != 0) return false;
  command.task = task;
  command.trust = trust_;
  command.asked = true;
  under_way_++;
  add(facts_.device.commands);
  facts_.device.under_way.store(under_way_, std::memory_order_relaxed);
  return true;
}

DeviceCommand* DeviceEngine::free_command() {
  for (Command& command : commands_)
    if (&command != &own_ && command.is_free()) return &command;
  return nullptr;
}

void DeviceEngine::release(Command& command) {
  tables_.unpin(std::exchange(command.pins, {}));
  command.task = Task::none;
  command.job = nullptr;
  command.to_check = false;
}

std::span<std::byte> DeviceEngine::stage_of(const Command& command) const {
  return {options_.staging.data + stage_offset(command), stage_bytes};
}

// ---- and comes back ----------------------------------------------------------------------------

bool DeviceEngine::completed(Operation* operation) {
  const auto at = reinterpret_cast<uintptr_t>(operation);
  const auto first = reinterpret_cast<uintptr_t>(commands_.data());
  if (at - first >= commands_.size() * sizeof(Command)) return false;
  Command& command = commands_[(at - first) / sizeof(Command)];
  if (!command.asked || operation->under_way) return true;  // it says the same twice
  command.asked = false;
  under_way_--;
  facts_.device.under_way.store(under_way_, std::memory_order_relaxed);
  switch (command.task) {
    case Task::encode:
      encoded(command);
      break;
    case Task::decode:
      decoded(command);
      break;
    case Task::load:
      loaded(command);
      break;
    case Task::self_test:
      self_tested(command);
      break;
    case Task::probe:
      probed(command);
      break;
    case Task::none:
      break;
  }
  return true;
}

void DeviceEngine::give_back(Command& command, Retry retry) {
  EncodeJob* const job = command.job;
  job->retry = retry;
  job->failed = false;
  if (retry != Retry::none) {
    job->by_cpu = true;
    add(facts_.device.again);
  }
  if (retry != Retry::none && job->work == Work::decode) {
    job->retry = Retry::none;  // nothing but the cpu writes to where that goes
    decode_again_.push_back(job);
  } else {
    done_.push_back(job);
  }
  release(command);
}

void DeviceEngine::encoded(Command& command) {
  const int result = command.operation.result;
  if (result < 0) return without_answer(command);
  const uint32_t status = status_of(command);
  if (!is_trusted(command)) return give_back(command, Retry::here);
  // The cpu says it again: a refusal costs bytes, so a device cannot have it by a lie.
  if (status == SPECKV_STATUS_OK) return ended_well(command);
  if (status == SPECKV_STATUS_REFUSED) return give_back(command, Retry::here);
  ended_badly(command);
}

// It has ended, and says why.
void DeviceEngine::ended_badly(Command& command) {
  const uint32_t status = status_of(command);
  add(facts_.device.errors);
  if (status == SPECKV_STATUS_TABLE) tables_.forget();
  else if (status == SPECKV_STATUS_READ_ERROR || status == SPECKV_STATUS_WRITE_ERROR ||
           status == SPECKV_STATUS_MEMORY_ERROR)
    set_aside(Mistrust::broken);
  give_back(command, Retry::here);
}

void DeviceEngine::ended_well(Command& command) {
  EncodeJob& job = *command.job;
  if (done_bytes(command) != job.out.size()) {
    add(facts_.device.lies);
    set_aside(Mistrust::lied);
    return give_back(command, Retry::here);
  }
  job.refusal = codec::Refusal::none;
  job.checksum = command.operation.detail;
  const bool is_sample = segments_++ % options_.check_one_in == 0;
  if (is_sample || job.preset->bounded) return begin_check(command, is_sample);
  checked(command);
}

// A sample is encoded again; of any other one it is asked whether it keeps its preset's promise.
// What lies in the pool is summed by ourselves: that the device says the same is a part of its
// answer.
void DeviceEngine::decoded(Command& command) {
  if (command.operation.result < 0) return without_answer(command);
  EncodeJob& job = *command.job;
  if (!is_trusted(command)) return give_back(command, Retry::here);
  if (status_of(command) != SPECKV_STATUS_OK) return ended_badly(command);
  codec::Checksum stored;
  codec::checksum_update(stored, job.stored.data(), job.stored.size());
  job.stored_checksum = codec::checksum_final(stored);
  // Else it may have changed meanwhile.
  if (job.stored_checksum != command.operation.detail) return give_back(command, Retry::here);
  if (done_bytes(command) != job.out.size()) {
    add(facts_.device.lies);
    set_aside(Mistrust::lied);
    return give_back(command, Retry::here);
  }
  codec::Checksum sum;
  shm::release_fence();  // after the odd gen, before the first byte
  const auto bytes = ptrdiff_t(job.out.size());
  codec::checksum_rows(
      sum, {job.out.data(), bytes, stage_of(command).data(), bytes, job.out.size(), 1, false});
  job.checksum = codec::checksum_final(sum);
  job.refusal = codec::Refusal::none;
  if (segments_++ % options_.check_one_in == 0) return begin_check(command, true);
  decode_checked(command);
}

// Of its shadow, if it has one, the answer is there. Other stored bytes have another answer.
void DeviceEngine::decode_checked(Command& command) {
  EncodeJob& job = *command.job;
  const EncodeJob& shadow = command.shadow;
  if (!shadow.out.empty() && shadow.stored_checksum == job.stored_checksum) {
    add(facts_.device.checked);
    if (shadow.checksum != job.checksum ||
        std::memcmp(shadow.out.data(), job.out.data(), job.out.size()) != 0) {
      add(facts_.device.lies);
      set_aside(Mistrust::lied);
    }
  }
  command.shadow.out = {};
  if (!is_trusted(command)) return give_back(command, Retry::here);
  good_++;
  add(facts_.device.decoded);
  add(facts_.device.decoded_bytes, job.out.size());
  give_back(command, Retry::none);
}

void DeviceEngine::begin_check(Command& command, bool is_sample) {
  const EncodeJob& job = *command.job;
  if (is_sample && !command.scratch) command.scratch.reset(new std::byte[stage_bytes]);
  EncodeJob& shadow = command.shadow;
  shadow.work = job.work;
  shadow.stored = job.stored;
  shadow.layout = job.layout;
  shadow.preset = job.preset;
  shadow.tables = job.tables;
  shadow.layer = job.layer;
  shadow.first = job.first;
  shadow.raw = stage_of(command).first(job.raw.size());  // of a decode none
  shadow.out = is_sample ? std::span(command.scratch.get(), job.out.size()) : job.out;
  shadow.bound_only = !is_sample;
  command.to_check = true;
  start_shadows();
}

void DeviceEngine::start_shadows() {
  for (Command& command : commands_)
    if (command.to_check && cpu_->start(&command.shadow)) command.to_check = false;
  while (!decode_again_.empty() && cpu_->start(decode_again_.back())) decode_again_.pop_back();
}

bool DeviceEngine::is_shadow(const EncodeJob* job) const {
  const auto at = reinterpret_cast<uintptr_t>(job);
  const auto first = reinterpret_cast<uintptr_t>(commands_.data());
  return at - first < commands_.size() * sizeof(Command);
}

// Of its shadow, if it has one, the answer is there.
void DeviceEngine::checked(Command& command) {
  EncodeJob& job = *command.job;
  const EncodeJob& shadow = command.shadow;
  // A promise that is not kept is no lie: the engine does not know it.
  if (!shadow.out.empty() && shadow.refusal == codec::Refusal::token_bound)
    job.refusal = codec::Refusal::token_bound;
  else if (!shadow.out.empty() && !shadow.bound_only) {
    add(facts_.device.checked);
    const bool same = shadow.refusal == codec::Refusal::none && shadow.checksum == job.checksum &&
                      std::memcmp(shadow.out.data(), job.out.data(), job.out.size()) == 0;
    if (!same) {
      add(facts_.device.lies);
      set_aside(Mistrust::lied);
    }
  }
  command.shadow.out = {};
  if (!is_trusted(command)) return give_back(command, Retry::here);
  if (++good_ == segments_to_forgive) pause_ns_ = pause_ns_min;
  add(facts_.device.segments);
  add(facts_.device.raw_bytes, job.raw.size());
  add(facts_.device.stored_bytes, job.out.size());
  give_back(command, Retry::none);
}

void DeviceEngine::reap(std::vector<EncodeJob*>* ret_completed) {
  for (bool more = true; more;) {
    start_shadows();
    cpu_done_.clear();
    cpu_->reap(&cpu_done_);
    more = false;
    for (EncodeJob* job : cpu_done_) {
      if (!is_shadow(job)) {
        ret_completed->push_back(job);
        continue;
      }
      const auto first = reinterpret_cast<uintptr_t>(commands_.data());
      Command& command = commands_[(reinterpret_cast<uintptr_t>(job) - first) / sizeof(Command)];
      if (job->work == Work::decode) decode_checked(command);
      else checked(command);
      more = true;  // another one may have room now
    }
  }
  ret_completed->insert(ret_completed->end(), done_.begin(), done_.end());
  done_.clear();
}

void DeviceEngine::loaded(Command& command) {
  const bool is_there = is_trusted(command) && command.operation.result >= 0 &&
                        status_of(command) == SPECKV_STATUS_OK;
  tables_.loaded(command.load, is_there);
  if (command.operation.result < 0) return without_answer(command);
  if (is_there) add(facts_.device.tables);
  else add(facts_.device.errors);
  release(command);
}

std::unique_ptr<Engine> make_device_engine(const DeviceOptions& options,
                                           std::unique_ptr<Engine> cpu) {
  return std::make_unique<DeviceEngine>(options, std::move(cpu));
}

}  // namespace speckv
