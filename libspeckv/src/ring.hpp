// SPDX-License-Identifier: Apache-2.0
// ring.hpp - operations on their way to the daemon and back: records, submission, draining,
// waiting.
//
//   reserve (record, ring slot, chunks) -> the caller copies, unlocked -> submit -> drain -> reap
//   or a Waiter
//
// Every operation that was submitted ends exactly once: by the daemon's completion or by
// fail_under_way(). Requires: rings locked, unless said.
#pragma once

#include "src/session.hpp"

namespace speckv::lib {

// What an operation needs before it may be submitted.
struct Ticket {
  uint32_t record = no_record;
  uint32_t shard = 0;
};

// Takes a record and a ring slot of `shard`, and `chunks` of the arena (0: none). answers: that it
// may get. Drains first when something is full. Returns: 0, -ENOTCONN when the connection is lost,
// -EAGAIN when it is full.
int reserve(Session& session, Connection& connection, uint32_t shard, uint32_t chunks,
            Ticket* ret_ticket, uint8_t answers = 1);
// Undoes reserve().
void unreserve(Session& session, Connection& connection, const Ticket& ticket);
// Fills the ring slot. Returns: 0, or -ENOTCONN when the daemon was lost meanwhile; the ticket is
// then unreserved.
int submit(Session& session, Connection& connection, const Ticket& ticket,
           shm::Submission submission);
// Not locked. Wakes the shard's data thread if it sleeps.
void ring_doorbell(const Connection& connection, uint32_t shard);

// Takes what the daemon completed into the queue or to its waiters, and wakes who waits. Returns:
// how many.
uint32_t drain_connection(Session& session, Connection& connection);
uint32_t drain(Session& session);
// Completes with -ECONNRESET all that is still under way.
void fail_under_way(Session& session, Connection& connection);
// A completion that no operation of the rings has: the user reaps it after complete_user().
// Returns: no_record when there is none left.
uint32_t reserve_completion(Session& session, uint64_t user_data);
void complete_user(Session& session, uint32_t record, int32_t result);
// Of a hold, a prefetch or what is retained: not guessed by others, never 0.
uint64_t draw_number(Session& session);
// Pops up to max from the queue.
uint32_t pop_completions(Session& session, speckv_completion* ret_completions, uint32_t max);

// Waits until done(argument) or the deadline, one thread in poll() for all. Returns: 0, -ETIMEDOUT
// or -ESHUTDOWN.
int wait_until(Session& session, uint64_t deadline_ns, bool (*done)(const void*),
               const void* argument);
void wake_leader(Session& session);

// What speckv_event_fd() gave out follows the connections. signal_user(): completions lie in the
// queue that the daemon's own event no longer tells of.
void watch_connection(Session& session, const Connection* old, const Connection* connection);
void watch_lost(Session& session, const Connection& connection);
void signal_user(Session& session);
void unsignal_user(Session& session);
void clear_event(const Connection& connection);

inline OpenBlock* block_at(Session& session, uint32_t index, uint32_t generation, BlockKind kind) {
  if (index >= session.blocks_used) return nullptr;
  OpenBlock& block = session.blocks[index];
  const bool same = (block.generation & 0xfffff) == generation;
  return block.kind == kind && same && !block.dying ? &block : nullptr;
}

}  // namespace speckv::lib
