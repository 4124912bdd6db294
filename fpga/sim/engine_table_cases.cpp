// SPDX-License-Identifier: Apache-2.0
// engine_table_cases.cpp - table memory in the engine's bench: LOAD as a driver uses it, and
// everything about it that is wrong.
#include <cstring>

#include "engine_cases.hpp"

namespace speckv::fpga {

using codec::CodecId;

namespace {

// Away from where segments lie.
constexpr uint64_t table_at = data_bytes / 2 + (1 << 19);
constexpr size_t table_page_beats = SPECKV_ENGINE_TURNS_BYTES / 64;

speckv_engine_descriptor load_job(EngineHost& host, uint32_t offset, size_t bytes) {
  speckv_engine_descriptor job{};
  job.opcode = SPECKV_ENGINE_LOAD;
  job.source_extent = extent_device;
  job.source_offset = table_at;
  job.target_offset = offset;
  job.bytes = uint32_t(bytes);
  job.cookie = host.bench().random()();
  return job;
}

// A job of chanq on all heads' widths, with what it makes.
struct ChanqCase {
  SegmentLayout layout;
  Segment segment;
};
ChanqCase chanq_case(EngineHost& host, const Tables& tables) {
  auto& random = host.bench().random();
  ChanqCase made;
  do made.layout = any_layout({CodecId::chanq3_5}, 64 << 10, tables.thetas, random);
  while (made.layout.table(0)->map.rotated == 0);
  made.segment = any_segment(made.layout, false, random);
  return made;
}

void expect(EngineHost& host, const char* what, const speckv_engine_descriptor& job,
            uint8_t status) {
  if (!host.submit(0, job)) host.bench().mismatch("%s: the ring is full", what);
  const auto done = host.wait(0);
  if (done.status != status || done.cookie != job.cookie)
    host.bench().mismatch("%s: status %u, not %u", what, done.status, status);
}

void run_case(EngineHost& host, const char* what, const ChanqCase& made, const Tables& tables,
              uint8_t status) {
  const auto job = make_job(host, made.layout, made.segment, false, false, {}, tables.slot);
  std::memset(host.memory(false).at(host_data), 0, made.segment.raw.size());
  expect(host, what, job, status);
  if (status == SPECKV_ENGINE_OK && std::memcmp(host.memory(false).at(host_data),
                                                made.segment.raw.data(), made.segment.raw.size()))
    host.bench().mismatch("%s: values", what);
}

// A theta or a slot that could not be read whole does not count, until it is loaded again.
void run_half_tables(EngineHost& host, const ChanqCase& made, const Tables& tables) {
  Bench<Vengine>& bench = host.bench();
  const uint32_t at = made.layout.theta * SPECKV_ENGINE_TURNS_BYTES;
  const auto turns = turns_of(tables.thetas[made.layout.theta]);
  for (const uint64_t beat : {uint64_t{0}, uint64_t{table_page_beats - 1}}) {
    host.memory(true).set_errors(device_data + table_at + beat * 64, 64);
    if (load_table(host, at, turns.data(), SPECKV_ENGINE_TURNS_BYTES).status !=
        SPECKV_ENGINE_READ_ERROR)
      bench.mismatch("a theta that cannot be read");
    host.memory(true).set_errors(0, 0);
    run_case(host, "a theta loaded by half", made, tables, SPECKV_ENGINE_TABLE);
    load_table(host, at, turns.data(), SPECKV_ENGINE_TURNS_BYTES);
    run_case(host, "a theta loaded again", made, tables, SPECKV_ENGINE_OK);
  }
  // The same of one slot of widths: the second beat of its two.
  host.memory(true).set_errors(device_data + table_at + 64, 64);
  const uint32_t widths_at = SPECKV_ENGINE_WIDTHS_OFFSET + tables.slot * SPECKV_ENGINE_WIDTHS_BYTES;
  const auto widths = widths_of(*made.layout.table(0), CodecId::chanq3_5);
  load_table(host, widths_at, widths.data(), sizeof(widths));
  host.memory(true).set_errors(0, 0);
  run_case(host, "widths loaded by half", made, tables, SPECKV_ENGINE_TABLE);
  load_table(host, widths_at, widths.data(), sizeof(widths));
  run_case(host, "widths loaded again", made, tables, SPECKV_ENGINE_OK);
}

void run_no_tables(EngineHost& host) {
  const struct {
    const char* what;
    uint8_t status;
    uint64_t offset;
    uint32_t bytes;
  } wrong[] = {
      {"half a theta", SPECKV_ENGINE_TARGET, 0, SPECKV_ENGINE_TURNS_BYTES / 2},
      {"both thetas", SPECKV_ENGINE_TARGET, 0, SPECKV_ENGINE_TURNS_BYTES * 2},
      {"a theta from its middle", SPECKV_ENGINE_TARGET, 16384, SPECKV_ENGINE_TURNS_BYTES},
      {"half a slot", SPECKV_ENGINE_TARGET, SPECKV_ENGINE_WIDTHS_OFFSET, 64},
      {"from the middle of a slot", SPECKV_ENGINE_TARGET, SPECKV_ENGINE_WIDTHS_OFFSET + 64, 128},
      {"past the last slot", SPECKV_ENGINE_TARGET, SPECKV_ENGINE_WIDTHS_OFFSET + 255 * 128, 256},
      {"behind table memory", SPECKV_ENGINE_TARGET, 2 * SPECKV_ENGINE_WIDTHS_OFFSET, 128},
      {"far behind it", SPECKV_ENGINE_TARGET, uint64_t{1} << 63, SPECKV_ENGINE_TURNS_BYTES},
      {"no bytes", SPECKV_ENGINE_BAD_LENGTH, 0, 0},
      {"an odd length", SPECKV_ENGINE_BAD_LENGTH, SPECKV_ENGINE_WIDTHS_OFFSET, 129},
      {"too long", SPECKV_ENGINE_BAD_LENGTH, SPECKV_ENGINE_WIDTHS_OFFSET, (2 << 20) + 128},
  };
  for (const auto& one : wrong) {
    auto job = load_job(host, 0, one.bytes);
    job.target_offset = one.offset;
    expect(host, one.what, job, one.status);
  }
}

// Layouts that hardware cannot turn, and two codecs that cannot share widths.
void run_no_turns(EngineHost& host, const ChanqCase& made, const Tables& tables) {
  const auto unsupported = [&](const char* what, uint32_t rope, CodecId v) {
    auto job = make_job(host, made.layout, made.segment, false, false, {}, tables.slot);
    SegmentLayout other = made.layout;
    other.v = v;
    host.write(SPECKV_REG_LAYOUTS_CODECS, other.codecs_register());
    host.write(SPECKV_REG_LAYOUTS_ROPE, rope);
    expect(host, what, job, SPECKV_ENGINE_UNSUPPORTED);
  };
  const uint32_t rope = made.layout.rope_register(false);
  const uint32_t halves = 1u << SPECKV_REG_LAYOUTS_ROPE_HALF_SPLIT_SHIFT;
  unsupported("more rotated channels than there are", made.layout.shape.head_dim + 64u,
              CodecId::chanq3_5);
  unsupported("halves of 24", halves | 24, CodecId::chanq3_5);
  unsupported("an odd number of rotated channels", 17, CodecId::chanq3_5);
  unsupported("two codecs of chanq", rope, CodecId::chanq4);
}

// A reset in the middle of a LOAD leaves a theta that does not count; a reset alone takes none.
void run_table_resets(EngineHost& host, const ChanqCase& made, const Tables& tables) {
  Bench<Vengine>& bench = host.bench();
  const uint32_t at = made.layout.theta * SPECKV_ENGINE_TURNS_BYTES;
  const auto turns = turns_of(tables.thetas[made.layout.theta]);
  host.memory(true).set_mood(1);
  host.memory(false).set_mood(1);
  for (int i = 0; i < 8; ++i) {
    load_table(host, at, turns.data(), SPECKV_ENGINE_TURNS_BYTES);
    host.submit(0, load_job(host, at, SPECKV_ENGINE_TURNS_BYTES));
    host.cycles(250 + int(bench.random()() % 300));
    restart(host);
    run_case(host, "a LOAD that a reset ended", made, tables, SPECKV_ENGINE_TABLE);
    load_table(host, at, turns.data(), SPECKV_ENGINE_TURNS_BYTES);
    restart(host);
    run_case(host, "a theta loaded after a reset", made, tables, SPECKV_ENGINE_OK);
  }
}

}  // namespace

speckv_engine_completion load_table(EngineHost& host, uint32_t offset, const void* data,
                                    size_t bytes) {
  std::memcpy(host.memory(true).at(device_data + table_at), data, bytes);
  const auto job = load_job(host, offset, bytes);
  if (!host.submit(0, job)) host.bench().mismatch("a LOAD: the ring is full");
  const auto done = host.wait(0);
  if (done.cookie != job.cookie || done.bytes != 0) host.bench().mismatch("a LOAD's completion");
  return done;
}

void load_thetas(EngineHost& host, Tables& tables) {
  for (uint32_t which = 0; which < 2; ++which) {
    tables.thetas[which] = any_theta(host.bench().random());
    const auto turns = turns_of(tables.thetas[which]);
    const auto done = load_table(host, which * SPECKV_ENGINE_TURNS_BYTES, turns.data(),
                                 SPECKV_ENGINE_TURNS_BYTES);
    const auto* bytes = reinterpret_cast<const std::byte*>(turns.data());
    if (done.status != SPECKV_ENGINE_OK ||
        done.checksum != golden_checksum(Bytes(bytes, bytes + SPECKV_ENGINE_TURNS_BYTES)))
      host.bench().mismatch("theta %u: status %u", which, done.status);
  }
}

void load_widths(EngineHost& host, const SegmentLayout& layout, bool first_block, Tables& tables) {
  if (!layout.chanq(first_block)) return;
  tables.slot =
      uint32_t(host.bench().random()() % (257 - (layout.shared_widths ? 1 : layout.heads)));
  std::vector<uint32_t> widths;
  const uint32_t heads = layout.shared_widths ? 1 : layout.heads;
  for (uint32_t head = 0; head < heads; ++head) {
    const auto own = widths_of(*layout.table(head), layout.chanq_id(first_block));
    widths.insert(widths.end(), own.begin(), own.end());
  }
  const auto done =
      load_table(host, SPECKV_ENGINE_WIDTHS_OFFSET + tables.slot * SPECKV_ENGINE_WIDTHS_BYTES,
                 widths.data(), widths.size() * 4);
  if (done.status != SPECKV_ENGINE_OK) host.bench().mismatch("widths: status %u", done.status);
}

void run_tables(EngineHost& host) {
  Bench<Vengine>& bench = host.bench();
  bench.enter("tables");
  Tables tables;
  load_thetas(host, tables);
  ChanqCase made = chanq_case(host, tables);
  load_widths(host, made.layout, false, tables);
  run_case(host, "tables that are there", made, tables, SPECKV_ENGINE_OK);
  // Slots behind the last one, while those before it and the first one, which it is modulo 256, are
  // there.
  const auto first = widths_of(*made.layout.table(0), CodecId::chanq3_5);
  if (load_table(host, SPECKV_ENGINE_WIDTHS_OFFSET, first.data(), sizeof(first)).status !=
      SPECKV_ENGINE_OK)
    bench.mismatch("the first slot of widths");
  Tables behind = tables;
  behind.slot = made.layout.shared_widths ? 256 : 257 - made.layout.heads;
  for (uint32_t slot = behind.slot; slot < 256; ++slot)
    load_table(host, SPECKV_ENGINE_WIDTHS_OFFSET + slot * SPECKV_ENGINE_WIDTHS_BYTES, first.data(),
               sizeof(first));
  run_case(host, "a slot that there is not", made, behind, SPECKV_ENGINE_TABLE);
  run_half_tables(host, made, tables);
  run_no_tables(host);
  run_no_turns(host, made, tables);
  run_case(host, "tables after all that", made, tables, SPECKV_ENGINE_OK);
  run_table_resets(host, made, tables);
}

}  // namespace speckv::fpga
