// SPDX-License-Identifier: Apache-2.0
// wait.cpp - sleeping for completions: one leader in poll(), the others on the session's condition;
// and the descriptor that the user polls, which follows the connections.
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>

#include "src/clock.hpp"
#include "src/connect.hpp"
#include "src/handle.hpp"
#include "src/ring.hpp"

namespace speckv::lib {
namespace {

void set(int event) {
  const uint64_t one = 1;
  static_cast<void>(!write(event, &one, sizeof one));
}
void clear(int event) {
  uint64_t count;
  static_cast<void>(!read(event, &count, sizeof count));
}

// Requires: rings locked; unlocks it while asleep. The connection is pinned: its descriptors stay
// ours.
void sleep_as_leader(Session& session, uint64_t deadline_ns) {
  Connection& connection = *session.current.load();
  std::atomic<uint32_t>& pin = connection.readers[0].count;
  pin.fetch_add(1);
  session.leader = true;
  const bool lost = connection.lost.load();
  session.rings.unlock();
  pollfd fds[] = {
      {session.wake, POLLIN, 0}, {connection.event, POLLIN, 0}, {connection.socket, POLLRDHUP, 0}};
  const uint64_t now = now_ns();
  const uint64_t left_ms = deadline_ns > now ? (deadline_ns - now + 999'999) / 1'000'000 : 0;
  poll(fds, lost ? 1 : 3, int(left_ms < 60'000 ? left_ms : 60'000));
  session.rings.lock();
  session.leader = false;
  if (fds[0].revents) clear(session.wake);
  if (!lost && fds[1].revents) clear_event(connection);
  if (!lost && (fds[2].revents & (POLLRDHUP | POLLHUP | POLLERR))) mark_lost(session, connection);
  pin.fetch_sub(1);
}

int watch(int poll_fd, int fd, uint32_t events) {
  epoll_event event{};
  event.events = events;
  return epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : -errno;
}

}  // namespace

void clear_event(const Connection& connection) { clear(connection.event); }

void wake_leader(Session& session) {
  if (session.leader) set(session.wake);
}

int wait_until(Session& session, uint64_t deadline_ns, bool (*done)(const void*),
               const void* argument) {
  for (;;) {
    drain(session);
    if (done(argument)) return 0;
    if (session.closing.load()) return -ESHUTDOWN;
    if (now_ns() >= deadline_ns) return -ETIMEDOUT;
    if (session.leader) {
      session.rings.wait_until(deadline_ns);
      continue;
    }
    sleep_as_leader(session, deadline_ns);
    drain(session);
    if (!session.queue_empty()) signal_user(session);
    session.rings.wake_all();
  }
}

void watch_connection(Session& session, const Connection* old, const Connection* connection) {
  if (session.user_poll < 0) return;
  if (old) epoll_ctl(session.user_poll, EPOLL_CTL_DEL, old->event, nullptr);
  watch(session.user_poll, connection->event, EPOLLIN);
  watch(session.user_poll, connection->socket, EPOLLRDHUP);
}

// A socket that hung up is readable for ever: nobody wants to be woken by it twice.
void watch_lost(Session& session, const Connection& connection) {
  if (session.user_poll < 0) return;
  epoll_ctl(session.user_poll, EPOLL_CTL_DEL, connection.socket, nullptr);
}

void signal_user(Session& session) {
  if (session.user_poll < 0 || session.user_event_set) return;
  session.user_event_set = true;
  set(session.user_event);
}

void unsignal_user(Session& session) {
  if (!session.user_event_set) return;
  session.user_event_set = false;
  clear(session.user_event);
}

}  // namespace speckv::lib

using namespace speckv::lib;

extern "C" int speckv_event_fd(speckv_session* handle) {
  Call call(handle);
  if (call.result() != 0) return call.result();
  Session& session = call.session();
  Locked rings(session.rings);
  if (session.user_poll >= 0) return session.user_poll;
  const int poll_fd = epoll_create1(EPOLL_CLOEXEC);
  if (poll_fd < 0) return -errno;
  const int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  int result = event < 0 ? -errno : watch(poll_fd, event, EPOLLIN);
  const Connection& connection = *session.current.load();
  if (result == 0) result = watch(poll_fd, connection.event, EPOLLIN);
  if (result == 0 && !connection.lost.load())
    result = watch(poll_fd, connection.socket, EPOLLRDHUP);
  if (result != 0) {
    if (event >= 0) close(event);
    close(poll_fd);
    return result;
  }
  session.user_poll = poll_fd;
  session.user_event = event;
  if (!session.queue_empty()) signal_user(session);
  return poll_fd;
}
