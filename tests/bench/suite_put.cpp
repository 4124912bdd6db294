// SPDX-License-Identifier: Apache-2.0
// suite_put.cpp - rows put-busy/*, put-tokens/* and put-sustained/*: what a put costs its caller,
// and what goes through.
//
// put-busy: a burst of half the arena (at most 512 objects); the caller's own time in speckv_put(),
// beside memcpy of the same objects into a ring as large. The daemon gets to work between the
// turns. put-tokens: the same of token-major memory, which is what engines have; its goal is memcpy
// and 15 % and 3 us for records, rings and the doorbell. put-sustained: puts without end, the
// daemon evicting as it must; wall time beside the time that encoding the same objects takes in one
// thread (encode_segment, checksum included). encode-handed-over: the same encoding of objects that
// another CPU has just written, as a client does for the data thread: what of put-sustained is the
// machine's caches and not the daemon.
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <thread>

#include "codec/segment.hpp"
#include "hot_set.hpp"
#include "live.hpp"
#include "shm/atomics.hpp"

namespace speckv::bench {
namespace {

constexpr uint64_t kArenaBytes = 64 << 20;
constexpr uint64_t kBurstMax = 512;  // small objects fill the submission ring first
constexpr const char* kDataThread = "speckv-data";

using SetViews = void(const speckv_layout&, const std::byte*, std::vector<speckv_view>*);

class Writer {
 public:
  Writer(HotSet& hot, Live& live, uint32_t number, const speckv_layout& layout,
         SetViews* arrange = set_views)
      : hot_(hot), live_(live), number_(number), layout_(layout), arrange_(arrange) {}

  // Puts n objects under new keys. wait: reap until there is room; else what does not fit is
  // counted in refused(). Returns: how many were submitted.
  uint64_t submit(uint64_t n, bool wait) {
    uint64_t done = 0;
    while (done < n) {
      speckv_put_op op{};
      const Key key = key_of(next_);
      std::memcpy(op.key, key.data(), key.size());
      arrange_(layout_, hot_.object(hot_.pick()), &views_);
      op.buf = {0, layout_.layers, views_.data()};
      op.meta.position = SPECKV_POSITION_UNKNOWN;
      if (speckv_put(live_.session(), number_, &op, 1) == 1) {
        ++under_way_;
        ++done;
        ++next_;
      } else if (wait && op.ret_result == -EAGAIN) {
        reap();
      } else {
        refused_ += n - done;
        break;
      }
    }
    return done;
  }
  void drain() { failed_ += live_.drain(&under_way_); }
  uint64_t refused() const { return refused_; }
  uint64_t failed() const { return failed_; }

 private:
  void reap() {
    speckv_completion done[64];
    const int n = speckv_reap(live_.session(), done, 64);
    for (int i = 0; i < n; ++i) failed_ += done[i].result != 0;
    under_way_ -= n > 0 ? uint64_t(n) : 0;
    if (n == 0) speckv_wait(live_.session(), 1'000'000'000);
  }

  HotSet& hot_;
  Live& live_;
  uint32_t number_;
  const speckv_layout& layout_;
  SetViews* arrange_;
  std::vector<speckv_view> views_;
  uint64_t next_ = 1 << 20;
  uint64_t under_way_ = 0;
  uint64_t refused_ = 0;
  uint64_t failed_ = 0;
};

struct Bench {
  HotSet hot;
  Live live;
  speckv_layout layout{};
  uint32_t number = 0;
  explicit Bench(uint64_t bytes) : hot(bytes, 0, kArenaBytes / 2) {}
};

bool start(Report& report, const std::string& name, uint32_t preset, Bench& bench,
           uint32_t encode_threads = 0) {
  LiveOptions options;
  options.pool_bytes = 512 << 20;
  options.index_entries =
      std::max<uint64_t>(options.pool_bytes / bench.hot.object_bytes() * 3, 4096);
  options.arena_bytes = kArenaBytes;
  options.encode_threads = encode_threads;
  const std::string why = bench.live.start(report.options(), options);
  if (!why.empty()) {
    report.skip(name, why);
    return false;
  }
  bench.layout = layout_of(bench.hot.object_bytes(), preset);
  bench.number = bench.live.add(bench.layout);
  return true;
}

// A goal in seconds as a ratio of what the other takes here.
std::string near_ratio(double goal_s, double other_s, const char* how = "<=") {
  char text[32];
  std::snprintf(text, sizeof text, "%s %.3f", how, goal_s / other_s);
  return text;
}
// Where a put costs its caller memcpy, 15 % and 3 us.
std::string near_memcpy(double copy_s) { return near_ratio(1.15 * copy_s + 3e-6, copy_s); }

void run_busy(Report& report, uint64_t bytes, bool by_token) {
  const std::string name = (by_token ? "put-tokens/" : "put-busy/") + size_text(bytes);
  if (!report.wants(name)) return;
  report.progress(name);
  Bench bench(bytes);
  if (!start(report, name, SPECKV_PRESET_Q8, bench)) return;
  Writer writer(bench.hot, bench.live, bench.number, bench.layout,
                by_token ? set_token_views : set_views);
  const uint64_t burst = std::min(kArenaBytes / 2 / bytes, kBurstMax);
  std::vector<double> put_s, copy_s, stream_s;
  auto copies = bench.hot.copies(burst);
  const uint32_t rounds = report.options().quick ? 5 : 40;
  for (uint32_t round = 0; round <= rounds; ++round) {
    const auto timings =
        take_turns({copies[0], copies[1], {"put", [&] { return writer.submit(burst, false); }}}, 1,
                   Clock::thread_cpu, false);
    writer.drain();
    if (round == 0) continue;
    copy_s.push_back(timings[0].median_s);
    stream_s.push_back(timings[1].median_s);
    put_s.push_back(timings[2].median_s);
  }
  if (writer.failed() + writer.refused() > 0) {
    return report.skip(name, std::to_string(writer.failed()) + " puts failed, " +
                                 std::to_string(writer.refused()) + " did not fit");
  }
  const Timing put = timing_of(put_s);
  const Timing copy = faster(timing_of(copy_s), timing_of(stream_s));
  Row row;
  row.name = name;
  row.value = put.median_s * 1e6;
  row.unit = "us";
  row.against = "memcpy";
  row.ratio = put.median_s / copy.median_s;
  if (by_token) row.goal = near_memcpy(copy.median_s);
  else row.goal = bytes == 1 << 20 ? "<= 1.2" : "";
  row.setting = "caller's time, a burst of " + std::to_string(burst) + " into a " +
                size_text(kArenaBytes) + " arena, q8; " + bench.live.setting();
  row.samples = put.samples;
  row.spread = put.spread;
  report.add(row);
}

// encode_segment() of objects of the hot set, layer by layer: what the data thread has to do at
// least.
class Encoder {
 public:
  Encoder(HotSet& hot, const speckv_layout& layout, const codec::Preset& how)
      : hot_(hot),
        layout_(layout),
        how_(how),
        stored_(codec::segment_bytes(layout, how, false)),
        out_(std::max<uint64_t>(2 * l3_bytes(), stored_)) {}

  uint64_t turn(uint64_t objects) {
    for (uint64_t i = 0; i < objects; ++i) encode_object(hot_.object(hot_.pick()));
    return objects;
  }
  void encode_object(const std::byte* object) {
    set_views(layout_, object, &views_);
    for (uint32_t layer = 0; layer < layout_.layers; ++layer) encode(layer);
  }

 private:
  static codec::ConstPlane plane_of(const speckv_view& view) {
    return {static_cast<const std::byte*>(view.base), view.token_stride, view.head_stride,
            view.channel_stride};
  }
  void encode(uint32_t layer) {
    if (at_ + stored_ > out_.bytes()) at_ = 0;
    (void)codec::encode_segment(layout_, how_, layer, false,
                                {plane_of(views_[2 * layer]), plane_of(views_[2 * layer + 1])},
                                {out_.at(at_), stored_}, &checksum_);
    at_ += (stored_ + 63) / 64 * 64;
  }

  HotSet& hot_;
  const speckv_layout& layout_;
  codec::Preset how_;
  size_t stored_;
  Buffer out_;
  std::vector<speckv_view> views_;
  uint64_t at_ = 0;
  uint64_t checksum_ = 0;
};

void add_rate(Report& report, const std::string& name, uint64_t bytes, const Timing& put,
              const Timing& encode, const std::string& goal, const std::string& setting) {
  Row row;
  row.name = name;
  row.value = double(bytes) / put.median_s / 1e9;
  row.unit = "GB/s";
  row.against = "encode";
  row.ratio = encode.median_s / put.median_s;
  row.goal = goal;
  row.setting = setting;
  row.samples = put.samples;
  row.spread = put.spread;
  report.add(row);
}

// Copies the hot set's objects into the arena, on another CPU: this one spins meanwhile.
void write_elsewhere(HotSet& hot, Buffer& arena) {
  std::atomic<bool> written = false;
  std::thread writer([&] {
    for (uint64_t at = 0; at < arena.bytes(); at += hot.object_bytes())
      std::memcpy(arena.at(at), hot.object(hot.pick()), hot.object_bytes());
    written = true;
  });
  while (!written) shm::spin_pause();
  writer.join();
}

void run_handed_over(Report& report, uint64_t bytes, uint32_t preset, const std::string& codec) {
  const std::string name = "encode-handed-over/" + size_text(bytes) + "/" + codec;
  if (!report.wants(name)) return;
  report.progress(name);
  codec::Preset how;
  if (!codec::preset(preset, &how)) return report.skip(name, "no such preset in this build");
  HotSet hot(bytes);
  Buffer arena(kArenaBytes);
  const speckv_layout layout = layout_of(bytes, preset);
  Encoder encoder(hot, layout, how);
  const uint64_t objects = arena.bytes() / bytes;
  const std::vector<Contender> alone = {{"encode", [&] { return encoder.turn(objects); }}};
  const std::vector<Contender> handed = {{"encode", [&] {
                                            for (uint64_t i = 0; i < objects; ++i)
                                              encoder.encode_object(arena.at(i * bytes));
                                            return objects;
                                          }}};
  std::vector<double> alone_s, handed_s;
  const uint32_t rounds = report.options().quick ? 3 : 12;
  for (uint32_t round = 0; round < rounds; ++round) {
    alone_s.push_back(take_turns(alone, 1, Clock::wall)[0].median_s);
    write_elsewhere(hot, arena);
    handed_s.push_back(take_turns(handed, 1, Clock::wall, false)[0].median_s);
  }
  add_rate(report, name, bytes, timing_of(handed_s), timing_of(alone_s), "",
           "encode_segment() of a " + size_text(kArenaBytes) + " arena that another CPU wrote");
}

// A full arena of puts that a daemon finds when it goes on, its client asleep: workers beside one
// that encodes itself.
void run_workers(Report& report, uint64_t bytes, uint32_t preset, const std::string& codec,
                 uint32_t threads) {
  const std::string name =
      "put-workers/" + size_text(bytes) + "/" + codec + "/workers-" + std::to_string(threads);
  if (!report.wants(name)) return;
  report.progress(name);
  codec::Preset how;
  if (!codec::preset(preset, &how)) return report.skip(name, "no such preset in this build");
  Bench alone(bytes), beside(bytes);
  if (!start(report, name, preset, alone) || !start(report, name, preset, beside, threads)) return;
  const uint64_t burst = kArenaBytes * 3 / 4 / bytes;
  uint64_t failed = 0;
  const auto measure = [&](Bench& bench, Writer& writer) {
    bench.live.pause();
    const uint64_t submitted = writer.submit(burst, false);
    const auto begin = std::chrono::steady_clock::now();
    bench.live.resume();
    writer.drain();
    failed += writer.failed() + burst - submitted;
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count() /
           double(burst);
  };
  Writer one(alone.hot, alone.live, alone.number, alone.layout);
  Writer other(beside.hot, beside.live, beside.number, beside.layout);
  std::vector<double> alone_s, beside_s;
  const uint32_t rounds = report.options().quick ? 10 : 60;
  for (uint32_t round = 0; round <= rounds; ++round) {
    const double first_s = measure(alone, one), second_s = measure(beside, other);
    if (round == 0) continue;
    alone_s.push_back(first_s);
    beside_s.push_back(second_s);
  }
  if (failed > 0) return report.skip(name, std::to_string(failed) + " puts failed");
  Row row;
  const Timing timing = timing_of(beside_s);
  row.name = name;
  row.value = double(bytes) / timing.median_s / 1e9;
  row.unit = "GB/s";
  row.against = "inline";
  row.ratio = timing_of(alone_s).median_s / timing.median_s;
  if (threads <= std::thread::hardware_concurrency()) row.goal = near_ratio(0.9 * threads, 1, ">=");
  row.setting = "wall time of " + std::to_string(burst) + " puts whose client sleeps, " +
                std::to_string(threads) + " encode threads beside none; " + beside.live.setting();
  row.samples = timing.samples;
  row.spread = timing.spread;
  report.add(row);
}

// What a put costs the data thread itself: the workers encode.
void add_own_cpu(Report& report, const std::string& what, const Timing& own, const Timing& encode,
                 const std::string& setting) {
  Row row;
  row.name = "put-own-cpu/" + what;
  row.value = own.median_s * 1e6;
  row.unit = "us";
  row.against = "encode";
  row.ratio = own.median_s / encode.median_s;
  row.goal = near_ratio(10e-6, encode.median_s);
  row.setting = "the data thread's CPU time per object, " + setting;
  row.samples = own.samples;
  row.spread = own.spread;
  report.add(row);
}

// threads: that encode beside the data thread.
void run_sustained(Report& report, uint64_t bytes, uint32_t preset, const std::string& codec,
                   uint32_t threads) {
  const std::string what =
      size_text(bytes) + "/" + codec + (threads ? "/workers-" + std::to_string(threads) : "");
  const std::string name = "put-sustained/" + what;
  if (!report.wants(name) && !report.wants("put-cpu/" + what) &&
      !report.wants("put-own-cpu/" + what))
    return;
  report.progress(name);
  codec::Preset how;
  if (!codec::preset(preset, &how)) return report.skip(name, "no such preset in this build");
  Bench bench(bytes);
  if (!start(report, name, preset, bench, threads)) return;
  Writer writer(bench.hot, bench.live, bench.number, bench.layout);
  Encoder encoder(bench.hot, bench.layout, how);
  const uint64_t per_turn = (128 << 20) / bytes;
  std::vector<double> encode_s, put_s, encode_cpu_s, daemon_cpu_s, thread_cpu_s;
  const uint32_t rounds = report.options().quick ? 3 : 12;
  for (uint32_t round = 0; round <= rounds; ++round) {
    const auto wall =
        take_turns({{"encode", [&] { return encoder.turn(per_turn); }}}, 1, Clock::wall, false);
    const auto cpu = take_turns({{"encode", [&] { return encoder.turn(per_turn); }}}, 1,
                                Clock::thread_cpu, false);
    const double before_s = bench.live.daemon_cpu_s();
    const double thread_before_s = bench.live.daemon_cpu_s(kDataThread);
    const auto put = take_turns({{"put",
                                  [&] {
                                    const uint64_t n = writer.submit(per_turn, true);
                                    writer.drain();
                                    return n;
                                  }}},
                                1, Clock::wall, false);
    if (round == 0) continue;
    daemon_cpu_s.push_back((bench.live.daemon_cpu_s() - before_s) / double(per_turn));
    thread_cpu_s.push_back((bench.live.daemon_cpu_s(kDataThread) - thread_before_s) /
                           double(per_turn));
    encode_s.push_back(wall[0].median_s);
    encode_cpu_s.push_back(cpu[0].median_s);
    put_s.push_back(put[0].median_s);
  }
  if (writer.failed() + writer.refused() > 0) {
    return report.skip(name, std::to_string(writer.failed()) + " puts failed");
  }
  const std::string setting = "one client, one data thread and " + std::to_string(threads) +
                              " encode threads, evicting; " + bench.live.setting();
  add_rate(report, name, bytes, timing_of(put_s), timing_of(encode_s), ">= 0.95",
           "wall time, " + setting);
  add_rate(report, "put-cpu/" + what, bytes, timing_of(daemon_cpu_s), timing_of(encode_cpu_s), "",
           "the daemon's CPU time per object, " + setting);
  if (threads) add_own_cpu(report, what, timing_of(thread_cpu_s), timing_of(encode_cpu_s), setting);
}

}  // namespace

void suite_put(Report& report) {
  for (uint64_t bytes = 4 << 10; bytes <= 4 << 20; bytes *= 4) run_busy(report, bytes, false);
  for (uint64_t bytes = 64 << 10; bytes <= 4 << 20; bytes *= 4) run_busy(report, bytes, true);
  run_handed_over(report, 1 << 20, SPECKV_PRESET_EXACT, "exact");
  run_handed_over(report, 1 << 20, SPECKV_PRESET_Q8, "q8");
  for (uint32_t threads : {1, 2}) {
    run_workers(report, 1 << 20, SPECKV_PRESET_Q8, "q8", threads);
    run_workers(report, 1 << 20, SPECKV_PRESET_COMPACT, "compact", threads);
  }
  for (uint32_t threads : {0, 1, 2}) {
    run_sustained(report, 1 << 20, SPECKV_PRESET_EXACT, "exact", threads);
    run_sustained(report, 1 << 20, SPECKV_PRESET_Q8, "q8", threads);
  }
}

}  // namespace speckv::bench
