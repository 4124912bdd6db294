// SPDX-License-Identifier: Apache-2.0
// rtl_memory.hpp - an AXI4 slave in front of a Bus: what answers the RTL's bursts out of the memory
// that a guest has lent.
//
// A beat a cycle each way, in order, a fixed number of cycles after the request: a model of latency
// and bandwidth, no more. What the bus refuses is answered with an error, a read with zeros. Called
// once a cycle: drive() before outputs settle, sample() afterwards. Holds no memory of its own.
#pragma once

#include <deque>

#include "dma_map.hpp"
#include "rtl_engine.hpp"

namespace speckv::device {

class RtlMemory {
 public:
  static constexpr size_t bursts_max = 32;  // of a kind, that wait; then it is not ready

  explicit RtlMemory(uint32_t latency) : latency_(latency) {}
  AxiIn drive(const Bus& bus);
  void sample(const Bus& bus, const AxiOut& out, const AxiIn& in);
  void power_on();

 private:
  struct Burst {
    uint8_t id = 0;
    uint64_t address = 0;
    uint32_t beats = 0;
    uint64_t due = 0;  // cycle of its first answer
    bool failed = false;
  };
  struct Beat {
    uint64_t strobe = 0;
    std::array<std::byte, 64> data{};
  };
  static bool write(const Bus& bus, uint64_t address, const Beat& beat);

  uint32_t latency_;
  uint64_t now_ = 0;
  std::deque<Burst> reads_, writes_, answers_;
  std::deque<Beat> early_;  // beats whose request has not come yet
};

}  // namespace speckv::device
