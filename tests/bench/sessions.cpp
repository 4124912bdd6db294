// SPDX-License-Identifier: Apache-2.0
// sessions.cpp - reads a file of sessions and makes synthetic ones. See sessions.hpp.
#include "sessions.hpp"

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <unordered_map>

namespace speckv::bench {
namespace {

constexpr uint32_t kFileBlockTokens = 64;
constexpr uint32_t kRoot = UINT32_MAX;

uint64_t mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
  return x ^ (x >> 31);
}

// Gives a dense id to each joined block under its parent.
class Joiner {
 public:
  explicit Joiner(uint32_t join) : join_(join) {}
  void new_session() { ids_.clear(); }
  // `kept` leading ids of `chain` are right already.
  void join(std::span<const uint32_t> small, uint32_t kept, std::vector<uint32_t>* chain) {
    chain->resize(kept);
    for (size_t at = size_t(kept) * join_; at + join_ <= small.size(); at += join_) {
      uint64_t hash = mix(chain->empty() ? kRoot : chain->back());
      for (uint32_t i = 0; i < join_; ++i) hash = mix(hash ^ (small[at + i] + 1));
      const auto [found, is_new] = ids_.try_emplace(hash, distinct_);
      distinct_ += is_new ? 1 : 0;
      chain->push_back(found->second);
    }
  }
  uint32_t distinct() const { return distinct_; }

 private:
  uint32_t join_;
  uint32_t distinct_ = 0;
  std::unordered_map<uint64_t, uint32_t> ids_;
};

// Returns: false when the line is not of the format.
bool add_session(const nlohmann::json& line, uint32_t join, Joiner& joiner, SessionTrace& trace) {
  if (!line.is_object() || !line.contains("requests") || !line["requests"].is_array()) return false;
  std::vector<std::vector<uint32_t>> small, joined;
  joiner.new_session();
  for (const auto& request : line["requests"]) {
    const uint32_t from = request.at("from").get<uint32_t>();
    const uint32_t keep = request.at("keep").get<uint32_t>();
    const double t = request.at("t").get<double>();
    const double api = request.value("api", 0.0);
    if (from > small.size() || t < 0 || api < 0) return false;
    std::vector<uint32_t> now;
    uint32_t kept = 0;
    std::vector<uint32_t> chain;
    if (from > 0) {
      const auto& before = small[small.size() - from];
      if (keep > before.size()) return false;
      now.assign(before.begin(), before.begin() + keep);
      chain = joined[joined.size() - from];
      kept = std::min<uint32_t>(keep / join, uint32_t(chain.size()));
    }
    for (const auto& range : request.at("new")) {
      const uint32_t first = range.at(0).get<uint32_t>(), count = range.at(1).get<uint32_t>();
      for (uint32_t i = 0; i < count; ++i) now.push_back(first + i);
    }
    joiner.join(now, kept, &chain);
    trace.requests.push_back({uint64_t(t * 1e9), uint64_t(api * 1e9), uint32_t(trace.blocks.size()),
                              uint32_t(chain.size())});
    trace.blocks.insert(trace.blocks.end(), chain.begin(), chain.end());
    small.push_back(std::move(now));
    joined.push_back(std::move(chain));
  }
  return true;
}

}  // namespace

Trace SessionTrace::flat() const {
  std::vector<std::pair<uint64_t, uint32_t>> order;
  for (const Session& session : sessions) {
    for (uint32_t i = 0; i < session.requests; ++i) {
      const uint32_t number = session.first_request + i;
      order.push_back({session.start_ns + requests[number].at_ns, number});
    }
  }
  std::sort(order.begin(), order.end());
  Trace trace;
  trace.name = name;
  trace.blocks = blocks;
  trace.distinct = distinct;
  for (const auto& [at_ns, number] : order)
    trace.requests.push_back({at_ns, requests[number].first, requests[number].count});
  return trace;
}

bool holds_sessions(const std::string& path) {
  std::ifstream in(path);
  std::string start(256, '\0');
  in.read(start.data(), std::streamsize(start.size()));
  return start.find("\"requests\"") != std::string::npos;
}

bool load_sessions(const std::string& path, const SessionOptions& options, SessionTrace* ret_trace,
                   std::string* ret_error) {
  std::ifstream in(path);
  if (!in) {
    *ret_error = "cannot open trace '" + path + "': give TRACE= a readable JSON-lines file";
    return false;
  }
  if (options.block_tokens == 0 || options.block_tokens % kFileBlockTokens != 0) {
    *ret_error = "blocks of " + std::to_string(options.block_tokens) +
                 " tokens cannot be joined from blocks of 64: give a multiple of 64";
    return false;
  }
  SessionTrace trace;
  trace.name = path.substr(path.find_last_of('/') + 1);
  trace.block_tokens = options.block_tokens;
  Joiner joiner(options.block_tokens / kFileBlockTokens);
  std::mt19937_64 random(options.seed);
  std::uniform_real_distribution<double> start_s(0, options.hours * 3600);
  std::string text;
  for (uint32_t number = 0; std::getline(in, text); ++number) {
    if (number % options.every != options.offset) continue;
    const uint32_t first = uint32_t(trace.requests.size());
    bool good = false;
    try {
      good = add_session(nlohmann::json::parse(text), options.block_tokens / kFileBlockTokens,
                         joiner, trace);
    } catch (const nlohmann::json::exception&) {
    }
    if (!good) {
      *ret_error = path + ":" + std::to_string(number + 1) +
                   ": expected an object with \"requests\": each t, from, keep, new [[first, n]]";
      return false;
    }
    trace.sessions.push_back(
        {uint64_t(start_s(random) * 1e9), first, uint32_t(trace.requests.size()) - first});
  }
  if (trace.requests.empty()) {
    *ret_error = path + ": no requests in it";
    return false;
  }
  trace.distinct = joiner.distinct();
  *ret_trace = std::move(trace);
  return true;
}

SessionTrace sessions_of(const Trace& trace, uint32_t block_tokens) {
  SessionTrace made;
  made.name = trace.name;
  made.block_tokens = block_tokens;
  made.blocks = trace.blocks;
  made.distinct = trace.distinct;
  for (const auto& request : trace.requests) {
    made.sessions.push_back({request.now_ns, uint32_t(made.requests.size()), 1});
    made.requests.push_back({0, 0, request.first, request.count});
  }
  return made;
}

SessionTrace synthetic_sessions(const SyntheticSessions& config) {
  std::mt19937_64 random(config.seed);
  std::uniform_real_distribution<double> uniform;
  std::lognormal_distribution<double> tool_s(std::log(8.0), 0.6);
  std::lognormal_distribution<double> pause_s(std::log(config.pause_s), 0.4);
  SessionTrace trace;
  trace.name = "synthetic sessions(seed " + std::to_string(config.seed) + ")";
  trace.block_tokens = 1024;
  for (uint32_t s = 0; s < config.sessions; ++s) {
    const bool pauses = s % 2 == 0;
    const uint64_t start_ns = uint64_t(uniform(random) * config.hours * 3600e9);
    trace.sessions.push_back({start_ns, uint32_t(trace.requests.size()), config.turns});
    std::vector<uint32_t> chain;
    double t = 0;
    for (uint32_t turn = 0; turn < config.turns; ++turn) {
      if (config.never_again && turn > 0 && turn % 4 == 0) chain.clear();
      const uint32_t grown = chain.empty() ? config.first_blocks : uint32_t(random() % 3);
      for (uint32_t i = 0; i < grown; ++i) chain.push_back(trace.distinct++);
      trace.requests.push_back({uint64_t(t * 1e9), 5'000'000'000, uint32_t(trace.blocks.size()),
                                uint32_t(chain.size())});
      trace.blocks.insert(trace.blocks.end(), chain.begin(), chain.end());
      const bool long_one =
          config.never_again ? turn % 4 == 3 : pauses && uniform(random) < config.pause_share;
      t += 5 + (long_one ? pause_s(random) : tool_s(random));
    }
  }
  return trace;
}

}  // namespace speckv::bench
