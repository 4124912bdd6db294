// SPDX-License-Identifier: Apache-2.0
#include "src/block.hpp"

#include <cerrno>

#include "src/write_block.hpp"

namespace speckv::lib {
namespace {

uint32_t take_block(Session& session) {
  const uint32_t index = session.blocks_free;
  if (index != no_record) {
    session.blocks_free = session.blocks[index].next;
    return index;
  }
  return session.blocks_used < blocks_max ? session.blocks_used++ : no_record;
}

// Returns: the first of the chunks, draining when there are none; Arena::no_chunk when they are all
// in use.
uint32_t take_chunks(Session& session, Connection& connection, uint32_t chunks) {
  uint32_t first = connection.arena.take(chunks);
  if (first == Arena::no_chunk && drain_connection(session, connection) > 0)
    first = connection.arena.take(chunks);
  return first;
}

}  // namespace

int block_begin(Session& session, uint32_t layout, const LayoutInfo& info, BlockKind kind,
                uint32_t* ret_block) {
  Connection& connection = *session.current.load();
  if (connection.lost.load()) return -ENOTCONN;
  if (connection.layout_number[layout] == layout_refused) return -EBADF;
  if (info.chunks > connection.arena.chunks()) return -EFBIG;
  const uint32_t first = take_chunks(session, connection, info.chunks);
  if (first == Arena::no_chunk) return -EAGAIN;
  const uint32_t index = take_block(session);
  if (index == no_record) {
    connection.arena.give(first, info.chunks);
    return -EAGAIN;
  }
  OpenBlock& block = session.blocks[index];
  const uint32_t generation = block.generation;
  block = {};
  block.generation = generation;
  block.kind = kind;
  block.connection = &connection;
  block.info = &info;
  block.layout = layout;
  block.chunk_first = first;
  block.layers_left = shm::buf_layers(info.layout);
  connection.holders.fetch_add(1);
  *ret_block = index;
  return 0;
}

void block_end(Session& session, uint32_t index, bool keep_chunks) {
  OpenBlock& block = session.blocks[index];
  if (!keep_chunks) block.connection->arena.give(block.chunk_first, block.info->chunks);
  block.connection->holders.fetch_sub(1);
  block.kind = BlockKind::free;
  block.generation++;
  block.next = session.blocks_free;
  session.blocks_free = index;
}

int block_submit(Session& session, uint32_t index, uint64_t user_data, uint32_t* ret_shard) {
  OpenBlock& block = session.blocks[index];
  if (block_lost(session, block)) return -ECONNRESET;
  Connection& connection = *block.connection;
  const int16_t number = connection.layout_number[block.layout];
  const Key address = masked(block.key, block.info->mask);
  const uint32_t shard = shard_of(hash_key(address), connection.shards);
  Ticket ticket;
  const int reserved = reserve(session, connection, shard, 0, &ticket);
  if (reserved != 0) return reserved == -ENOTCONN ? -ECONNRESET : reserved;
  Record& record = session.records[ticket.record];
  record.user_data = user_data;
  record.chunk_first = block.chunk_first;
  record.chunk_count = block.info->chunks;
  submit(session, connection, ticket,
         put_submission(block.key, block.meta, number, chunk_offset(block.chunk_first)));
  session.puts.fetch_add(1, std::memory_order_relaxed);
  session.put_bytes.fetch_add(block.info->block_bytes, std::memory_order_relaxed);
  block_end(session, index, true);
  *ret_shard = shard;
  return 0;
}

int set_meta(const speckv_meta* meta, Meta* ret_meta) {
  *ret_meta = {};
  if (!meta) return 0;
  if (meta->kind > SPECKV_KIND_SCRATCH) return -EINVAL;
  *ret_meta = {Key::from(meta->parent), meta->position, uint8_t(meta->kind)};
  return 0;
}

}  // namespace speckv::lib
