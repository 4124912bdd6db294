// SPDX-License-Identifier: Apache-2.0
// throttle.hpp - makes a reader of DRAM as slow as the medium that the daemon's config names;
// whatever is measured with it is *emulated*.
//
// A link with a bandwidth and a latency for each dependent access, both spent by spinning, since
// sleeping is a thousand times coarser. The reader calls charge() after each segment it read. One
// object a connection, shared by the threads that read through it: they queue on one link. Only
// reads are slowed; the daemon writes at DRAM's speed, and other processes have links of their own.
#pragma once

#include <atomic>
#include <cstdint>

#include "shm/atomics.hpp"
#include "src/clock.hpp"

namespace speckv::lib {

class Throttle {
 public:
  // ps_per_byte: 1000 is 1 GB/s; 0: not limited. access_ns: added to each charge.
  void set(uint64_t ps_per_byte, uint64_t access_ns) {
    ps_per_byte_ = ps_per_byte;
    access_ns_ = access_ns;
    busy_until_ns_.store(0, std::memory_order_relaxed);
  }

  bool active() const { return (ps_per_byte_ | access_ns_) != 0; }

  // Spins until an access of `bytes` that began at start_ns could have ended.
  void charge(uint64_t start_ns, uint64_t bytes) {
    const uint64_t end_ns = due(start_ns, bytes);
    while (now_ns() < end_ns) shm::spin_pause();
  }

  // When an access that began at start_ns ends. An idle link saves up no credit: a burst after a
  // pause is as slow as any.
  uint64_t due(uint64_t start_ns, uint64_t bytes) {
    const uint64_t cost_ns = bytes * ps_per_byte_ / 1000;
    uint64_t busy = busy_until_ns_.load(std::memory_order_relaxed);
    uint64_t until;
    do {
      until = (start_ns > busy ? start_ns : busy) + cost_ns;
    } while (!busy_until_ns_.compare_exchange_weak(busy, until, std::memory_order_relaxed));
    return until + access_ns_;
  }

 private:
  uint64_t ps_per_byte_ = 0;
  uint64_t access_ns_ = 0;
  std::atomic<uint64_t> busy_until_ns_{0};  // the link is taken until then
};

}  // namespace speckv::lib
