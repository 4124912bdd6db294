// SPDX-License-Identifier: Apache-2.0
// engine_operation_cases.cpp - CHECKSUM, COPY, FILL and CANCEL in the engine's bench.
#include <algorithm>
#include <cstring>

#include "engine_cases.hpp"

namespace speckv::fpga {

namespace {

constexpr uint64_t source_at = 0, target_at = data_bytes / 2;  // in the data extents
constexpr size_t guard = 64;

struct Operation {
  speckv_engine_descriptor job{};
  Bytes want;  // at the target; CHECKSUM: what is summed up
  uint8_t* target = nullptr;
};

Operation any_operation(EngineHost& host, uint8_t opcode, size_t units_max) {
  auto& random = host.bench().random();
  Operation made;
  made.job.opcode = opcode;
  made.job.cookie = random();
  made.want.resize(32 * (1 + random() % units_max));
  made.job.bytes = uint32_t(made.want.size());
  const bool from_device = random() % 2, to_device = random() % 2;
  if (opcode == SPECKV_ENGINE_FILL) {
    made.job.source_offset = random();
    for (size_t i = 0; i < made.want.size(); i += 8)
      std::memcpy(&made.want[i], &made.job.source_offset, 8);
  } else {
    for (std::byte& byte : made.want) byte = std::byte(random());
    made.job.source_extent = from_device ? extent_device : extent_host;
    made.job.source_offset = source_at + random() % 1024 * 64;
    std::memcpy(host.memory(from_device)
                    .at((from_device ? device_data : host_data) + made.job.source_offset),
                made.want.data(), made.want.size());
  }
  if (opcode != SPECKV_ENGINE_CHECKSUM) {
    made.job.target_extent = to_device ? extent_device : extent_host;
    made.job.target_offset = target_at + guard + random() % 1024 * 64;
    made.target =
        host.memory(to_device).at((to_device ? device_data : host_data) + made.job.target_offset);
  }
  return made;
}

uint8_t any_opcode(EngineHost& host) {
  return uint8_t(SPECKV_ENGINE_CHECKSUM + host.bench().random()() % 3);
}

// A short job and its CANCEL, this many cycles apart. Returns: whether it was found.
bool run_cancel(EngineHost& host, const speckv_engine_descriptor& job, int apart, bool may_refuse) {
  Bench<Vengine>& bench = host.bench();
  speckv_engine_descriptor cancel{};
  cancel.opcode = SPECKV_ENGINE_CANCEL;
  cancel.cookie = bench.random()();
  cancel.source_offset = job.cookie;
  host.submit(0, job);
  host.cycles(apart);
  host.submit(0, cancel);
  const auto a = host.wait(0), b = host.wait(0);
  const auto& of_job = a.cookie == job.cookie ? a : b;
  const auto& of_cancel = a.cookie == job.cookie ? b : a;
  const bool hit = of_cancel.status == SPECKV_ENGINE_OK;
  const bool ended =
      of_job.status == SPECKV_ENGINE_OK || (may_refuse && of_job.status == SPECKV_ENGINE_REFUSED);
  if (of_cancel.cookie != cancel.cookie || of_job.cookie != job.cookie ||
      (hit ? of_job.status != SPECKV_ENGINE_CANCELLED
           : !ended || of_cancel.status != SPECKV_ENGINE_NOT_FOUND))
    bench.mismatch("CANCEL: status %u, the job's %u", of_cancel.status, of_job.status);
  if (hit && (of_job.bytes != 0 || of_job.checksum != 0)) bench.mismatch("a cancelled job's sum");
  return hit;
}

// Every cycle from before a job begins to after it has ended.
void run_cancel_sweep(EngineHost& host) {
  for (const bool device : {false, true}) host.memory(device).set_mood(0);
  int found = 0;
  for (int apart = 0; apart < 160 && host.bench().clean(); ++apart)
    found += run_cancel(host, any_operation(host, SPECKV_ENGINE_CHECKSUM, 1).job, apart, false);
  if (host.bench().options().mutant == 0 && (found < 10 || found > 150))
    host.bench().mismatch("%d of 160 jobs were cancelled: the sweep missed their end", found);
}

}  // namespace

void run_operation(EngineHost& host) {
  Bench<Vengine>& bench = host.bench();
  const Operation made = any_operation(host, any_opcode(host), 600);
  std::vector<uint8_t> around(made.want.size() + 2 * guard, uint8_t(bench.random()()));
  if (made.target != nullptr) std::memcpy(made.target - guard, around.data(), around.size());
  if (!host.submit(0, made.job)) bench.mismatch("the ring is full");
  const auto done = host.wait(0);
  if (done.status != SPECKV_ENGINE_OK || done.cookie != made.job.cookie ||
      done.bytes != (made.target != nullptr ? made.want.size() : 0))
    bench.mismatch("opcode %u: status %u, %u bytes", made.job.opcode, done.status, done.bytes);
  if (done.checksum != golden_checksum(made.want))
    bench.mismatch("opcode %u: the checksum", made.job.opcode);
  std::memcpy(around.data() + guard, made.want.data(), made.want.size());
  if (made.target != nullptr && std::memcmp(made.target - guard, around.data(), around.size()) != 0)
    bench.mismatch("opcode %u: %zu bytes", made.job.opcode, made.want.size());
}

void run_cancels(EngineHost& host) {
  Bench<Vengine>& bench = host.bench();
  bench.enter("cancels");
  speckv_engine_descriptor cancel{};
  cancel.opcode = SPECKV_ENGINE_CANCEL;
  // Of another queue pair, of another cookie, and one that says more than it may.
  for (int i = 0; i < 3; ++i) {
    const Operation made = any_operation(host, SPECKV_ENGINE_FILL, 20000);
    cancel.source_offset = made.job.cookie + (i == 1);
    cancel.layout = i == 2;
    host.submit(0, made.job);
    host.cycles(400);
    const uint32_t queue = i == 0 ? 1 : 0;
    host.submit(queue, cancel);
    const auto first = host.wait(queue);
    const auto second = host.wait(0);
    const uint8_t status = i == 2 ? SPECKV_ENGINE_RESERVED : SPECKV_ENGINE_NOT_FOUND;
    if (first.status != status || second.status != SPECKV_ENGINE_OK)
      bench.mismatch("CANCEL %d: status %u, the job's %u", i, first.status, second.status);
  }
  run_cancel_sweep(host);
  int found = 0;
  for (int i = 0; i < 60 && bench.clean(); ++i) {
    const bool segment = i % 2 == 0, encode = i % 4 == 0;
    speckv_engine_descriptor job;
    if (segment) {
      SegmentLayout layout;
      layout.k = codec::CodecId::rowq4, layout.v = codec::CodecId::raw;
      layout.heads = 3, layout.pages = 3;
      layout.shape = any_shape(bench.random());
      const Segment made = encode ? any_raw_segment(layout, false, true, bench.random())
                                  : any_segment(layout, false, bench.random());
      job = make_job(host, layout, made, false, encode);
    } else {
      job = any_operation(host, any_opcode(host), 2000).job;
    }
    for (const bool device : {false, true}) host.memory(device).set_mood(i % 3);
    const int apart = int(bench.random()() % (i % 3 == 2 ? 3000 : 600));
    found += run_cancel(host, job, apart, encode);
    run_operation(host);
    host.cycles(300);
    if (host.poll(0)) bench.mismatch("CANCEL: a completion too many");
  }
  if (bench.options().mutant == 0 && (found < 10 || found > 58))
    bench.mismatch("%d of 60 jobs were cancelled: the times are badly chosen", found);
}

}  // namespace speckv::fpga
