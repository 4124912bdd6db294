// SPDX-License-Identifier: Apache-2.0
// spill_transfers.hpp - reads and writes of a spill file under way: buffers, operations, deadlines,
// and whether the medium answers at all.
//
// Used by spill_store on the shard's data thread. A transfer moves a part of a buffer; it is cut
// into operations, short ones go on where they ended, and it ends once: with 0 or an errno, by its
// deadline at the latest. What the kernel still works on then keeps its buffer until it is given
// back, and until that nothing is written: a late write must not land in what has been used anew.
//
// Two breakers, reads and writes apart: a few errors in a row, or one operation that is overdue,
// open it; then nothing is started but, after a while, one probe. All is taken at start; full is an
// answer. Never waits, never logs.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <vector>

#include "loop/io.hpp"

namespace speckv {

constexpr uint64_t spill_chunk_bytes = 64 << 10;  // buffers are runs of these
// The kernel parts it as it likes; what is a little more than one is one, too.
constexpr uint32_t spill_operation_bytes = 1 << 20;
constexpr uint32_t spill_operations_max = 64;           // under way at once: of one shard's file
constexpr uint32_t spill_writes_max = 24;               // of those; the rest is for reads
constexpr uint64_t spill_read_ns_max = 1'000'000'000;   // a hundred times a slow device's worst
constexpr uint64_t spill_write_ns_max = 5'000'000'000;  // its cache may be flushed in between

enum class SpillWhat : uint8_t {
  none,
  scan,
  wipe,
  images,
  table,
  mark_read,
  mark_write,
  block,
  probe,
  sync,
  copy
};

struct SpillIoCounters {
  std::atomic<uint64_t> read_bytes{0}, written_bytes{0};
  std::atomic<uint64_t> read_errors{0}, write_errors{0}, overdue{0};
  std::atomic<uint64_t> stuck{0};  // operations that are overdue and have not been given back
  // 0 closed: all is well; 1 open: nothing is started; 2 half open: a probe is.
  std::atomic<uint64_t> read_breaker{0}, write_breaker{0};
  std::atomic<uint64_t> opened{0};
};

// Opens after a few failures in a row; lets one through when it is time.
class SpillBreaker {
 public:
  explicit SpillBreaker(std::atomic<uint64_t>* state, std::atomic<uint64_t>* opened)
      : state_(state), opened_(opened) {}
  bool closed() const { return *state_ == 0; }
  // Open, and it is time for a probe: half open from here on.
  bool wants_probe(uint64_t now_ns);
  void succeeded();
  void failed(bool overdue, uint64_t now_ns);

 private:
  std::atomic<uint64_t>* state_;
  std::atomic<uint64_t>* opened_;
  uint32_t failures_ = 0;
  uint64_t wait_ns_ = 0, until_ns_ = 0;
};

struct SpillTransfer {
  SpillWhat what = SpillWhat::none;
  uint32_t owner = 0;
  uint32_t run = 0;
  std::byte* memory = nullptr;
  uint64_t offset = 0;
  uint32_t bytes = 0;
  bool write = false;  // what == sync: of what was written before, without bytes of its own
  int error = 0;
  // Its own:
  uint32_t started = 0, in_flight = 0;
  bool told = false;
};

class SpillTransfers {
 public:
  static constexpr uint32_t none = UINT32_MAX;
  SpillTransfers(int fd, uint64_t buffer_bytes);
  ~SpillTransfers();
  SpillTransfers(const SpillTransfers&) = delete;
  SpillTransfers& operator=(const SpillTransfers&) = delete;

  void attach(Io& io) { io_ = &io; }

  // A part of the buffers, aligned to pages. Returns: none: not now.
  uint32_t take_run(uint64_t bytes);
  std::byte* memory(uint32_t run) { return buffer_ + run * spill_chunk_bytes; }
  void keep_run(uint32_t run) { users_[run]++; }
  void release_run(uint32_t run);
  uint64_t largest_run() const { return chunks_.size() * spill_chunk_bytes / 2; }

  // Starts one. Returns: its number, or none: the table is full.
  uint32_t start(const SpillTransfer& wanted);
  // Those that ended since the last call, one after the other; none: no more. What it returns is
  // looked at by transfer() before the next call.
  uint32_t take_ended();
  const SpillTransfer& transfer(uint32_t number) const { return transfers_[number]; }

  // Asks Io for what waits, ends what is overdue.
  void turn(uint64_t now_ns);
  // Returns: whether it was one of these.
  bool completed(Operation* operation, uint64_t now_ns);

  SpillBreaker& reads() { return reads_; }
  SpillBreaker& writes() { return writes_; }
  bool may_read() const { return reads_.closed(); }
  bool may_write() const { return writes_.closed() && stuck_ == 0; }
  bool quiet() const { return under_way_ == 0; }
  uint32_t stuck() const { return stuck_; }
  SpillIoCounters counters;

 private:
  struct SpillOperation : Operation {
    uint32_t transfer = none;
    std::byte* memory = nullptr;
    uint64_t offset = 0, since_ns = 0;
    uint32_t bytes = 0;
    bool overdue = false;
    uint32_t next = none;
  };

  void map_buffer();
  bool start_piece(uint32_t number, uint64_t now_ns);
  int ask(SpillOperation& operation, const SpillTransfer& transfer);
  void piece_ended(SpillOperation& operation, int error, uint64_t now_ns);
  void end(uint32_t number);
  void free_if_over(uint32_t number);

  Io* io_ = nullptr;
  const int fd_;
  void* mapped_ = nullptr;
  size_t mapped_bytes_ = 0;
  std::byte* buffer_ = nullptr;  // in it
  uint64_t buffer_bytes_;
  std::vector<uint8_t> chunks_;               // 1: taken
  std::vector<uint32_t> run_chunks_, users_;  // by a run's first chunk
  size_t hint_ = 0;
  std::array<SpillTransfer, spill_operations_max> transfers_;
  std::vector<SpillOperation> operations_;
  uint32_t unused_ = none;
  std::vector<uint32_t> order_;  // transfers with something to start, oldest first
  std::vector<uint32_t> ended_, ending_;
  uint32_t under_way_ = 0, writes_under_way_ = 0, stuck_ = 0;
  SpillBreaker reads_{&counters.read_breaker, &counters.opened};
  SpillBreaker writes_{&counters.write_breaker, &counters.opened};
};

}  // namespace speckv
