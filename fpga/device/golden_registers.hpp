// SPDX-License-Identifier: Apache-2.0
// golden_registers.hpp - the register block of the golden back end: what software has set, in the
// engine's words, and what it sees of the engine.
//
// The rules are those of fpga/rtl/engine_regs.sv and speckv_regs.rdl: reserved bits read 0, and
// CONTROL.reset takes nothing that software has written, the indices of the rings alone. What this
// back end can do is said here, once, to software and to its own checks. Not thread-safe:
// golden_backend.cpp locks it.
#pragma once

#include <array>
#include <cstdint>

#include "codec/codec.hpp"
#include "hw/speckv_engine.h"
#include "hw/speckv_regs.h"

namespace speckv::device {

struct ExtentRegisters {
  bool valid = false, device = false, writable = false;
  uint32_t queues = 0;  // bits
  uint64_t base = 0, beats = 0;
};

struct QueueRegisters {
  bool enabled = false;
  uint32_t sq_extent = 0, cq_extent = 0, sq_offset = 0, cq_offset = 0, log2_slots = 0;
  uint8_t vector = 0;
};

// Indices of a queue pair, modulo 2^16. open: fetched, its completion not written.
struct QueueState {
  uint16_t sq_head = 0, sq_tail = 0, cq_tail = 0, open = 0;
  bool halted = false;
  uint32_t untold = 0;  // completions since its last interrupt
};

struct LayoutRegisters {
  bool valid = false;
  codec::PageShape shape;
  uint32_t heads = 0, pages = 0;
  codec::Preset preset{};
  uint16_t rotated = 0;
  bool half_split = false, shared_widths = false;
  uint32_t theta = 0;
};

enum class Counter : uint8_t { fetched, completed, errors, beats_read, beats_written, busy };

class GoldenRegisters {
 public:
  uint32_t read(uint32_t offset) const;
  // Returns: true, CONTROL.reset was written.
  bool write(uint32_t offset, uint32_t value);
  void reset_queues();  // their indices, as CONTROL.reset leaves them
  void power_on();      // all
  // A queue that is switched off has its indices at 0 when nothing of it is under way.
  void settle(uint32_t queue);

  bool enabled() const;
  ExtentRegisters extent(uint32_t index) const;
  QueueRegisters queue(uint32_t index) const;
  QueueState& state(uint32_t queue) { return states_[queue]; }
  uint16_t cq_head(uint32_t queue) const;  // as software has written it, and only so
  LayoutRegisters layout(uint32_t slot) const;
  uint32_t completions_a_interrupt() const;
  bool has_interrupt_limit() const;  // MODERATION.cycles is set

  void log_error(uint8_t status, uint32_t queue, uint32_t cookie);
  void count(Counter counter, uint64_t by = 1) { counters_[size_t(counter)] += by; }

  // One bit an id: what is taken, both ways. One bit an opcode.
  static uint32_t codecs();
  static uint32_t operations();

 private:
  uint32_t word(uint32_t offset) const { return words_[offset / 4]; }
  void ring(uint32_t queue, uint16_t tail);

  std::array<uint32_t, 0x800 / 4> words_{};
  std::array<QueueState, SPECKV_REG_QUEUES_COUNT> states_{};
  std::array<uint64_t, SPECKV_REG_COUNTERS_COUNT> counters_{};
  uint8_t error_status_ = 0;
  uint32_t error_queue_ = 0, error_count_ = 0, error_cookie_ = 0;
};

}  // namespace speckv::device
