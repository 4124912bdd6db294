// SPDX-License-Identifier: Apache-2.0
// trace.cpp - reads a trace file and makes synthetic ones. See trace.hpp.
#include "trace.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>
#include <queue>
#include <random>
#include <string_view>
#include <unordered_map>

namespace speckv::bench {
namespace {

// The text after `"key":`, or empty.
std::string_view value_of(std::string_view line, std::string_view key) {
  const size_t at = line.find(key);
  if (at == std::string_view::npos) return {};
  const size_t colon = line.find(':', at + key.size());
  if (colon == std::string_view::npos) return {};
  const size_t from = line.find_first_not_of(" \t", colon + 1);
  return from == std::string_view::npos ? std::string_view{} : line.substr(from);
}

bool parse_number(std::string_view& text, double* ret_value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *ret_value);
  if (error != std::errc{}) return false;
  text.remove_prefix(size_t(end - text.data()));
  return true;
}

bool parse_ids(std::string_view text, std::vector<uint64_t>* ret_ids) {
  ret_ids->clear();
  if (text.empty() || text.front() != '[') return false;
  text.remove_prefix(1);
  for (;;) {
    const size_t from = text.find_first_not_of(" \t,");
    if (from == std::string_view::npos) return false;
    text.remove_prefix(from);
    if (text.front() == ']') return true;
    uint64_t id = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
    if (error != std::errc{}) return false;
    ret_ids->push_back(id);
    text.remove_prefix(size_t(end - text.data()));
  }
}

}  // namespace

bool load_trace(const std::string& path, Trace* ret_trace, std::string* ret_error) {
  std::ifstream in(path);
  if (!in) {
    *ret_error = "cannot open trace '" + path + "': give TRACE= a readable JSON-lines file";
    return false;
  }
  Trace trace;
  trace.name = path.substr(path.find_last_of('/') + 1);
  std::unordered_map<uint64_t, uint32_t> dense;
  std::vector<uint64_t> ids;
  std::string line;
  for (size_t number = 1; std::getline(in, line); ++number) {
    if (line.empty()) continue;
    std::string_view time_text = value_of(line, "\"timestamp\"");
    double time_ms = 0;
    if (!parse_number(time_text, &time_ms) || time_ms < 0 ||
        !parse_ids(value_of(line, "\"hash_ids\""), &ids)) {
      *ret_error =
          path + ":" + std::to_string(number) +
          ": expected an object with \"timestamp\": milliseconds and \"hash_ids\": [numbers]";
      return false;
    }
    trace.requests.push_back(
        {uint64_t(time_ms * 1e6), uint32_t(trace.blocks.size()), uint32_t(ids.size())});
    for (uint64_t id : ids) {
      trace.blocks.push_back(dense.try_emplace(id, uint32_t(dense.size())).first->second);
    }
  }
  if (trace.requests.empty()) {
    *ret_error = path + ": no requests in it";
    return false;
  }
  trace.distinct = uint32_t(dense.size());
  *ret_trace = std::move(trace);
  return true;
}

Trace synthetic_trace(const SyntheticConfig& config) {
  struct Turn {
    double at_s;
    uint32_t session;
    bool operator>(const Turn& other) const { return at_s > other.at_s; }
  };
  std::mt19937_64 random(config.seed);
  std::exponential_distribution<double> arrival(1.0);
  std::lognormal_distribution<double> think_s(std::log(config.think_s_median), config.think_sigma);
  std::geometric_distribution<uint32_t> first_blocks(1.0 / config.first_blocks_mean);
  std::geometric_distribution<uint32_t> turn_blocks(1.0 / config.turn_blocks_mean);
  std::uniform_real_distribution<double> uniform;

  // of all requests 1 - return_share (about) open a session
  const double sessions_per_s = config.requests_per_s * (1.0 - config.return_share);
  Trace trace;
  trace.name = "synthetic(seed " + std::to_string(config.seed) + ")";
  trace.distinct = 1;  // block 0 is the system prompt that all share
  std::vector<std::vector<uint32_t>> chains;
  std::vector<uint32_t> turns;
  std::priority_queue<Turn, std::vector<Turn>, std::greater<>> due;
  double next_session_s = 0;
  while (trace.requests.size() < config.requests) {
    if (due.empty() || next_session_s < due.top().at_s) {
      due.push({next_session_s, uint32_t(chains.size())});
      chains.push_back({0});
      turns.push_back(0);
      next_session_s += arrival(random) / sessions_per_s;
    }
    const Turn now = due.top();
    due.pop();
    auto& chain = chains[now.session];
    const uint32_t grown =
        1 + (turns[now.session] == 0 ? first_blocks(random) : turn_blocks(random));
    for (uint32_t i = 0; i < grown; ++i) chain.push_back(trace.distinct++);
    trace.requests.push_back(
        {uint64_t(now.at_s * 1e9), uint32_t(trace.blocks.size()), uint32_t(chain.size())});
    trace.blocks.insert(trace.blocks.end(), chain.begin(), chain.end());
    const double again = std::min(0.85, config.return_share + 0.1 * turns[now.session]++);
    if (uniform(random) < again) due.push({now.at_s + think_s(random), now.session});
  }
  return trace;
}

}  // namespace speckv::bench
