// SPDX-License-Identifier: Apache-2.0
#include "bus_memory.hpp"

#include <algorithm>
#include <cstddef>
#include <cstring>

namespace speckv::fpga {

void BusMemory::allow_writes(uint64_t address, uint64_t bytes, bool allow) {
  for (uint64_t at = address / 64; at < (address + bytes + 63) / 64; ++at)
    writable_[at - base_ / 64] = allow;
}

void BusMemory::fault(const std::string& what) {
  if (faults_++ == 0) first_fault_ = what;
}

bool BusMemory::holds(uint64_t address, uint64_t bytes) const {
  return address >= base_ && address - base_ + bytes <= bytes_.size();
}

bool BusMemory::fails(uint64_t address) const {
  return address >= error_at_ && address - error_at_ < error_bytes_;
}

int BusMemory::delay(Random& random) const {
  if (mood_ == 0) return 4;
  return int(random() % (mood_ == 1 ? 24 : 200));
}

BusIn BusMemory::drive(Random& random) {
  BusIn in;
  for (auto* queue : {&reads_, &answers_}) {
    for (Burst& burst : *queue) {
      if (burst.delay < 0) burst.delay = delay(random);
      else if (burst.delay > 0) --burst.delay;
    }
  }
  in.arready = mood_ == 0 || random() % 2 == 0;
  in.awready = mood_ == 0 || random() % 2 == 0;
  in.wready = mood_ == 0 || random() % 4 != 0;
  // The oldest burst of any id may answer; a burst's beats may have gaps, and other ids' beats
  // come in between.
  if (serving_ < 0 || mood_ != 0) {
    std::vector<int> ready;
    uint32_t seen = 0;
    for (size_t i = 0; i < reads_.size(); ++i) {
      const uint32_t bit = 1u << reads_[i].id;
      if ((seen & bit) == 0 && reads_[i].delay == 0) ready.push_back(int(i));
      seen |= bit;
    }
    serving_ = ready.empty() ? -1 : ready[mood_ == 0 ? 0 : random() % ready.size()];
  }
  if (serving_ >= 0 && (mood_ == 0 || random() % 4 != 0)) {
    const Burst& burst = reads_[size_t(serving_)];
    in.rvalid = true;
    in.rid = burst.id;
    in.rlast = burst.beats == 1;
    in.rresp = fails(burst.address) || !holds(burst.address, 64) ? 2 : 0;
    if (holds(burst.address, 64)) std::memcpy(in.rdata.data(), at(burst.address), 64);
  }
  for (size_t i = 0; i < answers_.size() && !in.bvalid; ++i) {
    if (answers_[i].delay != 0) continue;
    const auto older = std::any_of(answers_.begin(), answers_.begin() + ptrdiff_t(i),
                                   [&](const Burst& b) { return b.id == answers_[i].id; });
    if (older || (mood_ != 0 && random() % 2 == 0)) continue;
    in.bvalid = true;
    in.bid = answers_[i].id;
    in.bresp = answers_[i].beats != 0 ? 2 : 0;
    answers_.erase(answers_.begin() + ptrdiff_t(i));
  }
  return in;
}

void BusMemory::take_request(bool valid, uint8_t id, uint64_t address, uint8_t len, bool ready,
                             std::deque<Burst>& into, Burst& waiting) {
  if (waiting.beats != 0 &&
      (!valid || waiting.id != id || waiting.address != address || waiting.beats != len + 1))
    fault("a request that waits has changed");
  waiting = {id, address, valid && !ready ? len + 1 : 0, 0};
  if (!valid || !ready) return;
  if (address % 64 != 0) fault("a request is not aligned to a beat");
  if (address / 4096 != (address + 64u * len) / 4096) fault("a burst crosses 4 KiB");
  if (!holds(address, 64u * (len + 1u))) fault("a burst leaves the memory");
  into.push_back({id, address, len + 1, -1});
}

// AXI4 lets beats come before their request.
void BusMemory::take_beat(const BusOut& out) {
  Burst& burst = writes_.front();
  ++written_beats_;
  if (holds(burst.address, 64)) {
    const bool failed = fails(burst.address);
    write_failed_ |= failed;
    if (!writable_[(burst.address - base_) / 64]) fault("a write where none is allowed");
    for (int i = 0; i < 64 && !failed; ++i)
      if (out.wstrb >> i & 1) at(burst.address)[i] = out.wdata[size_t(i)];
  }
  burst.address += 64;
  if (out.wlast != (--burst.beats == 0)) fault("the last beat is not where it was announced");
  if (burst.beats > 0) return;
  answers_.push_back({burst.id, 0, write_failed_ ? 1 : 0, -1});
  write_failed_ = false;
  writes_.pop_front();
}

void BusMemory::sample(const BusOut& out, const BusIn& in) {
  take_request(out.arvalid, out.arid, out.araddr, out.arlen, in.arready, reads_, waiting_read_);
  take_request(out.awvalid, out.awid, out.awaddr, out.awlen, in.awready, writes_, waiting_write_);
  if (out.wvalid && in.wready) early_beats_.push_back(out);
  while (!early_beats_.empty() && !writes_.empty()) {
    take_beat(early_beats_.front());
    early_beats_.pop_front();
  }
  if (in.rvalid) {
    Burst& burst = reads_[size_t(serving_)];
    burst.address += 64;
    if (--burst.beats == 0) {
      reads_.erase(reads_.begin() + serving_);
      serving_ = -1;
    }
  }
}

}  // namespace speckv::fpga
