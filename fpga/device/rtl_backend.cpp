// SPDX-License-Identifier: Apache-2.0
#include "rtl_backend.hpp"

#include <algorithm>
#include <array>
#include <chrono>

namespace speckv::device {

namespace {

constexpr uint32_t kRegisterBytes = 0x800;  // the port has eleven address bits
constexpr int kSliceCycles = 512;           // of one work(): 5 ms, about
constexpr int kLookCycles = 32;             // from one look at whether it is idle to the next
constexpr int kAccessCycles = 100;          // after which a register access counts as lost
constexpr int kAgeCycles = 32;  // in which a completion grows one cycle old, and is told of
constexpr size_t kVectorsMax = 64;
constexpr std::chrono::seconds kPatience{1};  // with a work() that does not come

constexpr uint32_t kConstants[] = {SPECKV_REG_MAGIC,      SPECKV_REG_VERSION, SPECKV_REG_DECODERS,
                                   SPECKV_REG_ENCODERS,   SPECKV_REG_SHAPES,  SPECKV_REG_RESOURCES,
                                   SPECKV_REG_OPERATIONS, SPECKV_REG_TABLES};

// Registers that the engine itself changes.
std::vector<uint32_t> changing() {
  std::vector<uint32_t> offsets{SPECKV_REG_STATUS, SPECKV_REG_ERROR, SPECKV_REG_ERROR_COOKIE};
  for (uint32_t i = 0; i < 2 * SPECKV_REG_COUNTERS_COUNT; ++i)
    offsets.push_back(SPECKV_REG_COUNTERS_LOW + 4 * i);
  for (uint32_t i = 0; i < SPECKV_REG_QUEUES_COUNT; ++i) {
    offsets.push_back(SPECKV_REG_QUEUES_SQ_HEAD + i * SPECKV_REG_QUEUES_STRIDE);
    offsets.push_back(SPECKV_REG_QUEUES_CQ_TAIL + i * SPECKV_REG_QUEUES_STRIDE);
  }
  return offsets;
}

// A bus on which nobody answers.
class NoBus final : public Bus {
 public:
  bool read(uint64_t, std::span<std::byte>) const override { return false; }
  bool write(uint64_t, std::span<const std::byte>) const override { return false; }
  bool takes(uint64_t, size_t) const override { return false; }
};

}  // namespace

RtlBackend::RtlBackend(std::unique_ptr<RtlEngine> engine, uint32_t latency)
    : engine_(std::move(engine)),
      memory_{RtlMemory(latency), RtlMemory(latency)},
      said_(kRegisterBytes / 4),
      mirror_(kRegisterBytes / 4) {
  written_.power_on();
  mailbox_.reserve(mailbox_max);
  applying_.reserve(mailbox_max);
  for (const uint32_t offset : kConstants) said_[offset / 4] = fetch(NoBus(), offset);
  look(NoBus());
  mirror_ = said_;
}

uint32_t RtlBackend::read(uint32_t offset) {
  static const std::vector<uint32_t> engines_own = changing();
  if (offset >= kRegisterBytes) return 0;
  const std::lock_guard lock(lock_);
  if (offset == SPECKV_REG_STATUS) {
    if (is_reset_pending_) return SPECKV_REG_STATUS_RESETTING_MASK;
    if (!mailbox_.empty() || !applying_.empty()) return 0;
  }
  if (std::ranges::find(kConstants, offset) != std::end(kConstants) ||
      std::ranges::find(engines_own, offset) != engines_own.end())
    return mirror_[offset / 4];
  return written_.read(offset);
}

void RtlBackend::write(uint32_t offset, uint32_t value) {
  if (offset >= kRegisterBytes) return;
  std::unique_lock lock(lock_);
  const auto has_room = [this] { return mailbox_.size() < mailbox_max; };
  if (!room_.wait_for(lock, kPatience, has_room)) return;  // nobody calls work()
  (void)written_.write(offset, value);
  mailbox_.push_back({offset, value});
  if (offset != SPECKV_REG_CONTROL) return;
  if ((value & SPECKV_REG_CONTROL_RESET_MASK) != 0) is_reset_pending_ = true;
  if ((value & SPECKV_REG_CONTROL_CLEAR_LOG_MASK) != 0)
    mirror_[SPECKV_REG_ERROR / 4] = mirror_[SPECKV_REG_ERROR_COOKIE / 4] = 0;
}

bool RtlBackend::work(const Bus& bus) {
  {
    std::unique_lock lock(lock_);
    stepped_.wait(lock, [this] { return resets_waiting_ == 0; });
    is_stepping_ = true;
    std::swap(mailbox_, applying_);
  }
  room_.notify_all();
  for (const Write write : applying_) apply(bus, write);
  const bool is_idle = run(bus);
  look(bus);
  const std::lock_guard lock(lock_);
  applying_.clear();
  is_stepping_ = false;
  cycles_told_ = cycles_;
  failures_told_ = engine_->failures() + silent_;
  for (const uint8_t vector : due_)
    if (vectors_.size() < kVectorsMax) vectors_.push_back(vector);
  due_.clear();
  if (mailbox_.empty()) {
    mirror_ = said_;
    is_reset_pending_ = false;
  }
  stepped_.notify_all();
  return !is_idle || !mailbox_.empty();
}

std::optional<uint8_t> RtlBackend::take_interrupt() {
  const std::lock_guard lock(lock_);
  if (vectors_.empty()) return {};
  const uint8_t vector = vectors_.front();
  vectors_.erase(vectors_.begin());
  return vector;
}

void RtlBackend::reset() {
  std::unique_lock lock(lock_);
  // Else a work() that follows the other at once would go first, again and again.
  ++resets_waiting_;
  stepped_.wait(lock, [this] { return !is_stepping_; });
  --resets_waiting_;
  engine_->power_on();
  for (RtlMemory& memory : memory_) memory.power_on();
  written_.power_on();
  mailbox_.clear();
  vectors_.clear();
  due_.clear();
  is_reset_pending_ = false;
  look(NoBus());
  mirror_ = said_;
  lock.unlock();
  stepped_.notify_all();
}

uint64_t RtlBackend::cycles() const {
  const std::lock_guard lock(lock_);
  return cycles_told_;
}

uint64_t RtlBackend::failures() const {
  const std::lock_guard lock(lock_);
  return failures_told_;
}

void RtlBackend::cycle(const Bus& bus) {
  for (size_t i = 0; i < memory_.size(); ++i) engine_->in[i] = memory_[i].drive(bus);
  engine_->settle();
  for (size_t i = 0; i < memory_.size(); ++i)
    memory_[i].sample(bus, engine_->out[i], engine_->in[i]);
  registers_seen_ = engine_->registers_out;
  if (engine_->msix_valid && due_.size() < kVectorsMax) due_.push_back(engine_->msix_vector);
  engine_->edge();
  ++cycles_;
}

void RtlBackend::apply(const Bus& bus, Write write) {
  LiteIn& in = engine_->registers_in;
  in.awvalid = in.wvalid = true;
  in.address = uint16_t(write.offset);
  in.wdata = write.value;
  bool is_answered = false;
  for (int i = 0; i < kAccessCycles && !is_answered; ++i) {
    cycle(bus);
    if (registers_seen_.awready) in.awvalid = false;
    if (registers_seen_.wready) in.wvalid = false;
    is_answered = registers_seen_.bvalid;
  }
  if (!is_answered) ++silent_;
  in = {};
}

uint32_t RtlBackend::fetch(const Bus& bus, uint32_t offset) {
  LiteIn& in = engine_->registers_in;
  in.arvalid = true;
  in.address = uint16_t(offset);
  for (int i = 0; i < kAccessCycles; ++i) {
    cycle(bus);
    if (registers_seen_.arready) in.arvalid = false;
    if (!registers_seen_.rvalid) continue;
    in = {};
    return registers_seen_.rdata;
  }
  ++silent_;
  in = {};
  return 0;
}

// Returns: whether the engine has nothing to do any more.
bool RtlBackend::run(const Bus& bus) {
  for (int at = 0; at < kSliceCycles; at += kLookCycles) {
    for (int i = 0; i < kLookCycles; ++i) cycle(bus);
    if ((fetch(bus, SPECKV_REG_STATUS) & SPECKV_REG_STATUS_IDLE_MASK) == 0) continue;
    skip_idle_time(bus);
    return true;
  }
  return false;
}

// What waits for MODERATION.cycles to pass is as old as that for a moment.
void RtlBackend::skip_idle_time(const Bus& bus) {
  uint32_t moderation = 0;
  {
    const std::lock_guard lock(lock_);
    moderation = written_.read(SPECKV_REG_MODERATION);
  }
  if ((moderation & SPECKV_REG_MODERATION_CYCLES_MASK) == 0) return;
  const uint32_t completions = moderation & SPECKV_REG_MODERATION_COMPLETIONS_MASK;
  apply(bus, {SPECKV_REG_MODERATION, completions | 1u << SPECKV_REG_MODERATION_CYCLES_SHIFT});
  for (int i = 0; i < kAgeCycles; ++i) cycle(bus);
  apply(bus, {SPECKV_REG_MODERATION, moderation});
}

void RtlBackend::look(const Bus& bus) {
  static const std::vector<uint32_t> engines_own = changing();
  for (const uint32_t offset : engines_own) said_[offset / 4] = fetch(bus, offset);
}

}  // namespace speckv::device
