// SPDX-License-Identifier: Apache-2.0
// bench.hpp - what every bench of fpga/sim shares: arguments, clock, watchdog, stall patterns, the
// one line that is printed.
//
// A bench is one program for one Verilated top: `BENCH PAGES SEED [MUTANT]`. It makes a Bench<Dut>,
// sets inputs, calls settle(), looks at outputs, calls edge(). Every wrong result goes through
// mismatch(), every failed assertion is counted by speckv_check_pkg; finish() prints the line and
// gives the exit status: 0 ok, 1 mismatch or assertion, 2 the watchdog ended it. The initial state
// of registers is random (--x-initial unique), by the seed.
#pragma once

#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>

#include "verilated.h"

namespace speckv::fpga {

using Random = std::mt19937_64;

// Whether something is ready or valid this cycle: always, half of the time, or in long bursts.
// Nine patterns are three of these before a module times three behind it.
class Flow {
 public:
  explicit Flow(int kind = 0) : kind_(kind % 3) {}
  bool next(Random& random) {
    if (kind_ == 0) return true;
    if (kind_ == 1) return random() % 2 == 0;
    if (left_ == 0) on_ = !on_, left_ = 1 + random() % 40;
    --left_;
    return on_;
  }

 private:
  int kind_;
  bool on_ = false;
  uint64_t left_ = 0;
};

struct Options {
  uint64_t pages = 200;
  uint64_t seed = 1;
  uint32_t mutant = 0;
};

template <typename Dut>
class Bench {
 public:
  Bench(const char* name, int argc, char** argv) : name_(name) {
    if (argc > 1) options_.pages = std::strtoull(argv[1], nullptr, 0);
    if (argc > 2) options_.seed = std::strtoull(argv[2], nullptr, 0);
    if (argc > 3) options_.mutant = uint32_t(std::strtoul(argv[3], nullptr, 0));
    random_.seed(options_.seed);
    context_.randReset(2);
    context_.randSeed(int(options_.seed % 0x7fffffff) + 1);
    dut_ = std::make_unique<Dut>(&context_);
    settle();  // runs the initial blocks, which would set the mutant to 0
    dut_->__PVT__speckv_check_pkg->mutant = options_.mutant;
  }

  Dut& dut() { return *dut_; }
  Random& random() { return random_; }
  const Options& options() const { return options_; }
  uint64_t cycles() const { return cycles_; }

  void reset(int cycles = 60) {
    dut_->rst_ni = 0;
    for (int i = 0; i < cycles; ++i) settle(), edge();
    dut_->rst_ni = 1;
  }
  void settle() {
    dut_->clk_i = 0;
    dut_->eval();
  }
  void edge() {
    dut_->clk_i = 1;
    dut_->eval();
    context_.timeInc(1);
    ++cycles_;
    if (cycles_ - alive_ > watchdog_cycles) {
      std::printf("mismatch: nothing came for %llu cycles in %s\n",
                  (unsigned long long)watchdog_cycles, part_);
      ++bad_;
      std::exit(finish() == 0 ? 0 : 2);
    }
  }
  // What is tried now, for the watchdog's message.
  void enter(const char* part) { part_ = part; }
  // Something came out: the watchdog waits anew.
  void progress() { alive_ = cycles_; }

  [[gnu::format(printf, 2, 3)]] void mismatch(const char* format, ...) {
    if (++bad_ > 5) return;
    std::printf("mismatch: ");
    va_list arguments;
    va_start(arguments, format);
    std::vprintf(format, arguments);
    va_end(arguments);
    std::printf("\n");
  }
  void count_page() { ++pages_; }
  uint64_t pages() const { return pages_; }
  void count_beat() { ++beats_, progress(); }
  void count_bubbles(uint64_t n) { bubbles_ += n; }
  bool clean() const { return bad_ == 0 && dut_->__PVT__speckv_check_pkg->failures == 0; }

  // A bench that saw no page is not ok, nor is one that counted a bubble. Prints "MODULE pages N
  // beats N bubbles N seed N ok". Returns: the exit status.
  int finish() {
    dut_->final();
    if (pages_ == 0) mismatch("no page was tried");
    if (bubbles_ != 0) mismatch("%llu bubbles", (unsigned long long)bubbles_);
    std::printf("%-18s pages %8llu  beats %9llu  bubbles %4llu  seed %llu  %s\n", name_,
                (unsigned long long)pages_, (unsigned long long)beats_,
                (unsigned long long)bubbles_, (unsigned long long)options_.seed,
                clean() ? "ok" : "FAILED");
    return clean() ? 0 : 1;
  }

 private:
  static constexpr uint64_t watchdog_cycles = 20'000;

  const char* name_;
  const char* part_ = "the first part";
  Options options_;
  Random random_;
  VerilatedContext context_;
  std::unique_ptr<Dut> dut_;
  uint64_t cycles_ = 0, alive_ = 0, pages_ = 0, beats_ = 0, bubbles_ = 0, bad_ = 0;
};

}  // namespace speckv::fpga
