// SPDX-License-Identifier: Apache-2.0
// suite_speculate.cpp - rows speculate/SLOTS/ARM: how long requests wait for blocks that lie below
// the pool.
//
// Pool 10 % of the trace's distinct bytes, spill 40 %, a link of 7 GB/s, blocks of 128 KiB a token
// (an 8B model's KV in 16 bits). Row /rate: requests/s, beside demand alone. Value: mean stall of a
// request in milliseconds, over three draws of when sessions begin; against `none`, demand alone
// with the default eviction. SLOTS: how many requests the engine serves at once: 0 is any number
// (nobody queues), fewer make them queue. All is simulated; nothing is timed but the rows
// speculate/event and speculate/bytes.
#include <algorithm>
#include <chrono>
#include <functional>

#include "arms.hpp"
#include "bench.hpp"
#include "evict_arms.hpp"

namespace speckv::bench {
namespace {

constexpr uint64_t kBytesPerToken = 131'072;
constexpr double kPoolShare = 0.10, kSpillShare = 0.40, kLinkGbS = 7;
constexpr double kPerfectAheadS = 60;
constexpr double kTailStallS = 0.5;  // what tail-optimised LRU allows

struct Sum {
  TierResult total;
  uint32_t runs = 0;
  void add(const TierResult& r) {
    ++runs;
    total.requests += r.requests;
    total.stalled += r.stalled;
    total.stall_s += r.stall_s;
    total.stall_p99_s += r.stall_p99_s;
    total.queue_s += r.queue_s;
    total.demanded += r.demanded;
    total.fetched += r.fetched;
    total.useful += r.useful;
    total.late += r.late;
    total.wasted += r.wasted;
    total.end_s += r.end_s;
    total.slot_busy_s += r.slot_busy_s;
    total.refused += r.refused;
  }
  // The clock of the trace ends with its last request, whatever came before it.
  double requests_s() const { return double(total.requests) / total.end_s; }
};

struct Arm {
  std::string name;
  std::string goal;
  std::function<TierResult(const SessionTrace&, TierConfig)> run;
};

Arm speculator_arm(const std::string& name, std::array<bool, predict::kSources> on,
                   const std::string& goal) {
  return {name, goal, [on](const SessionTrace& trace, const TierConfig& config) {
            predict::SpeculatorOptions options;
            options.on = on;
            SpeculatorArm arm(trace, config, options);
            return replay_tiers(trace, config, &arm);
          }};
}

// Clients that say so much before it when they will be back.
Arm told_arm(const std::string& name, double told_s, const std::string& goal) {
  return {name, goal, [told_s](const SessionTrace& trace, TierConfig config) {
            config.told_s = told_s;
            SpeculatorArm arm(trace, config, {});
            return replay_tiers(trace, config, &arm);
          }};
}

Arm policy_arm(const std::string& name) {
  return {name, "", [name](const SessionTrace& trace, TierConfig config) {
            config.pool_policy = name;
            return replay_tiers(trace, config, nullptr);
          }};
}

std::vector<Arm> arms(uint32_t slots) {
  std::vector<Arm> list;
  list.push_back({"none", "", [](const SessionTrace& trace, const TierConfig& config) {
                    return replay_tiers(trace, config, nullptr);
                  }});
  list.push_back(policy_arm("lru"));
  list.push_back(policy_arm("s3fifo"));
  list.push_back({"tail-lru", "", [](const SessionTrace& trace, TierConfig config) {
                    const double block_s = double(config.block_bytes) / (kLinkGbS * 1e9);
                    config.make_pool_policy = [&](uint32_t capacity) {
                      return make_tail_lru(trace, capacity, uint32_t(kTailStallS / block_s));
                    };
                    return replay_tiers(trace, config, nullptr);
                  }});
  list.push_back({"belady", "", [](const SessionTrace& trace, TierConfig config) {
                    config.make_pool_policy = [&](uint32_t capacity) {
                      return make_belady(trace, capacity);
                    };
                    return replay_tiers(trace, config, nullptr);
                  }});
  list.push_back({"perfect", "", [](const SessionTrace& trace, const TierConfig& config) {
                    PerfectArm arm(trace, kPerfectAheadS);
                    return replay_tiers(trace, config, &arm);
                  }});
  list.push_back({"markov", "", [](const SessionTrace& trace, const TierConfig& config) {
                    MarkovArm arm(trace);
                    return replay_tiers(trace, config, &arm);
                  }});
  list.push_back(speculator_arm("chain", {true, false, false, false}, ""));
  list.push_back(speculator_arm("session", {false, false, false, true}, ""));
  list.push_back(speculator_arm("child", {false, false, true, false}, ""));
  list.push_back(
      speculator_arm("speculation", predict::kAllSources, slots == 10 ? "<= 0.4" : "<= 1.05"));
  list.push_back(told_arm("told-2s", 2, ""));
  list.push_back(told_arm("told-5s", 5, slots == 0 ? "<= 0.4" : ""));
  list.push_back({"wrong", "", [](const SessionTrace& trace, const TierConfig& config) {
                    WrongArm arm(trace, true);
                    return replay_tiers(trace, config, &arm);
                  }});
  return list;
}

// The queue never ends there, and neither do most arms.
bool at_one_slot(const std::string& name) {
  for (const char* each : {"none", "perfect", "chain", "speculation", "wrong"})
    if (name == each) return true;
  return false;
}

void add_row(Report& report, const std::string& name, const Sum& sum, double none_ms,
             const std::string& goal, const std::string& setting) {
  Row row;
  row.name = name;
  row.value = sum.total.stall_ms_mean();
  row.unit = "ms";
  row.against = "none";
  if (none_ms > 0) row.ratio = row.value / none_ms;
  row.goal = goal;
  char text[320];
  std::snprintf(text, sizeof text,
                "%s; p99 %.2f s, queued %.1f s, demanded %lu, fetched %lu, useful %lu (%.3f), late "
                "%lu, wasted %lu, refused %lu",
                setting.c_str(), sum.total.stall_p99_s / sum.runs,
                sum.total.queue_s / double(sum.total.requests), (unsigned long)sum.total.demanded,
                (unsigned long)sum.total.fetched, (unsigned long)sum.total.useful,
                sum.total.useful_share(), (unsigned long)sum.total.late,
                (unsigned long)sum.total.wasted, (unsigned long)sum.total.refused);
  row.setting = text;
  row.samples = sum.runs;
  report.add(row);
}

// How many requests the engine serves, beside demand alone: the last answer comes later where
// stalls are longer.
void add_rate(Report& report, const std::string& name, const Sum& sum, const Sum& none) {
  Row row;
  row.name = name + "/rate";
  row.value = sum.requests_s();
  row.unit = "1/s";
  row.against = "none";
  row.ratio = sum.requests_s() / none.requests_s();
  row.goal = ">= 0.97";
  row.setting = "simulated";
  row.samples = sum.runs;
  report.add(row);
}

// The draws of one trace: sessions begin at other times in each.
bool find_draws(Report& report, std::vector<SessionTrace>* ret_draws) {
  const std::string& path = report.options().trace;
  std::string error;
  if (path.empty()) {
    report.skip("speculate/* on a real trace",
                "TRACE= names none; these rows are on sessions of our own making");
    ret_draws->push_back(synthetic_sessions({}));
    return true;
  }
  if (!holds_sessions(path)) {
    Trace trace;
    if (load_trace(path, &trace, &error)) {
      ret_draws->push_back(sessions_of(trace, 512));
      return true;
    }
    report.skip("speculate/*", error);
    return false;
  }
  for (uint64_t seed = 1; seed <= (report.options().quick ? 1u : 3u); ++seed) {
    SessionOptions options;
    options.seed = seed;
    SessionTrace draw;
    if (!load_sessions(path, options, &draw, &error)) {
      report.skip("speculate/*", error);
      return false;
    }
    ret_draws->push_back(std::move(draw));
  }
  return true;
}

TierConfig config_for(const SessionTrace& trace, uint32_t slots) {
  TierConfig config;
  config.pool_blocks = std::max(1u, uint32_t(kPoolShare * trace.distinct));
  config.spill_blocks = std::max(1u, uint32_t(kSpillShare * trace.distinct));
  config.block_bytes = trace.block_tokens * kBytesPerToken;
  config.link_gb_s = kLinkGbS;
  config.engine_slots = slots;
  return config;
}

// What an event costs the predictor, alone: a request of n blocks is n events, so is storing them.
void add_costs(Report& report, const SessionTrace& trace) {
  const TierConfig config = config_for(trace, 0);
  predict::SpeculatorOptions options;
  options.blocks_max = config.pool_blocks + config.spill_blocks;
  options.block_bytes = config.block_bytes;
  options.tier_bytes_per_s = uint64_t(kLinkGbS * 1e9);
  predict::Speculator speculator(options);
  const Trace flat = trace.flat();
  std::vector<uint64_t> keys;
  std::vector<double> seconds;
  uint64_t events = 0, turn_events = 0;
  auto begin = std::chrono::steady_clock::now();
  for (const auto& request : flat.requests) {
    keys.clear();
    for (uint32_t id : flat.chain(request)) keys.push_back(key_hash_of(id));
    speculator.on_request(keys, request.now_ns);
    for (size_t i = 0; i < keys.size(); ++i)
      speculator.on_insert(keys[i], i ? keys[i - 1] : 0, request.now_ns);
    predict::Proposal proposals[4];
    speculator.propose(request.now_ns, 4 * config.block_bytes, proposals);
    turn_events += 2 * keys.size();
    if (turn_events < 200'000) continue;
    const auto end = std::chrono::steady_clock::now();
    seconds.push_back(std::chrono::duration<double>(end - begin).count() / double(turn_events));
    events += turn_events;
    turn_events = 0;
    begin = std::chrono::steady_clock::now();
  }
  if (seconds.empty()) return;
  const Timing timing = timing_of(seconds);
  Row row;
  row.name = "speculate/event";
  row.value = timing.median_s * 1e9;
  row.unit = "ns";
  row.goal = "value <= 2000";
  row.setting = "hashing of ids included, trace " + trace.name;
  row.samples = timing.samples;
  row.spread = timing.spread;
  report.add(row);
  Row bytes;
  bytes.name = "speculate/bytes";
  bytes.value = double(speculator.bytes()) / options.blocks_max;
  bytes.unit = "B/block";
  bytes.goal = "value <= 200";
  bytes.setting = std::to_string(options.blocks_max) + " blocks";
  bytes.samples = 1;
  report.add(bytes);
}

}  // namespace

void suite_speculate(Report& report) {
  std::vector<SessionTrace> draws;
  if (!find_draws(report, &draws)) return;
  const bool has_sessions = draws[0].requests.size() > draws[0].sessions.size();
  const std::vector<uint32_t> all_slots =
      has_sessions ? std::vector<uint32_t>{0, 12, 10, 1} : std::vector<uint32_t>{0};
  for (uint32_t slots : all_slots) {
    double none_ms = 0;
    Sum none;
    for (const Arm& arm : arms(slots)) {
      const std::string name = "speculate/" + std::to_string(slots) + "/" + arm.name;
      if (arm.name != "none" && !report.wants(name)) continue;
      if (slots == 1 && !at_one_slot(arm.name)) continue;
      report.progress(name);
      Sum sum;
      for (const SessionTrace& draw : draws) sum.add(arm.run(draw, config_for(draw, slots)));
      if (arm.name == "none") {
        none_ms = sum.total.stall_ms_mean();
        none = sum;
      }
      if (arm.name == "wrong" || arm.name == "speculation") add_rate(report, name, sum, none);
      add_row(report, name, sum, none_ms, arm.goal, "simulated, trace " + draws[0].name);
    }
  }
  add_costs(report, draws[0]);
}

}  // namespace speckv::bench
