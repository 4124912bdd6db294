// SPDX-License-Identifier: Apache-2.0
// engine_bench - the whole engine from doorbell to completion, on memories that delay and reorder,
// against the golden model: raw bytes, checksums, statuses, and nothing written anywhere else.
//
// Segments (engine_segment_cases.cpp), then tables, and what is hostile (engine_faults.cpp).
#include "engine_cases.hpp"

namespace speckv::fpga {
namespace {

void run_registers(EngineHost& host) {
  Bench<Vengine>& bench = host.bench();
  const auto expect = [&](uint32_t offset, uint32_t value) {
    const uint32_t is = host.read(offset);
    if (is != value) bench.mismatch("register %x is %x, not %x", offset, is, value);
  };
  expect(SPECKV_REG_MAGIC, SPECKV_REG_MAGIC_VALUE_VALUE);
  expect(SPECKV_REG_VERSION, SPECKV_REG_VERSION_MAJOR_VALUE << SPECKV_REG_VERSION_MAJOR_SHIFT);
  expect(SPECKV_REG_TABLES, 2 | 256 << SPECKV_REG_TABLES_WIDTHS_SHIFT);
  uint32_t mask = 0;
  for (const codec::CodecId id : engine_codecs) mask |= 1u << uint32_t(id);
  expect(SPECKV_REG_DECODERS, mask);
  expect(SPECKV_REG_ENCODERS, mask);
  expect(SPECKV_REG_SHAPES, 0x3f7);
  expect(SPECKV_REG_OPERATIONS, 0xff);  // all of enum speckv_engine_opcode
  const uint32_t last = SPECKV_REG_EXTENTS_SIZE + 15 * SPECKV_REG_EXTENTS_STRIDE;
  host.write(last, 0xa5a5'1234);
  expect(last, 0xa5a5'1234);
  host.write(last, 0);
}

}  // namespace

}  // namespace speckv::fpga

int main(int argc, char** argv) {
  using namespace speckv::fpga;
  Bench<Vengine> bench("engine", argc, argv);
  EngineHost host(bench);
  bench.reset();
  run_registers(host);
  start_engine(host, 3);
  for (int mood = 0; mood < 3; ++mood) run_segments(host, bench.options().pages / 3, mood);
  run_bad_descriptors(host);
  run_tables(host);
  run_cancels(host);
  run_full_ring(host);
  run_faults(host);
  run_rings(host);
  run_resets(host, 20);
  return bench.finish();
}
