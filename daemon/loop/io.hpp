// SPDX-License-Identifier: Apache-2.0
// io.hpp - what a data thread may ask of the kernel, behind one interface: loop/io_ring does it
// with io_uring, tests do it with plain memory.
//
// An Operation belongs to who starts it. It stays where it is, and so does the memory that it
// names, until it is no longer under_way; its result is looked at then. Completions are handed out
// by reap() and never run anything themselves. Called by one thread.
//
// Never waits but in wait(). What a client shares with us (its event fd, its doorbells) is touched
// by poll(), cancel() and signal() only: the open file is the client's too, so its O_NONBLOCK may
// be cleared at any moment, and a read or a write of it could then wait for ever.
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace speckv {

struct Operation {
  int32_t result = 0;      // of its last completion: what poll(2), read(2), write(2) say, or -errno
  bool under_way = false;  // another completion will come
  uint64_t detail = 0;     // of a command: what else its driver says
};

class Io {
 public:
  virtual ~Io() = default;

  // Each of these returns 0, or a negative errno and nothing was started (-EAGAIN: try later).
  // poll: completes every time that fd becomes readable, until it is cancelled or fails.
  [[nodiscard]] virtual int poll(Operation* operation, int fd) = 0;
  [[nodiscard]] virtual int read(Operation* operation, int fd, std::span<std::byte> into,
                                 uint64_t offset) = 0;
  [[nodiscard]] virtual int write(Operation* operation, int fd, std::span<const std::byte> from,
                                  uint64_t offset) = 0;
  // What was written to fd before this was asked for is durable when it has completed with 0.
  [[nodiscard]] virtual int sync(Operation* operation, int fd) = 0;
  // A command of fd's driver by io_uring's passthrough, of at most 80 bytes; they are copied.
  // -EOPNOTSUPP: this Io has no room for commands.
  [[nodiscard]] virtual int command(Operation* operation, int fd, uint32_t call,
                                    std::span<const std::byte> words) {
    (void)operation, (void)fd, (void)call, (void)words;
    return -EOPNOTSUPP;
  }
  // The operation still completes, with -ECANCELED or with what it had done already.
  [[nodiscard]] virtual int cancel(Operation* operation) = 0;

  // Adds 1 to an eventfd, at once. Never waits, whatever flags and count its other owners gave it.
  [[nodiscard]] virtual int signal(int event_fd) = 0;

  // Starts what was asked for and sleeps until something completed, at most this long.
  virtual void wait(uint64_t wait_ns) = 0;
  // Appends each operation that completed since the last call, one entry a completion.
  virtual void reap(std::vector<Operation*>* ret_completed) = 0;
};

}  // namespace speckv
