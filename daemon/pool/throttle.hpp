// SPDX-License-Identifier: Apache-2.0
// throttle.hpp - makes DRAM as slow as a configured medium; whatever is measured with it is
// *emulated*.
//
// What it is: a token bucket for bandwidth and a fixed delay per access, both spent by spinning,
// since sleeping is a
//   thousand times coarser. A reader calls charge(bytes) after each block it read.
// Threading: one object, one thread; two readers that share a medium share one object under their
// own lock. Never: used by the daemon or the library on their own; benches use it and say so in
// their `setting`.
#pragma once

#include <cstdint>
#include <ctime>

namespace speckv::pool {

class Throttle {
 public:
  // gb_s: 1e9 bytes a second, 0: not limited. access_ns: added to each charge.
  Throttle(double gb_s, uint64_t access_ns)
      : ns_per_byte_(gb_s > 0 ? 1 / gb_s : 0), access_ns_(access_ns) {}

  bool active() const { return ns_per_byte_ > 0 || access_ns_ > 0; }

  // Spins until an access of `bytes` that began at start_ns could have ended. Returns: that time.
  // An idle medium saves up no credit: a burst after a pause is as slow as any.
  uint64_t charge(uint64_t start_ns, uint64_t bytes) {
    const uint64_t end_ns = due(start_ns, bytes);
    while (now() < end_ns) relax();
    return end_ns;
  }

  // The same without spinning, for tests: when an access that began at start_ns ends.
  uint64_t due(uint64_t start_ns, uint64_t bytes) {
    const uint64_t begin_ns = start_ns > busy_until_ns_ ? start_ns : busy_until_ns_;
    busy_until_ns_ = begin_ns + uint64_t(double(bytes) * ns_per_byte_);
    return busy_until_ns_ + access_ns_;
  }

  static uint64_t now() {
    timespec at{};
    clock_gettime(CLOCK_MONOTONIC, &at);
    return uint64_t(at.tv_sec) * 1'000'000'000ull + uint64_t(at.tv_nsec);
  }

 private:
  static void relax() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
  }

  double ns_per_byte_;
  uint64_t access_ns_;
  uint64_t busy_until_ns_ = 0;  // the link is taken until then
};

}  // namespace speckv::pool
