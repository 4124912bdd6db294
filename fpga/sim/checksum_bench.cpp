// SPDX-License-Identifier: Apache-2.0
// checksum_bench - segments of any length with gaps between their beats, against the golden model.
// A "page" is a segment; every third is of zeros, half of them end with half a beat.
#include <cstring>

#include "Vchecksum.h"
#include "Vchecksum_speckv_check_pkg.h"
#include "bench.hpp"
#include "pages_of.hpp"

using namespace speckv;
using namespace speckv::fpga;

int main(int argc, char** argv) {
  Bench<Vchecksum> bench("checksum", argc, argv);
  auto& dut = bench.dut();
  auto& random = bench.random();
  dut.valid_i = 0;
  bench.reset();
  const auto cycle = [&](uint64_t* ret_sum) {
    bench.settle();
    const bool valid = dut.valid_o;
    if (valid && ret_sum != nullptr) *ret_sum = dut.sum_o;
    bench.edge();
    return valid;
  };
  for (uint64_t page = 0; page < bench.options().pages; ++page) {
    Bytes bytes((1 + random() % (page % 2 == 0 ? 8 : 300)) * 32);
    if (page % 3 != 0)
      for (std::byte& byte : bytes) byte = std::byte(random());
    Flow flow(int(page % 3));
    for (size_t at = 0; at < bytes.size();) {
      dut.valid_i = flow.next(random);
      dut.first_i = at == 0;
      dut.last_i = at + 64 >= bytes.size();
      dut.half_i = at + 32 == bytes.size();
      for (auto& word : dut.beat_i.m_storage) word = uint32_t(random());
      std::memcpy(&dut.beat_i[0], &bytes[at], std::min<size_t>(64, bytes.size() - at));
      if (cycle(nullptr)) bench.mismatch("a sum in the middle of a segment");
      if (dut.valid_i) at += 64, bench.count_beat();
    }
    dut.valid_i = 0;
    uint64_t sum = 0;
    int waited = 0;
    while (!cycle(&sum) && ++waited < 100) {
    }
    if (waited == 100) bench.mismatch("no sum");
    else if (sum != golden_checksum(bytes)) bench.mismatch("%zu bytes", bytes.size());
    bench.count_page();
  }
  return bench.finish();
}
