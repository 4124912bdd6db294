// SPDX-License-Identifier: Apache-2.0
#include "src/connect.hpp"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "src/clock.hpp"
#include "src/maps.hpp"
#include "src/ring.hpp"
#include "src/tables.hpp"
#include "src/teardown.hpp"
#include "src/wire_io.hpp"

namespace speckv::lib {
namespace {

Connection* free_connection(Session& session) {
  reclaim(session);
  for (Connection& connection : session.connections)
    if (!connection.in_use.load()) return &connection;
  return nullptr;
}

int say_hello(const Session& session, int socket) {
  wire::Hello hello{};
  hello.header = wire_header(wire::Type::hello, sizeof hello);
  std::memcpy(hello.namespace_name, session.namespace_name, sizeof hello.namespace_name);
  hello.arena_bytes = session.arena_bytes;
  hello.features = wire::feature_near;
  return send_message(socket, &hello, sizeof hello);
}

int send_layout(const Session& session, int socket, uint32_t layout) {
  wire::LayoutRequest request{};
  request.header = wire_header(wire::Type::layout, sizeof request);
  request.layout = session.layouts[layout].layout;
  return send_message(socket, &request, sizeof request);
}

// Asks for layouts whose turn it is, ahead of their replies. Returns: 0 or -errno.
int ask_layouts(const Session& session, Handshake& handshake) {
  const uint32_t end = handshake.layout + layouts_ahead_max;
  for (; handshake.asked < session.layouts_count && handshake.asked < end; handshake.asked++) {
    const int result = send_layout(session, handshake.connection->socket, handshake.asked);
    if (result == -EAGAIN && handshake.asked > handshake.layout) break;  // when one is answered
    if (result != 0) return result;
  }
  return 0;
}

// Requires: the handshake's connection is set.
void begin_layouts(Session& session) {
  session.handshake.stage = Handshake::Stage::layouts;
  session.handshake.layout = session.handshake.asked = 0;
  session.handshake.deadline_ns = deadline_after(session.timeout_ns);
}

// What the daemon answered to send_layout(): result is receive_message()'s. Returns: 0 or -errno.
int take_layout_reply(const Session& session, Connection& connection, uint32_t layout, int result,
                      const Message& message) {
  if (result != 0) return result;
  if (message.type() != wire::Type::layout_ok) return -EPROTO;
  const auto& reply = message.as<wire::LayoutReply>();
  if (reply.number >= layouts_max) return -EPROTO;
  const int tables = take_tables(message, &session.layouts[layout]);
  if (tables != 0) return tables;
  connection.layout_number[layout].store(int16_t(reply.number), std::memory_order_release);
  return 0;
}

int take_welcome(Session& session, Connection& connection, Message& message) {
  if (message.type() != wire::Type::welcome) {
    message.close_fds();
    return -EPROTO;
  }
  const auto& welcome = message.as<wire::Welcome>();
  if (welcome.shards < 1 || welcome.shards > shm::shards_max ||
      message.fds_count != wire::fd_doorbell + welcome.shards + (welcome.near_bytes != 0)) {
    message.close_fds();
    return -EPROTO;
  }
  const int result = map_connection(connection, welcome, message.fds);
  if (result != 0) return result;
  begin_layouts(session);
  return ask_layouts(session, session.handshake);
}

int finish(Session& session) {
  Connection* connection = session.handshake.connection;
  session.handshake = {};
  Connection* old = session.current.load();
  if (connection == old) return 1;  // layouts were asked for again
  {
    Locked rings(session.rings);
    if (old) mark_lost(session, *old);
    session.current.store(connection);
    watch_connection(session, old, connection);
  }
  if (old) session.reconnects.fetch_add(1, std::memory_order_relaxed);
  reclaim(session);
  return 1;
}

// Asks the living daemon for all layouts again: it may have other widths than it told of. Without
// waiting: the answers come as those of a handshake do.
void ask_again(Session& session) {
  session.widths_wanted.store(false);
  session.widths_asked_ns.store(now_ns(), std::memory_order_relaxed);
  if (session.layouts_count == 0) return;
  session.handshake.connection = session.current.load();
  begin_layouts(session);
  if (ask_layouts(session, session.handshake) == 0) return;
  if (session.handshake.asked > 0) handshake_drop(session);
  else session.handshake = {};
}

// A layout that the daemon refuses now does not end the connection; these do.
bool fatal(int result) {
  return result == -ECONNRESET || result == -EPROTO || result == -ETIMEDOUT;
}

}  // namespace

int handshake_start(Session& session) {
  Connection* connection = free_connection(session);
  if (!connection) return -EAGAIN;
  int socket = -1;
  int result = dial(session.socket_path, session.peer, &socket);
  if (result == 0) {
    result = say_hello(session, socket);
    if (result == -ECONNRESET) result = 0;  // gone already: its answer may be there, and says why
    if (result != 0) close(socket);
  }
  if (result != 0) return result;
  connection->in_use.store(true);
  connection->lost.store(false);
  connection->shards = 0;
  connection->socket = socket;
  connection->socket_inode = inode_of(socket);
  for (auto& number : connection->layout_number) number.store(layout_refused);
  session.handshake.stage = Handshake::Stage::welcome;
  session.handshake.connection = connection;
  session.handshake.deadline_ns = deadline_after(session.timeout_ns);
  return 0;
}

void handshake_drop(Session& session) {
  Connection* connection = session.handshake.connection;
  session.handshake = {};
  if (!connection) return;
  if (connection != session.current.load()) return discard(*connection);
  // An answer that comes later would be taken for another one's.
  Locked rings(session.rings);
  mark_lost(session, *connection);
}

bool finish_asking(Session& session) {
  const bool asking = session.handshake.connection == session.current.load();
  while (asking && session.handshake.stage != Handshake::Stage::idle)
    if (handshake_step(session, session.handshake.deadline_ns) < 0) return false;
  return session.handshake.stage == Handshake::Stage::idle;
}

int handshake_step(Session& session, uint64_t until_ns) {
  Handshake& handshake = session.handshake;
  Connection& connection = *handshake.connection;
  const bool more =
      handshake.stage == Handshake::Stage::welcome || handshake.layout < session.layouts_count;
  if (!more) return finish(session);
  Message message;
  int result = receive_message(connection.socket, until_ns, &message);
  if (result == -EAGAIN && !message.answered) {
    if (now_ns() < handshake.deadline_ns) return 0;
    result = -ETIMEDOUT;
  }
  if (handshake.stage == Handshake::Stage::welcome) {
    if (result == 0) result = take_welcome(session, connection, message);
  } else {
    result = take_layout_reply(session, connection, handshake.layout, result, message);
    message.close_fds();
    if (!fatal(result)) {
      handshake.layout++;
      handshake.deadline_ns = deadline_after(session.timeout_ns);
      result = ask_layouts(session, handshake);
    }
  }
  if (result != 0) {
    handshake_drop(session);
    return result;
  }
  if (handshake.stage == Handshake::Stage::layouts && handshake.layout >= session.layouts_count)
    return finish(session);
  return 0;
}

int register_on_wire(Session& session, uint32_t layout, uint64_t until_ns) {
  Connection& connection = *session.current.load();
  int result = send_layout(session, connection.socket, layout);
  if (result != 0) return result == -ECONNRESET ? -ENOTCONN : result;
  Message message;
  do {
    result = receive_message(connection.socket, until_ns, &message);
  } while (result == -EAGAIN && !message.answered && now_ns() < until_ns);
  if (result == -EAGAIN && !message.answered) result = -ETIMEDOUT;
  result = take_layout_reply(session, connection, layout, result, message);
  message.close_fds();
  if (fatal(result)) {
    // A reply that comes later would be taken for another one's: this connection is of no more use.
    Locked rings(session.rings);
    mark_lost(session, connection);
  }
  return result == -ECONNRESET ? -ENOTCONN : result;
}

bool hung_up(const Connection& connection) {
  if (connection.lost.load()) return true;
  if (connection.retired()) return true;
  pollfd poll_fd{connection.socket, POLLRDHUP, 0};
  return poll(&poll_fd, 1, 0) > 0 && (poll_fd.revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL));
}

void want_widths(Session& session) {
  if (session.widths_wanted.exchange(true, std::memory_order_relaxed)) return;
  // At once, but a foreign block that is asked for again and again costs no more than maintain().
  if (now_ns() - session.widths_asked_ns.load(std::memory_order_relaxed) >= check_every_ns)
    session.next_check_ns.store(0, std::memory_order_relaxed);
}

void mark_lost(Session& session, Connection& connection) {
  if (connection.lost.exchange(true)) return;
  drain_connection(session, connection);
  fail_under_way(session, connection);
  watch_lost(session, connection);
  session.rings.wake_all();
  wake_leader(session);
}

void maintain(Session& session) {
  const uint64_t now = now_ns();
  if (now < session.next_check_ns.load(std::memory_order_relaxed)) return;
  if (!session.control.try_lock()) return;
  uint64_t next = now + check_every_ns;
  Connection* current = session.current.load();
  if (session.handshake.stage == Handshake::Stage::idle && hung_up(*current)) {
    {
      Locked rings(session.rings);
      mark_lost(session, *current);
    }
    if (now >= session.next_attempt_ns) {
      session.next_attempt_ns = now + check_every_ns;
      handshake_start(session);
    }
  }
  if (session.handshake.stage == Handshake::Stage::idle && session.widths_wanted.load() &&
      !current->lost.load())
    ask_again(session);
  // A daemon that is up answers at once: several messages may be there already.
  while (session.handshake.stage != Handshake::Stage::idle) {
    const Handshake before = session.handshake;
    if (handshake_step(session, 0) != 0) break;
    if (session.handshake.stage == before.stage && session.handshake.layout == before.layout) break;
  }
  // A new daemon's memory is read at once, and populated by whoever calls here, a little each time.
  bool whole = session.handshake.stage == Handshake::Stage::idle;
  if (whole && !session.current.load()->lost.load())
    whole = populate(*session.current.load(), populate_step_bytes);
  if (!whole) next = now + handshake_step_ns;
  session.next_check_ns.store(next, std::memory_order_relaxed);
  session.control.unlock();
}

}  // namespace speckv::lib
