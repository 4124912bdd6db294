// SPDX-License-Identifier: Apache-2.0
#include "src/teardown.hpp"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/maps.hpp"
#include "src/tables.hpp"

namespace speckv::lib {
namespace {

void close_session_fds(Session& session) {
  close_fd(session.wake);
  close_fd(session.user_poll);
  close_fd(session.user_event);
}

// Of a session whose opening failed early, some tables were never made.
void give_back(void* table, size_t bytes) {
  if (table) munmap(table, bytes);
}

}  // namespace

void discard(Connection& connection) {
  unmap(connection.pool);
  unmap(connection.near);
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
    unmap(connection.near);
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
  give_back(session.records, records_max * sizeof(Record));
  give_back(session.blocks, blocks_max * sizeof(OpenBlock));
  give_back(session.layouts, layouts_max * sizeof(LayoutInfo));
  session.records = nullptr;
  session.blocks = nullptr;
  session.layouts = nullptr;
}

uint64_t inode_of(int fd) {
  struct stat status;
  return fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode) ? uint64_t(status.st_ino) : 0;
}

void close_inherited(const Session& session) {
  for (const Connection& connection : session.connections)
    if (connection.in_use.load() && connection.socket_inode != 0 &&
        inode_of(connection.socket) == connection.socket_inode)
      close(connection.socket);
}

}  // namespace speckv::lib
