// SPDX-License-Identifier: Apache-2.0
// hold.cpp - speckv_hold, _unhold, _adopt: blocks that may not be evicted between a lookup and its
// load; speckv_retain, _retain_end: the same for longer, by bytes.
//
// Keys go to their shards one submission each, under one number that the library draws; answers
// come back to a Waiter on this stack. A call that gives up leaves its operations to nobody and
// ends what it had held.
#include <algorithm>
#include <cerrno>

#include "src/clock.hpp"
#include "src/connect.hpp"
#include "src/handle.hpp"
#include "src/round.hpp"
#include "src/views.hpp"

namespace speckv::lib {
namespace {

// Returns: the hold that callers know by its number, or nullptr.
Hold* find_hold(Session& session, uint64_t number, bool retains = false) {
  const uint64_t now = now_ns();
  for (Hold& hold : session.holds)
    if (number != 0 && hold.number == number && !hold.busy && hold.retains == retains)
      return hold.expires_ns > now ? &hold : nullptr;
  return nullptr;
}

// Whether another call is at it.
bool being_made(const Session& session, uint64_t number) {
  for (const Hold& hold : session.holds)
    if (hold.busy && hold.number == number) return true;
  return false;
}

// Returns: a free entry, now busy and the hold `number` of no shard yet, or nullptr.
Hold* make_hold(Session& session, uint64_t number, bool retains = false) {
  const uint64_t now = now_ns();
  for (Hold& hold : session.holds) {
    if (hold.busy || (hold.number != 0 && hold.expires_ns > now)) continue;
    hold = {number, retains, 0, 0, true};
    return &hold;
  }
  return nullptr;
}

// What a call made is from now on a hold like others. The daemon's time began before now.
void keep_hold(Hold& hold, uint64_t shards, uint64_t ttl_ns) {
  hold.shard_mask = shards;
  hold.expires_ns = deadline_after(ttl_ns);
  hold.busy = false;
}

// Requires: rings locked. Asks the shards of a hold to end it, and forgets it. Returns: 0, or
// -EAGAIN and the shards that could not be asked are left in it.
int end_hold(Session& session, Connection& connection, Hold& hold, uint64_t* ret_asked) {
  for (uint32_t shard = 0; shard < connection.shards; shard++) {
    if (!(hold.shard_mask >> shard & 1)) continue;
    Ticket ticket;
    const int result = reserve(session, connection, shard, 0, &ticket);
    if (result == -EAGAIN) return result;
    if (result != 0) break;  // the daemon is gone, and the hold with it
    session.records[ticket.record].internal = true;
    shm::Submission submission{};
    submission.op = uint8_t(hold.retains ? shm::Op::retain_end : shm::Op::unhold);
    submission.hold = hold.number;
    if (submit(session, connection, ticket, submission) != 0) break;
    hold.shard_mask &= ~(uint64_t{1} << shard);
    *ret_asked |= uint64_t{1} << shard;
  }
  hold = {};
  return 0;
}

// Where a call says of each key what became of it: whether it is held, or the answer.
struct PerKey {
  uint8_t* hits;
  int32_t* results;
  PerKey from(uint32_t i) const {
    return {hits ? hits + i : nullptr, results ? results + i : nullptr};
  }
  void set(uint32_t i, int32_t answer) const {
    if (hits) hits[i] = answer == 0;
    else results[i] = answer;
  }
  bool held(uint32_t i) const { return hits ? hits[i] != 0 : results[i] == 0; }
};

// hold: this call's own, busy until it ends; its number never changes meanwhile.
struct HoldCall {
  Session& session;
  Connection& connection;
  Key mask;
  int16_t layout_number;
  uint64_t ttl_ns;
  uint64_t deadline_ns;
  uint64_t number;
  Hold* hold;
  uint32_t held = 0;
  uint64_t held_shards = 0;  // hold->shard_mask has all that were asked, until we know
  int error = 0;             // the first answer that is neither 0 nor -ENOENT

  // Asks for up to hold_group keys. Returns: how many, or -errno.
  int ask(const uint8_t (*keys)[SPECKV_KEY_BYTES], uint32_t count, const PerKey& ret) {
    Round round(session, connection);
    const uint32_t most = count < hold_group ? count : hold_group;
    int result = 0;
    {
      Locked rings(session.rings);
      for (uint32_t i = 0; i < most && result == 0; i++) result = add(round, Key::from(keys[i]));
    }
    if (result == -ENOTCONN) return result;
    round.ring();
    Locked rings(session.rings);
    if (round.count() == 0) {  // the ring is full of others' operations
      if (now_ns() >= deadline_ns) return -ETIMEDOUT;
      session.rings.wait_until(deadline_after(1'000'000));
      drain(session);
      return 0;
    }
    result = round.wait(deadline_ns);
    if (result != 0) return result;
    for (uint32_t i = 0; i < round.count(); i++) {
      if (round.answer(i) == -ECONNRESET) return -ENOTCONN;
      ret.set(i, round.answer(i));
      take(Key::from(keys[i]), round.answer(i));
    }
    return int(round.count());
  }

 private:
  uint32_t shard_of_key(const Key& key) const {
    return shard_of(hash_key(masked(key, mask)), connection.shards);
  }

  int add(Round& round, const Key& key) const {
    shm::Submission submission{};
    submission.op = uint8_t(hold->retains ? shm::Op::retain : shm::Op::hold);
    submission.layout = uint16_t(layout_number);
    submission.key = key;
    submission.arg = ttl_ns;
    submission.hold = number;
    hold->shard_mask |= uint64_t{1} << shard_of_key(key);
    return round.add(shard_of_key(key), submission);
  }

  void take(const Key& key, int32_t answer) {
    held += answer == 0;
    if (answer == 0) held_shards |= uint64_t{1} << shard_of_key(key);
    if (answer != 0 && answer != -ENOENT && error == 0) error = answer;
  }
};

int leading_held(const PerKey& keys, unsigned count) {
  unsigned i = 0;
  while (i < count && keys.held(i)) i++;
  return int(i);
}

int hold_all(HoldCall& call, const uint8_t (*keys)[SPECKV_KEY_BYTES], unsigned count,
             const PerKey& ret) {
  for (unsigned at = 0; at < count;) {
    const int asked = call.ask(keys + at, count - at, ret.from(at));
    if (asked < 0) return asked;
    at += unsigned(asked);
  }
  return 0;
}

// What a call that held nothing, or gave up, leaves behind.
void drop_hold(Session& session, Connection& connection, Hold& hold) {
  uint64_t asked = 0;
  {
    Locked rings(session.rings);
    end_hold(session, connection, hold, &asked);
    hold = {};  // shards that could not be asked: the TTL ends it there
  }
  ring_shards(connection, asked);
}

// speckv_hold() or speckv_retain(), but for what their out-parameters say of a failure.
int hold_keys(speckv_session* handle, uint32_t layout, const uint8_t (*keys)[SPECKV_KEY_BYTES],
              unsigned count, uint64_t ttl_ns, uint64_t timeout_ns, const PerKey& ret,
              uint64_t* ret_hold) {
  Call call(handle);
  if (call.result() != 0) return call.result();
  const int batch = check_batch(keys, count);
  if (batch != 0) return batch;
  if ((!ret.hits && !ret.results) || !ret_hold || ttl_ns == 0) return -EINVAL;
  Session& session = call.session();
  const LayoutInfo* info = find_layout(session, layout);
  if (!info) return -EBADF;
  const uint64_t deadline_ns = deadline_after(timeout_ns);
  maintain(session);
  const Pin connection(session);
  if (connection->lost.load()) return -ENOTCONN;
  const int16_t wire_layout = connection->layout_number[layout];
  if (wire_layout == layout_refused) return -EBADF;
  const bool retains = ret.results != nullptr;
  const uint64_t ttl = retains ? ttl_ns : std::min(ttl_ns, connection->hold_ns_max);
  Hold* hold = nullptr;
  uint64_t number = 0;
  {
    Locked rings(session.rings);
    number = draw_number(session);
    hold = make_hold(session, number, retains);
    if (!hold) return -EAGAIN;
  }
  HoldCall asker{session, *connection, info->mask, wire_layout, ttl, deadline_ns, number, hold};
  const int result = hold_all(asker, keys, count, ret);
  if (result != 0 || asker.held == 0) {
    drop_hold(session, *connection, *hold);
    if (result == 0 && asker.error == 0 && retains) return -ENOENT;
    return result != 0 ? result : asker.error;
  }
  {
    Locked rings(session.rings);
    keep_hold(*hold, asker.held_shards, ttl);
  }
  *ret_hold = number;
  return leading_held(ret, count);
}

uint64_t all_shards(const Connection& connection) {
  return connection.shards == 64 ? ~uint64_t{0} : (uint64_t{1} << connection.shards) - 1;
}

// Requires: rings locked. Returns: 0, or -errno and no shard was asked.
int ask_all(Round& round, const Connection& connection, uint64_t number) {
  for (uint32_t shard = 0; shard < connection.shards; shard++) {
    const int result = round.take(shard);
    if (result != 0) return result;
  }
  shm::Submission submission{};
  submission.op = uint8_t(shm::Op::adopt);
  submission.hold = number;
  return round.send_taken(submission);
}

// Returns: what to say where no shard adopted.
int answers_of(const Round& round, uint64_t* ret_adopted) {
  int error = -EBADF;
  for (uint32_t shard = 0; shard < round.count(); shard++) {
    const int32_t answer = round.answer(shard);
    if (answer == 0) *ret_adopted |= uint64_t{1} << shard;
    else if (answer != -EBADF) error = answer == -ECONNRESET ? -ENOTCONN : answer;
  }
  return error;
}

int unhold(speckv_session* handle, uint64_t number, bool retains) {
  Call call(handle);
  if (call.result() != 0) return call.result();
  Session& session = call.session();
  maintain(session);
  const Pin connection(session);
  uint64_t asked = 0;
  int result = 0;
  {
    Locked rings(session.rings);
    Hold* hold = find_hold(session, number, retains);
    if (!hold) return -EBADF;
    result = end_hold(session, *connection, *hold, &asked);
  }
  ring_shards(*connection, asked);
  return result;
}

}  // namespace
}  // namespace speckv::lib

using namespace speckv;
using namespace speckv::lib;

extern "C" int speckv_hold(speckv_session* handle, uint32_t layout,
                           const uint8_t (*keys)[SPECKV_KEY_BYTES], unsigned count, uint64_t ttl_ns,
                           uint64_t timeout_ns, uint8_t* ret_hits, uint64_t* ret_hold) {
  return told(
      hold_keys(handle, layout, keys, count, ttl_ns, timeout_ns, {ret_hits, nullptr}, ret_hold),
      ret_hits, count);
}

extern "C" int speckv_unhold(speckv_session* handle, uint64_t number) {
  return unhold(handle, number, false);
}

extern "C" int speckv_retain(speckv_session* handle, uint32_t layout,
                             const uint8_t (*keys)[SPECKV_KEY_BYTES], unsigned count,
                             uint64_t ttl_ns, uint64_t timeout_ns, int32_t* ret_results,
                             uint64_t* ret_retain) {
  const int result = hold_keys(handle, layout, keys, count, ttl_ns, timeout_ns,
                               {nullptr, ret_results}, ret_retain);
  // Those that were answered keep their answers where none was retained; a call that gave up did
  // nothing.
  const bool answered = result >= 0 || result == -ENOENT || result == -EDQUOT;
  if (!answered && ret_results && count <= SPECKV_BATCH_MAX)
    for (unsigned i = 0; i < count; i++) ret_results[i] = result;
  return result;
}

extern "C" int speckv_retain_end(speckv_session* handle, uint64_t number) {
  return unhold(handle, number, true);
}

// All shards are asked or none, and the entry is there before the first is.
extern "C" int speckv_adopt(speckv_session* handle, uint64_t number, uint64_t timeout_ns) {
  Call call(handle);
  if (call.result() != 0) return call.result();
  Session& session = call.session();
  if (number == 0) return -EBADF;
  const uint64_t deadline_ns = deadline_after(timeout_ns);
  maintain(session);
  const Pin connection(session);
  Round round(session, *connection);
  Hold* hold = nullptr;
  {
    Locked rings(session.rings);
    hold = find_hold(session, number);  // it may have gone to another session since: ask anyway
    const Hold before = hold ? *hold : Hold{};
    if (hold) hold->busy = true;
    else if (!being_made(session, number)) hold = make_hold(session, number);
    if (!hold) return -EAGAIN;
    const int result = ask_all(round, *connection, number);
    if (result != 0) return *hold = before, result;
  }
  round.ring();
  Locked rings(session.rings);
  const int waited = round.wait(deadline_ns);
  if (waited != 0) {  // the daemon may still do it: unhold then ends it
    keep_hold(*hold, all_shards(*connection), connection->hold_ns_max);
    return waited;
  }
  uint64_t adopted = 0;
  const int error = answers_of(round, &adopted);
  if (adopted == 0) return *hold = {}, error;
  keep_hold(*hold, adopted, connection->hold_ns_max);
  return 0;
}
