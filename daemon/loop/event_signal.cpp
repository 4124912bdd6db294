// SPDX-License-Identifier: Apache-2.0
// event_signal.cpp - see event_signal.hpp.
#include "loop/event_signal.hpp"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cstdint>

namespace speckv {

namespace {
constexpr unsigned events_max = 64;  // completions that the kernel keeps for us
constexpr unsigned collect_at = 32;
}  // namespace

EventSignal::~EventSignal() {
  if (context_) syscall(SYS_io_destroy, context_);
  if (null_fd_ >= 0) close(null_fd_);
}

Status EventSignal::open() {
  null_fd_ = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (null_fd_ < 0) return Status::from_errno("/dev/null");
  if (syscall(SYS_io_setup, events_max, &context_) != 0)
    return Status::from_errno(
        "io_setup: speckvd wakes its clients by kernel AIO (CONFIG_AIO, allowed by the seccomp "
        "filter, room in /proc/sys/fs/aio-max-nr)");
  return {};
}

int EventSignal::signal(int event_fd) {
  std::byte nothing{};
  iocb request{};
  request.aio_lio_opcode = IOCB_CMD_PREAD;
  request.aio_fildes = uint32_t(null_fd_);
  request.aio_buf = reinterpret_cast<uintptr_t>(&nothing);
  request.aio_nbytes = sizeof nothing;
  request.aio_flags = IOCB_FLAG_RESFD;
  request.aio_resfd = uint32_t(event_fd);
  iocb* requests[] = {&request};
  if (uncollected_ >= collect_at)
    if (const int error = collect()) return error;
  if (syscall(SYS_io_submit, context_, 1L, requests) != 1) return -errno;
  uncollected_++;
  return 0;
}

int EventSignal::collect() {
  std::array<io_event, events_max> events;
  timespec at_once{};
  const long count =
      syscall(SYS_io_getevents, context_, 0L, long(events.size()), events.data(), &at_once);
  if (count < 0) return -errno;
  uncollected_ -= unsigned(count);
  for (long i = 0; i < count; i++)
    if (events[size_t(i)].res < 0) return int(events[size_t(i)].res);
  return 0;
}

}  // namespace speckv
