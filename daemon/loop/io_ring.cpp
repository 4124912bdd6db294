// SPDX-License-Identifier: Apache-2.0
// io_ring.cpp - see io_ring.hpp.
#include "loop/io_ring.hpp"

#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>

namespace speckv {

namespace {
constexpr unsigned entries = 256;  // submissions of one turn; more are submitted in between
// A doorbell of each session, and the mailbox; fewer where the kernel counts the ring against a
// small RLIMIT_MEMLOCK: what overflows waits in the kernel.
constexpr unsigned completions[] = {4096, 512};

// Reads and writes that the kernel's workers may do at once for one ring. By default it has four
// for each processor, which is less than a disk wants.
constexpr unsigned disk_workers = 64;

// From the best to what every kernel with multishot polls has.
constexpr unsigned flags_to_try[] = {IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
                                     IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN, 0};

// Where the payload of a command begins in an entry of 128 bytes.
constexpr size_t command_offset = offsetof(io_uring_sqe, addr3);
constexpr size_t command_bytes_max = 80;
static_assert(command_offset + command_bytes_max == 128);

int try_open(io_uring* ring, unsigned count, unsigned more_flags) {
  int error = 0;
  for (const unsigned flags : flags_to_try) {
    io_uring_params params{};
    params.flags =
        flags | more_flags | IORING_SETUP_R_DISABLED | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP;
    params.cq_entries = count;
    error = io_uring_queue_init_params(entries, ring, &params);
    if (error != -EINVAL) break;
  }
  return error;
}

}  // namespace

IoRing::~IoRing() {
  if (open_) io_uring_queue_exit(&ring_);
}

Status IoRing::open(bool commands) {
  has_commands_ = commands;
  const unsigned more_flags = commands ? IORING_SETUP_SQE128 | IORING_SETUP_CQE32 : 0;
  Status status = signal_.open();
  if (!status.ok()) return status;
  int error = -ENOMEM;
  for (const unsigned count : completions)
    if (error == -ENOMEM) error = try_open(&ring_, count, more_flags);
  if (error)
    return {-error,
            "io_uring_queue_init: " + std::string(std::strerror(-error)) +
                (error == -ENOMEM
                     ? ": the ring does not fit into RLIMIT_MEMLOCK: raise LimitMEMLOCK"
                     : ": this kernel, its seccomp filter or kernel.io_uring_disabled allows no "
                       "io_uring; speckvd needs it")};
  open_ = true;
  return {};
}

Status IoRing::attach() {
  // liburing 2.3 declares io_uring_enable_rings and does not have it.
  if (syscall(SYS_io_uring_register, ring_.ring_fd, IORING_REGISTER_ENABLE_RINGS, nullptr, 0) < 0)
    return Status::from_errno("enabling a data thread's io_uring");
  unsigned workers[2] = {disk_workers, 0};  // an old kernel keeps its own number
  static_cast<void>(io_uring_register_iowq_max_workers(&ring_, workers));
  return {};
}

// Returns: nullptr when the queue is full and the kernel takes no more.
io_uring_sqe* IoRing::entry(Operation* operation) {
  io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
  if (!sqe) {
    checked(io_uring_submit(&ring_));
    sqe = io_uring_get_sqe(&ring_);
  }
  if (sqe && operation) *operation = {0, true};
  return sqe;
}

int IoRing::poll(Operation* operation, int fd) {
  io_uring_sqe* sqe = entry(operation);
  if (!sqe) return -EAGAIN;
  io_uring_prep_poll_multishot(sqe, fd, POLLIN);
  io_uring_sqe_set_data(sqe, operation);
  return 0;
}

// What a disk does is asked for by a worker of the kernel: there are file systems that wait for
// their medium when they are asked (FUSE, network), and then this thread would wait with them.
int IoRing::read(Operation* operation, int fd, std::span<std::byte> into, uint64_t offset) {
  io_uring_sqe* sqe = entry(operation);
  if (!sqe) return -EAGAIN;
  io_uring_prep_read(sqe, fd, into.data(), unsigned(into.size()), offset);
  sqe->flags |= IOSQE_ASYNC;
  io_uring_sqe_set_data(sqe, operation);
  return 0;
}

int IoRing::write(Operation* operation, int fd, std::span<const std::byte> from, uint64_t offset) {
  io_uring_sqe* sqe = entry(operation);
  if (!sqe) return -EAGAIN;
  io_uring_prep_write(sqe, fd, from.data(), unsigned(from.size()), offset);
  sqe->flags |= IOSQE_ASYNC;
  io_uring_sqe_set_data(sqe, operation);
  return 0;
}

int IoRing::sync(Operation* operation, int fd) {
  io_uring_sqe* sqe = entry(operation);
  if (!sqe) return -EAGAIN;
  io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
  sqe->flags |= IOSQE_ASYNC;
  io_uring_sqe_set_data(sqe, operation);
  return 0;
}

int IoRing::command(Operation* operation, int fd, uint32_t call, std::span<const std::byte> words) {
  if (!has_commands_ || words.size() > command_bytes_max) return -EOPNOTSUPP;
  io_uring_sqe* sqe = entry(operation);
  if (!sqe) return -EAGAIN;
  auto* bytes = reinterpret_cast<std::byte*>(sqe);
  std::memset(bytes, 0, command_offset + command_bytes_max);
  sqe->opcode = IORING_OP_URING_CMD;
  sqe->fd = fd;
  sqe->cmd_op = call;
  std::memcpy(bytes + command_offset, words.data(), words.size());
  io_uring_sqe_set_data(sqe, operation);
  return 0;
}

int IoRing::cancel(Operation* operation) {
  io_uring_sqe* sqe = entry(nullptr);
  if (!sqe) return -EAGAIN;
  io_uring_prep_cancel(sqe, operation, 0);
  io_uring_sqe_set_data(sqe, nullptr);
  return 0;
}

int IoRing::signal(int event_fd) { return checked(signal_.signal(event_fd)); }

void IoRing::wait(uint64_t wait_ns) {
  __kernel_timespec deadline{int64_t(wait_ns / 1'000'000'000),
                             (long long)(wait_ns % 1'000'000'000)};
  io_uring_cqe* first = nullptr;
  checked(io_uring_submit_and_wait_timeout(&ring_, &first, 1, &deadline, nullptr));
}

// io_uring_peek_cqe asks the kernel for what did not fit into the completion queue.
void IoRing::reap(std::vector<Operation*>* ret_completed) {
  io_uring_cqe* cqe = nullptr;
  while (io_uring_peek_cqe(&ring_, &cqe) == 0) {
    auto* operation = static_cast<Operation*>(io_uring_cqe_get_data(cqe));
    const int result = cqe->res;
    const bool more = cqe->flags & IORING_CQE_F_MORE;
    const uint64_t detail = has_commands_ ? cqe->big_cqe[0] : 0;
    io_uring_cqe_seen(&ring_, cqe);
    if (!operation) {  // a cancel's own: too late (-ENOENT, -EALREADY) is as good as done
      if (result != -ENOENT && result != -EALREADY) checked(result);
      continue;
    }
    operation->result = result;
    operation->detail = detail;
    operation->under_way = more;
    ret_completed->push_back(operation);
  }
}

// What a wait may say in passing is no error: time is over, a signal came, completions wait.
int IoRing::checked(int result) {
  if (result < 0 && result != -ETIME && result != -EINTR && result != -EBUSY && result != -EAGAIN)
    errors_.fetch_add(1, std::memory_order_relaxed);
  return result;
}

}  // namespace speckv
