// SPDX-License-Identifier: Apache-2.0
// sessions.hpp - traces that know who speaks: sessions of requests, each with the time the engine
// took and the time the client thought.
//
// What it is: for every session its start, and for every request of it when it came after that
//   start, how long the engine worked on it, and its chain of block ids. Ids are prefix-chained:
//   the same id stands for the same prefix, so an id has one parent and one position.
// Who calls it: tiers.cpp (which moves requests back when one before them stalls), suite_*.cpp and
//   tests/unit/predict. No policy ever sees a trace, only events.
// Three makers: a file of sessions (one JSON object a line: "requests", each with t, from, keep,
//   new, and perhaps api), a Trace whose requests know nothing of each other, and a generator.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "trace.hpp"

namespace speckv::bench {

struct SessionTrace {
  struct Request {
    uint64_t at_ns;   // since its session began, where nothing stalls
    uint64_t api_ns;  // what the engine takes for it, loads left out; 0 where the file says none
    uint32_t first;   // into blocks
    uint32_t count;
  };
  struct Session {
    uint64_t start_ns;
    uint32_t first_request;
    uint32_t requests;
  };
  std::string name;
  uint32_t block_tokens = 0;
  std::vector<Session> sessions;
  std::vector<Request> requests;  // a session's lie together, in order of time
  std::vector<uint32_t> blocks;   // ids, dense: 0..distinct-1
  uint32_t distinct = 0;

  std::span<const uint32_t> chain(const Request& r) const {
    return {blocks.data() + r.first, r.count};
  }
  // All requests in order of time, as if nothing ever stalled.
  Trace flat() const;
};

// How a file of sessions becomes a day: which of its sessions, and when they begin.
struct SessionOptions {
  uint32_t block_tokens = 1024;  // joined from the file's blocks of 64; a full join only
  double hours = 8;              // sessions begin uniformly over them
  uint64_t seed = 1;
  uint32_t every = 1, offset = 0;  // takes sessions offset, offset + every, ...
};

// Whether the file's lines are sessions (else load_trace() reads it).
bool holds_sessions(const std::string& path);
// Returns: false with one sentence in *ret_error when the file cannot be read or a line is not of
// the format.
bool load_sessions(const std::string& path, const SessionOptions& options, SessionTrace* ret_trace,
                   std::string* ret_error);

// Each request a session of its own: what it waits for moves nobody else.
SessionTrace sessions_of(const Trace& trace, uint32_t block_tokens);

// Agents of our own making, for tests that may not need a file: rounds of tool calls seconds apart,
// now and then a person's pause; some sessions pause long and come back, the rest end. Round
// numbers, no fit to any trace.
struct SyntheticSessions {
  uint64_t seed = 1;
  uint32_t sessions = 60;
  double hours = 2;
  uint32_t first_blocks = 20;
  uint32_t turns = 24;
  double pause_s = 1200;     // a long pause's median
  double pause_share = 0.1;  // of turns in sessions that pause
  bool never_again = false;  // every session turns to new chains instead: predictions are all wrong
};
SessionTrace synthetic_sessions(const SyntheticSessions& config);

}  // namespace speckv::bench
