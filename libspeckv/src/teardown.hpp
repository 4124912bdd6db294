// SPDX-License-Identifier: Apache-2.0
// teardown.hpp - gives back what connections and sessions hold, when nobody uses it any more.
//
// Memory of the structs themselves is kept (handle.hpp, connection.hpp say why). Requires: control
// locked, or no other thread in the session.
#pragma once

#include "src/session.hpp"

namespace speckv::lib {

// Unmaps old connections: pool and index when no call reads them, the rest when no put or page lies
// in it.
void reclaim(Session& session);
// Of a connection that no one ever saw, or sees any more.
void discard(Connection& connection);
// Ends a session whose slot is shut and empty.
void end_session(Session& session);
// In a forked child, whose descriptors may have been closed and their numbers taken by its own
// files since: closes the sockets that are still the parent's, so that the daemon sees the parent's
// end. Event fds have no identity and stay open until exec or exit. The maps were not copied.
void close_inherited(const Session& session);
// Returns: the inode of an open socket, 0 where fd is none.
uint64_t inode_of(int fd);

}  // namespace speckv::lib
