// SPDX-License-Identifier: Apache-2.0
#include "rtl_engine.hpp"

#include <cstring>

#include "Vengine.h"
#include "Vengine_speckv_check_pkg.h"

namespace speckv::device {

namespace {

constexpr int kResetCycles = 60;
constexpr int kSeed = 1;  // of what registers hold before their reset

// A field of a signal in which both buses lie side by side.
template <typename Signal>
uint64_t field(const Signal& signal, size_t bus, int bits) {
  return uint64_t(signal) >> (int(bus) * bits) & ((uint64_t{1} << bits) - 1);
}
template <typename Signal>
void set_field(Signal& signal, size_t bus, int bits, uint64_t value) {
  const uint64_t mask = (uint64_t{1} << bits) - 1;
  const int shift = int(bus) * bits;
  signal = Signal((uint64_t(signal) & ~(mask << shift)) | value << shift);
}
template <typename Wide>
uint64_t field64(const Wide& wide, size_t bus) {
  return uint64_t(wide[2 * bus]) | uint64_t(wide[2 * bus + 1]) << 32;
}

class VerilatedEngine final : public RtlEngine {
 public:
  VerilatedEngine() {
    context_.randReset(2);
    context_.randSeed(kSeed);
    dut_ = std::make_unique<Vengine>(&context_);
    dut_->s_bready_i = dut_->s_rready_i = 1;
    dut_->s_wstrb_i = 15;
    dut_->msix_ready_i = 1;
    VerilatedEngine::power_on();
  }
  ~VerilatedEngine() override { dut_->final(); }
  VerilatedEngine(const VerilatedEngine&) = delete;

  void settle() override {
    for (size_t bus = 0; bus < buses; ++bus) drive(bus);
    dut_->s_awvalid_i = registers_in.awvalid;
    dut_->s_wvalid_i = registers_in.wvalid;
    dut_->s_arvalid_i = registers_in.arvalid;
    dut_->s_awaddr_i = dut_->s_araddr_i = registers_in.address;
    dut_->s_wdata_i = registers_in.wdata;
    dut_->clk_i = 0;
    dut_->eval();
    for (size_t bus = 0; bus < buses; ++bus) look(bus);
    registers_out = {dut_->s_awready_o != 0, dut_->s_wready_o != 0, dut_->s_bvalid_o != 0,
                     dut_->s_arready_o != 0, dut_->s_rvalid_o != 0, dut_->s_rdata_o};
    msix_valid = dut_->msix_valid_o != 0;
    msix_vector = dut_->msix_vector_o;
  }

  void edge() override {
    dut_->clk_i = 1;
    dut_->eval();
    context_.timeInc(1);
  }

  void power_on() override {
    in = {};
    registers_in = {};
    dut_->rst_ni = 0;
    for (int i = 0; i < kResetCycles; ++i) settle(), edge();
    dut_->rst_ni = 1;
    settle();
  }

  uint64_t failures() const override { return dut_->__PVT__speckv_check_pkg->failures; }

 private:
  void drive(size_t bus) {
    const AxiIn& from = in[bus];
    set_field(dut_->m_arready_i, bus, 1, from.arready);
    set_field(dut_->m_rvalid_i, bus, 1, from.rvalid);
    set_field(dut_->m_awready_i, bus, 1, from.awready);
    set_field(dut_->m_wready_i, bus, 1, from.wready);
    set_field(dut_->m_bvalid_i, bus, 1, from.bvalid);
    if (from.rvalid) {
      set_field(dut_->m_rid_i, bus, 4, from.rid);
      set_field(dut_->m_rresp_i, bus, 2, from.rresp);
      set_field(dut_->m_rlast_i, bus, 1, from.rlast);
      std::memcpy(&dut_->m_rdata_i[16 * bus], from.rdata.data(), 64);
    }
    if (from.bvalid) {
      set_field(dut_->m_bid_i, bus, 4, from.bid);
      set_field(dut_->m_bresp_i, bus, 2, from.bresp);
    }
  }
  void look(size_t bus) {
    AxiOut& to = out[bus];
    to.arvalid = field(dut_->m_arvalid_o, bus, 1) != 0;
    to.awvalid = field(dut_->m_awvalid_o, bus, 1) != 0;
    to.wvalid = field(dut_->m_wvalid_o, bus, 1) != 0;
    if (to.arvalid) {
      to.arid = uint8_t(field(dut_->m_arid_o, bus, 4));
      to.araddr = field64(dut_->m_araddr_o, bus);
      to.arlen = uint8_t(field(dut_->m_arlen_o, bus, 8));
    }
    if (to.awvalid) {
      to.awid = uint8_t(field(dut_->m_awid_o, bus, 4));
      to.awaddr = field64(dut_->m_awaddr_o, bus);
      to.awlen = uint8_t(field(dut_->m_awlen_o, bus, 8));
    }
    if (to.wvalid) {
      to.wlast = field(dut_->m_wlast_o, bus, 1) != 0;
      to.wstrb = field64(dut_->m_wstrb_o, bus);
      std::memcpy(to.wdata.data(), &dut_->m_wdata_o[16 * bus], 64);
    }
  }

  VerilatedContext context_;
  std::unique_ptr<Vengine> dut_;
};

}  // namespace

std::unique_ptr<RtlEngine> make_rtl_engine() { return std::make_unique<VerilatedEngine>(); }

}  // namespace speckv::device
