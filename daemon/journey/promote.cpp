// SPDX-License-Identifier: Apache-2.0
// promote.cpp - station 5, prefetch: a block that was asked for ahead is made readable in the pool.
//
// There is no tier below the pool yet: a block is in the pool, or it is missing.
#include "journey/promote.hpp"

#include <cerrno>

#include "journey/shard.hpp"

namespace speckv {

FetchReply Shard::fetch(const Key& key, const Layout& layout, uint64_t /*deadline_ns*/,
                        uint64_t /*bytes_max*/, uint64_t now_ns) {
  shm::Entry known;
  if (!index_.find(key, hash_key(key), &known) || !layout.widths->takes(known.fingerprint))
    return {Fetch::missing, 0};
  touch(known.block, now_ns);
  return {Fetch::ready, 0};
}

void Shard::cancel_fetch(const Key& /*key*/) {}

int Shard::demote(const Key& /*key*/, const Layout& /*layout*/) { return -EOPNOTSUPP; }

}  // namespace speckv
