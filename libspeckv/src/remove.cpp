// SPDX-License-Identifier: Apache-2.0
// remove.cpp - speckv_remove, _demote and _hint: one submission per key, no data. Removals and
// demotions are reaped by the user, hints answered to nobody.
#include <cerrno>

#include "src/connect.hpp"
#include "src/handle.hpp"
#include "src/ring.hpp"
#include "src/views.hpp"
#include "src/write_block.hpp"

namespace speckv::lib {
namespace {

// Submits keys until one cannot be. internal: nobody is told of the answers. Returns: how many, or
// the first's -errno when it was none.
int submit_keys(speckv_session* handle, uint32_t layout, shm::Submission submission,
                const uint8_t (*keys)[SPECKV_KEY_BYTES], unsigned count, uint64_t user_data,
                bool internal) {
  Call call(handle);
  if (call.result() != 0) return call.result();
  const int batch = check_batch(keys, count);
  if (batch != 0) return batch;
  Session& session = call.session();
  const LayoutInfo* info = find_layout(session, layout);
  if (!info) return -EBADF;
  const int ready = ready_to_write(session);
  if (ready != 0) return ready;
  const Pin connection(session);
  const int16_t number = connection->layout_number[layout];
  if (number == layout_refused) return -EBADF;
  uint64_t shards = 0;
  unsigned done = 0;
  int result = 0;
  {
    Locked rings(session.rings);
    for (; done < count && result == 0; done += result == 0) {
      submission.layout = uint16_t(number);
      submission.key = Key::from(keys[done]);
      const uint32_t shard =
          shard_of(hash_key(masked(submission.key, info->mask)), connection->shards);
      Ticket ticket;
      result = reserve(session, *connection, shard, 0, &ticket);
      if (result != 0) break;
      session.records[ticket.record].user_data = user_data;
      session.records[ticket.record].internal = internal;
      result = submit(session, *connection, ticket, submission);
      shards |= uint64_t{1} << shard;
    }
  }
  for (uint32_t shard = 0; shard < connection->shards; shard++)
    if (shards >> shard & 1) ring_doorbell(*connection, shard);
  return done ? int(done) : result;
}

}  // namespace
}  // namespace speckv::lib

using namespace speckv;
using namespace speckv::lib;

extern "C" int speckv_remove(speckv_session* handle, uint32_t layout,
                             const uint8_t (*keys)[SPECKV_KEY_BYTES], unsigned count,
                             uint64_t user_data) {
  shm::Submission submission{};
  submission.op = uint8_t(shm::Op::remove);
  return submit_keys(handle, layout, submission, keys, count, user_data, false);
}

extern "C" int speckv_demote(speckv_session* handle, uint32_t layout,
                             const uint8_t (*keys)[SPECKV_KEY_BYTES], unsigned count,
                             uint64_t user_data) {
  shm::Submission submission{};
  submission.op = uint8_t(shm::Op::demote);
  return submit_keys(handle, layout, submission, keys, count, user_data, false);
}

extern "C" int speckv_hint(speckv_session* handle, uint32_t layout,
                           const uint8_t (*keys)[SPECKV_KEY_BYTES], unsigned count,
                           const struct speckv_hint* hint) {
  if (!hint || !grown_struct_fits(*hint) || hint->kind > SPECKV_KIND_SCRATCH) return -EINVAL;
  for (uint64_t word : hint->reserved)
    if (word) return -EINVAL;
  shm::Submission submission{};
  submission.op = uint8_t(shm::Op::hint);
  submission.kind = uint8_t(hint->kind);
  submission.returns_ns = hint->returns_ns;
  return submit_keys(handle, layout, submission, keys, count, 0, true);
}
