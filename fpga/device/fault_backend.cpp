// SPDX-License-Identifier: Apache-2.0
#include "fault_backend.hpp"

#include <algorithm>
#include <cstring>
#include <thread>
#include <vector>

namespace speckv::device {

namespace {

constexpr uint32_t kOnes = 0xffffffff;
constexpr uint64_t kSlot = SPECKV_ENGINE_SLOT_BYTES;
constexpr size_t kGarbageStride = 1021;  // bytes of a write from one that is wrong to the next
constexpr std::chrono::milliseconds kNap{1};

// Whose register of a queue pair that is, if it is this one of queue 0 or another queue's.
std::optional<uint32_t> queue_of(uint32_t offset, uint32_t of_queue_0) {
  for (uint32_t i = 0; i < SPECKV_REG_QUEUES_COUNT; ++i)
    if (offset == of_queue_0 + i * SPECKV_REG_QUEUES_STRIDE) return i;
  return {};
}

}  // namespace

// The bus as the back end sees it.
class FaultBackend::FaultBus final : public Bus {
 public:
  FaultBus(FaultBackend& around, const Bus& bus) : around_(around), bus_(bus) {}

  bool read(uint64_t address, std::span<std::byte> into) const override {
    return bus_.read(address, into);
  }
  bool write(uint64_t address, std::span<const std::byte> from) const override {
    if (const auto queue = around_.rings_.queue_of(address, from.size()))
      return around_.write_completion(bus_, *queue, address, from);
    if (!around_.faults_.is_on(Fault::garbage)) return bus_.write(address, from);
    std::vector<std::byte> wrong(from.begin(), from.end());
    for (size_t i = 0; i < wrong.size(); i += kGarbageStride) wrong[i] ^= std::byte{0x5a};
    return bus_.write(address, wrong);
  }
  bool takes(uint64_t address, size_t bytes) const override { return bus_.takes(address, bytes); }

 private:
  FaultBackend& around_;
  const Bus& bus_;
};

uint32_t FaultBackend::read(uint32_t offset) {
  ++reads_;
  if (is_link_down_) return kOnes;
  if (offset == SPECKV_REG_STATUS && faults_.is_on(Fault::deaf))
    return is_reset_asked_ ? SPECKV_REG_STATUS_RESETTING_MASK : 0;
  uint32_t value = inner_.read(offset);
  if (const auto queue = queue_of(offset, SPECKV_REG_QUEUES_CQ_TAIL))
    value = uint16_t(value + uint32_t(shift_[*queue]));
  if (const auto queue = queue_of(offset, SPECKV_REG_QUEUES_CQ_HEAD))
    value = uint16_t(value + uint32_t(shift_[*queue]));
  return value;
}

void FaultBackend::write(uint32_t offset, uint32_t value) {
  ++writes_;
  if (is_link_down_) return;
  const bool is_reset =
      offset == SPECKV_REG_CONTROL && (value & SPECKV_REG_CONTROL_RESET_MASK) != 0;
  if (is_reset && faults_.is_on(Fault::deaf)) {
    is_reset_asked_ = true;
    return;
  }
  if (is_reset) faults_.disarm(Fault::stuck);
  if (is_reset) stand_straight();
  if (const auto queue = queue_of(offset, SPECKV_REG_QUEUES_SETUP))
    if ((value & SPECKV_REG_QUEUES_SETUP_ENABLE_MASK) == 0) shift_[*queue] = 0;
  if (const auto queue = queue_of(offset, SPECKV_REG_QUEUES_CQ_HEAD))
    value = uint16_t(value - uint32_t(shift_[*queue]));
  inner_.write(offset, value);
}

void FaultBackend::reset() {
  if (is_link_down_ || faults_.is_on(Fault::deaf)) return;
  faults_.disarm(Fault::stuck);
  stand_straight();
  inner_.reset();
}

void FaultBackend::stand_straight() {
  for (auto& shift : shift_) shift = 0;
}

bool FaultBackend::work(const Bus& bus) {
  if (is_link_down_ != faults_.is_on(Fault::link_down)) {
    inner_.reset();  // as a link that has been down leaves a device
    stand_straight();
    is_link_down_ = !is_link_down_;
  }
  if (is_link_down_ || faults_.is_on(Fault::stuck) || faults_.is_on(Fault::deaf)) return false;
  is_reset_asked_ = false;
  if (faults_.take_reset()) reset();
  if (is_delayed()) return true;
  rings_.see(inner_);
  const uint64_t completions = completions_;
  const bool is_busy = inner_.work(FaultBus(*this, bus));
  if (completions_ != completions) delayed_until_.reset();
  return is_busy;
}

// Naps a little: whoever calls work() again and again delivers interrupts in between.
bool FaultBackend::is_delayed() {
  const auto delay = faults_.delay();
  if (delay.count() == 0 || (inner_.read(SPECKV_REG_STATUS) & SPECKV_REG_STATUS_IDLE_MASK) != 0) {
    delayed_until_.reset();
    return false;
  }
  const auto now = std::chrono::steady_clock::now();
  if (!delayed_until_) delayed_until_ = now + delay;
  if (now >= *delayed_until_) return false;
  std::this_thread::sleep_for(kNap);
  return true;
}

std::optional<uint8_t> FaultBackend::take_interrupt() {
  const std::optional<uint8_t> vector = inner_.take_interrupt();
  if (!vector || is_link_down_) return {};
  ++interrupts_;
  return vector;
}

// at: which completion of the queue it is, modulo twice the ring's slots.
bool FaultBackend::put(const Bus& bus, uint32_t queue, uint32_t at,
                       speckv_engine_completion told) const {
  const CompletionRings::Ring& ring = rings_[queue];
  told.phase ^= (at & ring.slots) == 0 ? 0 : 1;
  return bus.write(ring.base + (at & (ring.slots - 1)) * kSlot, std::as_bytes(std::span(&told, 1)));
}

bool FaultBackend::write_completion(const Bus& bus, uint32_t queue, uint64_t address,
                                    std::span<const std::byte> from) {
  ++completions_;
  const auto is_hit = faults_.next_completion();
  const auto hit = [&](Fault fault) { return is_hit[size_t(fault)]; };
  speckv_engine_completion told;
  std::memcpy(&told, from.data(), sizeof(told));
  const CompletionRings::Ring& ring = rings_[queue];
  const auto slot = uint32_t((address - ring.base) / kSlot);
  const uint32_t at = slot + ((told.phase & 1) != 0 ? 0 : ring.slots) + uint32_t(shift_[queue]);
  told.phase = hit(Fault::phase) ? 0 : 1;
  if (hit(Fault::checksum)) told.checksum ^= 1;
  if (hit(Fault::cookie)) told.cookie = ~told.cookie;
  if (hit(Fault::length)) told.bytes += 32;
  if (hit(Fault::hole)) return true;
  if (hit(Fault::drop)) {
    --shift_[queue];
    return true;
  }
  if (!put(bus, queue, at, told)) return false;
  if (!hit(Fault::twice)) return true;
  ++shift_[queue];
  return put(bus, queue, at + 1, told);
}

// Of the engine's counters since its last power-on: cycles in which a lane was busy, bytes moved.
std::string FaultBackend::simulated_time() {
  if (clock_mhz_ == 0) return {};
  const auto counter = [this](uint32_t index) {
    const uint32_t at = index * SPECKV_REG_COUNTERS_STRIDE;
    return uint64_t{inner_.read(SPECKV_REG_COUNTERS_HIGH + at)} << 32 |
           inner_.read(SPECKV_REG_COUNTERS_LOW + at);
  };
  const uint64_t cycles = counter(5);
  return " simulated_cycles=" + std::to_string(cycles) +
         " simulated_us=" + std::to_string(cycles / clock_mhz_) +
         " bytes_read=" + std::to_string(64 * counter(3)) +
         " bytes_written=" + std::to_string(64 * counter(4));
}

std::string FaultBackend::command(std::string_view line) {
  if (line == "status")
    return "ok completions=" + std::to_string(completions_) +
           " interrupts=" + std::to_string(interrupts_) + " reads=" + std::to_string(reads_) +
           " writes=" + std::to_string(writes_) + faults_.hits() + simulated_time();
  const std::string wrong = faults_.obey(line);
  return wrong.empty() ? "ok" : "error: " + wrong;
}

}  // namespace speckv::device
