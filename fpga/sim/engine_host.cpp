// SPDX-License-Identifier: Apache-2.0
#include "engine_host.hpp"

#include <cstring>

namespace speckv::fpga {
namespace {

// A field of a signal in which both buses lie side by side.
template <typename Signal>
uint64_t field(const Signal& signal, int side, int bits) {
  return uint64_t(signal) >> (side * bits) & ((uint64_t{1} << bits) - 1);
}
template <typename Signal>
void set_field(Signal& signal, int side, int bits, uint64_t value) {
  const uint64_t mask = (uint64_t{1} << bits) - 1;
  signal = Signal((uint64_t(signal) & ~(mask << (side * bits))) | value << (side * bits));
}
template <typename Wide>
uint64_t field64(const Wide& wide, int side) {
  return uint64_t(wide[2 * side]) | uint64_t(wide[2 * side + 1]) << 32;
}

}  // namespace

EngineHost::EngineHost(Bench<Vengine>& bench)
    : bench_(bench),
      dut_(bench.dut()),
      host_(host_base, memory_bytes),
      device_(device_base, memory_bytes) {
  dut_.s_awvalid_i = dut_.s_wvalid_i = dut_.s_arvalid_i = 0;
  dut_.s_bready_i = dut_.s_rready_i = 1;
  dut_.s_wstrb_i = 15;
  dut_.msix_ready_i = 1;
}

void EngineHost::drive(int side, const BusIn& in) {
  set_field(dut_.m_arready_i, side, 1, in.arready);
  set_field(dut_.m_rvalid_i, side, 1, in.rvalid);
  set_field(dut_.m_rid_i, side, 4, in.rid);
  set_field(dut_.m_rresp_i, side, 2, in.rresp);
  set_field(dut_.m_rlast_i, side, 1, in.rlast);
  std::memcpy(&dut_.m_rdata_i[16 * side], in.rdata.data(), 64);
  set_field(dut_.m_awready_i, side, 1, in.awready);
  set_field(dut_.m_wready_i, side, 1, in.wready);
  set_field(dut_.m_bvalid_i, side, 1, in.bvalid);
  set_field(dut_.m_bid_i, side, 4, in.bid);
  set_field(dut_.m_bresp_i, side, 2, in.bresp);
}

BusOut EngineHost::look(int side) {
  BusOut out;
  out.arvalid = field(dut_.m_arvalid_o, side, 1) != 0;
  out.arid = uint8_t(field(dut_.m_arid_o, side, 4));
  out.araddr = field64(dut_.m_araddr_o, side);
  out.arlen = uint8_t(field(dut_.m_arlen_o, side, 8));
  out.awvalid = field(dut_.m_awvalid_o, side, 1) != 0;
  out.awid = uint8_t(field(dut_.m_awid_o, side, 4));
  out.awaddr = field64(dut_.m_awaddr_o, side);
  out.awlen = uint8_t(field(dut_.m_awlen_o, side, 8));
  out.wvalid = field(dut_.m_wvalid_o, side, 1) != 0;
  out.wlast = field(dut_.m_wlast_o, side, 1) != 0;
  out.wstrb = field64(dut_.m_wstrb_o, side);
  std::memcpy(out.wdata.data(), &dut_.m_wdata_o[16 * side], 64);
  return out;
}

void EngineHost::cycle() {
  const BusIn in[2] = {host_.drive(bench_.random()), device_.drive(bench_.random())};
  for (int side = 0; side < 2; ++side) drive(side, in[side]);
  bench_.settle();
  BusMemory* memories[2] = {&host_, &device_};
  for (int side = 0; side < 2; ++side) {
    const BusOut out = look(side);
    const uint64_t before = memories[side]->faults();
    memories[side]->sample(out, in[side]);
    if (before == 0 && memories[side]->faults() != 0)
      bench_.mismatch("bus %d: %s", side, memories[side]->first_fault().c_str());
    if (out.wvalid && in[side].wready) {
      bench_.count_beat();
      if (side == 0) beat_cycles_.push_back(bench_.cycles());
    }
    if (side == 0 && in[0].rvalid && in[0].rid == 0) read_cycles_.push_back(bench_.cycles());
    if (side == 1 && in[1].rvalid) device_readers_.push_back(in[1].rid);
    if (side == 1 && out.awvalid && in[1].awready)
      device_writers_.insert(device_writers_.end(), out.awlen + 1u, out.awid);
  }
  if (dut_.msix_valid_o && dut_.msix_ready_i) ++vectors_[dut_.msix_vector_o];
  bench_.edge();
}

void EngineHost::write(uint32_t offset, uint32_t value) {
  dut_.s_awvalid_i = dut_.s_wvalid_i = 1;
  dut_.s_awaddr_i = uint16_t(offset);
  dut_.s_wdata_i = value;
  bool address = false, data = false, answered = false;
  for (int i = 0; i < 100 && !answered; ++i) {
    bench_.settle();
    const bool address_now = dut_.s_awvalid_i && dut_.s_awready_o;
    const bool data_now = dut_.s_wvalid_i && dut_.s_wready_o;
    answered = dut_.s_bvalid_o;
    cycle();
    if (address_now) dut_.s_awvalid_i = 0, address = true;
    if (data_now) dut_.s_wvalid_i = 0, data = true;
  }
  if (!address || !data || !answered) bench_.mismatch("no answer to a write of %x", offset);
}

uint32_t EngineHost::read(uint32_t offset) {
  dut_.s_arvalid_i = 1;
  dut_.s_araddr_i = uint16_t(offset);
  for (int i = 0; i < 100; ++i) {
    bench_.settle();
    const bool taken = dut_.s_arvalid_i && dut_.s_arready_o;
    const bool here = dut_.s_rvalid_o;
    const uint32_t value = dut_.s_rdata_o;
    cycle();
    if (taken) dut_.s_arvalid_i = 0;
    if (here) return value;
  }
  bench_.mismatch("no answer to a read of %x", offset);
  return 0;
}

void EngineHost::set_extent(uint32_t index, const Extent& extent) {
  const uint32_t at = index * SPECKV_REG_EXTENTS_STRIDE;
  write(SPECKV_REG_EXTENTS_BASE_LOW + at, uint32_t(extent.address));
  write(SPECKV_REG_EXTENTS_BASE_HIGH + at, uint32_t(extent.address >> 32));
  write(SPECKV_REG_EXTENTS_SIZE + at, uint32_t(extent.bytes / 64));
  write(SPECKV_REG_EXTENTS_FLAGS + at,
        1u | uint32_t(extent.device) << SPECKV_REG_EXTENTS_FLAGS_DEVICE_SHIFT |
            uint32_t(extent.writable) << SPECKV_REG_EXTENTS_FLAGS_WRITABLE_SHIFT |
            extent.queues << SPECKV_REG_EXTENTS_FLAGS_QUEUES_SHIFT);
  if (extent.writable) memory(extent.device).allow_writes(extent.address, extent.bytes, true);
}

void EngineHost::set_queue(uint32_t queue, uint64_t address, uint32_t log2_slots) {
  const uint32_t at = queue * SPECKV_REG_QUEUES_STRIDE, bytes = 64u << log2_slots;
  queues_[queue] = {address, address + bytes, 1u << log2_slots, 0, 0, 0};
  std::memset(host_.at(address), 0, size_t{2} * bytes);
  set_extent(2 * queue, {false, false, 1u << queue, address, bytes});
  set_extent(2 * queue + 1, {false, true, 1u << queue, address + bytes, bytes});
  write(SPECKV_REG_QUEUES_SQ_OFFSET + at, 0);
  write(SPECKV_REG_QUEUES_CQ_OFFSET + at, 0);
  write(SPECKV_REG_QUEUES_CQ_HEAD + at, 0);
  write(SPECKV_REG_QUEUES_SETUP + at, 2 * queue << SPECKV_REG_QUEUES_SETUP_SQ_EXTENT_SHIFT |
                                          (2 * queue + 1)
                                              << SPECKV_REG_QUEUES_SETUP_CQ_EXTENT_SHIFT |
                                          log2_slots << SPECKV_REG_QUEUES_SETUP_LOG2_SLOTS_SHIFT |
                                          (7 + queue) << SPECKV_REG_QUEUES_SETUP_VECTOR_SHIFT |
                                          1u << SPECKV_REG_QUEUES_SETUP_ENABLE_SHIFT);
}

void EngineHost::stop_queue(uint32_t queue) {
  const uint32_t at = queue * SPECKV_REG_QUEUES_STRIDE;
  write(SPECKV_REG_QUEUES_SETUP + at, 0);
  for (int i = 0; i < 2000; ++i) {
    if (read(SPECKV_REG_QUEUES_SQ_HEAD + at) == 0 && read(SPECKV_REG_QUEUES_CQ_TAIL + at) == 0)
      return;
    cycle();
  }
  bench_.mismatch("queue %u does not come to rest", queue);
}

bool EngineHost::submit(uint32_t queue, const speckv_engine_descriptor& descriptor) {
  if (uint16_t(queues_[queue].tail - queues_[queue].done) == queues_[queue].slots) return false;
  submit_unseen(queue, descriptor);
  return true;
}

void EngineHost::submit_unseen(uint32_t queue, const speckv_engine_descriptor& descriptor) {
  Queue& q = queues_[queue];
  std::memcpy(host_.at(q.sq + 64 * (q.tail % q.slots)), &descriptor, 64);
  ++q.tail;
  write(SPECKV_REG_QUEUES_SQ_TAIL + queue * SPECKV_REG_QUEUES_STRIDE, q.tail);
}

std::optional<speckv_engine_completion> EngineHost::poll(uint32_t queue) {
  Queue& q = queues_[queue];
  speckv_engine_completion completion;
  std::memcpy(&completion, host_.at(q.cq + 64 * (q.done % q.slots)), 64);
  const bool phase = (q.done & q.slots) == 0;
  if ((completion.phase & 1) != uint32_t(phase)) return std::nullopt;
  ++q.done;
  write(SPECKV_REG_QUEUES_CQ_HEAD + queue * SPECKV_REG_QUEUES_STRIDE, q.done);
  return completion;
}

void EngineHost::settle(uint32_t queue) {
  const uint32_t at = SPECKV_REG_QUEUES_CQ_TAIL + queue * SPECKV_REG_QUEUES_STRIDE;
  for (int i = 0; i < 1000 && read(at) != queues_[queue].done; ++i) cycle();
}

speckv_engine_completion EngineHost::wait(uint32_t queue, int limit) {
  for (int i = 0; i < limit; ++i) {
    if (auto completion = poll(queue)) return *completion;
    cycle();
  }
  bench_.mismatch("queue %u: no completion in %d cycles", queue, limit);
  return {};
}

}  // namespace speckv::fpga
