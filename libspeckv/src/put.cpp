// SPDX-License-Identifier: Apache-2.0
// put.cpp - speckv_put: reserve, copy without a lock, submit. The buffers are the caller's again on
// return.
#include <cerrno>
#include <cstring>

#include "src/connect.hpp"
#include "src/copy.hpp"
#include "src/handle.hpp"
#include "src/views.hpp"
#include "src/write_block.hpp"

namespace speckv::lib {

void copy_layers(std::byte* to, const LayoutInfo& info, const speckv_buf& buf) {
  const bool stream = info.block_bytes >= stream_put_bytes;
  const bool side = has_side(info, buf);
  for (uint32_t i = 0; i < buf.layer_count - side; i++) {
    std::byte* layer = to + (buf.layer_first + i) * info.segment_bytes;
    copy_plane(layer, buf.views[2 * i], info.layout, stream);
    copy_plane(layer + info.half_bytes, buf.views[2 * i + 1], info.layout, stream);
  }
  if (side)
    std::memcpy(to + info.layout.layers * info.segment_bytes,
                buf.views[2 * (buf.layer_count - 1)].base, info.layout.side_bytes);
  if (stream) copy_fence();
}

shm::Submission put_submission(const Key& key, const Meta& meta, int16_t layout_number,
                               uint64_t arena_offset) {
  shm::Submission submission{};
  submission.op = uint8_t(shm::Op::put);
  submission.layout = uint16_t(layout_number);
  submission.position = meta.position;
  submission.key = key;
  submission.parent = meta.parent;
  submission.kind = meta.kind;
  submission.arena_offset = arena_offset;
  return submission;
}

int ready_to_write(Session& session) {
  maintain(session);
  const Pin connection(session);
  return connection->lost.load() ? -ENOTCONN : 0;
}

namespace {

int check_put(const LayoutInfo& info, const speckv_put_op& op) {
  if (op.flags != 0 || op.meta.kind > SPECKV_KIND_SCRATCH) return -EINVAL;
  const int result = check_buf(info, op.buf);
  if (result != 0) return result;
  return is_whole(info, op.buf) ? 0 : -ERANGE;
}

int put_one(Session& session, Connection& connection, uint32_t layout, const LayoutInfo& info,
            const speckv_put_op& op) {
  const int checked = check_put(info, op);
  if (checked != 0) return checked;
  const int16_t number = connection.layout_number[layout];
  if (number == layout_refused) return -EBADF;
  if (info.chunks > connection.arena.chunks()) return -EFBIG;
  const Key key = Key::from(op.key);
  const uint32_t shard = shard_of(hash_key(masked(key, info.mask)), connection.shards);
  Ticket ticket;
  uint32_t chunk = 0;
  {
    Locked rings(session.rings);
    const int result = reserve(session, connection, shard, info.chunks, &ticket);
    if (result != 0) return result;
    Record& record = session.records[ticket.record];
    record.user_data = op.user_data;
    chunk = record.chunk_first;
  }
  copy_layers(connection.arena_base() + chunk_offset(chunk), info, op.buf);
  {
    Locked rings(session.rings);
    const Meta meta{Key::from(op.meta.parent), op.meta.position, uint8_t(op.meta.kind)};
    const int result =
        submit(session, connection, ticket, put_submission(key, meta, number, chunk_offset(chunk)));
    if (result != 0) return result;
  }
  ring_doorbell(connection, shard);
  return 0;
}

int put_all(speckv_session* handle, uint32_t layout, speckv_put_op* ops, unsigned count) {
  Call call(handle);
  if (call.result() != 0) return call.result();
  const int batch = check_batch(ops, count);
  if (batch != 0) return batch;
  Session& session = call.session();
  const LayoutInfo* info = find_layout(session, layout);
  if (!info) return -EBADF;
  const int ready = ready_to_write(session);
  if (ready != 0) return ready;
  const Pin connection(session);
  uint32_t submitted = 0;
  for (unsigned i = 0; i < count; i++) {
    ops[i].ret_result = put_one(session, *connection, layout, *info, ops[i]);
    submitted += ops[i].ret_result == 0;
  }
  session.puts.fetch_add(submitted, std::memory_order_relaxed);
  session.put_bytes.fetch_add(submitted * info->block_bytes, std::memory_order_relaxed);
  return int(submitted);
}

}  // namespace
}  // namespace speckv::lib

using namespace speckv::lib;

extern "C" int speckv_put(speckv_session* handle, uint32_t layout, speckv_put_op* ops,
                          unsigned count) {
  return told(put_all(handle, layout, ops, count), ops, count);
}
