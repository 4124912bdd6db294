// SPDX-License-Identifier: Apache-2.0
// engine_cases.hpp - what the engine's benches try: good segments, and everything that is not one.
#pragma once

#include "engine_host.hpp"
#include "segments.hpp"

namespace speckv::fpga {

// Where things lie in the two memories. Extents 0 .. 3 are the rings' (engine_host.hpp).
inline constexpr uint64_t ring_bytes = 1 << 16;
inline constexpr uint64_t host_data = EngineHost::host_base + 4 * ring_bytes;
inline constexpr uint64_t device_data = EngineHost::device_base + (1 << 20);
inline constexpr uint64_t data_bytes = 2 << 20;
inline constexpr uint32_t extent_host = 4, extent_device = 5;

// Sets up rings, the two data extents and CONTROL.enable.
void start_engine(EngineHost& host, uint32_t log2_slots);

// What table memory holds, and where a job's widths lie in it.
struct Tables {
  std::array<Theta, 2> thetas;
  uint32_t slot = 0;
};
// LOAD of these bytes to `offset` of table memory. Returns: its completion.
speckv_engine_completion load_table(EngineHost& host, uint32_t offset, const void* data,
                                    size_t bytes);
// Makes and loads two thetas.
void load_thetas(EngineHost& host, Tables& tables);
// Widths of all heads of the layout to any slots, if it has pages of chanq.
void load_widths(EngineHost& host, const SegmentLayout& layout, bool first_block, Tables& tables);

// What the engine decodes and encodes.
extern const std::vector<codec::CodecId> engine_codecs;

// A descriptor that decodes `segment` out of the device's memory into the host's, or encodes it the
// other way, by this slot of layouts, which is written; at `device` and `host_at` in the data
// extents.
struct Place {
  uint64_t device = 0, host_at = 0;
  uint32_t layout = 0;
};
speckv_engine_descriptor make_job(EngineHost& host, const SegmentLayout& layout,
                                  const Segment& segment, bool first_block, bool encode,
                                  Place place = {}, uint32_t slot = 0);

// Any segment, one way or the other, with a job and what its target and 64 bytes on either side are
// to be afterwards.
struct SegmentRun {
  SegmentLayout layout;
  Segment segment;
  bool encode = false, first_block = false;
  Place place;
  speckv_engine_descriptor job{};
  uint8_t* out = nullptr;
  std::vector<uint8_t> around;
};
// In 256 KiB and a segment's room from `from` on.
SegmentRun make_run(EngineHost& host, const std::array<Theta, 2>& thetas, Place from);
// Writes layout, source and target; its widths, if any, lie from `slot` on.
void ready_run(EngineHost& host, SegmentRun& run, uint32_t slot);
// Counts its pages.
void check_run(Bench<Vengine>& bench, SegmentRun& run, const speckv_engine_completion& done);

// Segments through the whole engine, `pages` in all, in this mood of the memories.
void run_segments(EngineHost& host, uint64_t pages, int mood);

// Each wrong descriptor ends with its own status, moves nothing, and is logged.
void run_bad_descriptors(EngineHost& host);
// CHECKSUM, COPY or FILL of any length at any place; nothing else is written.
void run_operation(EngineHost& host);
// CANCEL at any time in jobs of every kind: each job and each CANCEL completes once.
void run_cancels(EngineHost& host);
// Tables that are missing, loaded by half, of the wrong size or at the wrong place; LOAD itself.
void run_tables(EngineHost& host);
// A ring of pages with an odd number of units that fills up, for raw beats leave slowly.
void run_full_ring(EngineHost& host);
// Errors of the buses and of the page ring end with their status; the next job is a good one.
void run_faults(EngineHost& host);
// Rings: wrap, full, a doorbell out of range, a ring outside of its extent, a queue that is off.
void run_rings(EngineHost& host);
// CONTROL.reset, and everything but tables set up anew.
void restart(EngineHost& host);
// CONTROL.reset in any state: no hang, nothing left over, the next job is a good one.
void run_resets(EngineHost& host, int times);

}  // namespace speckv::fpga
