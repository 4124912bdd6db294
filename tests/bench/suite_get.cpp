// SPDX-License-Identifier: Apache-2.0
// suite_get.cpp - rows get/{4KiB..4MiB}/{preset}: speckv_get() out of a live pool, beside memcpy of
// the raw bytes.
//
// Every block is checked by the library as always (key, fingerprint, generation, checksum). Here
// each object must hit, and `exact` must give back its bytes; a row of which one did not is not
// printed as a time. 4 KiB goes in batches of 64, once from all of 1 GiB and once from what fits
// the second-level cache; larger objects one a call.
#include <sys/resource.h>

#include <array>
#include <cstdio>
#include <cstring>

#include "codec/codec.hpp"
#include "hot_set.hpp"
#include "live.hpp"

namespace speckv::bench {
namespace {

constexpr uint32_t kBatch = 64;
constexpr uint64_t kBatchBelow = 64 << 10;  // objects smaller than this go in batches
constexpr uint64_t kSmall = 4 << 10;
constexpr uint64_t kL2SetBytes = 128 << 10;   // with a ring as large: half of a 512 KiB L2
constexpr uint64_t kSmallSetBytes = 1 << 30;  // the design's "random in 1 GiB"

uint64_t minor_faults() {
  rusage usage{};
  getrusage(RUSAGE_THREAD, &usage);
  return uint64_t(usage.ru_minflt);
}

// One thread's reads from the pool.
class Reader {
 public:
  Reader(HotSet& hot, Live& live, uint32_t number, const speckv_layout& layout)
      : hot_(hot), live_(live), number_(number), layout_(layout) {
    for (uint64_t i = 0; i < hot.objects(); ++i) keys_.push_back(key_of(i));
    batch_ = hot.object_bytes() < kBatchBelow ? kBatch : 1;
    ops_.resize(batch_);
    picked_.resize(batch_);
    views_.resize(batch_);
  }

  uint64_t turn(uint64_t per_turn, uint32_t flags) {
    const uint64_t faults_before = minor_faults();
    for (uint64_t at = 0; at < per_turn; at += batch_) {
      for (uint64_t& object : picked_) {  // who asks has the keys at hand
        object = hot_.pick();
        __builtin_prefetch(keys_[object].data());
      }
      for (uint32_t i = 0; i < batch_; ++i) {
        speckv_get_op& op = ops_[i];
        std::memcpy(op.key, keys_[picked_[i]].data(), sizeof op.key);
        set_views(layout_, hot_.place(), &views_[i]);
        op.buf = {0, layout_.layers, views_[i].data()};
        op.flags = flags;
      }
      const int n = speckv_get(live_.session(), number_, ops_.data(), batch_);
      missed_ += n < 0 ? batch_ : batch_ - uint32_t(n);
    }
    faults_ += minor_faults() - faults_before;
    return per_turn;
  }

  // Whether an object comes back as it was put; not asked of codecs that round.
  bool same_bytes(uint64_t i) {
    speckv_get_op& op = ops_[0];
    std::byte* const to = hot_.place();
    std::memset(to, 0, hot_.object_bytes());
    std::memcpy(op.key, keys_[i].data(), sizeof op.key);
    set_views(layout_, to, &views_[0]);
    op.buf = {0, layout_.layers, views_[0].data()};
    op.flags = 0;
    return speckv_get(live_.session(), number_, &op, 1) == 1 &&
           std::memcmp(to, hot_.object(i), hot_.object_bytes()) == 0;
  }
  uint64_t missed() const { return missed_; }
  uint64_t faults() const { return faults_; }
  uint32_t batch() const { return batch_; }
  void forget_counts() { missed_ = faults_ = 0; }

 private:
  HotSet& hot_;
  Live& live_;
  uint32_t number_;
  const speckv_layout& layout_;
  std::vector<Key> keys_;
  uint32_t batch_ = 1;
  std::vector<speckv_get_op> ops_;
  std::vector<uint64_t> picked_;
  std::vector<std::vector<speckv_view>> views_;
  uint64_t missed_ = 0;
  uint64_t faults_ = 0;
};

std::string goal_of(const Row& row, double copy_ns) {
  if (row.name == "get/1MiB/exact") return ">= 0.85";
  if (row.name == "get/1MiB/q8") return ">= 1.0";
  if (row.name == "get/1MiB/near-lossless") return ">= 0.7";
  if (row.name == "get/1MiB/compact") return ">= 0.6";
  char text[64] = "";
  if (row.name.rfind("get/4KiB/", 0) == 0) {
    std::snprintf(text, sizeof text, "value <= %.0f", copy_ns + 400);
  } else if (row.name.rfind("get-l2/4KiB/", 0) == 0) {
    std::snprintf(text, sizeof text, "value <= %.0f", copy_ns + 150);
  }
  return text;
}

void add_row(Report& report, const std::string& name, const HotSet& hot, const Reader& reader,
             const std::vector<Timing>& timings, const Live& live, bool in_l2) {
  const Timing& copy = faster(timings[0], timings[1]);
  const Timing& get = faster(timings[2], timings[3]);
  const bool streams = &get == &timings[3];
  Row row;
  row.name = name;
  row.against = "memcpy";
  if (hot.object_bytes() == kSmall) {
    row.unit = "ns";
    row.value = get.median_s * 1e9;
    row.ratio = get.median_s / copy.median_s;
  } else {
    row.unit = "GB/s";
    row.value = double(hot.object_bytes()) / get.median_s / 1e9;
    row.ratio = copy.median_s / get.median_s;
  }
  row.goal = goal_of(row, copy.median_s * 1e9);
  row.samples = get.samples;
  row.spread = get.spread;
  char text[160];
  std::snprintf(text, sizeof text, "%s; %s of %llu MiB raw, batches of %u, %s stores, %llu faults",
                live.setting().c_str(), in_l2 ? "in L2" : "random",
                static_cast<unsigned long long>(hot.objects() * hot.object_bytes() >> 20),
                reader.batch(), streams ? "streaming" : "plain",
                static_cast<unsigned long long>(reader.faults()));
  row.setting = text;
  report.add(row);
}

void run_one(Report& report, const std::string& name, uint64_t bytes, uint32_t preset,
             uint64_t set_bytes, uint64_t ring_bytes) {
  if (!report.wants(name)) return;
  report.progress(name);
  HotSet hot(bytes, set_bytes, ring_bytes);
  Live live;
  LiveOptions options;
  options.pool_bytes = (hot.objects() * bytes * 5 / 4 + (64 << 20)) >> 21 << 21;
  options.index_entries = hot.objects() * 2;
  std::string why = live.start(report.options(), options);
  if (!why.empty()) return report.skip(name, why);
  const speckv_layout layout = layout_of(bytes, preset);
  const uint32_t number = live.add(layout);
  why = live.put(number, layout, 0, hot.objects(), [&](uint64_t i) { return hot.object(i); });
  if (!why.empty()) return report.skip(name, why);

  Reader reader(hot, live, number, layout);
  const bool exact = preset == SPECKV_PRESET_EXACT || preset == SPECKV_PRESET_LOSSLESS;
  for (uint64_t i = 0; exact && i < hot.objects(); i += 97) {
    if (!reader.same_bytes(i)) return report.skip(name, "an object came back with other bytes");
  }
  const uint64_t per_turn = std::max<uint64_t>({kBatch, (4 << 20) / bytes, 1});
  std::vector<Contender> contenders = hot.copies(per_turn);
  contenders.push_back({"get", [&] { return reader.turn(per_turn, 0); }});
  contenders.push_back({"stream", [&] { return reader.turn(per_turn, SPECKV_GET_STREAM); }});
  for (int i = 0; i < 8; ++i) reader.turn(per_turn, 0);  // maps and tables are warm
  reader.forget_counts();
  const auto timings = take_turns(contenders, report.options().quick ? 20 : 150, Clock::thread_cpu);
  if (reader.missed() > 0) {
    return report.skip(name, std::to_string(reader.missed()) + " objects missed");
  }
  add_row(report, name, hot, reader, timings, live, ring_bytes != 0);
}

bool exists_in_build(uint32_t preset) {
  codec::Preset made;
  return codec::preset(preset, &made);
}

}  // namespace

void suite_get(Report& report) {
  for (uint32_t preset = SPECKV_PRESET_EXACT; preset <= SPECKV_PRESET_LOSSLESS; ++preset) {
    if (!exists_in_build(preset)) continue;
    const std::string codec(codec::preset_name(preset));
    const bool all_sizes = preset == SPECKV_PRESET_EXACT || preset == SPECKV_PRESET_Q8;
    for (uint64_t bytes = kSmall; bytes <= 4 << 20; bytes *= 4) {
      if (!all_sizes && bytes != 1 << 20) continue;
      const uint64_t set = bytes == kSmall && !report.options().quick ? kSmallSetBytes : 0;
      run_one(report, "get/" + size_text(bytes) + "/" + codec, bytes, preset, set, 0);
    }
    if (!all_sizes) continue;
    run_one(report, "get-l2/4KiB/" + codec, kSmall, preset, kL2SetBytes, kL2SetBytes);
  }
}

}  // namespace speckv::bench
