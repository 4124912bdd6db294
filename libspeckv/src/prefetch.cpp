// SPDX-License-Identifier: Apache-2.0
// prefetch.cpp - speckv_prefetch, _prefetch_begin, _outcomes, _end: blocks that will be read soon.
//
// What the index has is ready, and touched: nobody is asked. The others go to their shards, one
// submission each under one number; their answers come to the prefetch's own results, and the last
// of them makes its completion. Never waits.
#include <algorithm>
#include <bit>
#include <cerrno>
#include <new>

#include "src/clock.hpp"
#include "src/connect.hpp"
#include "src/fetch.hpp"
#include "src/round.hpp"
#include "src/touch.hpp"
#include "src/views.hpp"
#include "src/write_block.hpp"

namespace speckv::lib {

uint64_t end_fetch(Session& session, Connection& connection, uint64_t shards, uint64_t number) {
  uint64_t asked = 0;
  for (uint32_t shard = 0; shard < connection.shards; shard++) {
    if (!(shards >> shard & 1)) continue;
    Ticket ticket;
    if (reserve(session, connection, shard, 0, &ticket) != 0) continue;
    session.records[ticket.record].internal = true;
    shm::Submission submission{};
    submission.op = uint8_t(shm::Op::fetch_end);
    submission.hold = number;
    if (submit(session, connection, ticket, submission) == 0) asked |= uint64_t{1} << shard;
  }
  return asked;
}

uint32_t look_up(const Connection& connection, const LayoutInfo& info, Keys keys, uint32_t count,
                 int32_t* ret_results) {
  const int32_t elsewhere = connection.index_header().has_below ? not_answered : -ENOENT;
  uint32_t to_ask = 0;
  for (uint32_t at = 0; at < count; at += group_keys) {
    const uint32_t group = count - at < group_keys ? count - at : group_keys;
    Key address[group_keys];
    uint64_t hash[group_keys];
    for (uint32_t i = 0; i < group; i++) {
      address[i] = masked(Key::from(keys[at + i]), info.mask);
      hash[i] = hash_key(address[i]);
      connection.views[shard_of(hash[i], connection.shards)].prefetch(hash[i]);
    }
    for (uint32_t i = 0; i < group; i++) {
      const uint32_t shard = shard_of(hash[i], connection.shards);
      shm::Entry entry;
      const bool there = connection.views[shard].find(address[i], hash[i], &entry) &&
                         info.widths_of(entry.fingerprint) && entry.layers == info.segments;
      if (there) touch(connection, shard, entry.block);
      ret_results[at + i] = there ? 0 : elsewhere;
      to_ask += ret_results[at + i] == not_answered;
    }
  }
  return to_ask;
}

namespace {

// ---- with a handle -----------------------------------------------------------------------------

int check_args(const speckv_prefetch_args& args) {
  if (!grown_struct_fits(args) || args.budget_bytes == 0) return -EINVAL;
  for (uint64_t word : args.reserved)
    if (word) return -EINVAL;
  if (args.tier != SPECKV_TIER_POOL) return -EOPNOTSUPP;
  return args.deadline_ns <= now_ns() ? -ETIMEDOUT : 0;
}

Prefetch* find_prefetch(Session& session, uint64_t number) {
  for (Prefetch& prefetch : session.prefetches)
    if (number != 0 && prefetch.number == number) return &prefetch;
  return nullptr;
}

Prefetch* free_prefetch(Session& session) {
  for (Prefetch& prefetch : session.prefetches)
    if (prefetch.number == 0 && prefetch.waiter.left == 0) return &prefetch;
  return nullptr;
}

// One call's keys on their way to the daemon. Requires: rings locked, but for the constructor.
class Asking {
 public:
  Asking(Session& session, Connection& connection, const LayoutInfo& info, Keys keys,
         uint32_t count)
      : session_(session), connection_(connection), info_(info), keys_(keys), count_(count) {
    tickets_.reset(new (std::nothrow) Ticket[count]);
  }
  bool has_memory() const { return tickets_ != nullptr; }

  // Reserves for each key that is not_answered; those for which there is no room, and all after
  // them, so that leading ones come first, say so.
  void reserve_all(int32_t* results) {
    int result = 0;
    for (uint32_t i = 0; i < count_; i++) {
      if (results[i] != not_answered) continue;
      const uint32_t shard = shard_of_key(connection_, info_, Key::from(keys_[i]));
      if (result == 0) result = reserve(session_, connection_, shard, 0, &tickets_[i], 2);
      results[i] = result == 0 ? not_answered : result;
      if (result == 0) left_[shard]++, asked_++;
    }
  }
  // Submits them. A daemon that is lost in between has them all end, here or as usual.
  void submit_all(FetchAsked asked, Prefetch& prefetch) {
    const uint64_t budget = asked.budget;
    uint32_t of_shard[shm::shards_max];
    std::memcpy(of_shard, left_, sizeof of_shard);
    for (uint32_t i = 0; i < count_; i++) {
      if (prefetch.results[i] != not_answered) continue;
      const Ticket ticket = tickets_[i];
      Record& record = session_.records[ticket.record];
      record.internal = true;
      record.waiter = &prefetch.waiter;
      record.waiter_index = i;
      asked.budget = part_of(budget, of_shard[ticket.shard]);
      const int result =
          submit(session_, connection_, ticket,
                 fetch_submission(asked, Key::from(keys_[i]), --left_[ticket.shard]));
      if (result != 0) prefetch.results[i] = result;
      else prefetch.waiter.left++, prefetch.shard_mask |= uint64_t{1} << ticket.shard;
    }
  }

 private:
  uint64_t part_of(uint64_t budget, uint32_t keys) const {
    if (budget == SPECKV_NO_BUDGET) return budget;
    // a part that is nothing clips, as one byte does: 0 is no budget
    return std::max<uint64_t>(budget / asked_ * keys + budget % asked_ * keys / asked_, 1);
  }

  Session& session_;
  Connection& connection_;
  const LayoutInfo& info_;
  const Keys keys_;
  const uint32_t count_;
  std::unique_ptr<Ticket[]> tickets_;
  uint32_t left_[shm::shards_max] = {};
  uint32_t asked_ = 0;
};

// Those of which the caller knows what becomes of them; to ask for the others again is of use.
int taken_up(const int32_t* results, uint32_t count) {
  int good = 0;
  for (uint32_t i = 0; i < count; i++)
    good += results[i] >= 0 || results[i] == -EINPROGRESS || results[i] == -ENOENT;
  return good;
}

int begin(const Call& call, uint32_t layout, Keys keys, uint32_t count,
          const speckv_prefetch_args* args, uint64_t* ret_prefetch) {
  Session& session = call.session();
  const LayoutInfo* info = find_layout(session, layout);
  if (!info) return -EBADF;
  const int ready = ready_to_write(session);
  if (ready != 0) return ready;
  const Pin connection(session);
  const int16_t number = connection->layout_number[layout];
  if (number == layout_refused) return -EBADF;
  const uint64_t budget = args ? args->budget_bytes : SPECKV_NO_BUDGET;
  if (budget != SPECKV_NO_BUDGET && budget > connection->pool.bytes) return -ERANGE;
  Asking asking(session, *connection, *info, keys, count);
  std::unique_ptr<int32_t[]> results(new (std::nothrow) int32_t[count]);
  if (!results || !asking.has_memory()) return -ENOMEM;
  look_up(*connection, *info, keys, count, results.get());
  uint64_t shards = 0;
  int good = 0;
  {
    Locked rings(session.rings);
    Prefetch* prefetch = free_prefetch(session);
    if (!prefetch && drain(session) > 0) prefetch = free_prefetch(session);
    const uint32_t record =
        prefetch ? reserve_completion(session, args ? args->user_data : 0) : no_record;
    if (record == no_record) return -EAGAIN;
    asking.reserve_all(results.get());
    *prefetch = Prefetch{};
    prefetch->number = draw_number(session);
    prefetch->count = count;
    prefetch->results = std::move(results);
    prefetch->waiter.results = prefetch->results.get();
    const uint64_t deadline_ns = args ? args->deadline_ns : SPECKV_NO_DEADLINE;
    asking.submit_all({shm::Op::prefetch, number, prefetch->number, deadline_ns, budget},
                      *prefetch);
    if (prefetch->waiter.left == 0) {
      complete_user(session, record, 0);
      signal_user(session);
      session.rings.wake_all();
    } else {
      prefetch->waiter.record = record;
    }
    shards = prefetch->shard_mask;
    good = taken_up(prefetch->results.get(), count);
    *ret_prefetch = prefetch->number;
  }
  ring_shards(*connection, shards);
  return good;
}

speckv_outcome outcome_of(int32_t answer) {
  switch (answer) {
    case 0:
      return {SPECKV_OUTCOME_READY, 0};
    case not_answered:
      return {SPECKV_OUTCOME_ASKED, 0};
    case -EINPROGRESS:
      return {SPECKV_OUTCOME_ON_ITS_WAY, 0};
    case -ENOSPC:
      return {SPECKV_OUTCOME_CLIPPED, answer};
    case -ENOENT:
      return {SPECKV_OUTCOME_MISSING, answer};
    default:
      return {SPECKV_OUTCOME_REJECTED, answer};
  }
}

// ---- without one -------------------------------------------------------------------------------

// Up to hold_group keys. Returns: how many of them were passed on before the first that was not,
// whose -errno is ret_why.
uint32_t prefetch_some(Session& session, Connection& connection, const LayoutInfo& info,
                       int16_t layout_number, Keys keys, uint32_t count, int* ret_why) {
  int32_t results[hold_group];
  if (look_up(connection, info, keys, count, results) == 0) return count;
  Round round(session, connection);
  uint32_t left[shm::shards_max] = {}, passed_on = 0;
  {
    Locked rings(session.rings);
    for (; passed_on < count; passed_on++) {
      if (results[passed_on] != not_answered) continue;
      const uint32_t shard = shard_of_key(connection, info, Key::from(keys[passed_on]));
      *ret_why = round.take(shard, 2);
      if (*ret_why != 0) break;
      left[shard]++;
    }
    const FetchAsked asked{shm::Op::prefetch, layout_number, draw_number(session),
                           SPECKV_NO_DEADLINE, SPECKV_NO_BUDGET};
    for (uint32_t i = 0; i < passed_on && round.count() < round.taken(); i++) {
      if (results[i] != not_answered) continue;
      const uint32_t shard = round.shard_of_taken(round.count());
      if (round.send_next(fetch_submission(asked, Key::from(keys[i]), --left[shard])) != 0) break;
    }
  }
  round.ring();
  return passed_on;
}

}  // namespace
}  // namespace speckv::lib

using namespace speckv;
using namespace speckv::lib;

extern "C" int speckv_prefetch(speckv_session* handle, uint32_t layout,
                               const uint8_t (*keys)[SPECKV_KEY_BYTES], unsigned count) {
  Call call(handle);
  if (call.result() != 0) return call.result();
  const int batch = check_batch(keys, count);
  if (batch != 0) return batch;
  Session& session = call.session();
  const LayoutInfo* info = find_layout(session, layout);
  if (!info) return -EBADF;
  const int ready = ready_to_write(session);
  if (ready != 0) return ready;
  const Pin connection(session);
  const int16_t number = connection->layout_number[layout];
  if (number == layout_refused) return -EBADF;
  uint32_t done = 0;
  int why = 0;
  while (done < count && why == 0)
    done += prefetch_some(session, *connection, *info, number, keys + done,
                          count - done < hold_group ? count - done : hold_group, &why);
  return done ? int(done) : why;
}

extern "C" int speckv_prefetch_begin(speckv_session* handle, uint32_t layout,
                                     const uint8_t (*keys)[SPECKV_KEY_BYTES], unsigned count,
                                     const struct speckv_prefetch_args* args,
                                     uint64_t* ret_prefetch) {
  Call call(handle);
  if (call.result() != 0) return call.result();
  const int batch = check_batch(keys, count);
  if (batch != 0) return batch;
  if (!ret_prefetch) return -EINVAL;
  const int checked = args ? check_args(*args) : 0;
  return checked != 0 ? checked : begin(call, layout, keys, count, args, ret_prefetch);
}

extern "C" int speckv_prefetch_outcomes(speckv_session* handle, uint64_t number,
                                        struct speckv_outcome* ret_outcomes, unsigned count) {
  Call call(handle);
  if (call.result() != 0) return call.result();
  const int batch = check_batch(ret_outcomes, count);
  if (batch != 0) return batch;
  Session& session = call.session();
  maintain(session);
  Locked rings(session.rings);
  drain(session);
  if (!session.queue_empty()) signal_user(session);
  const Prefetch* prefetch = find_prefetch(session, number);
  if (!prefetch) return -EBADF;
  if (count > prefetch->count) return -ERANGE;
  uint32_t leading = 0;
  for (uint32_t i = 0; i < count; i++) {
    ret_outcomes[i] = outcome_of(prefetch->results[i]);
    leading += leading == i && prefetch->results[i] == 0;
  }
  return int(leading);
}

// What comes of it later goes to its results still, which are the next prefetch's after that.
extern "C" int speckv_prefetch_end(speckv_session* handle, uint64_t number) {
  Call call(handle);
  if (call.result() != 0) return call.result();
  Session& session = call.session();
  maintain(session);
  const Pin connection(session);
  uint64_t asked = 0;
  {
    Locked rings(session.rings);
    drain(session);
    Prefetch* prefetch = find_prefetch(session, number);
    if (!prefetch) return -EBADF;
    prefetch->number = 0;
    if (prefetch->waiter.left != 0) {
      complete_user(session, prefetch->waiter.record, -ECANCELED);
      prefetch->waiter.record = no_record;
      asked = end_fetch(session, *connection, prefetch->shard_mask, number);
    }
    if (!session.queue_empty()) signal_user(session);
    session.rings.wake_all();
  }
  ring_shards(*connection, asked);
  return 0;
}
