// SPDX-License-Identifier: Apache-2.0
// io_ring.hpp - loop/io.hpp by io_uring: one ring a data thread.
//
// Used as the kernel wants it: one thread submits (SINGLE_ISSUER), completions are worked off when
// that thread asks (DEFER_TASKRUN), doorbells are watched by multishot polls. Kernels that lack the
// two flags do without. A full submission queue is submitted, a full completion queue is flushed by
// the kernel when we ask again; polls that ended so are started again by their owner.
#pragma once

#include <liburing.h>

#include <atomic>

#include "loop/event_signal.hpp"
#include "loop/io.hpp"
#include "status.hpp"

namespace speckv {

class IoRing final : public Io {
 public:
  IoRing() = default;
  ~IoRing() override;
  IoRing(const IoRing&) = delete;
  IoRing& operator=(const IoRing&) = delete;

  // Any thread. commands: with room for command(), which makes every entry twice as large.
  Status open(bool commands = false);
  Status attach();  // the thread that calls everything below

  [[nodiscard]] int poll(Operation* operation, int fd) override;
  [[nodiscard]] int read(Operation* operation, int fd, std::span<std::byte> into,
                         uint64_t offset) override;
  [[nodiscard]] int write(Operation* operation, int fd, std::span<const std::byte> from,
                          uint64_t offset) override;
  [[nodiscard]] int sync(Operation* operation, int fd) override;
  [[nodiscard]] int command(Operation* operation, int fd, uint32_t call,
                            std::span<const std::byte> words) override;
  [[nodiscard]] int cancel(Operation* operation) override;
  [[nodiscard]] int signal(int event_fd) override;
  void wait(uint64_t wait_ns) override;
  void reap(std::vector<Operation*>* ret_completed) override;

  // Calls of the kernel that failed and should not have. Any thread.
  uint64_t errors() const { return errors_.load(std::memory_order_relaxed); }

 private:
  io_uring_sqe* entry(Operation* operation);
  int checked(int result);

  io_uring ring_{};
  bool open_ = false, has_commands_ = false;
  EventSignal signal_;
  std::atomic<uint64_t> errors_{0};
};

}  // namespace speckv
