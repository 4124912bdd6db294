// SPDX-License-Identifier: Apache-2.0
// bus_memory.hpp - a memory behind an AXI4 slave port, for the engine's bench: it delays, reorders
// answers of different ids, answers with errors where it is told to, and judges what it sees.
//
// Called once a cycle: drive() before the clock, sample() after outputs have settled. What no
// master may do (cross 4 KiB, change a request that waits, send other beats than announced, write
// where nobody allowed it) is counted in faults(), with the first one's text.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <random>
#include <string>
#include <vector>

namespace speckv::fpga {

struct BusIn {  // of the master
  bool arready = false, rvalid = false, rlast = false, awready = false, wready = false;
  bool bvalid = false;
  uint8_t rid = 0, rresp = 0, bid = 0, bresp = 0;
  std::array<uint8_t, 64> rdata{};
};

struct BusOut {
  bool arvalid = false, awvalid = false, wvalid = false, wlast = false;
  uint8_t arid = 0, arlen = 0, awid = 0, awlen = 0;
  uint64_t araddr = 0, awaddr = 0, wstrb = 0;
  std::array<uint8_t, 64> wdata{};
};

class BusMemory {
 public:
  using Random = std::mt19937_64;

  // Addresses base .. base + bytes.
  BusMemory(uint64_t base, size_t bytes) : base_(base), bytes_(bytes), writable_(bytes / 64) {}

  // 0: answers at once, in order. 1: random delays and order. 2: the same, and slow.
  void set_mood(int mood) { mood_ = mood; }
  // Reads and writes in this stretch answer with an error; none: bytes 0.
  void set_errors(uint64_t address, uint64_t bytes) { error_at_ = address, error_bytes_ = bytes; }
  // Only what is allowed may be written.
  void allow_writes(uint64_t address, uint64_t bytes, bool allow);

  std::vector<uint8_t>& data() { return bytes_; }
  uint8_t* at(uint64_t address) { return bytes_.data() + (address - base_); }
  uint64_t base() const { return base_; }

  BusIn drive(Random& random);
  void sample(const BusOut& out, const BusIn& in);

  uint64_t faults() const { return faults_; }
  const std::string& first_fault() const { return first_fault_; }
  uint64_t written_beats() const { return written_beats_; }
  bool quiet() const {
    return reads_.empty() && writes_.empty() && answers_.empty() && early_beats_.empty();
  }

 private:
  struct Burst {
    uint8_t id;
    uint64_t address;
    int beats;
    int delay;
  };
  void fault(const std::string& what);
  bool holds(uint64_t address, uint64_t bytes) const;
  bool fails(uint64_t address) const;
  int delay(Random& random) const;
  void take_request(bool valid, uint8_t id, uint64_t address, uint8_t len, bool ready,
                    std::deque<Burst>& into, Burst& waiting);
  void take_beat(const BusOut& out);

  uint64_t base_;
  std::vector<uint8_t> bytes_;
  std::vector<bool> writable_;  // by beat
  int mood_ = 1;
  uint64_t error_at_ = 0, error_bytes_ = 0;
  std::deque<Burst> reads_, writes_, answers_;
  Burst waiting_read_{0, 0, 0, 0}, waiting_write_{0, 0, 0, 0};
  std::deque<BusOut> early_beats_;
  int serving_ = -1;  // index in reads_ of the burst whose beats are on the bus
  bool write_failed_ = false;
  uint64_t faults_ = 0, written_beats_ = 0;
  std::string first_fault_;
};

}  // namespace speckv::fpga
