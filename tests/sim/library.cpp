// SPDX-License-Identifier: Apache-2.0
// library.cpp - see library.hpp. Compiled as the library's files are: with a simulated clock and
// poll(2), and a hook between the steps of the read protocol.
#include "library.hpp"

#include <sys/mman.h>

#include <new>

#include "library_layout.hpp"
#include "src/connect.hpp"
#include "src/handle.hpp"
#include "world.hpp"

namespace speckv::sim {

namespace {

using namespace speckv::lib;

void* map_zeroed(size_t bytes) {
  void* map = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return map == MAP_FAILED ? nullptr : map;
}

void connect(Connection& connection, const SharedMemory& memory) {
  connection.in_use.store(true);
  connection.shards = 1;
  connection.session = {memory.session, memory.session_bytes, memory.session_bytes};
  connection.pool = {memory.pool, memory.pool_bytes, memory.pool_bytes};
  connection.near = {memory.near, memory.near_bytes, memory.near_bytes};
  connection.index = {memory.index, memory.index_bytes, memory.index_bytes};
  connection.views[0] = shm::IndexView(memory.index, 0);
  connection.doorbells[0] = -1;
  connection.hold_ns_max = 60'000'000'000;
  connection.pool_page_bytes = 4096;
  demand(connection.arena.reset(uint32_t(memory.arena_bytes / shm::arena_chunk_bytes)) == 0,
         "no memory for a session's arena");
}

}  // namespace

LibrarySession::LibrarySession(const SharedMemory& memory,
                               const std::vector<speckv_layout>& layouts, uint64_t hold_seed) {
  Slot* slot = nullptr;
  demand(slot_take(&slot) == 0, "the library has no free slot for a session");
  if (!slot->memory) slot->memory = map_zeroed(sizeof(Session));
  auto* session = new (slot->memory) Session();
  session->records = static_cast<Record*>(map_zeroed(records_max * sizeof(Record)));
  session->blocks = static_cast<OpenBlock*>(map_zeroed(blocks_max * sizeof(OpenBlock)));
  session->layouts = static_cast<LayoutInfo*>(map_zeroed(layouts_max * sizeof(LayoutInfo)));
  session->hold_seed = hold_seed;
  session->next_check_ns.store(UINT64_MAX);  // the simulation says when the daemon is gone
  Connection& connection = session->connections[0];
  connect(connection, memory);
  for (uint32_t i = 0; i < layouts.size(); i++) {
    fill_layout(layouts[i], &session->layouts[i]);
    connection.layout_number[i].store(int16_t(i));
  }
  session->layouts_count.store(uint32_t(layouts.size()));
  session->current.store(&connection);
  slot_ = slot;
  session_ = session;
  slot_publish(*slot, session, &handle_);
}

LibrarySession::~LibrarySession() {
  bool forked = false;
  slot_shut(handle_, &forked);
  auto& session = *static_cast<Session*>(session_);
  munmap(session.records, records_max * sizeof(Record));
  munmap(session.blocks, blocks_max * sizeof(OpenBlock));
  munmap(session.layouts, layouts_max * sizeof(LayoutInfo));
  session.~Session();
  slot_free(*static_cast<Slot*>(slot_));
}

void LibrarySession::lose() {
  auto& session = *static_cast<Session*>(session_);
  Locked rings(session.rings);
  mark_lost(session, session.connections[0]);
}

uint32_t LibrarySession::under_way() const {
  return uint32_t(static_cast<Session*>(session_)->connections[0].under_way_total);
}

bool LibrarySession::all_answered_once() const {
  const auto& session = *static_cast<Session*>(session_);
  const shm::ShardArea& area = session.connections[0].area(0);
  return area.sq_head.value == session.connections[0].sq_tail[0] &&
         area.cq_tail.value == uint32_t(area.sq_head.value + session.connections[0].first_answers);
}

}  // namespace speckv::sim
