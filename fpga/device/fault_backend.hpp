// SPDX-License-Identifier: Apache-2.0
// fault_backend.hpp - any back end, and what can go wrong with a device around it.
//
// It stands between a device and the back end that does the work, and changes what goes by:
// completions and bytes on the bus, registers, interrupts. So a fault is the same whichever back
// end is behind it. Threads as in backend.hpp; command() from any.
#pragma once

#include <atomic>

#include "backend.hpp"
#include "completion_rings.hpp"
#include "faults.hpp"
#include "hw/speckv_engine.h"
#include "hw/speckv_regs.h"

namespace speckv::device {

class FaultBackend final : public Backend {
 public:
  // clock_mhz: of the engine, for what "status" says of simulated time; 0: it says nothing.
  explicit FaultBackend(Backend& inner, uint32_t clock_mhz = 0)
      : inner_(inner), clock_mhz_(clock_mhz) {}

  uint32_t read(uint32_t offset) override;
  void write(uint32_t offset, uint32_t value) override;
  bool work(const Bus& bus) override;
  std::optional<uint8_t> take_interrupt() override;
  void reset() override;

  // A line of faults.hpp, or "status". Returns: the answer, one line: "ok ..." or "error: ...".
  // work() must be called afterwards.
  std::string command(std::string_view line);
  // The whole device is off the bus: its configuration space reads as ones, too.
  const std::atomic<bool>& is_link_down() const { return is_link_down_; }

 private:
  class FaultBus;
  bool write_completion(const Bus& bus, uint32_t queue, uint64_t address,
                        std::span<const std::byte> from);
  bool put(const Bus& bus, uint32_t queue, uint32_t at, speckv_engine_completion told) const;
  void stand_straight();
  bool is_delayed();

  std::string simulated_time();

  Backend& inner_;
  const uint32_t clock_mhz_;
  Faults faults_;
  std::atomic<bool> is_link_down_{false}, is_reset_asked_{false};
  std::atomic<uint64_t> reads_{0}, writes_{0}, completions_{0}, interrupts_{0};
  // By which slots a queue's completions are away from where the back end puts them.
  std::array<std::atomic<int32_t>, SPECKV_REG_QUEUES_COUNT> shift_{};
  // work()'s own
  CompletionRings rings_;
  std::optional<std::chrono::steady_clock::time_point> delayed_until_;
};

}  // namespace speckv::device
