// SPDX-License-Identifier: Apache-2.0
// engine_lanes_bench - the engine with two lanes: two jobs at once on two queue pairs, each with a
// layout of its own, against the golden model; then how the lanes share a bus; CANCEL and resets.
//
// The module is `engine` with the parameter of engine_lanes.top. What one lane does is
// engine_bench's.
#include <algorithm>
#include <cstring>

#include "codec/chanq.hpp"
#include "engine_cases.hpp"

namespace speckv::fpga {
namespace {

using codec::CodecId;
constexpr uint64_t apart = 512 << 10;  // between the places of the two jobs

// Two segments, submitted together.
void run_pair(EngineHost& host, Tables& tables, int mood) {
  Bench<Vengine>& bench = host.bench();
  for (const bool device : {false, true}) host.memory(device).set_mood(mood);
  SegmentRun runs[2] = {make_run(host, tables.thetas, {0, 0, 0}),
                        make_run(host, tables.thetas, {apart, apart, 1})};
  const bool both =
      runs[0].layout.chanq(runs[0].first_block) && runs[1].layout.chanq(runs[1].first_block);
  uint32_t slots[2];
  do {
    for (int i = 0; i < 2; ++i) {
      load_widths(host, runs[i].layout, runs[i].first_block, tables);
      slots[i] = tables.slot;
    }
  } while (both && std::max(slots[0], slots[1]) - std::min(slots[0], slots[1]) < 3);
  for (int i = 0; i < 2; ++i) ready_run(host, runs[i], slots[i]);
  for (uint32_t i = 0; i < 2; ++i)
    if (!host.submit(i, runs[i].job)) bench.mismatch("ring %u is full", i);
  for (uint32_t i = 0; i < 2; ++i) check_run(bench, runs[i], host.wait(i));
}

// Of the beats in which both lanes had a job: from the second one's first to the last one of who
// ends first. Each has its share.
void check_shares(Bench<Vengine>& bench, const char* what, const std::vector<uint8_t>& lanes,
                  ptrdiff_t beats) {
  const auto first =
      std::max(std::find(lanes.begin(), lanes.end(), 0), std::find(lanes.begin(), lanes.end(), 1));
  const auto last = std::max(std::find(lanes.rbegin(), lanes.rend(), 0),
                             std::find(lanes.rbegin(), lanes.rend(), 1))
                        .base();
  const auto both = std::max<ptrdiff_t>(last - first, 0);
  const auto own = both == 0 ? 0 : std::count(first, last, 1);
  std::printf("engine_lanes: %s, both lanes for %td beats of %td, lane 1 had %td of them\n", what,
              both, 2 * beats, own);
  if (both < beats || own < both * 2 / 5 || own > both * 3 / 5)
    bench.mismatch("%s: a lane had less than its share of the bus", what);
}

// Raw segments move a beat a cycle, so two of them ask for twice what a bus has.
void run_shared_reads(EngineHost& host) {
  Bench<Vengine>& bench = host.bench();
  bench.enter("a shared bus");
  for (const bool device : {false, true}) host.memory(device).set_mood(0);
  SegmentLayout layout;
  layout.k = layout.v = CodecId::raw;
  layout.shape = {64, 128, SPECKV_DTYPE_BF16, codec::Kind::k};
  layout.heads = 4, layout.pages = 2;
  SegmentRun runs[2];
  for (uint32_t i = 0; i < 2; ++i) {
    runs[i].layout = layout;
    runs[i].segment = any_segment(layout, false, bench.random());
    runs[i].place = {64 + i * apart, 64 + i * apart, i};
    ready_run(host, runs[i], 0);
  }
  host.clear_cycles();
  for (uint32_t i = 0; i < 2; ++i) host.submit(i, runs[i].job);
  for (uint32_t i = 0; i < 2; ++i) check_run(bench, runs[i], host.wait(i));
  check_shares(bench, "raw segments", host.device_readers(),
               ptrdiff_t(runs[0].segment.raw.size() / 64));
}

// FILL asks for the bus in every cycle: who is not asked in turn gets nothing.
void run_shared_writes(EngineHost& host) {
  Bench<Vengine>& bench = host.bench();
  speckv_engine_descriptor jobs[2] = {};
  for (uint32_t i = 0; i < 2; ++i) {
    jobs[i].opcode = SPECKV_ENGINE_FILL;
    jobs[i].cookie = bench.random()();
    jobs[i].source_offset = bench.random()();  // what is written
    jobs[i].target_extent = extent_device;
    jobs[i].target_offset = i * apart;
    jobs[i].bytes = apart;
  }
  host.clear_cycles();
  for (uint32_t i = 0; i < 2; ++i) host.submit(i, jobs[i]);
  for (uint32_t i = 0; i < 2; ++i) {
    const auto done = host.wait(i);
    const uint8_t* at = host.memory(true).at(device_data + i * apart);
    bool right = done.status == SPECKV_ENGINE_OK && done.cookie == jobs[i].cookie;
    for (size_t j = 0; j < apart; j += 8)
      right = right && std::memcmp(at + j, &jobs[i].source_offset, 8) == 0;
    if (!right) bench.mismatch("FILL of lane %u: status %u", i, done.status);
  }
  check_shares(bench, "FILL", host.device_writers(), apart / 64);
}

// LOAD waits until no lane has a job, and no lane gets one beside it.
void run_load_beside(EngineHost& host, Tables& tables) {
  Bench<Vengine>& bench = host.bench();
  bench.enter("LOAD beside a job");
  // One that needs the table to its end.
  SegmentRun run;
  do run = make_run(host, tables.thetas, {});
  while (!run.layout.chanq(false) || run.layout.table(0)->map.rotated == 0 ||
         run.segment.raw.size() < (64 << 10) || run.segment.refusal != codec::Refusal::none);
  load_widths(host, run.layout, run.first_block, tables);
  ready_run(host, run, tables.slot);
  host.submit(1, run.job);
  host.cycles(int(bench.random()() % 200));
  load_thetas(host, tables);
  check_run(bench, run, host.wait(1));
}

}  // namespace
}  // namespace speckv::fpga

int main(int argc, char** argv) {
  using namespace speckv::fpga;
  Bench<Vengine> bench("engine_lanes", argc, argv);
  EngineHost host(bench);
  bench.reset();
  start_engine(host, 3);
  // Both queue pairs may use both extents.
  host.set_extent(extent_device, {true, true, 3, device_data, data_bytes});
  run_shared_reads(host);
  run_shared_writes(host);
  Tables tables;
  load_thetas(host, tables);
  for (uint64_t i = 0; bench.pages() < bench.options().pages && bench.clean(); ++i) {
    if (i % 4 == 0) run_load_beside(host, tables);
    run_pair(host, tables, int(i % 3));
  }
  run_cancels(host);
  run_resets(host, 10);
  return bench.finish();
}
