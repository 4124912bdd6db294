// SPDX-License-Identifier: Apache-2.0
// engine_bench - the whole engine from doorbell to completion, on memories that delay and reorder,
// against the golden model: raw bytes, checksums, statuses, and nothing written anywhere else.
//
// Segments of every codec of the build, both dtypes and every shape: decoded from encoded pages and
// random bytes, encoded from real pages and every texture, refusals included; then what is hostile
// (engine_faults.cpp). In the quick mood bubbles are counted: raw beats leave in every cycle from a
// segment's second page to its last.
#include <cstring>

#include "codec/chanq.hpp"
#include "engine_cases.hpp"

namespace speckv::fpga {

using codec::CodecId;

void start_engine(EngineHost& host, uint32_t log2_slots) {
  host.set_queue(0, EngineHost::host_base, log2_slots);
  host.set_queue(1, EngineHost::host_base + 2 * ring_bytes, log2_slots);
  host.set_extent(extent_host, {false, true, 3, host_data, data_bytes});
  host.set_extent(extent_device, {true, true, 1, device_data, data_bytes});
  host.write(SPECKV_REG_CONTROL, SPECKV_REG_CONTROL_ENABLE_MASK);
}

speckv_engine_descriptor make_job(EngineHost& host, const SegmentLayout& layout,
                                  const Segment& segment, bool first_block, bool encode,
                                  Place place, uint32_t slot) {
  host.write(SPECKV_REG_LAYOUTS_SHAPE, layout.shape_register());
  host.write(SPECKV_REG_LAYOUTS_CODECS, layout.codecs_register());
  host.write(SPECKV_REG_LAYOUTS_ROPE, layout.rope_register(first_block));
  uint8_t* device = host.memory(true).at(device_data + place.device);
  uint8_t* raw = host.memory(false).at(host_data + place.host_at);
  if (encode) std::memcpy(raw, segment.raw.data(), segment.raw.size());
  else std::memcpy(device, segment.stored.data(), segment.stored.size());
  speckv_engine_descriptor job{};
  job.opcode = encode ? SPECKV_ENGINE_ENCODE : SPECKV_ENGINE_DECODE;
  job.flags = first_block ? SPECKV_ENGINE_FIRST : 0;
  job.source_extent = encode ? extent_host : extent_device;
  job.target_extent = encode ? extent_device : extent_host;
  job.widths = uint16_t(layout.chanq(first_block) ? slot : 0);
  job.cookie = host.bench().random()();
  job.source_offset = encode ? place.host_at : place.device;
  job.target_offset = encode ? place.device : place.host_at;
  job.bytes = uint32_t(segment_bytes(layout, first_block));
  return job;
}

namespace {

// Both ways.
const std::vector<CodecId> codecs = {
    CodecId::raw,      CodecId::rowq3,  CodecId::rowq4,    CodecId::rowq5,
    CodecId::rowq6,    CodecId::rowq8,  CodecId::xpack,    CodecId::q8,
    CodecId::q8sink,   CodecId::chanq3, CodecId::chanq3_5, CodecId::chanq4,
    CodecId::chanq4_5, CodecId::chanq5, CodecId::chanq7,   CodecId::chanq2_5};

// The target and 64 bytes on either side, to see that nothing else was written.
constexpr size_t guard = 64;

// Where raw beats are owed in every cycle. Pages of raw or xpack take about as long to come as to
// leave, so beside others they may be late; and so may chanq's first page of a segment, whose first
// pass nothing hides, behind pages of another codec that are not its head's first ones.
bool fed(const SegmentLayout& layout, bool first_block, bool encode) {
  const auto mixed = [&](auto is) {
    const int all = is(layout.k) + is(layout.v) + (first_block && is(layout.first));
    return all != 0 && all != 2 + first_block;
  };
  return !mixed([](CodecId id) { return id == CodecId::raw; }) &&
         !mixed([](CodecId id) { return id == CodecId::xpack; }) &&
         (codec::is_chanq(layout.k) || !layout.chanq(first_block));
}

// From the first beat of the second page on, raw beats go in or out in every cycle.
uint64_t bubbles(const std::vector<uint64_t>& cycles, size_t page_beats, size_t beats) {
  if (cycles.size() < beats) return 0;
  return cycles[beats - 1] - cycles[page_beats] - (beats - 1 - page_beats);
}

void check_done(Bench<Vengine>& bench, const Segment& segment, bool encode,
                const speckv_engine_descriptor& job, const speckv_engine_completion& done) {
  const bool refused = segment.refusal != codec::Refusal::none;
  const Bytes& out = encode ? segment.stored : segment.raw;
  if (done.status != (refused ? SPECKV_ENGINE_REFUSED : SPECKV_ENGINE_OK) ||
      done.cookie != job.cookie)
    bench.mismatch("status %u, cookie %llx", done.status, (unsigned long long)done.cookie);
  else if (done.bytes != (refused ? 0 : out.size())) bench.mismatch("%u bytes", done.bytes);
  else if (!refused && done.checksum != golden_checksum(segment.stored))
    bench.mismatch("the checksum");
  else if (refused && (done.refusal != uint8_t(segment.refusal) || done.page + 1u != segment.pages))
    bench.mismatch("refusal %u of page %u, not %u of %zu", done.refusal, done.page,
                   unsigned(segment.refusal), segment.pages - 1);
}

void run_segment(EngineHost& host, Tables& tables, bool quick) {
  Bench<Vengine>& bench = host.bench();
  auto& random = bench.random();
  const bool encode = random() % 2 == 0, first_block = random() % 2 == 0;
  const SegmentLayout layout = any_layout(codecs, 128 << 10, tables.thetas, random);
  const Segment segment = encode ? any_raw_segment(layout, first_block, random() % 4 != 0, random)
                                 : any_segment(layout, first_block, random);
  load_widths(host, layout, first_block, tables);
  const Place place{guard + random() % 4096 * 64, guard + random() % 4096 * 64};
  const auto job = make_job(host, layout, segment, first_block, encode, place, tables.slot);
  uint8_t* out = (encode ? host.memory(true).at(device_data + place.device)
                         : host.memory(false).at(host_data + place.host_at)) -
                 guard;
  const Bytes& want = encode ? segment.stored : segment.raw;
  std::vector<uint8_t> around(want.size() + 2 * guard, uint8_t(random()));
  std::memcpy(out, around.data(), around.size());
  host.clear_cycles();
  if (!host.submit(0, job)) bench.mismatch("the ring is full");
  const auto done = host.wait(0);
  check_done(bench, segment, encode, job, done);
  const bool refused = segment.refusal != codec::Refusal::none;
  std::memcpy(around.data() + guard, want.data(), want.size());
  if (!refused && std::memcmp(out, around.data(), around.size()) != 0) {
    size_t at = 0;
    while (out[at] == around[at]) ++at;
    bench.mismatch("%s: byte %zd of %zu", encode ? "encode" : "decode",
                   ptrdiff_t(at) - ptrdiff_t(guard), want.size());
  }
  if (quick && fed(layout, first_block, encode) && !refused)
    bench.count_bubbles(bubbles(encode ? host.read_cycles() : host.beat_cycles(),
                                layout.shape.raw_bytes() / 64, segment.raw.size() / 64));
  for (size_t i = 0; i < segment.pages; ++i) bench.count_page();
}

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
  for (const CodecId id : codecs) mask |= 1u << uint32_t(id);
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

void run_segments(EngineHost& host, uint64_t pages, int mood) {
  for (const bool device : {false, true}) host.memory(device).set_mood(mood);
  uint64_t before = host.bench().pages();
  Tables tables;
  for (uint64_t i = 0; host.bench().pages() - before < pages && host.bench().clean(); ++i) {
    if (i % 50 == 0) load_thetas(host, tables);
    run_segment(host, tables, mood == 0);
    if (i % 4 == 0) run_operation(host);
  }
}

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
