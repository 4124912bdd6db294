// SPDX-License-Identifier: Apache-2.0
#include "rtl_memory.hpp"

#include <algorithm>
#include <bit>

namespace speckv::device {

namespace {

constexpr uint8_t kSlaveError = 2;
constexpr uint64_t kBeat = 64;

}  // namespace

AxiIn RtlMemory::drive(const Bus& bus) {
  AxiIn in;
  ++now_;
  in.arready = reads_.size() < bursts_max;
  in.awready = writes_.size() + answers_.size() < bursts_max;
  in.wready = early_.size() < bursts_max;
  if (!reads_.empty() && reads_.front().due <= now_) {
    Burst& burst = reads_.front();
    in.rvalid = true;
    in.rid = burst.id;
    in.rlast = burst.beats == 1;
    if (!bus.read(burst.address, in.rdata)) {
      in.rdata.fill(std::byte{0});
      in.rresp = kSlaveError;
    }
    burst.address += kBeat;
    if (--burst.beats == 0) reads_.pop_front();
  }
  if (!answers_.empty() && answers_.front().due <= now_) {
    in.bvalid = true;
    in.bid = answers_.front().id;
    in.bresp = answers_.front().failed ? kSlaveError : 0;
    answers_.pop_front();
  }
  return in;
}

void RtlMemory::sample(const Bus& bus, const AxiOut& out, const AxiIn& in) {
  if (out.arvalid && in.arready)
    reads_.push_back({out.arid, out.araddr, out.arlen + 1U, now_ + latency_, false});
  if (out.awvalid && in.awready)
    writes_.push_back({out.awid, out.awaddr, out.awlen + 1U, 0, false});
  if (out.wvalid && in.wready) early_.push_back({out.wstrb, out.wdata});
  while (!early_.empty() && !writes_.empty()) {
    Burst& burst = writes_.front();
    if (!write(bus, burst.address, early_.front())) burst.failed = true;
    early_.pop_front();
    burst.address += kBeat;
    if (--burst.beats > 0) continue;
    burst.due = now_ + latency_;
    answers_.push_back(burst);
    writes_.pop_front();
  }
}

// Bytes that are not strobed stay as they are, also for a moment.
bool RtlMemory::write(const Bus& bus, uint64_t address, const Beat& beat) {
  bool is_good = true;
  uint64_t strobe = beat.strobe;
  for (size_t at = 0; strobe != 0;) {
    const auto gap = size_t(std::countr_zero(strobe));
    at += gap;
    strobe >>= gap;
    const auto run = size_t(std::countr_one(strobe));
    is_good &= bus.write(address + at, std::span(beat.data).subspan(at, run));
    at += run;
    strobe = run == 64 ? 0 : strobe >> run;
  }
  return is_good;
}

void RtlMemory::power_on() {
  reads_.clear();
  writes_.clear();
  answers_.clear();
  early_.clear();
}

}  // namespace speckv::device
