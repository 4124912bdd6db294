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
// In a forked child: closes the descriptors that fork copied. The maps were not copied.
void close_inherited(Session& session);

}  // namespace speckv::lib
