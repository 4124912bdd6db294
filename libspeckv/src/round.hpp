// SPDX-License-Identifier: Apache-2.0
// round.hpp - a group of operations that one call submits and waits for: hold, adopt, retain, load.
//
// Answers come back to a Waiter on the caller's stack. A call that gives up leaves its operations
// to nobody: their answers are taken and forgotten.
#pragma once

#include "src/handle.hpp"
#include "src/ring.hpp"

namespace speckv::lib {

// A group of operations whose answers one call waits for. Requires: rings locked for add, wait and
// the destructor's end; the destructor locks by itself.
class Round {
 public:
  Round(Session& session, Connection& connection) : session_(session), connection_(connection) {}
  ~Round() {
    Locked rings(session_.rings);
    give_back(count_);
    for (uint32_t i = 0; i < count_; i++) {
      Record& record = session_.records[tickets_[i].record];
      if (record.state == RecordState::under_way && record.waiter == &waiter_)
        record.waiter = nullptr;
    }
  }
  Round(const Round&) = delete;
  Round& operator=(const Round&) = delete;

  // Takes what one more operation needs. Returns: 0, -EAGAIN (the ring is full) or -ENOTCONN.
  int take(uint32_t shard, uint8_t answers = 1) {
    Ticket ticket;
    const int result = reserve(session_, connection_, shard, 0, &ticket, answers);
    if (result == 0) tickets_[taken_++] = ticket;
    return result;
  }
  // Submits the next of those that were taken. Returns: 0, or -ENOTCONN: the daemon was lost
  // meanwhile, and the others are given back.
  int send_next(const shm::Submission& submission) {
    const Ticket ticket = tickets_[count_];
    Record& record = session_.records[ticket.record];
    record.internal = true;
    record.waiter = &waiter_;
    record.waiter_index = count_;
    results_[count_] = not_answered;
    waiter_.left++;
    const int result = submit(session_, connection_, ticket, submission);
    if (result != 0) {
      waiter_.left--;
      give_back(count_ + 1);
      taken_ = count_;
      return result;
    }
    shard_mask_ |= uint64_t{1} << ticket.shard;
    count_++;
    return 0;
  }
  // Submits one to each that was taken.
  int send_taken(const shm::Submission& submission) {
    int result = 0;
    while (count_ < taken_ && result == 0) result = send_next(submission);
    return result;
  }
  int add(uint32_t shard, const shm::Submission& submission) {
    const int result = take(shard);
    return result == 0 ? send_taken(submission) : result;
  }
  // Not locked.
  void ring() const {
    for (uint32_t shard = 0; shard < connection_.shards; shard++)
      if (shard_mask_ >> shard & 1) ring_doorbell(connection_, shard);
  }
  int wait(uint64_t deadline_ns) {
    return wait_until(
        session_, deadline_ns,
        [](const void* left) { return *static_cast<const uint32_t*>(left) == 0; }, &waiter_.left);
  }
  uint32_t taken() const { return taken_; }
  uint32_t shard_of_taken(uint32_t i) const { return tickets_[i].shard; }
  uint32_t count() const { return count_; }
  uint32_t left() const { return waiter_.left; }  // that have no answer yet
  uint64_t shards() const { return shard_mask_; }
  const int32_t* answers() const { return results_; }
  int32_t answer(uint32_t i) const { return results_[i]; }

 private:
  void give_back(uint32_t from) {
    for (uint32_t i = from; i < taken_; i++) unreserve(session_, connection_, tickets_[i]);
    taken_ = from < taken_ ? from : taken_;
  }

  Session& session_;
  Connection& connection_;
  int32_t results_[hold_group] = {};
  Ticket tickets_[hold_group];
  Waiter waiter_{results_, 0};
  uint32_t taken_ = 0;
  uint32_t count_ = 0;  // of them submitted
  uint64_t shard_mask_ = 0;
};

inline void ring_shards(const Connection& connection, uint64_t shards) {
  for (uint32_t shard = 0; shard < connection.shards; shard++)
    if (shards >> shard & 1) ring_doorbell(connection, shard);
}

}  // namespace speckv::lib
