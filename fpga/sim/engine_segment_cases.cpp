// SPDX-License-Identifier: Apache-2.0
// engine_segment_cases.cpp - segments of every codec, both dtypes and every shape in the engine's
// benches: decoded from encoded pages and random bytes, encoded from real pages and every texture,
// refusals included. In the quick mood bubbles are counted: raw beats leave in every cycle from a
// segment's second page to its last.
#include <algorithm>
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
  const uint32_t at = place.layout * SPECKV_REG_LAYOUTS_STRIDE;
  host.write(SPECKV_REG_LAYOUTS_SHAPE + at, layout.shape_register());
  host.write(SPECKV_REG_LAYOUTS_CODECS + at, layout.codecs_register());
  host.write(SPECKV_REG_LAYOUTS_ROPE + at, layout.rope_register(first_block));
  uint8_t* device = host.memory(true).at(device_data + place.device);
  uint8_t* raw = host.memory(false).at(host_data + place.host_at);
  if (encode) std::memcpy(raw, segment.raw.data(), segment.raw.size());
  else std::memcpy(device, segment.stored.data(), segment.stored.size());
  speckv_engine_descriptor job{};
  job.opcode = encode ? SPECKV_ENGINE_ENCODE : SPECKV_ENGINE_DECODE;
  job.layout = uint8_t(place.layout);
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

// Both ways.
const std::vector<CodecId> engine_codecs = {
    CodecId::raw,      CodecId::rowq3,  CodecId::rowq4,    CodecId::rowq5,
    CodecId::rowq6,    CodecId::rowq8,  CodecId::xpack,    CodecId::q8,
    CodecId::q8sink,   CodecId::chanq3, CodecId::chanq3_5, CodecId::chanq4,
    CodecId::chanq4_5, CodecId::chanq5, CodecId::chanq7,   CodecId::chanq2_5};

namespace {

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

}  // namespace

SegmentRun make_run(EngineHost& host, const std::array<Theta, 2>& thetas, Place from) {
  auto& random = host.bench().random();
  SegmentRun run;
  run.encode = random() % 2 == 0, run.first_block = random() % 2 == 0;
  run.layout = any_layout(engine_codecs, 128 << 10, thetas, random);
  run.segment = run.encode ? any_raw_segment(run.layout, run.first_block, random() % 4 != 0, random)
                           : any_segment(run.layout, run.first_block, random);
  run.place = from;
  run.place.device += guard + random() % 4096 * 64;
  run.place.host_at += guard + random() % 4096 * 64;
  return run;
}

void ready_run(EngineHost& host, SegmentRun& run, uint32_t slot) {
  run.job = make_job(host, run.layout, run.segment, run.first_block, run.encode, run.place, slot);
  run.out = (run.encode ? host.memory(true).at(device_data + run.place.device)
                        : host.memory(false).at(host_data + run.place.host_at)) -
            guard;
  const Bytes& want = run.encode ? run.segment.stored : run.segment.raw;
  run.around.assign(want.size() + 2 * guard, uint8_t(host.bench().random()()));
  std::memcpy(run.out, run.around.data(), run.around.size());
}

void check_run(Bench<Vengine>& bench, SegmentRun& run, const speckv_engine_completion& done) {
  check_done(bench, run.segment, run.encode, run.job, done);
  const Bytes& want = run.encode ? run.segment.stored : run.segment.raw;
  std::memcpy(run.around.data() + guard, want.data(), want.size());
  if (run.segment.refusal == codec::Refusal::none &&
      std::memcmp(run.out, run.around.data(), run.around.size()) != 0) {
    size_t at = 0;
    while (run.out[at] == run.around[at]) ++at;
    bench.mismatch("%s: byte %zd of %zu", run.encode ? "encode" : "decode",
                   ptrdiff_t(at) - ptrdiff_t(guard), want.size());
  }
  for (size_t i = 0; i < run.segment.pages; ++i) bench.count_page();
}

namespace {

// Raw beats of segments that `fed` excuses, and the cycles in which one was not there in time.
struct Late {
  uint64_t beats = 0, cycles = 0, segments = 0, most = 0;
};

void run_segment(EngineHost& host, Tables& tables, bool quick, Late (&late)[2]) {
  Bench<Vengine>& bench = host.bench();
  SegmentRun run = make_run(host, tables.thetas, {});
  load_widths(host, run.layout, run.first_block, tables);
  ready_run(host, run, tables.slot);
  host.clear_cycles();
  if (!host.submit(0, run.job)) bench.mismatch("the ring is full");
  check_run(bench, run, host.wait(0));
  if (!quick || run.segment.refusal != codec::Refusal::none) return;
  const uint64_t beats = run.segment.raw.size() / 64;
  const uint64_t waits = bubbles(run.encode ? host.read_cycles() : host.beat_cycles(),
                                 run.layout.shape.raw_bytes() / 64, beats);
  if (fed(run.layout, run.first_block, run.encode)) return bench.count_bubbles(waits);
  Late& own = late[run.encode];
  own.beats += beats, own.cycles += waits, ++own.segments;
  own.most = std::max(own.most, waits);
}

}  // namespace

void run_segments(EngineHost& host, uint64_t pages, int mood) {
  for (const bool device : {false, true}) host.memory(device).set_mood(mood);
  uint64_t before = host.bench().pages();
  Tables tables;
  Late late[2];
  for (uint64_t i = 0; host.bench().pages() - before < pages && host.bench().clean(); ++i) {
    if (i % 50 == 0) load_thetas(host, tables);
    run_segment(host, tables, mood == 0, late);
    if (i % 4 == 0) run_operation(host);
  }
  for (const bool encode : {false, true})
    if (const Late& own = late[encode]; own.segments != 0)
      std::printf(
          "engine: %s of raw, xpack or chanq beside others: %llu cycles late in %llu beats "
          "of %llu segments, at most %llu in one\n",
          encode ? "encode" : "decode", (unsigned long long)own.cycles,
          (unsigned long long)own.beats, (unsigned long long)own.segments,
          (unsigned long long)own.most);
}

}  // namespace speckv::fpga
