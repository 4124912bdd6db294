// SPDX-License-Identifier: Apache-2.0
// fetch.hpp - what speckv_prefetch*(), speckv_load() and speckv_locate() share: who is to be asked
// about a key, a fetch's submission and its end.
#pragma once

#include "src/session.hpp"

namespace speckv::lib {

struct FetchAsked {
  shm::Op op;  // prefetch or load
  int16_t layout_number;
  uint64_t number;
  uint64_t deadline_ns;
  uint64_t budget;  // of the number, in one shard
};

inline shm::Submission fetch_submission(const FetchAsked& asked, const Key& key,
                                        uint32_t that_follow) {
  shm::Submission submission{};
  submission.op = uint8_t(asked.op);
  submission.layout = uint16_t(asked.layout_number);
  submission.position = that_follow;
  submission.key = key;
  submission.arg = asked.deadline_ns;
  submission.hold = asked.number;
  submission.budget = asked.budget;
  return submission;
}

inline uint32_t shard_of_key(const Connection& connection, const LayoutInfo& info, const Key& key) {
  return shard_of(hash_key(masked(key, info.mask)), connection.shards);
}

using Keys = const uint8_t (*)[SPECKV_KEY_BYTES];

// ret_results[i]: 0 when the index has the key under this layout, and it is touched; else
// not_answered, or -ENOENT where there is no tier below that the daemon could be asked about.
// Returns: how many are to be asked for.
uint32_t look_up(const Connection& connection, const LayoutInfo& info, Keys keys, uint32_t count,
                 int32_t* ret_results);

// Requires: rings locked. The daemon drops what of a number is still on its way. Returns: the
// shards that were asked; the others' rings are full, and there the deadline ends it.
uint64_t end_fetch(Session& session, Connection& connection, uint64_t shards, uint64_t number);

}  // namespace speckv::lib
