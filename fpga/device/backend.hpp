// SPDX-License-Identifier: Apache-2.0
// backend.hpp - what carries out descriptors: the golden model or the Verilated engine, behind five
// calls.
//
// Registers are include/hw/speckv_regs.h's and descriptors include/hw/speckv_engine.h's, with the
// same statuses, error log and order rules whoever answers. read() and write() may come from any
// thread and return at once, whatever work() is doing; work() and take_interrupt() are called by
// one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "dma_map.hpp"

namespace speckv::device {

class Backend {
 public:
  virtual ~Backend() = default;
  // A register, by its offset; a reserved one reads 0 and takes no write.
  virtual uint32_t read(uint32_t offset) = 0;
  virtual void write(uint32_t offset, uint32_t value) = 0;
  // Does one descriptor, or as little as is sensible. Returns: false, there is nothing to do until
  // the next write().
  virtual bool work(const Bus& bus) = 0;
  // The next MSI-X vector that is due; nothing, when none is.
  virtual std::optional<uint8_t> take_interrupt() = 0;
  // As after power-on. What work() has begun ends first.
  virtual void reset() = 0;
};

// Cycles from a request to a memory's first beat: of the RTL's AXI4 slaves, and of the golden
// model's account of simulated time (COUNTERS: cycles in which a lane was busy).
inline constexpr uint32_t latency_cycles = 8;

std::unique_ptr<Backend> make_golden_backend(uint32_t latency = latency_cycles);

}  // namespace speckv::device
