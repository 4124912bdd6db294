// SPDX-License-Identifier: Apache-2.0
// spill_transfers.cpp - see spill_transfers.hpp.
#include "pool/spill_transfers.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>

#include "assert.hpp"
#include "shm/pool_format.hpp"

namespace speckv {

namespace {
constexpr uint32_t failures_max = 3;  // in a row
constexpr uint64_t wait_ns_first = 500'000'000, wait_ns_most = 30'000'000'000;
constexpr uint64_t sector_bytes = 512;  // what a short operation of O_DIRECT may go on from
}  // namespace

bool SpillBreaker::wants_probe(uint64_t now_ns) {
  if (*state_ != 1 || now_ns < until_ns_) return false;
  *state_ = 2;
  return true;
}

void SpillBreaker::succeeded() {
  failures_ = 0;
  if (*state_ == 0) return;
  *state_ = 0;
  wait_ns_ = 0;
}

void SpillBreaker::failed(bool overdue, uint64_t now_ns) {
  failures_++;
  if (*state_ == 0 && !overdue && failures_ < failures_max) return;
  if (*state_ == 1) return;
  if (*state_ == 0) opened_->fetch_add(1, std::memory_order_relaxed);
  wait_ns_ = std::min(wait_ns_ ? 2 * wait_ns_ : wait_ns_first, wait_ns_most);
  until_ns_ = now_ns + wait_ns_;
  *state_ = 1;
}

SpillTransfers::SpillTransfers(int fd, uint64_t buffer_bytes)
    : fd_(fd),
      buffer_bytes_(buffer_bytes),
      chunks_(buffer_bytes / spill_chunk_bytes, 0),
      run_chunks_(chunks_.size(), 0),
      users_(chunks_.size(), 0),
      operations_(spill_operations_max) {
  map_buffer();
  for (uint32_t i = 0; i < spill_operations_max; i++)
    operations_[i].next = i + 1 < spill_operations_max ? i + 1 : none;
  unused_ = 0;
  order_.reserve(spill_operations_max);
  ended_.reserve(spill_operations_max);
  ending_.reserve(spill_operations_max);
}

// On huge pages, if the kernel has some: what is one piece of memory is one piece for the disk,
// too. Of pages of 4 KiB an operation of 1 MiB has 256, more than many controllers take at once.
void SpillTransfers::map_buffer() {
  mapped_bytes_ = buffer_bytes_ + shm::unit_bytes;
  mapped_ =
      mmap(nullptr, mapped_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  SPECKV_ASSERT(mapped_ != MAP_FAILED, "no memory for the buffers of a spill file");
  buffer_ = reinterpret_cast<std::byte*>(
      shm::round_up(reinterpret_cast<uintptr_t>(mapped_), shm::unit_bytes));
  static_cast<void>(madvise(buffer_, buffer_bytes_, MADV_HUGEPAGE));  // a wish
}

// What the kernel still works on stays where it is: better lost than written to by somebody else.
SpillTransfers::~SpillTransfers() {
  if (std::none_of(operations_.begin(), operations_.end(),
                   [](const SpillOperation& each) { return each.under_way; })) {
    munmap(mapped_, mapped_bytes_);
    return;
  }
  static_cast<void>(new std::vector<SpillOperation>(std::move(operations_)));
}

uint32_t SpillTransfers::take_run(uint64_t bytes) {
  const size_t wanted = (bytes + spill_chunk_bytes - 1) / spill_chunk_bytes;
  if (wanted == 0 || wanted > chunks_.size()) return none;
  for (int round = 0; round < 2; round++) {
    size_t found = 0;
    for (size_t at = round ? 0 : hint_; at < chunks_.size(); at++) {
      found = chunks_[at] ? 0 : found + 1;
      if (found < wanted) continue;
      const size_t first = at + 1 - wanted;
      std::fill_n(chunks_.begin() + ptrdiff_t(first), wanted, uint8_t(1));
      run_chunks_[first] = uint32_t(wanted);
      users_[first] = 1;
      hint_ = at + 1 < chunks_.size() ? at + 1 : 0;
      return uint32_t(first);
    }
  }
  return none;
}

void SpillTransfers::release_run(uint32_t run) {
  SPECKV_ASSERT(users_[run] > 0, "a buffer of the spill file was released twice");
  if (--users_[run] > 0) return;
  std::fill_n(chunks_.begin() + run, run_chunks_[run], uint8_t(0));
}

uint32_t SpillTransfers::start(const SpillTransfer& wanted) {
  for (uint32_t number = 0; number < transfers_.size(); number++) {
    if (transfers_[number].what != SpillWhat::none) continue;
    transfers_[number] = wanted;
    keep_run(wanted.run);
    order_.push_back(number);
    return number;
  }
  return none;
}

uint32_t SpillTransfers::take_ended() {
  for (const uint32_t number : ending_) free_if_over(number);
  ending_.clear();
  if (ended_.empty()) return none;
  const uint32_t number = ended_.front();
  ended_.erase(ended_.begin());
  ending_.push_back(number);
  return number;
}

void SpillTransfers::end(uint32_t number) {
  SpillTransfer& transfer = transfers_[number];
  if (transfer.told) return;
  transfer.told = true;
  std::erase(order_, number);
  ended_.push_back(number);
}

// Its place and its buffer are free again when it was told and the kernel has nothing of it.
void SpillTransfers::free_if_over(uint32_t number) {
  SpillTransfer& transfer = transfers_[number];
  if (!transfer.told || transfer.in_flight || transfer.what == SpillWhat::none) return;
  for (const uint32_t waiting : ended_)
    if (waiting == number) return;
  release_run(transfer.run);
  transfer = SpillTransfer{};
}

int SpillTransfers::ask(SpillOperation& operation, const SpillTransfer& transfer) {
  if (transfer.what == SpillWhat::sync) return io_->sync(&operation, fd_);
  return transfer.write
             ? io_->write(&operation, fd_, {operation.memory, operation.bytes}, operation.offset)
             : io_->read(&operation, fd_, {operation.memory, operation.bytes}, operation.offset);
}

bool SpillTransfers::start_piece(uint32_t number, uint64_t now_ns) {
  SpillTransfer& transfer = transfers_[number];
  if (unused_ == none || (transfer.write && writes_under_way_ == spill_writes_max)) return false;
  SpillOperation& operation = operations_[unused_];
  operation.transfer = number;
  operation.memory = transfer.memory + transfer.started;
  operation.offset = transfer.offset + transfer.started;
  const uint32_t left = transfer.bytes - transfer.started;
  operation.bytes =
      left < spill_operation_bytes + spill_operation_bytes / 4 ? left : spill_operation_bytes;
  operation.since_ns = now_ns;
  operation.overdue = false;
  if (ask(operation, transfer) != 0) {
    operation.transfer = none;  // nothing was started: it must not grow old
    return false;
  }
  unused_ = operation.next;
  transfer.started += operation.bytes;
  transfer.in_flight++;
  under_way_++;
  writes_under_way_ += transfer.write;
  return true;
}

void SpillTransfers::turn(uint64_t now_ns) {
  if (!io_) return;
  for (size_t i = 0; i < order_.size();) {
    const uint32_t number = order_[i];
    SpillTransfer& transfer = transfers_[number];
    while (transfer.started < transfer.bytes && start_piece(number, now_ns)) {
    }
    if (transfer.started == transfer.bytes) order_.erase(order_.begin() + ptrdiff_t(i));
    else i++;
  }
  if (under_way_ == 0) return;
  for (SpillOperation& operation : operations_) {
    if (operation.transfer == none) continue;
    const bool write = transfers_[operation.transfer].write;
    const uint64_t most = write ? spill_write_ns_max : spill_read_ns_max;
    if (now_ns < operation.since_ns || now_ns - operation.since_ns < most) continue;
    if (!operation.overdue) {
      operation.overdue = true;
      stuck_++;
      counters.overdue.fetch_add(1, std::memory_order_relaxed);
      (write ? writes_ : reads_).failed(true, now_ns);
      if (!transfers_[operation.transfer].error) transfers_[operation.transfer].error = -ETIMEDOUT;
      end(operation.transfer);
    }
    operation.since_ns = now_ns;  // the cancel is asked for again after as long
    static_cast<void>(io_->cancel(&operation));
  }
  counters.stuck.store(stuck_, std::memory_order_relaxed);
}

bool SpillTransfers::completed(Operation* done, uint64_t now_ns) {
  const std::less<const void*> before;
  if (before(done, operations_.data()) || !before(done, operations_.data() + operations_.size()))
    return false;
  auto& operation = static_cast<SpillOperation&>(*done);
  if (operation.under_way || operation.transfer == none) return true;
  SpillTransfer& transfer = transfers_[operation.transfer];
  const int result = operation.result;
  if (result > 0 && uint32_t(result) < operation.bytes && result % sector_bytes == 0 &&
      !transfer.error) {
    operation.memory += result;  // the rest of it
    operation.offset += uint32_t(result);
    operation.bytes -= uint32_t(result);
    if (ask(operation, transfer) == 0) return true;
  }
  const bool whole = transfer.what == SpillWhat::sync
                         ? result == 0
                         : result > 0 && uint32_t(result) == operation.bytes;
  piece_ended(operation, whole ? 0 : result < 0 ? result : -EIO, now_ns);
  return true;
}

void SpillTransfers::piece_ended(SpillOperation& operation, int error, uint64_t now_ns) {
  const uint32_t number = operation.transfer;
  SpillTransfer& transfer = transfers_[number];
  (transfer.write ? counters.written_bytes : counters.read_bytes)
      .fetch_add(error || transfer.what == SpillWhat::sync ? 0 : operation.bytes,
                 std::memory_order_relaxed);
  if (error && !operation.overdue) {
    (transfer.write ? counters.write_errors : counters.read_errors)
        .fetch_add(1, std::memory_order_relaxed);
    (transfer.write ? writes_ : reads_).failed(false, now_ns);
  }
  if (error && !transfer.error) transfer.error = error;
  stuck_ -= operation.overdue;
  counters.stuck.store(stuck_, std::memory_order_relaxed);
  under_way_--;
  writes_under_way_ -= transfer.write;
  transfer.in_flight--;
  operation.transfer = none;
  operation.next = unused_;
  unused_ = uint32_t(&operation - operations_.data());
  if (transfer.error && !transfer.told) end(number);  // what it has in flight is waited for
  if (transfer.in_flight == 0 && transfer.started == transfer.bytes && !transfer.told) {
    (transfer.write ? writes_ : reads_).succeeded();
    end(number);
  }
  free_if_over(number);
}

}  // namespace speckv
