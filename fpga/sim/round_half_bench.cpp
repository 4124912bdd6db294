// SPDX-License-Identifier: Apache-2.0
// round_half_bench - integers times powers of two to fp16 and bf16, against the golden model: a
// "page" is 1,000 values, a quarter of them around halves, limits and subnormal numbers.
#include <deque>

#include "Vround_half.h"
#include "Vround_half_speckv_check_pkg.h"
#include "bench.hpp"
#include "codec/half.hpp"

using namespace speckv;
using namespace speckv::fpga;

int main(int argc, char** argv) {
  Bench<Vround_half> bench("round_half", argc, argv);
  auto& dut = bench.dut();
  auto& random = bench.random();
  constexpr int latency = 5, width = 23;
  std::deque<uint16_t> expected;
  for (uint64_t page = 0; page < bench.options().pages; ++page, bench.count_page()) {
    for (int i = 0; i < 1000; ++i) {
      uint32_t size = uint32_t(random()) >> (32 - width) >> random() % width;
      if (random() % 4 == 0) size = (size & ~uint32_t{0xff}) | 1u << random() % 8;
      const int exponent = int(random() % 280) - 170;
      const bool neg = random() % 2 != 0, bf16 = random() % 2 != 0;
      dut.neg_i = neg;
      dut.size_i = size;
      dut.exponent_i = uint16_t(exponent) & 0x1ff;
      dut.bf16_i = bf16;
      expected.push_back(
          codec::round_to_half(neg ? -int64_t(size) : int64_t(size), exponent, bf16));
      bench.settle();
      bench.edge();
      if (expected.size() < latency) continue;
      bench.count_beat();
      if (dut.half_o != expected.front())
        bench.mismatch("%04x, not %04x", dut.half_o, expected.front());
      expected.pop_front();
    }
  }
  return bench.finish();
}
