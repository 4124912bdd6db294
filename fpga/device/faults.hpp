// SPDX-License-Identifier: Apache-2.0
// faults.hpp - what a device may do wrong, and when: armed by lines of text, asked by
// fault_backend.cpp at each completion.
//
// A fault hits the next `count` completions once `after` others have been written; one that lasts
// (stuck, deaf, slow, link-down) is there from then on. Thread-safe. Never a part of what a guest
// can reach: the lines come from the control socket of whoever started the device.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>

namespace speckv::device {

enum class Fault : uint8_t {
  drop,       // the completion is never written; the next one takes its slot
  twice,      // it is written to two slots
  hole,       // its slot is passed over: what comes behind is there, it is not
  phase,      // written with the phase bit of the round before
  checksum,   // one bit of it is wrong
  cookie,     // of a command that nobody gave
  length,     // 32 bytes more than were written
  garbage,    // bytes of the target are wrong; the checksum is that of the right ones
  reset,      // by itself: all registers as after power-on, nothing completes
  slow,       // each command takes `ms` longer
  stuck,      // no command ends any more, until a reset
  deaf,       // the same, and no reset is done either
  link_down,  // reads give ones, writes are lost, no DMA, no interrupts; afterwards as after
              // power-on
  faults,     // how many there are
};

class Faults {
 public:
  static constexpr uint32_t for_ever = UINT32_MAX;

  // "FAULT [count=N|count=all] [after=N] [ms=N]" arms one, "heal" disarms all. Returns: empty, or
  // what is wrong with the line.
  std::string obey(std::string_view line);
  // Of the next completion: whether each fault hits it. Counts it.
  std::array<bool, size_t(Fault::faults)> next_completion();
  // Whether one is there now, for those that last, and for garbage before its completion.
  bool is_on(Fault fault) const;
  // Whether a reset by itself is due; it then is no more.
  bool take_reset();
  void disarm(Fault fault);
  std::chrono::milliseconds delay() const;
  // How often each has hit, as "drop=1 ...".
  std::string hits() const;

 private:
  struct Armed {
    uint32_t left = 0, after = 0;
    uint64_t hits = 0;
    bool is_on() const { return left > 0 && after == 0; }
  };
  Armed& of(Fault fault) { return armed_[size_t(fault)]; }

  mutable std::mutex lock_;
  std::array<Armed, size_t(Fault::faults)> armed_;
  uint32_t delay_ms_ = 0;
};

}  // namespace speckv::device
