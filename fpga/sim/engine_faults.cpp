// SPDX-License-Identifier: Apache-2.0
// engine_faults.cpp - the hostile half of the engine's bench: descriptors, buses, rings, resets.
#include <cstring>
#include <functional>

#include "engine_cases.hpp"

namespace speckv::fpga {

using codec::CodecId;

namespace {

struct Case {
  SegmentLayout layout;
  Segment segment;
  speckv_engine_descriptor job;
};

Case good_case(EngineHost& host, bool encode = false) {
  Case made;
  made.layout.k = CodecId::rowq4;
  made.layout.v = CodecId::rowq8;
  made.layout.first = CodecId::raw;
  made.layout.shape = any_shape(host.bench().random());
  made.layout.heads = 2;
  auto& random = host.bench().random();
  // Even a calm page may be refused now and then: a good case is one that is not.
  do
    made.segment = encode ? any_raw_segment(made.layout, false, true, random)
                          : any_segment(made.layout, false, random);
  while (made.segment.refusal != codec::Refusal::none);
  made.job = make_job(host, made.layout, made.segment, false, encode);
  return made;
}

// Each with its status; what a good job's descriptor is changed to.
using Change = std::function<void(speckv_engine_descriptor&)>;
const struct {
  const char* what;
  uint8_t status;
  Change change;
} bad_descriptors[] = {
    {"opcode 9", SPECKV_ENGINE_BAD_OPCODE, [](auto& d) { d.opcode = 9; }},
    {"opcode 255", SPECKV_ENGINE_BAD_OPCODE, [](auto& d) { d.opcode = 255; }},
    {"reserved 3", SPECKV_ENGINE_RESERVED, [](auto& d) { d.reserved_3 = 1; }},
    {"COPY with a layout", SPECKV_ENGINE_RESERVED, [](auto& d) { d.opcode = 4, d.layout = 1; }},
    {"COPY with widths", SPECKV_ENGINE_RESERVED, [](auto& d) { d.opcode = 4, d.widths = 1; }},
    {"COPY of first pages", SPECKV_ENGINE_RESERVED, [](auto& d) { d.opcode = 4, d.flags = 1; }},
    {"COPY of no bytes", SPECKV_ENGINE_BAD_LENGTH, [](auto& d) { d.opcode = 4, d.bytes = 0; }},
    {"COPY of 48", SPECKV_ENGINE_BAD_LENGTH, [](auto& d) { d.opcode = 4, d.bytes = 48; }},
    {"COPY of too much", SPECKV_ENGINE_BAD_LENGTH,
     [](auto& d) { d.opcode = 4, d.bytes = (2u << 20) + 32; }},
    {"COPY from outside", SPECKV_ENGINE_SOURCE,
     [](auto& d) { d.opcode = 4, d.source_offset = data_bytes - 64, d.bytes = 96; }},
    {"COPY to outside", SPECKV_ENGINE_TARGET,
     [](auto& d) { d.opcode = 4, d.target_offset = data_bytes - 64, d.bytes = 96; }},
    {"FILL with a source", SPECKV_ENGINE_RESERVED, [](auto& d) { d.opcode = 5; }},
    {"FILL of what is not writable", SPECKV_ENGINE_TARGET,
     [](auto& d) { d.opcode = 5, d.source_extent = 0, d.target_extent = 7; }},
    {"CHECKSUM with a target", SPECKV_ENGINE_RESERVED, [](auto& d) { d.opcode = 3; }},
    {"LOAD with a layout", SPECKV_ENGINE_RESERVED,
     [](auto& d) { d.opcode = SPECKV_ENGINE_LOAD, d.layout = 1, d.target_extent = 0; }},
    {"LOAD with a target extent", SPECKV_ENGINE_RESERVED,
     [](auto& d) { d.opcode = SPECKV_ENGINE_LOAD, d.layout = 0, d.target_extent = 5; }},
    {"NOP with a source", SPECKV_ENGINE_RESERVED,
     [](auto& d) {
       d = {};
       d.source_extent = 1;
     }},
    {"reserved 36", SPECKV_ENGINE_RESERVED, [](auto& d) { d.reserved_36 = 1; }},
    {"reserved 40", SPECKV_ENGINE_RESERVED, [](auto& d) { d.reserved_40[2] = 1ull << 63; }},
    {"a flag", SPECKV_ENGINE_RESERVED, [](auto& d) { d.flags = 2; }},
    {"slot 8", SPECKV_ENGINE_BAD_LAYOUT, [](auto& d) { d.layout = 8; }},
    {"slot 3, not in use", SPECKV_ENGINE_BAD_LAYOUT, [](auto& d) { d.layout = 3; }},
    {"slot 2, no heads", SPECKV_ENGINE_BAD_LAYOUT, [](auto& d) { d.layout = 2; }},
    {"slot 4, too long", SPECKV_ENGINE_BAD_LAYOUT, [](auto& d) { d.layout = 4; }},
    {"slot 1, paper", SPECKV_ENGINE_UNSUPPORTED, [](auto& d) { d.layout = 1; }},
    {"no bytes", SPECKV_ENGINE_BAD_LENGTH, [](auto& d) { d.bytes = 0; }},
    {"32 bytes more", SPECKV_ENGINE_BAD_LENGTH, [](auto& d) { d.bytes += 32; }},
    {"one byte less", SPECKV_ENGINE_BAD_LENGTH, [](auto& d) { d.bytes -= 1; }},
    {"bytes with a high bit", SPECKV_ENGINE_BAD_LENGTH, [](auto& d) { d.bytes |= 1u << 31; }},
    {"source misaligned", SPECKV_ENGINE_SOURCE, [](auto& d) { d.source_offset = 32; }},
    {"source outside", SPECKV_ENGINE_SOURCE, [](auto& d) { d.source_offset = data_bytes; }},
    {"source one beat outside", SPECKV_ENGINE_SOURCE,
     [](auto& d) { d.source_offset = data_bytes - (d.bytes + 63) / 64 * 64 + 64; }},
    {"source wraps", SPECKV_ENGINE_SOURCE, [](auto& d) { d.source_offset = ~uint64_t{63}; }},
    {"source bit 38", SPECKV_ENGINE_SOURCE, [](auto& d) { d.source_offset = 1ull << 38; }},
    {"extent 16", SPECKV_ENGINE_SOURCE, [](auto& d) { d.source_extent = 16; }},
    {"extent 15, not in use", SPECKV_ENGINE_SOURCE, [](auto& d) { d.source_extent = 15; }},
    {"extent of the other queue", SPECKV_ENGINE_SOURCE, [](auto& d) { d.source_extent = 6; }},
    {"target misaligned", SPECKV_ENGINE_TARGET, [](auto& d) { d.target_offset = 1; }},
    {"target outside", SPECKV_ENGINE_TARGET, [](auto& d) { d.target_offset = data_bytes - 64; }},
    {"target not writable", SPECKV_ENGINE_TARGET, [](auto& d) { d.target_extent = 7; }},
};

// A good job decodes or encodes, whatever came before it.
void expect_good(EngineHost& host, const char* after) {
  const bool encode = host.bench().random()() % 2 == 0;
  const Case good = good_case(host, encode);
  uint8_t* out = encode ? host.memory(true).at(device_data) : host.memory(false).at(host_data);
  const Bytes& want = encode ? good.segment.stored : good.segment.raw;
  std::memset(out, 0, want.size());
  if (!host.submit(0, good.job)) host.bench().mismatch("after %s: the ring is full", after);
  const auto done = host.wait(0);
  if (done.status != SPECKV_ENGINE_OK || done.cookie != good.job.cookie ||
      std::memcmp(out, want.data(), want.size()) != 0)
    host.bench().mismatch("after %s: status %u", after, done.status);
}

void expect_status(EngineHost& host, const char* what, const speckv_engine_descriptor& job,
                   uint8_t status) {
  Bench<Vengine>& bench = host.bench();
  host.settle(0);  // what came before is in the log already
  host.write(SPECKV_REG_CONTROL,
             SPECKV_REG_CONTROL_ENABLE_MASK | SPECKV_REG_CONTROL_CLEAR_LOG_MASK);
  const uint64_t written = host.memory(true).written_beats();
  host.clear_cycles();
  if (!host.submit(0, job)) bench.mismatch("%s: the ring is full", what);
  const auto done = host.wait(0);
  if (done.status != status || done.cookie != job.cookie)
    bench.mismatch("%s: status %u, not %u", what, done.status, status);
  if (host.memory(true).written_beats() != written || host.beat_cycles().size() > 1)
    bench.mismatch("%s: something was written", what);
  host.settle(0);
  const uint32_t log = host.read(SPECKV_REG_ERROR);
  const uint32_t cookie = host.read(SPECKV_REG_ERROR_COOKIE);
  if (log != (uint32_t(status) | 1u << SPECKV_REG_ERROR_COUNT_SHIFT) ||
      cookie != uint32_t(job.cookie))
    bench.mismatch("%s: the log says %x %x", what, log, cookie);
}

// A driver that reads no completions: the engine stops before it writes over one.
void run_full_completions(EngineHost& host) {
  Bench<Vengine>& bench = host.bench();
  restart(host);
  for (uint32_t i = 0; i < 16; ++i) {
    speckv_engine_descriptor nop{};
    nop.cookie = i;
    if (i == 8) host.cycles(3000);
    host.submit_unseen(0, nop);
  }
  host.cycles(3000);
  if (host.read(SPECKV_REG_QUEUES_CQ_TAIL) != 8)
    bench.mismatch("a full completion ring was written over");
  for (uint32_t i = 0; i < 16; ++i)
    if (host.wait(0).cookie != i) bench.mismatch("completion %u is another one's", i);
}

}  // namespace

void restart(EngineHost& host) {
  host.write(SPECKV_REG_CONTROL, SPECKV_REG_CONTROL_RESET_MASK);
  int waited = 0;
  while ((host.read(SPECKV_REG_STATUS) & SPECKV_REG_STATUS_RESETTING_MASK) != 0 && ++waited < 2000)
    host.cycle();
  if (waited == 2000 || !host.memory(false).quiet() || !host.memory(true).quiet())
    host.bench().mismatch("a reset that does not end, or too early");
  for (uint32_t q = 0; q < 2; ++q) host.stop_queue(q);
  start_engine(host, 3);
}

void run_bad_descriptors(EngineHost& host) {
  host.bench().enter("bad descriptors");
  const Case good = good_case(host);
  host.set_extent(6, {true, false, 2, device_data, data_bytes});
  host.set_extent(7, {false, false, 1, host_data, data_bytes});
  const auto layout = [&](uint32_t slot, uint32_t shape, uint32_t codecs) {
    host.write(SPECKV_REG_LAYOUTS_SHAPE + slot * SPECKV_REG_LAYOUTS_STRIDE, shape);
    host.write(SPECKV_REG_LAYOUTS_CODECS + slot * SPECKV_REG_LAYOUTS_STRIDE, codecs);
  };
  const uint32_t shape = good.layout.shape_register();
  layout(1, shape,
         (good.layout.codecs_register() & ~SPECKV_REG_LAYOUTS_CODECS_V_MASK) |
             uint32_t(CodecId::paper) << SPECKV_REG_LAYOUTS_CODECS_V_SHIFT);
  layout(2, shape & ~SPECKV_REG_LAYOUTS_SHAPE_HEADS_MASK, good.layout.codecs_register());
  layout(4,
         shape | 0x100u << SPECKV_REG_LAYOUTS_SHAPE_HEADS_SHIFT |
             0x100u << SPECKV_REG_LAYOUTS_SHAPE_PAGES_SHIFT,
         good.layout.codecs_register());
  for (const auto& bad : bad_descriptors) {
    speckv_engine_descriptor job = good.job;
    bad.change(job);
    expect_status(host, bad.what, job, bad.status);
  }
  std::printf("engine: %zu wrong descriptors, each with its status\n", std::size(bad_descriptors));
  speckv_engine_descriptor nop{};
  nop.cookie = 77;
  if (!host.submit(0, nop) || host.wait(0).status != SPECKV_ENGINE_OK) host.bench().mismatch("NOP");
  expect_good(host, "bad descriptors");
}

void run_faults(EngineHost& host) {
  Bench<Vengine>& bench = host.bench();
  bench.enter("faults");
  const auto expect = [&](const char* what, uint8_t status, bool encode = false) {
    const Case made = good_case(host, encode);
    host.submit(0, made.job);
    const auto done = host.wait(0);
    if (done.status != status) bench.mismatch("%s: status %u, not %u", what, done.status, status);
    for (const bool device : {false, true}) host.memory(device).set_errors(0, 0);
    expect_good(host, what);
  };
  for (const uint64_t at : {uint64_t{0}, uint64_t{640}}) {
    host.memory(true).set_errors(device_data + at, 64);
    expect("a read error", SPECKV_ENGINE_READ_ERROR);
    host.memory(false).set_errors(host_data + at, 64);
    expect("a write error", SPECKV_ENGINE_WRITE_ERROR);
    host.memory(false).set_errors(host_data + at, 64);
    expect("a read error while encoding", SPECKV_ENGINE_READ_ERROR, true);
    host.memory(true).set_errors(device_data + at, 64);
    expect("a write error while encoding", SPECKV_ENGINE_WRITE_ERROR, true);
  }
  for (const bool encode : {false, true}) {
    host.write(SPECKV_REG_CONTROL, SPECKV_REG_CONTROL_ENABLE_MASK | SPECKV_REG_CONTROL_FLIP_MASK);
    expect("a flipped bit", SPECKV_ENGINE_MEMORY_ERROR, encode);
  }
  // The flipped word stays in the ring: it must not count where it only lies behind a page.
  const Case before = good_case(host), flipped = good_case(host);
  const auto decode = [&](const Case& made, uint8_t status) {
    make_job(host, made.layout, made.segment, false, false);
    host.submit(0, made.job);
    const auto ended = host.wait(0);
    if (ended.status != status) bench.mismatch("a word behind a page: status %u", ended.status);
  };
  restart(host);
  decode(before, SPECKV_ENGINE_OK);
  host.write(SPECKV_REG_CONTROL, SPECKV_REG_CONTROL_ENABLE_MASK | SPECKV_REG_CONTROL_FLIP_MASK);
  decode(flipped, SPECKV_ENGINE_MEMORY_ERROR);
  restart(host);
  decode(before, SPECKV_ENGINE_OK);
  // A descriptor that cannot be read: its completion has no cookie.
  host.memory(false).set_errors(EngineHost::host_base, 64 << 3);
  host.submit(0, good_case(host).job);
  const auto done = host.wait(0);
  if (done.status != SPECKV_ENGINE_READ_ERROR || done.cookie != 0)
    bench.mismatch("an unreadable descriptor: status %u", done.status);
  host.memory(false).set_errors(0, 0);
  expect_good(host, "an unreadable descriptor");
}

void run_full_ring(EngineHost& host) {
  host.bench().enter("a full ring");
  host.memory(true).set_mood(0);
  host.memory(false).set_mood(2);
  Case made;
  made.layout.k = made.layout.v = CodecId::q8;
  made.layout.shape = {16, 64, SPECKV_DTYPE_F16, codec::Kind::v};
  made.layout.heads = 16, made.layout.pages = 8;
  made.segment = any_segment(made.layout, false, host.bench().random());
  made.job = make_job(host, made.layout, made.segment, false, false);
  host.submit(0, made.job);
  if (host.wait(0).status != SPECKV_ENGINE_OK ||
      std::memcmp(host.memory(false).at(host_data), made.segment.raw.data(),
                  made.segment.raw.size()) != 0)
    host.bench().mismatch("a full ring");
  for (const bool device : {false, true}) host.memory(device).set_mood(1);
}

void run_rings(EngineHost& host) {
  Bench<Vengine>& bench = host.bench();
  bench.enter("rings");
  speckv_engine_descriptor nop{};
  // Full and round several times, both queues at once, each in order.
  uint64_t sent[2] = {}, seen[2] = {};
  while (seen[0] < 40 || seen[1] < 40) {
    for (uint32_t q = 0; q < 2; ++q) {
      nop.cookie = q << 16 | sent[q];
      if (sent[q] < 40 && bench.random()() % 2 == 0 && host.submit(q, nop)) ++sent[q];
      if (bench.random()() % 8 != 0) continue;
      if (const auto done = host.poll(q)) {
        if (done->cookie != (q << 16 | seen[q]))
          bench.mismatch("queue %u: cookie %llx", q, (unsigned long long)done->cookie);
        ++seen[q];
      }
    }
    host.cycle();
    if (!bench.clean()) return;
  }
  host.cycles(50);
  if (host.vectors_seen(7) == 0 || host.vectors_seen(8) == 0) bench.mismatch("no interrupts");
  // A doorbell too far ahead counts for nothing.
  host.write(SPECKV_REG_CONTROL,
             SPECKV_REG_CONTROL_ENABLE_MASK | SPECKV_REG_CONTROL_CLEAR_LOG_MASK);
  const uint32_t tail = host.read(SPECKV_REG_QUEUES_SQ_HEAD);
  host.write(SPECKV_REG_QUEUES_SQ_TAIL, tail + 9);
  host.cycles(200);
  if ((host.read(SPECKV_REG_ERROR) & 0xff) != SPECKV_ENGINE_RING ||
      host.read(SPECKV_REG_QUEUES_SQ_HEAD) != tail)
    bench.mismatch("a doorbell out of range counted");
  host.write(SPECKV_REG_QUEUES_SQ_TAIL, tail);
  expect_good(host, "a doorbell out of range");
  // Nor does one behind the one before: what was rung for is done.
  host.write(SPECKV_REG_CONTROL,
             SPECKV_REG_CONTROL_ENABLE_MASK | SPECKV_REG_CONTROL_CLEAR_LOG_MASK);
  const uint32_t rung = host.read(SPECKV_REG_QUEUES_SQ_HEAD);
  for (int i = 0; i < 4; ++i) host.submit(0, nop);
  host.write(SPECKV_REG_QUEUES_SQ_TAIL, rung + 1);
  for (int i = 0; i < 4; ++i) host.wait(0);
  if ((host.read(SPECKV_REG_ERROR) & 0xff) != SPECKV_ENGINE_RING ||
      host.read(SPECKV_REG_QUEUES_SQ_HEAD) != rung + 4)
    bench.mismatch("a doorbell behind the one before counted");
  expect_good(host, "a doorbell behind the one before");
  run_full_completions(host);
  // A ring outside of its extent halts its queue; a doorbell before setup counts for nothing.
  host.stop_queue(0);
  host.write(SPECKV_REG_QUEUES_SQ_TAIL, 3);
  host.set_queue(0, EngineHost::host_base, 3);
  host.set_extent(0, {false, false, 1, EngineHost::host_base, 128});
  host.cycles(200);
  if (host.read(SPECKV_REG_QUEUES_SQ_HEAD) != 0) bench.mismatch("a doorbell before setup counted");
  for (int i = 0; i < 3; ++i) host.submit(0, nop);
  for (int i = 0; i < 2; ++i) host.wait(0);
  host.cycles(200);
  if (host.read(SPECKV_REG_QUEUES_SQ_HEAD) != 2) bench.mismatch("a ring left its extent");
  host.stop_queue(0);
  host.set_queue(0, EngineHost::host_base, 3);
  expect_good(host, "a ring outside of its extent");
}

void run_resets(EngineHost& host, int times) {
  Bench<Vengine>& bench = host.bench();
  bench.enter("resets");
  for (int i = 0; i < times && bench.clean(); ++i) {
    const Case made = good_case(host, bench.random()() % 2 == 0);
    host.submit(0, made.job);
    host.submit(1, {});
    host.cycles(int(bench.random()() % 400));
    restart(host);
    expect_good(host, "a reset");
  }
}

}  // namespace speckv::fpga
