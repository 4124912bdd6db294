// SPDX-License-Identifier: Apache-2.0
// engine_choice.cpp - see engine_choice.hpp.
#include "loop/engine_choice.hpp"

#include <poll.h>

#include <cstring>
#include <deque>

#include "config/limits.hpp"
#include "loop/clock.hpp"
#include "shm/key.hpp"

namespace speckv {

namespace {

constexpr uint32_t segments_measured = 64;
constexpr uint32_t jobs_at_once = 8;                // as one put has
constexpr uint32_t tries_max = 256;                 // until tables are loaded
constexpr uint64_t measure_ns_max = 5'000'000'000;  // of one preset and one engine

// What servers have most: 8 KV heads of 128 channels, 64 tokens: 256 KiB raw.
speckv_layout usual_layout(uint32_t preset) {
  speckv_layout layout{};
  layout.size = sizeof layout;
  layout.dtype = SPECKV_DTYPE_F16;
  layout.layers = 1;
  layout.kv_heads = 8;
  layout.head_dim = 128;
  layout.page_tokens = 32;
  layout.block_tokens = 64;
  layout.rope = SPECKV_ROPE_HALF;
  layout.rope_theta[0] = 1e4F;
  layout.world = 1;
  layout.preset = preset;
  return layout;
}

// One engine, as a data thread asks it.
class Bench {
 public:
  // pool: where what is stored lies.
  Bench(Engine& engine, Io* io, const Layout& layout, Work work, std::span<std::byte> pool)
      : engine_(engine),
        io_(io),
        jobs_(jobs_at_once),
        raw_(layout.segment_raw_bytes),
        decoded_(jobs_at_once * layout.stored_raw_bytes) {
    for (size_t i = 0; i < raw_.size(); i += 2) {  // values of one octave
      const auto bits = uint16_t((mix64(i) & 0x83ff) | 0x3800);
      std::memcpy(&raw_[i], &bits, 2);
    }
    const Widths& widths = layout.widths->current();
    for (size_t i = 0; i < jobs_.size(); i++) {
      EncodeJob& job = jobs_[i];
      job.layout = &layout;
      job.preset = &layout.preset;
      job.tables = widths.tables.get();
      job.tables_id = widths.fingerprint;
      job.raw = raw_;
      job.out = pool.subspan(i * (pool.size() / jobs_.size()), layout.stored_bytes[0]);
      if (work == Work::decode) {
        encode_now(job);
        job.work = work;
        job.stored = job.out;
        job.raw = {};
        job.out = std::span(decoded_).subspan(i * layout.stored_raw_bytes, layout.stored_raw_bytes);
      }
      free_.push_back(&job);
    }
  }
  // Returns: false when they do not all end well in time.
  bool run(uint32_t segments) {
    const uint64_t end_ns = monotonic_ns() + measure_ns_max;
    uint32_t started = 0, done = 0;
    while (done < segments) {
      for (; started < segments && !free_.empty(); started++) {
        free_.back()->by_cpu = false;
        if (!engine_.start(free_.back())) break;
        free_.pop_back();
      }
      std::vector<EncodeJob*> back;
      turn(&back);
      for (EncodeJob* job : back) {
        if (job->failed || job->retry != EncodeJob::Retry::none) is_well_ = false;
        free_.push_back(job);
        done++;
      }
      if (monotonic_ns() > end_ns) return false;
    }
    return is_well_;
  }

 private:
  void turn(std::vector<EncodeJob*>* ret_back) {
    engine_.turn(monotonic_ns());
    engine_.reap(ret_back);
    const bool idle = ret_back->empty();
    if (io_) {
      std::vector<Operation*> completed;
      io_->wait(idle ? 10'000'000 : 0);
      io_->reap(&completed);
      for (Operation* operation : completed) engine_.completed(operation);
    } else if (idle) {
      pollfd woken{engine_.wake_fd(), POLLIN, 0};
      poll(&woken, 1, 10);
    }
    engine_.reap(ret_back);
  }

  Engine& engine_;
  Io* io_;
  std::deque<EncodeJob> jobs_;
  std::vector<EncodeJob*> free_;
  std::vector<std::byte> raw_, decoded_;
  bool is_well_ = true;
};

double bytes_s(Bench& bench, uint64_t raw_bytes) {
  const uint64_t start_ns = monotonic_ns();
  if (!bench.run(segments_measured)) return 0;
  const uint64_t ns = std::max<uint64_t>(monotonic_ns() - start_ns, 1);
  return double(raw_bytes) * segments_measured * 1e9 / double(ns);
}

double of_device(const DeviceOptions& options, Io& io, const Layout& layout, Work work,
                 std::span<std::byte> pool) {
  DeviceOptions halves = options;
  halves.staging.bytes -= pool.size();
  halves.extents = {options.staging};
  halves.check_one_in = limits::check_one_in_max;
  const auto engine = make_device_engine(halves, make_cpu_engine());
  engine->attach(io);
  Bench bench(*engine, &io, layout, work, pool);
  const DeviceFacts& facts = engine->facts().device;
  const auto& its_own = work == Work::encode ? facts.segments : facts.decoded;
  for (uint32_t tries = 0; its_own == 0 && tries < tries_max; tries++)
    if (!bench.run(1)) return 0;
  const uint64_t by_cpu = facts.by_cpu;
  const double rate = its_own ? bytes_s(bench, layout.segment_raw_bytes) : 0;
  // Nothing of it is under way when it ends.
  const uint64_t end_ns = monotonic_ns() + measure_ns_max;
  std::vector<EncodeJob*> ignored;
  for (std::vector<Operation*> completed; facts.under_way && monotonic_ns() < end_ns;) {
    io.wait(10'000'000);
    completed.clear();
    io.reap(&completed);
    for (Operation* operation : completed) engine->completed(operation);
    engine->reap(&ignored);
  }
  return facts.by_cpu == by_cpu && facts.standing == Standing::live ? rate : 0;
}

double of_cpu(const Layout& layout, Work work, std::span<std::byte> pool, uint32_t workers,
              int numa_node) {
  const auto engine = make_cpu_engine(workers, numa_node);
  Bench bench(*engine, nullptr, layout, work, pool);
  if (!bench.run(jobs_at_once)) return 0;  // warm
  const double rate = bytes_s(bench, layout.segment_raw_bytes);
  engine->stop();
  return rate;
}

}  // namespace

std::vector<EngineRates> measure_engines(const DeviceOptions& options, Io& io, uint32_t workers,
                                         int numa_node) {
  std::vector<EngineRates> all;
  LayoutTable layouts;
  const uint64_t half = options.staging.bytes / (2 * stage_bytes) * stage_bytes;
  const std::span<std::byte> pool(options.staging.data + half, options.staging.bytes - half);
  for (const uint32_t preset :
       {SPECKV_PRESET_LOSSLESS, SPECKV_PRESET_Q8, SPECKV_PRESET_NEAR_LOSSLESS,
        SPECKV_PRESET_BALANCED, SPECKV_PRESET_COMPACT, SPECKV_PRESET_TIGHT}) {
    const auto made = layouts.add(usual_layout(preset), preset, "measure");
    if (!made.ok()) continue;
    const Layout& layout = *made.value();
    for (const Work work : {Work::encode, Work::decode})
      all.push_back({std::string(codec::preset_name(preset)), layout.preset.k, work,
                     of_device(options, io, layout, work, pool),
                     of_cpu(layout, work, pool, workers, numa_node)});
  }
  return all;
}

}  // namespace speckv
