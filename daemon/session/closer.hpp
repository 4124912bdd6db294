// SPDX-License-Identifier: Apache-2.0
// closer.hpp - where sockets of clients are closed: here, or on a thread that nobody waits for.
//
// What a client sent along and nobody received goes when its socket goes, and dropping the last
// descriptor of somebody's open file may wait: a TCP socket lingers over unsent data, a file system
// asks its server, who may be that client. So a socket that has such messages in it is closed
// by a thread of its own, which is woken from waits that can be interrupted; one that waits for
// ever keeps the sockets behind it, and nobody else. A user who has many of these is to be let in
// no more, and nobody is when all have too many (control_door.hpp): each keeps its descriptor.
// Where the kernel refuses to pass descriptors (control_door) nothing here ever waits. Any thread.
// Never: receives a descriptor, since that may make its close wait longer.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <functional>
#include <memory>

namespace speckv {

class Closer {
 public:
  using CloseFn = std::function<void(int fd)>;

  explicit Closer(CloseFn close = nullptr);  // a test's own; nullptr: close(2)
  ~Closer();  // what cannot be closed now is left to the end of the process
  Closer(const Closer&) = delete;
  Closer& operator=(const Closer&) = delete;

  // Ends a connection of this user. Never waits.
  void close_connection(int fd, uid_t uid);
  // Closes a socket that others may have written into: on the thread in any case.
  void close_later(int fd, uid_t uid);
  size_t unclosed() const;
  size_t unclosed_of(uid_t uid) const;

 private:
  struct State;  // the thread's, too: it may outlive this
  const std::shared_ptr<State> state_;
};

// Of a connection whose end is ours alone: whether its next message has descriptors with it. They
// stay where they are.
bool has_descriptors(int fd);

}  // namespace speckv
