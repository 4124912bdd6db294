// SPDX-License-Identifier: Apache-2.0
// rtl_engine.hpp - the pins of fpga/rtl/engine.sv, a cycle at a time: what the Verilated model is
// to the rest of this folder, which needs no Verilator.
//
// rtl_engine.cpp is the model; it is compiled by fpga/device/build alone. no_rtl_engine.cpp stands
// in its place in builds without. A cycle: set `in` and `registers`, settle(), look at `out`,
// edge(). One thread at a time.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace speckv::device {

// Of one AXI4 master, into the engine. Its rready and bready are always 1.
struct AxiIn {
  bool arready = false, rvalid = false, rlast = false, awready = false, wready = false;
  bool bvalid = false;
  uint8_t rid = 0, rresp = 0, bid = 0, bresp = 0;
  std::array<std::byte, 64> rdata{};
};
struct AxiOut {
  bool arvalid = false, awvalid = false, wvalid = false, wlast = false;
  uint8_t arid = 0, arlen = 0, awid = 0, awlen = 0;
  uint64_t araddr = 0, awaddr = 0, wstrb = 0;
  std::array<std::byte, 64> wdata{};
};
// AXI4-Lite of the registers; bready and rready are always 1.
struct LiteIn {
  bool awvalid = false, wvalid = false, arvalid = false;
  uint16_t address = 0;
  uint32_t wdata = 0;
};
struct LiteOut {
  bool awready = false, wready = false, bvalid = false, arready = false, rvalid = false;
  uint32_t rdata = 0;
};

class RtlEngine {
 public:
  static constexpr size_t buses = 2;  // host memory, device memory

  virtual ~RtlEngine() = default;
  virtual void settle() = 0;
  virtual void edge() = 0;
  // Many cycles of reset. What was on the buses is forgotten.
  virtual void power_on() = 0;
  // Assertions of the RTL that have failed.
  virtual uint64_t failures() const = 0;

  std::array<AxiIn, buses> in;
  std::array<AxiOut, buses> out;
  LiteIn registers_in;
  LiteOut registers_out;
  bool msix_valid = false;
  uint8_t msix_vector = 0;
};

// Returns: nullptr in a build without the Verilated model.
std::unique_ptr<RtlEngine> make_rtl_engine();

}  // namespace speckv::device
