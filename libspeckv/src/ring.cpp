// SPDX-License-Identifier: Apache-2.0
#include "src/ring.hpp"

#include <unistd.h>

#include <cerrno>

#include "src/connect.hpp"

namespace speckv::lib {
namespace {

// Slots of the submission ring in use, as the daemon says; a daemon that says nonsense has a full
// ring.
uint32_t ring_used(const Connection& connection, uint32_t shard) {
  const uint32_t head = shm::load_acquire(connection.area(shard).sq_head.value);
  const uint32_t used = connection.sq_tail[shard] - head;
  return used > shm::sq_entries ? shm::sq_entries : used;
}

// What is reserved and not submitted may get two answers each.
bool ring_full(const Connection& connection, uint32_t shard, uint8_t answers) {
  const uint32_t promised = connection.sq_reserved[shard];
  return ring_used(connection, shard) + promised >= shm::sq_entries ||
         connection.under_way[shard] + 2 * promised + answers > shm::cq_entries;
}

uint32_t take_record(Session& session) {
  uint32_t index = session.records_free;
  if (index != no_record) {
    session.records_free = session.records[index].next;
  } else if (session.records_used < records_max) {
    index = session.records_used++;
  }
  return index;
}

void give_record(Session& session, uint32_t index) {
  Record& record = session.records[index];
  record.state = RecordState::free;
  record.generation++;
  record.waiter = nullptr;
  record.next = session.records_free;
  session.records_free = index;
}

void give_chunks(Connection& connection, Record& record) {
  if (record.chunk_count) connection.arena.give(record.chunk_first, record.chunk_count);
  record.chunk_count = 0;
}

void queue(Session& session, uint32_t index, int32_t result, uint32_t flags) {
  Record& record = session.records[index];
  session.user_under_way--;
  record.result = result;
  record.flags = flags;
  record.state = RecordState::completed;
  record.next = no_record;
  if (session.queue_empty()) session.completed_first = index;
  else session.records[session.completed_last].next = index;
  session.completed_last = index;
}

void complete(Session& session, uint32_t index, int32_t result, uint32_t flags) {
  const Record& record = session.records[index];
  if (!record.internal) return queue(session, index, result, flags);
  Waiter* waiter = record.waiter;
  if (waiter) {
    waiter->results[record.waiter_index] = result;
    waiter->left--;
  }
  give_record(session, index);
  if (!waiter || waiter->left != 0 || waiter->record == no_record) return;
  queue(session, waiter->record, 0, 0);
  waiter->record = no_record;
}

// Of a fetch that is not over: the block is on its way.
void first_answer(Connection& connection, Record& record) {
  record.answers--;
  connection.first_answers++;
  if (record.waiter) record.waiter->results[record.waiter_index] = -EINPROGRESS;
}

int try_reserve(Session& session, Connection& connection, uint32_t shard, uint32_t chunks,
                uint8_t answers, Ticket* ret_ticket) {
  if (ring_full(connection, shard, answers)) return -EAGAIN;
  uint32_t first = 0;
  if (chunks) {
    first = connection.arena.take(chunks);
    if (first == Arena::no_chunk) return -EAGAIN;
  }
  const uint32_t index = take_record(session);
  if (index == no_record) {
    if (chunks) connection.arena.give(first, chunks);
    return -EAGAIN;
  }
  Record& record = session.records[index];
  record.state = RecordState::reserved;
  record.shard = uint8_t(shard);
  record.chunk_first = first;
  record.chunk_count = chunks;
  record.internal = false;
  record.answers = answers;
  record.waiter = nullptr;
  connection.sq_reserved[shard]++;
  *ret_ticket = {index, shard};
  return 0;
}

}  // namespace

int reserve(Session& session, Connection& connection, uint32_t shard, uint32_t chunks,
            Ticket* ret_ticket, uint8_t answers) {
  if (connection.lost.load(std::memory_order_relaxed)) return -ENOTCONN;
  int result = try_reserve(session, connection, shard, chunks, answers, ret_ticket);
  if (result == -EAGAIN && drain_connection(session, connection) > 0) {
    result = try_reserve(session, connection, shard, chunks, answers, ret_ticket);
  }
  return result;
}

void unreserve(Session& session, Connection& connection, const Ticket& ticket) {
  give_chunks(connection, session.records[ticket.record]);
  connection.sq_reserved[ticket.shard]--;
  give_record(session, ticket.record);
}

int submit(Session& session, Connection& connection, const Ticket& ticket,
           shm::Submission submission) {
  if (connection.lost.load(std::memory_order_relaxed)) {
    unreserve(session, connection, ticket);
    return -ENOTCONN;
  }
  Record& record = session.records[ticket.record];
  record.state = RecordState::under_way;
  submission.user_data = uint64_t(record.generation) << 32 | ticket.record;
  shm::ShardArea& area = connection.area(ticket.shard);
  const uint32_t tail = connection.sq_tail[ticket.shard]++;
  area.sq[tail % shm::sq_entries] = submission;
  shm::store_release(area.sq_tail.value, tail + 1);
  connection.sq_reserved[ticket.shard]--;
  connection.under_way[ticket.shard] += record.answers;
  connection.under_way_total++;
  if (!record.internal) session.user_under_way++;
  return 0;
}

void ring_doorbell(const Connection& connection, uint32_t shard) {
  shm::full_fence();  // the tail is visible before we look whether anybody would see it
  if (!shm::load_relaxed(connection.index_header().shard_sleeping[shard])) return;
  const uint64_t one = 1;
  static_cast<void>(!write(connection.doorbells[shard], &one, sizeof one));
}

uint32_t drain_connection(Session& session, Connection& connection) {
  uint32_t total = 0;
  for (uint32_t shard = 0; shard < connection.shards; shard++) {
    shm::ShardArea& area = connection.area(shard);
    uint32_t head = connection.cq_head[shard];
    uint32_t count = shm::load_acquire(area.cq_tail.value) - head;
    if (count > shm::cq_entries)
      count = 0;  // nonsense: those operations end when the connection does
    for (uint32_t i = 0; i < count; i++, head++) {
      const shm::Completion completion = area.cq[head % shm::cq_entries];
      const auto index = uint32_t(completion.user_data);
      if (index >= session.records_used) continue;
      Record& record = session.records[index];
      const bool ours = record.state == RecordState::under_way && record.shard == shard &&
                        record.generation == uint32_t(completion.user_data >> 32);
      if (!ours) continue;
      total++;
      if (completion.flags & shm::completion_on_its_way && record.answers > 1) {
        connection.under_way[shard]--;
        first_answer(connection, record);
        continue;
      }
      give_chunks(connection, record);
      connection.under_way[shard] -= record.answers;
      connection.under_way_total--;
      if (completion.flags & shm::completion_new_widths) want_widths(session);
      complete(session, index, completion.result, completion.flags & shm::completion_existed);
    }
    if (count) {
      connection.cq_head[shard] = head;
      shm::store_release(area.cq_head.value, head);
    }
  }
  if (total) {
    session.rings.wake_all();
    wake_leader(session);
  }
  return total;
}

uint32_t drain(Session& session) {
  Connection* connection = session.current.load();
  return connection && !connection->lost.load() ? drain_connection(session, *connection) : 0;
}

void fail_under_way(Session& session, Connection& connection) {
  // Only the current connection has operations under way: older ones were lost before they were
  // replaced.
  if (connection.under_way_total == 0) return;
  for (uint32_t index = 0; index < session.records_used; index++)
    if (session.records[index].state == RecordState::under_way)
      complete(session, index, -ECONNRESET, 0);
  connection.under_way_total = 0;
  if (!session.queue_empty()) signal_user(session);
}

uint32_t reserve_completion(Session& session, uint64_t user_data) {
  const uint32_t index = take_record(session);
  if (index == no_record) return index;
  Record& record = session.records[index];
  record.user_data = user_data;
  record.state = RecordState::reserved;
  record.internal = false;
  record.waiter = nullptr;
  session.user_under_way++;
  return index;
}

void complete_user(Session& session, uint32_t record, int32_t result) {
  queue(session, record, result, 0);
}

uint64_t draw_number(Session& session) {
  for (;;) {
    const uint64_t number = mix64(session.hold_seed + ++session.hold_count * 0x9e3779b97f4a7c15ull);
    if (number != 0) return number;
  }
}

uint32_t pop_completions(Session& session, speckv_completion* ret_completions, uint32_t max) {
  uint32_t count = 0;
  while (count < max && !session.queue_empty()) {
    const uint32_t index = session.completed_first;
    const Record& record = session.records[index];
    session.completed_first = record.next;
    ret_completions[count++] = {record.user_data, record.result, record.flags};
    give_record(session, index);
  }
  return count;
}

}  // namespace speckv::lib
