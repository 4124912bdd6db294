// SPDX-License-Identifier: Apache-2.0
// session.hpp - one client's connection as the daemon sees it: its shared memory, its event fds,
// its layouts.
//
// Made and ended on the control thread; data threads consume its rings (one ring pair per shard,
// one thread per shard). Kept alive by shared_ptr until the last data thread has let go of it; its
// memory then goes back on the undertaker's thread, whoever still holds a descriptor of it.
// Never: trusts a value read from the shared memory. look() copies a submission and bounds
// every index. Never: reads, writes or locks a descriptor that its client has too.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "layout.hpp"
#include "pool/medium.hpp"
#include "shm/atomics.hpp"
#include "shm/session_format.hpp"

namespace speckv {

constexpr uint32_t session_layouts_max = 64;

class Undertaker;

class Session {
 public:
  struct Identity {
    uint64_t id = 0;
    uint32_t uid = 0, gid = 0;
    int32_t pid = 0;
    uint32_t space = 0;      // number of its namespace
    uint64_t number = 0;     // of this session in it: what its client is told
    bool reads_near = true;  // its library can read near memory
  };
  // Makes memory and event fds. arena_bytes: what the client gets. undertaker: outlives the session
  // and takes it at its end; nullptr: it goes where its last owner lets go of it.
  static Result<std::shared_ptr<Session>> create(const Identity& identity, Medium& medium,
                                                 uint32_t shards, uint64_t arena_bytes,
                                                 Undertaker* undertaker = nullptr);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  const Identity& identity() const { return identity_; }
  int memory_fd() const { return memory_->client_fd(); }
  uint64_t memory_bytes() const { return memory_->bytes(); }
  uint64_t arena_bytes() const { return arena_bytes_; }
  // Control thread, until it says that the arena is whole, and before the client knows of it.
  Status populate_some(uint64_t most, bool* ret_whole) {
    return memory_->populate_some(most, ret_whole);
  }
  int event_fd() const { return event_fd_; }
  int doorbell(uint32_t shard) const { return doorbells_[shard]; }

  // What a layout's number on the wire means: its library has the tables of these widths, so its
  // puts may be stored with them.
  struct Registered {
    const Layout* layout = nullptr;
    const Widths* widths = nullptr;
  };
  // Control thread. Returns: the number, or a negative errno. The same twice: the same number.
  int add_layout(const Layout* layout, const Widths* widths);
  // Any thread. Returns: .layout nullptr when there is no such number.
  Registered layout(uint32_t number) const;

  // Control thread: the client is gone. Data threads let go of the session when they see it.
  void end() { ended_.store(true, std::memory_order_release); }
  bool ended() const { return ended_.load(std::memory_order_acquire); }

  // Data thread of `shard` only, all below.
  // Copies the next submission, which stays in its ring until it is taken. Returns: false when
  // there is none. A tail that cannot be counts as none.
  bool look(uint32_t shard, shm::Submission* ret_submission);
  void take(uint32_t shard);
  // Entries taken so far; and a copy of the one that stands so many behind the next. Returns:
  // false: there is none.
  uint32_t taken(uint32_t shard) const { return cursors_[shard].sq_head; }
  bool look_ahead(uint32_t shard, uint32_t behind, shm::Submission* ret_submission) const;
  bool has_submissions(uint32_t shard) const;
  // The bytes of a put. Returns: empty when the range is not in the arena or not aligned to its
  // chunks.
  std::span<const std::byte> arena(uint64_t offset, uint64_t bytes) const;
  // Posts a completion; dropped (and counted) when the client let its ring fill up.
  void complete(uint32_t shard, const shm::Completion& completion);
  // Whether completions were posted since the last call that said so: its event fd is to be
  // signalled (loop/io.hpp).
  bool take_posted(uint32_t shard);
  // Calls visit(block) for each touch since the last call, at most touch_entries of them.
  template <typename Visit>
  void drain_touches(uint32_t shard, Visit&& visit);
  const shm::GuardSlot* guards() const;
  uint64_t dropped_completions() const { return dropped_.load(std::memory_order_relaxed); }

 private:
  Session(const Identity& identity, std::unique_ptr<Region> memory, uint32_t shards,
          uint64_t arena_bytes);
  shm::ShardArea& area(uint32_t shard) const {
    return reinterpret_cast<shm::ShardArea*>(memory_->data() + shm::shards_offset)[shard];
  }
  struct Cursor {  // the daemon's own copy of what it consumed and produced: never read back from
                   // the client
    uint32_t sq_head = 0, cq_tail = 0, touch_head = 0;
    bool posted = false;
  };

  Identity identity_;
  std::unique_ptr<Region> memory_;
  uint64_t arena_offset_ = 0, arena_bytes_ = 0;
  int event_fd_ = -1;
  std::vector<int> doorbells_;
  std::vector<Cursor> cursors_;
  struct Number {
    std::atomic<const Layout*> layout{nullptr};  // written last, read first
    const Widths* widths = nullptr;
  };
  std::array<Number, session_layouts_max> layouts_{};
  std::atomic<uint64_t> dropped_{0};
  std::atomic<bool> ended_{false};
  friend class Undertaker;
  Session* next_ended_ = nullptr;  // the undertaker's
};

template <typename Visit>
void Session::drain_touches(uint32_t shard, Visit&& visit) {
  shm::ShardArea& shared = area(shard);
  Cursor& cursor = cursors_[shard];
  const uint32_t tail = shm::load_acquire(shared.touch_tail.value);
  if (tail - cursor.touch_head > shm::touch_entries) cursor.touch_head = tail - shm::touch_entries;
  for (; cursor.touch_head != tail; cursor.touch_head++)
    visit(shm::load_relaxed(shared.touches[cursor.touch_head % shm::touch_entries]));
}

}  // namespace speckv
