// SPDX-License-Identifier: Apache-2.0
// rtl_backend.hpp - the RTL's engine, Verilated, as a back end: its own registers through its own
// AXI4-Lite port, its two bus masters on lent memory.
//
// Simulated time passes in work() alone, some hundred cycles a call. Whoever reads or writes a
// register meets a mirror: what software wrote, and what the engine last said of itself; writes go
// through a mailbox, in order. While it holds any the mirror says that the engine is not idle (of a
// CONTROL.reset: resetting), so nobody takes an old answer for a new one. A mailbox that is full
// holds up who writes, never who reads. Time that passes while the engine is idle is skipped: an
// interrupt that waits for cycles comes at once.
#pragma once

#include <condition_variable>
#include <mutex>
#include <vector>

#include "backend.hpp"
#include "golden_registers.hpp"
#include "rtl_memory.hpp"

namespace speckv::device {

class RtlBackend final : public Backend {
 public:
  static constexpr size_t mailbox_max = 4096;

  explicit RtlBackend(std::unique_ptr<RtlEngine> engine, uint32_t latency = latency_cycles);

  uint32_t read(uint32_t offset) override;
  void write(uint32_t offset, uint32_t value) override;
  bool work(const Bus& bus) override;
  std::optional<uint8_t> take_interrupt() override;
  void reset() override;

  // Since the start. Simulated cycles; assertions that have failed, register accesses without an
  // answer among them.
  uint64_t cycles() const;
  uint64_t failures() const;

 private:
  struct Write {
    uint32_t offset, value;
  };
  struct State;  // what the engine says of itself
  void cycle(const Bus& bus);
  void apply(const Bus& bus, Write write);
  uint32_t fetch(const Bus& bus, uint32_t offset);
  bool run(const Bus& bus);
  void skip_idle_time(const Bus& bus);
  void look(const Bus& bus);
  void end_access();

  // Of the thread in work(), or of one that waits for it to come back.
  std::unique_ptr<RtlEngine> engine_;
  std::array<RtlMemory, RtlEngine::buses> memory_;
  LiteOut registers_seen_;  // of the last cycle
  uint64_t cycles_ = 0, silent_ = 0;
  std::vector<uint32_t> said_;  // by register, of those that the engine itself changes
  std::vector<uint8_t> due_;    // vectors

  mutable std::mutex lock_;  // of all below
  std::condition_variable room_, stepped_;
  bool is_stepping_ = false;
  int resets_waiting_ = 0;   // before which no work() begins
  GoldenRegisters written_;  // by software
  std::vector<Write> mailbox_, applying_;
  bool is_reset_pending_ = false;
  std::vector<uint32_t> mirror_;
  std::vector<uint8_t> vectors_;
  uint64_t cycles_told_ = 0, failures_told_ = 0;
};

}  // namespace speckv::device
