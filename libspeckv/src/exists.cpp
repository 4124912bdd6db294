// SPDX-License-Identifier: Apache-2.0
// exists.cpp - speckv_exists: the index alone, in groups whose cache misses overlap. No system
// call, no daemon turn.
#include <cerrno>
#include <cstring>

#include "src/connect.hpp"
#include "src/handle.hpp"
#include "src/views.hpp"

namespace speckv::lib {
namespace {

// Returns: keys that are there under a fingerprint which is not known here.
uint32_t look_group(const Connection& connection, const LayoutInfo& info,
                    const uint8_t (*keys)[SPECKV_KEY_BYTES], uint32_t count, uint8_t* ret_hits) {
  Key address[group_keys];
  uint64_t hash[group_keys];
  const shm::IndexView* view[group_keys];
  for (uint32_t i = 0; i < count; i++) {
    address[i] = masked(Key::from(keys[i]), info.mask);
    hash[i] = hash_key(address[i]);
    view[i] = &connection.views[shard_of(hash[i], connection.shards)];
    view[i]->prefetch(hash[i]);
  }
  for (uint32_t i = 0; i < count; i++) view[i]->prefetch_entry(hash[i]);
  uint32_t foreign = 0;
  for (uint32_t i = 0; i < count; i++) {
    shm::Entry entry;
    const bool found = view[i]->find(address[i], hash[i], &entry);
    const bool known = found && info.widths_of(entry.fingerprint);
    foreign += found && !known;
    ret_hits[i] = known && entry.layers == info.segments;
  }
  return foreign;
}

uint32_t leading(const uint8_t* hits, uint32_t count) {
  const void* miss = std::memchr(hits, 0, count);
  return miss ? uint32_t(static_cast<const uint8_t*>(miss) - hits) : count;
}

int exists_all(speckv_session* handle, uint32_t layout, const uint8_t (*keys)[SPECKV_KEY_BYTES],
               unsigned count, uint8_t* ret_hits) {
  Call call(handle);
  if (call.result() != 0) return call.result();
  const int batch = check_batch(keys, count);
  if (batch != 0) return batch;
  if (!ret_hits) return -EINVAL;
  const LayoutInfo* info = find_layout(call.session(), layout);
  if (!info) return -EBADF;
  uint32_t foreign = 0;
  {
    const Pin connection(call.session());
    for (uint32_t at = 0; at < count; at += group_keys)
      foreign += look_group(*connection, *info, keys + at,
                            count - at < group_keys ? count - at : group_keys, ret_hits + at);
  }
  if (foreign) want_widths(call.session());
  const uint32_t hits = leading(ret_hits, count);
  if (hits < count) maintain(call.session());
  return int(hits);
}

}  // namespace
}  // namespace speckv::lib

using namespace speckv::lib;

extern "C" int speckv_exists(speckv_session* handle, uint32_t layout,
                             const uint8_t (*keys)[SPECKV_KEY_BYTES], unsigned count,
                             uint8_t* ret_hits) {
  return told(exists_all(handle, layout, keys, count, ret_hits), ret_hits, count);
}
