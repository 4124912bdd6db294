// SPDX-License-Identifier: Apache-2.0
// connect.hpp - the handshake, the loss of a daemon, and how the library finds the next one by
// itself.
//
// There is no thread: the handshake is a state machine that calls which miss, write or reap move
// on, without waiting. Only speckv_open() and speckv_layout_register() wait, with a deadline.
#pragma once

#include "src/session.hpp"

namespace speckv::lib {

// Requires: control locked. Connects and says hello; the handshake is then under way. Returns: 0 or
// -errno.
int handshake_start(Session& session);
// Requires: control locked, a handshake under way. Waits for the daemon's next message until
// `until_ns` (0: not at all) and acts on it. Returns: 1 the new connection is current, 0 go on, or
// -errno: the handshake is over.
int handshake_step(Session& session, uint64_t until_ns);
void handshake_drop(Session& session);
// Requires: control locked. Ends an asking for layouts that is under way on the current connection,
// waiting for it. Returns: false when the socket is busy with a new connection, or lost.
bool finish_asking(Session& session);

// Requires: control locked, session.current live. Returns: 0 or -errno.
int register_on_wire(Session& session, uint32_t layout, uint64_t until_ns);

// Looks whether the daemon is still there, at most every 100 ms, and reconnects. Any thread,
// without locks and pins; never waits for the daemon nor for another thread that does this already.
void maintain(Session& session);
// A block was stored by widths that this session does not know: the next maintain() asks the daemon
// for the layouts again. Any thread.
void want_widths(Session& session);
// Marks as lost and completes everything under way with -ECONNRESET. Requires: rings locked.
void mark_lost(Session& session, Connection& connection);
bool hung_up(const Connection& connection);

}  // namespace speckv::lib
