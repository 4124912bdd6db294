// SPDX-License-Identifier: Apache-2.0
// changes.cpp - speckv_changes and speckv_resident: follows what is in the namespace
// by the index that is mapped anyway (shm/changes.hpp). No daemon turn; a system call only as in
// other calls that miss.
#include <cerrno>
#include <cstring>

#include "src/connect.hpp"
#include "src/handle.hpp"
#include "src/views.hpp"

namespace speckv::lib {
namespace {

static_assert(SPECKV_CHANGE_STORED == uint32_t(shm::ChangeKind::placed));
static_assert(SPECKV_CHANGE_REMOVED == uint32_t(shm::ChangeKind::erased));
static_assert(SPECKV_SHARDS_MAX == shm::shards_max);

void tell(speckv_change& ret_change, const Key& address, uint32_t kind) {
  std::memcpy(ret_change.id, address.word, sizeof ret_change.id);
  ret_change.kind = kind;
  ret_change.reserved = 0;
}

// Puts the cursor at the newest change of each shard, and counts what it passes by.
void start_over(const Connection& connection, speckv_cursor& cursor) {
  const uint64_t epoch = connection.index_header().epoch;
  const bool known = cursor.epoch == epoch;
  for (uint32_t shard = 0; shard < connection.shards; shard++) {
    const uint64_t newest = shm::load_acquire(connection.views[shard].changes().newest);
    if (known && newest > cursor.next[shard]) cursor.lost += newest - cursor.next[shard];
    cursor.next[shard] = newest;
  }
  cursor.epoch = epoch;
}

// Returns: how many changes of this shard, or -EOVERFLOW.
int read_shard(const shm::ChangeRing& ring, uint64_t& next, speckv_change* ret_changes,
               unsigned max) {
  const uint64_t newest = shm::load_acquire(ring.newest);
  if (newest < next || newest - next > shm::change_entries) return -EOVERFLOW;
  unsigned count = 0;
  for (; next < newest && count < max; count++, next++) {
    shm::Change change;
    if (!shm::read_change(ring, next + 1, &change)) return -EOVERFLOW;
    tell(ret_changes[count], change.key, change.kind);
  }
  return int(count);
}

int read_changes(const Connection& connection, speckv_cursor& cursor, speckv_change* ret_changes,
                 unsigned max) {
  if (cursor.epoch != connection.index_header().epoch) {
    start_over(connection, cursor);
    return -EOVERFLOW;
  }
  unsigned count = 0;
  for (uint32_t shard = 0; shard < connection.shards && count < max; shard++) {
    const int more = read_shard(connection.views[shard].changes(), cursor.next[shard],
                                ret_changes + count, max - count);
    if (more < 0) {
      start_over(connection, cursor);
      return more;
    }
    count += unsigned(more);
  }
  return int(count);
}

// Buckets of all shards are counted through: position is the next one's number.
int look_through(const Connection& connection, uint64_t& position, speckv_change* ret_changes,
                 unsigned max) {
  const uint64_t buckets = connection.views[0].buckets();
  unsigned count = 0;
  for (; position < buckets * connection.shards; position++) {
    if (max - count < shm::bucket_entries) break;
    Key addresses[shm::bucket_entries];
    const int found =
        connection.views[position / buckets].addresses(uint32_t(position % buckets), addresses);
    if (found < 0) return count ? int(count) : -EAGAIN;
    for (int i = 0; i < found; i++) tell(ret_changes[count++], addresses[i], SPECKV_CHANGE_STORED);
  }
  return int(count);
}

int changes(speckv_session* handle, speckv_cursor* cursor, speckv_change* ret_changes,
            unsigned max) {
  Call call(handle);
  if (call.result() != 0) return call.result();
  if (!cursor || cursor->size < sizeof *cursor || cursor->reserved_word) return -EINVAL;
  const int batch = check_batch(ret_changes, max);
  if (batch != 0) return batch;
  int result = 0;
  {
    const Pin connection(call.session());
    result = read_changes(*connection, *cursor, ret_changes, max);
  }
  if (result <= 0) maintain(call.session());
  return result;
}

int resident(speckv_session* handle, uint64_t* position, speckv_change* ret_changes, unsigned max) {
  Call call(handle);
  if (call.result() != 0) return call.result();
  if (!position || max < shm::bucket_entries) return -EINVAL;
  const int batch = check_batch(ret_changes, max);
  if (batch != 0) return batch;
  int result = 0;
  {
    const Pin connection(call.session());
    // all that is there may be in few of many buckets: an empty stretch is no end
    do {
      result = look_through(*connection, *position, ret_changes, max);
    } while (result == 0 &&
             *position < uint64_t{connection->views[0].buckets()} * connection->shards);
  }
  if (result == -EAGAIN) maintain(call.session());
  return result;
}

}  // namespace
}  // namespace speckv::lib

using namespace speckv::lib;

extern "C" int speckv_changes(speckv_session* handle, speckv_cursor* cursor,
                              speckv_change* ret_changes, unsigned max) {
  return changes(handle, cursor, ret_changes, max);
}

extern "C" int speckv_resident(speckv_session* handle, uint64_t* position,
                               speckv_change* ret_changes, unsigned max) {
  return resident(handle, position, ret_changes, max);
}
