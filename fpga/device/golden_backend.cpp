// SPDX-License-Identifier: Apache-2.0
// golden_backend.cpp - the codec room's pages behind the engine's registers and rings.
//
// Built as the engine is: each queue pair has a place for one descriptor that waits, one lane has
// the job under way, CANCEL goes past both. work() fetches at most one descriptor a queue, then
// moves the lane's job by one step, with no lock held, so that a register never waits for it.
// CONTROL.reset drops what waits and what is in the lane; STATUS.RESETTING, and reset(), tell when
// nothing of it is written any more. A queue that is switched off ends what it has.
#include <algorithm>
#include <bit>
#include <condition_variable>
#include <mutex>

#include "backend.hpp"
#include "golden_job.hpp"

namespace speckv::device {

namespace {

static_assert(std::endian::native == std::endian::little, "rings are little-endian");

constexpr uint64_t kSlot = SPECKV_ENGINE_SLOT_BYTES;
constexpr uint32_t kQueues = SPECKV_REG_QUEUES_COUNT;

class GoldenBackend final : public Backend {
 public:
  explicit GoldenBackend(uint32_t latency) : latency_(latency) { power_on(); }

  uint32_t read(uint32_t offset) override {
    const std::lock_guard lock(lock_);
    if (offset != SPECKV_REG_STATUS) return registers_.read(offset);
    if (is_resetting_) return SPECKV_REG_STATUS_RESETTING_MASK;
    return is_idle() ? SPECKV_REG_STATUS_IDLE_MASK : 0;
  }

  void write(uint32_t offset, uint32_t value) override {
    const std::lock_guard lock(lock_);
    if (!registers_.write(offset, value)) return;
    is_resetting_ = true;
    if (!is_stepping_) end_reset();
  }

  bool work(const Bus& bus) override {
    bool is_fetched = false;
    {
      const std::lock_guard lock(lock_);
      is_fetched = fetch_all(bus);
      if (!has_job_) return take_waiting() || is_fetched;
      is_stepping_ = true;
    }
    const bool has_ended = lane_.step(bus, &tables_);
    const std::lock_guard lock(lock_);
    is_stepping_ = false;
    if (is_resetting_) end_reset();
    else if (has_ended) end_job(bus);
    stepped_.notify_all();
    return true;
  }

  std::optional<uint8_t> take_interrupt() override {
    const std::lock_guard lock(lock_);
    for (uint32_t i = 0; i < kQueues; ++i) {
      QueueState& state = registers_.state(i);
      const bool is_quiet = state.sq_head == state.sq_tail && state.open == 0;
      const bool is_due = state.untold >= registers_.completions_a_interrupt() ||
                          (state.untold > 0 && is_quiet && registers_.has_interrupt_limit());
      if (!is_due) continue;
      state.untold = 0;
      return registers_.queue(i).vector;
    }
    return {};
  }

  void reset() override {
    std::unique_lock lock(lock_);
    is_resetting_ = true;
    stepped_.wait(lock, [this] { return !is_stepping_; });
    end_reset();
    power_on();
  }

 private:
  void power_on() {
    registers_.power_on();
    tables_.power_on();
  }

  void end_reset() {
    is_resetting_ = has_job_ = false;
    for (auto& waiting : waiting_) waiting.reset();
    registers_.reset_queues();
  }

  // Whether a queue has a descriptor whose completion has a slot.
  bool wants(uint32_t queue) {
    const QueueRegisters setup = registers_.queue(queue);
    const QueueState& state = registers_.state(queue);
    if (!registers_.enabled() || !setup.enabled || state.halted) return false;
    if (waiting_[queue] || state.sq_head == state.sq_tail) return false;
    const auto filled = uint16_t(state.cq_tail - registers_.cq_head(queue) + state.open);
    return filled < 1u << setup.log2_slots;
  }

  bool is_idle() {
    if (has_job_) return false;
    for (uint32_t queue = 0; queue < kQueues; ++queue)
      if (waiting_[queue] || wants(queue)) return false;
    return true;
  }

  bool fetch_all(const Bus& bus) {
    bool is_fetched = false;
    for (uint32_t queue = 0; queue < kQueues; ++queue) {
      if (!wants(queue)) continue;
      is_fetched = true;
      fetch(bus, queue);
      if (waiting_[queue] && waiting_[queue]->is_cancel()) cancel(bus, queue);
    }
    return is_fetched;
  }

  void fetch(const Bus& bus, uint32_t queue) {
    const QueueRegisters setup = registers_.queue(queue);
    QueueState& state = registers_.state(queue);
    const uint64_t slot = state.sq_head & ((1u << setup.log2_slots) - 1);
    const auto from =
        bus_address(registers_, setup.sq_extent, setup.sq_offset + slot * kSlot, 1, false, queue);
    if (!from) {
      registers_.log_error(SPECKV_ENGINE_RING, queue, 0);
      state.halted = true;
      return;
    }
    GoldenJob& job = waiting_[queue].emplace();
    job.queue = queue;
    job.failed = !bus.read(*from, std::as_writable_bytes(std::span(&job.asked, 1)));
    registers_.count(Counter::fetched);
    registers_.count(Counter::beats_read);
    job.sq_head = ++state.sq_head;
    ++state.open;
  }

  // A job that only waits is not found, and nobody else's.
  void cancel(const Bus& bus, uint32_t queue) {
    const GoldenJob asked = *waiting_[queue];
    waiting_[queue].reset();
    speckv_engine_completion told{};
    told.cookie = asked.asked.cookie;
    told.status = check_cancel(asked.asked);
    if (told.status == SPECKV_ENGINE_OK) {
      const GoldenJob& job = lane_.job();
      const bool is_found = has_job_ && !is_cancelled_ && !job.failed && job.queue == queue &&
                            job.asked.cookie == asked.asked.source_offset;
      if (is_found) {
        lane_.cancel();
        is_cancelled_ = true;
      } else {
        told.status = SPECKV_ENGINE_NOT_FOUND;
      }
    }
    complete(bus, asked, told);
  }

  // The next descriptor that waits gets the lane, the queues in turn.
  bool take_waiting() {
    for (uint32_t i = 0; i < kQueues; ++i) {
      const uint32_t queue = (turn_ + i) % kQueues;
      if (!waiting_[queue]) continue;
      turn_ = queue + 1;
      GoldenJob job = *waiting_[queue];
      waiting_[queue].reset();
      const uint8_t status = check(registers_, tables_, &job);
      lane_.begin(job, status, &tables_);
      has_job_ = true;
      is_cancelled_ = false;
      return true;
    }
    return false;
  }

  void end_job(const Bus& bus) {
    registers_.count(Counter::beats_read, lane_.beats_read());
    registers_.count(Counter::beats_written, lane_.beats_written());
    registers_.count(Counter::busy, lane_.cycles(latency_));
    has_job_ = false;
    complete(bus, lane_.job(), lane_.completion());
  }

  void complete(const Bus& bus, const GoldenJob& job, speckv_engine_completion told) {
    const QueueRegisters setup = registers_.queue(job.queue);
    QueueState& state = registers_.state(job.queue);
    const uint32_t slots = 1u << setup.log2_slots;
    told.sq_head = job.sq_head;
    told.phase = (state.cq_tail & slots) == 0 ? 1 : 0;
    const uint64_t at = setup.cq_offset + (state.cq_tail & (slots - 1)) * kSlot;
    const auto to = bus_address(registers_, setup.cq_extent, at, 1, true, job.queue);
    const bool is_told = to && bus.write(*to, std::as_bytes(std::span(&told, 1)));
    registers_.count(Counter::completed);
    registers_.count(Counter::beats_written, is_told ? 1 : 0);
    if (told.status != SPECKV_ENGINE_OK) {
      registers_.count(Counter::errors);
      registers_.log_error(told.status, job.queue, uint32_t(told.cookie));
    } else if (!is_told) {
      registers_.log_error(SPECKV_ENGINE_RING, job.queue, 0);
    }
    ++state.cq_tail;
    ++state.untold;
    --state.open;
    registers_.settle(job.queue);
  }

  const uint32_t latency_;
  std::mutex lock_;  // of all below; of lane_ and tables_ while no step is under way
  std::condition_variable stepped_;
  GoldenRegisters registers_;
  std::array<std::optional<GoldenJob>, kQueues> waiting_;
  uint32_t turn_ = 0;
  bool has_job_ = false, is_cancelled_ = false, is_stepping_ = false, is_resetting_ = false;
  GoldenLane lane_;
  GoldenTables tables_;
};

}  // namespace

std::unique_ptr<Backend> make_golden_backend(uint32_t latency) {
  return std::make_unique<GoldenBackend>(latency);
}

}  // namespace speckv::device
