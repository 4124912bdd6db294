// SPDX-License-Identifier: Apache-2.0
#include "src/teardown.hpp"

#include <sys/mman.h>

#include "src/maps.hpp"
#include "src/tables.hpp"

namespace speckv::lib {
namespace {

void close_session_fds(Session& session) {
  close_fd(session.wake);
  close_fd(session.user_poll);
  close_fd(session.user_event);
}

}  // namespace

void discard(Connection& connection) {
  unmap(connection.pool);
  unmap(connection.index);
  unmap(connection.session);
  close_descriptors(connection);
  connection.in_use.store(false);
}

void reclaim(Session& session) {
  const Connection* current = session.current.load();
  for (Connection& connection : session.connections) {
    if (!connection.in_use.load() || &connection == current ||
        &connection == session.handshake.connection)
      continue;
    if (connection.readers_now() != 0) continue;
    unmap(connection.pool);
    unmap(connection.index);
    if (connection.holders.load() == 0) discard(connection);
  }
}

void end_session(Session& session) {
  session.current.store(nullptr);
  session.handshake = {};
  for (Connection& connection : session.connections)
    if (connection.in_use.load()) discard(connection);
  close_session_fds(session);
  for (uint32_t i = 0; i < session.layouts_count.load(); i++) drop_tables(&session.layouts[i]);
  munmap(session.records, records_max * sizeof(Record));
  munmap(session.blocks, blocks_max * sizeof(OpenBlock));
  munmap(session.layouts, layouts_max * sizeof(LayoutInfo));
  session.records = nullptr;
  session.blocks = nullptr;
  session.layouts = nullptr;
}

void close_inherited(Session& session) {
  for (Connection& connection : session.connections)
    if (connection.in_use.load()) close_descriptors(connection);
  close_session_fds(session);
}

}  // namespace speckv::lib
