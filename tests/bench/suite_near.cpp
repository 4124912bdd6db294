// SPDX-License-Identifier: Apache-2.0
// suite_near.cpp - rows near/1MiB/{preset}/{link}: speckv_get() of blocks that stand decoded in
// near memory, beside the same blocks read from the pool. The ratio is the pool's time by near's.
//
// Two daemons with the same blocks, one without near memory, read in turns by one thread. link is
// the pool's: "dram" is as fast as it is, the others are *emulated* (emulated_gb_s, emulated_ns:
// the reader spins). Times are the reader's CPU: of a load that waits for memory a processor has no
// other use. Every object must hit, and all of them must stand near before a row is measured.
#include <chrono>
#include <cstdio>
#include <cstring>
#include <thread>

#include "codec/codec.hpp"
#include "hot_set.hpp"
#include "live.hpp"

namespace speckv::bench {
namespace {

constexpr uint64_t kObject = 1 << 20;
constexpr int kRoundsMax = 400;  // of reading all, 25 ms apart: a daemon looks at touches each 20

struct Link {
  const char* name;
  double gb_s;
  uint64_t ns;
};
constexpr Link kLinks[] = {{"dram", 0, 0}, {"36GBs-200ns", 36, 200}, {"18GBs-640ns", 18, 640}};

class Side {
 public:
  std::string start(const Report& report, HotSet& hot, const Link& link, uint32_t preset,
                    bool near) {
    hot_ = &hot;
    LiveOptions options;
    options.pool_bytes = (hot.objects() * kObject * 5 / 4 + (64 << 20)) >> 21 << 21;
    options.index_entries = hot.objects() * 2;
    options.emulated_gb_s = link.gb_s;
    options.emulated_ns = link.ns;
    if (near) options.near_bytes = (hot.objects() * kObject * 5 / 4 + (16 << 20)) >> 21 << 21;
    std::string why = live_.start(report.options(), options);
    if (!why.empty()) return why;
    layout_ = layout_of(kObject, preset);
    number_ = live_.add(layout_);
    why = live_.put(number_, layout_, 0, hot.objects(), [&](uint64_t i) { return hot.object(i); });
    for (uint64_t i = 0; i < hot.objects(); ++i) keys_.push_back(bench::key_of(i));
    return why.empty() && near ? read_until_near() : why;
  }
  uint64_t turn(uint64_t count) {
    for (uint64_t i = 0; i < count; ++i) read(hot_->pick());
    return count;
  }
  uint64_t missed() const { return missed_; }
  const Live& live() const { return live_; }

 private:
  void read(uint64_t object) {
    speckv_get_op op{};
    std::memcpy(op.key, keys_[object].data(), sizeof op.key);
    set_views(layout_, hot_->place(), &views_);
    op.buf = {0, layout_.layers, views_.data()};
    op.flags = SPECKV_GET_STREAM;
    missed_ += speckv_get(live_.session(), number_, &op, 1) != 1;
  }
  std::string read_until_near() {
    for (int round = 0; round < kRoundsMax; ++round) {
      for (uint64_t i = 0; i < hot_->objects(); ++i) read(i);
      if (live_.near_blocks() == hot_->objects()) return "";
      std::this_thread::sleep_for(std::chrono::milliseconds(25));
    }
    return std::to_string(live_.near_blocks()) + " of " + std::to_string(hot_->objects()) +
           " objects came near";
  }

  HotSet* hot_ = nullptr;
  Live live_;
  speckv_layout layout_{};
  uint32_t number_ = 0;
  std::vector<Key> keys_;
  std::vector<speckv_view> views_;
  uint64_t missed_ = 0;
};

void run_one(Report& report, const std::string& name, const Link& link, uint32_t preset) {
  if (!report.wants(name)) return;
  report.progress(name);
  HotSet hot(kObject, report.options().quick ? 64 << 20 : 0);
  Side pool, near;
  std::string why = pool.start(report, hot, link, preset, false);
  if (why.empty()) why = near.start(report, hot, link, preset, true);
  if (!why.empty()) return report.skip(name, why);
  const std::vector<Contender> contenders{{"pool", [&] { return pool.turn(4); }},
                                          {"near", [&] { return near.turn(4); }}};
  for (int i = 0; i < 8; ++i) pool.turn(4), near.turn(4);
  const auto timings = take_turns(contenders, report.options().quick ? 20 : 150, Clock::thread_cpu);
  if (pool.missed() + near.missed() > 0) return report.skip(name, "objects missed");
  Row row;
  row.name = name;
  row.against = "pool";
  row.unit = "µs CPU";
  row.value = timings[1].median_s * 1e6;
  row.ratio = timings[0].median_s / timings[1].median_s;
  row.samples = timings[1].samples;
  row.spread = timings[1].spread;
  char text[160];
  std::snprintf(text, sizeof text, "%s; from the pool %.0f µs; random of %llu MiB raw",
                near.live().setting().c_str(), timings[0].median_s * 1e6,
                static_cast<unsigned long long>(hot.objects() * kObject >> 20));
  row.setting = text;
  report.add(row);
}

}  // namespace

void suite_near(Report& report) {
  for (const uint32_t preset :
       {SPECKV_PRESET_EXACT, SPECKV_PRESET_NEAR_LOSSLESS, SPECKV_PRESET_COMPACT})
    for (const Link& link : kLinks)
      run_one(report, "near/1MiB/" + std::string(codec::preset_name(preset)) + "/" + link.name,
              link, preset);
}

}  // namespace speckv::bench
