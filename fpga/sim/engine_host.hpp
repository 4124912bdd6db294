// SPDX-License-Identifier: Apache-2.0
// engine_host.hpp - the host's side of the engine, for its bench: registers over AXI4-Lite, two
// memories, one cycle of everything; rings, doorbells and completions as a driver has them.
//
// Uses include/hw only, as a driver would. Every wait has a limit; a fault of a bus is a mismatch.
#pragma once

#include <deque>
#include <optional>
#include <vector>

#include "Vengine.h"
#include "Vengine_speckv_check_pkg.h"
#include "bench.hpp"
#include "bus_memory.hpp"
#include "hw/speckv_engine.h"
#include "hw/speckv_regs.h"

namespace speckv::fpga {

class EngineHost {
 public:
  static constexpr uint64_t host_base = 0x1'0000'0000, device_base = 0x8000'0000;
  static constexpr size_t memory_bytes = 8 << 20;

  explicit EngineHost(Bench<Vengine>& bench);

  Bench<Vengine>& bench() { return bench_; }
  BusMemory& memory(bool device) { return device ? device_ : host_; }
  void cycle();
  void cycles(int n) {
    for (int i = 0; i < n; ++i) cycle();
  }

  void write(uint32_t offset, uint32_t value);
  uint32_t read(uint32_t offset);

  struct Extent {
    bool device, writable;
    uint32_t queues;
    uint64_t address, bytes;
  };
  void set_extent(uint32_t index, const Extent& extent);

  // Rings of 1 << log2_slots at `address` of host memory (extents 0 and 1 hold it). Zeroes them.
  void set_queue(uint32_t queue, uint64_t address, uint32_t log2_slots);
  void stop_queue(uint32_t queue);
  // Returns: false when the ring is full.
  bool submit(uint32_t queue, const speckv_engine_descriptor& descriptor);
  // The same without a look at the completions: the engine must keep to what was read.
  void submit_unseen(uint32_t queue, const speckv_engine_descriptor& descriptor);
  std::optional<speckv_engine_completion> poll(uint32_t queue);
  // Waits for one completion; none in `limit` cycles is a mismatch.
  speckv_engine_completion wait(uint32_t queue, int limit = 60'000);

  // Waits until the engine knows that what was seen is written: counters and log follow the bus's
  // answer, which may come after the memory has the completion.
  void settle(uint32_t queue);

  // Cycles in which a beat was written to the host's memory, and in which one was read from it, the
  // descriptor's not counted; since the last clear.
  const std::vector<uint64_t>& beat_cycles() const { return beat_cycles_; }
  const std::vector<uint64_t>& read_cycles() const { return read_cycles_; }
  // Whose beats the device's memory gave, and whose it was to take, in their order: masters by
  // number, lanes first.
  const std::vector<uint8_t>& device_readers() const { return device_readers_; }
  const std::vector<uint8_t>& device_writers() const { return device_writers_; }
  void clear_cycles() {
    beat_cycles_.clear(), read_cycles_.clear();
    device_readers_.clear(), device_writers_.clear();
  }
  uint64_t vectors_seen(uint8_t vector) const { return vectors_[vector]; }

 private:
  struct Queue {
    uint64_t sq = 0, cq = 0;
    uint32_t slots = 0;
    uint16_t tail = 0, done = 0, head = 0;
  };
  void drive(int side, const BusIn& in);
  BusOut look(int side);

  Bench<Vengine>& bench_;
  Vengine& dut_;
  BusMemory host_, device_;
  Queue queues_[SPECKV_REG_QUEUES_COUNT];
  std::vector<uint64_t> beat_cycles_, read_cycles_;
  std::vector<uint8_t> device_readers_, device_writers_;
  std::vector<uint64_t> vectors_ = std::vector<uint64_t>(256);
};

}  // namespace speckv::fpga
