// SPDX-License-Identifier: Apache-2.0
// suite_exists.cpp - rows exists/{10k..10M}: a key's lookup, in batches of 64 of which half miss,
// beside a pointer chase over the same bytes.
//
// The index is a live daemon's, filled with blocks of 64 raw bytes. The chase follows one random
// cycle through a buffer as large as the index; each step waits for the one before, as a lookup
// that nobody overlapped would. Hits must be exactly the keys that were put.
#include <cstdio>
#include <cstring>
#include <numeric>
#include <random>

#include "live.hpp"
#include "memory.hpp"

namespace speckv::bench {
namespace {

constexpr uint32_t kBatch = 64;
constexpr uint32_t kBatchesPerTurn = 256;
constexpr uint64_t kLineBytes = 64;
constexpr uint64_t kEntryBytes = 64;      // of the index, see docs/protocol.md
constexpr uint64_t kPoolPerBlock = 256;   // stored bytes of such a block, with its slot's header
constexpr uint64_t kAbsent = 1ull << 40;  // numbers of keys that were never put

speckv_layout tiny_layout() {
  speckv_layout layout{};
  layout.size = sizeof layout;
  layout.dtype = SPECKV_DTYPE_F16;
  layout.layers = 1;
  layout.kv_heads = 1;
  layout.head_dim = 1;
  layout.block_tokens = 16;
  layout.page_tokens = 16;
  layout.world = 1;
  layout.preset = SPECKV_PRESET_EXACT;
  return layout;
}

// One cycle through all lines of a buffer, in random order (Sattolo).
class Chase {
 public:
  explicit Chase(uint64_t bytes) : buffer_(bytes), lines_(bytes / kLineBytes) {
    std::vector<uint32_t> order(lines_);
    std::iota(order.begin(), order.end(), 0u);
    std::mt19937_64 random(3);
    for (uint64_t i = lines_ - 1; i > 0; --i) std::swap(order[i], order[random() % i]);
    for (uint64_t i = 0; i < lines_; ++i) {
      std::memcpy(buffer_.at(i * kLineBytes), &order[i], sizeof order[i]);
    }
  }
  uint64_t turn(uint64_t steps) {
    for (uint64_t i = 0; i < steps; ++i) {
      std::memcpy(&line_, buffer_.at(uint64_t(line_) * kLineBytes), sizeof line_);
    }
    return steps;
  }

 private:
  Buffer buffer_;
  uint64_t lines_;
  uint32_t line_ = 0;
};

std::string count_text(uint64_t n) {
  return n >= 1'000'000 ? std::to_string(n / 1'000'000) + "M" : std::to_string(n / 1000) + "k";
}

// Keys of one turn, made before it: the even ones were put, the odd ones not.
void draw_keys(uint64_t entries, std::mt19937_64& random, std::vector<Key>* ret_keys) {
  for (size_t i = 0; i < ret_keys->size(); ++i) {
    const uint64_t number = random() % entries;
    (*ret_keys)[i] = key_of(i % 2 ? kAbsent + number : number);
  }
}

void run_one(Report& report, uint64_t entries) {
  const std::string name = "exists/" + count_text(entries);
  if (!report.wants(name)) return;
  report.progress(name);
  Live live;
  LiveOptions options;
  options.pool_bytes = std::max<uint64_t>(entries * kPoolPerBlock * 5 / 4, 64 << 20) >> 21 << 21;
  options.index_entries = entries * 5 / 4;
  std::string why = live.start(report.options(), options);
  if (!why.empty()) return report.skip(name, why);
  const speckv_layout layout = tiny_layout();
  const uint32_t number = live.add(layout);
  const Buffer raw(4096);
  why = live.put(number, layout, 0, entries, [&](uint64_t) { return raw.at(0); });
  if (!why.empty()) return report.skip(name, why);

  Chase chase(options.index_entries * kEntryBytes);
  std::mt19937_64 random(9);
  std::vector<Key> keys(kBatch * kBatchesPerTurn);
  std::vector<uint8_t> hits(kBatch);
  uint64_t wrong = 0;
  auto lookup = [&] {
    for (uint32_t b = 0; b < kBatchesPerTurn; ++b) {
      const auto* batch = reinterpret_cast<const uint8_t(*)[SPECKV_KEY_BYTES]>(&keys[b * kBatch]);
      speckv_exists(live.session(), number, batch, kBatch, hits.data());
      for (uint32_t i = 0; i < kBatch; ++i) wrong += hits[i] != (i % 2 == 0);
    }
    return uint64_t(kBatch) * kBatchesPerTurn;
  };
  std::vector<double> lookup_s, chase_s;
  const uint32_t rounds = report.options().quick ? 10 : 60;
  for (uint32_t round = 0; round <= rounds; ++round) {
    draw_keys(entries, random, &keys);
    const auto timings =
        take_turns({{"chase", [&] { return chase.turn(4096); }}, {"exists", lookup}}, 1,
                   Clock::thread_cpu, false);
    if (round == 0) continue;
    chase_s.push_back(timings[0].median_s);
    lookup_s.push_back(timings[1].median_s);
  }
  if (wrong > 0) return report.skip(name, std::to_string(wrong) + " answers were wrong");
  const Timing exists = timing_of(lookup_s), chased = timing_of(chase_s);
  Row row;
  row.name = name;
  row.value = exists.median_s * 1e9;
  row.unit = "ns";
  row.against = "pointer-chase";
  row.ratio = exists.median_s / chased.median_s;
  row.goal = entries == 10'000'000 ? "<= 0.5" : "";
  row.setting = "per key, batches of 64, half misses; chase over " +
                std::to_string(options.index_entries * kEntryBytes >> 20) + " MiB; " +
                live.setting();
  row.samples = exists.samples;
  row.spread = exists.spread;
  report.add(row);
}

}  // namespace

void suite_exists(Report& report) {
  for (uint64_t entries : {10'000ull, 100'000ull, 1'000'000ull, 10'000'000ull}) {
    if (report.options().quick && entries > 1'000'000) {
      report.skip("exists/" + count_text(entries), "--quick");
      continue;
    }
    run_one(report, entries);
  }
}

}  // namespace speckv::bench
