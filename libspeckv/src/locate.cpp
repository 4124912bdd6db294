// SPDX-License-Identifier: Apache-2.0
// locate.cpp - speckv_locate: in which tier blocks are.
//
// What the index has is in the pool, and touched; where there is no tier below that is all. The
// others go to their shards, one submission each, in groups; nothing is fetched. Waits for the
// daemon's answers, never past its deadline.
#include <cerrno>

#include "src/clock.hpp"
#include "src/connect.hpp"
#include "src/fetch.hpp"
#include "src/round.hpp"
#include "src/views.hpp"

namespace speckv::lib {
namespace {

int32_t tier_of(int32_t answer) {
  switch (answer) {
    case 0:
      return SPECKV_TIER_POOL;
    case shm::located_below:
      return SPECKV_TIER_BELOW;
    case not_answered:
      return -ETIMEDOUT;
    case -ECONNRESET:
      return -ENOTCONN;
    default:
      return answer;
  }
}

class Locate {
 public:
  Locate(Session& session, Connection& connection, const LayoutInfo& info, int16_t layout_number,
         uint64_t deadline_ns)
      : session_(session),
        connection_(connection),
        info_(info),
        layout_number_(layout_number),
        deadline_ns_(deadline_ns) {}

  // Asks about those whose result is not_answered. Returns: 0; -ETIMEDOUT, -ESHUTDOWN or -ENOTCONN:
  // some are not answered still.
  int run(Keys keys, int32_t* results, uint32_t count) {
    uint32_t at = 0;
    int result = 0;
    while (result == 0) {
      while (at < count && results[at] != not_answered) at++;
      if (at == count) return 0;
      result = ask_group(keys + at, results + at, count - at);
    }
    return result;
  }

 private:
  int ask_group(Keys keys, int32_t* results, uint32_t count) {
    Round round(session_, connection_);
    uint32_t of[hold_group];
    {
      Locked rings(session_.rings);
      uint32_t taken = 0;
      for (uint32_t i = 0; i < count && taken < hold_group; i++) {
        if (results[i] != not_answered) continue;
        if (round.take(shard_of_key(connection_, info_, Key::from(keys[i]))) != 0) break;
        of[taken++] = i;
      }
      shm::Submission submission{};
      submission.op = uint8_t(shm::Op::locate);
      submission.layout = uint16_t(layout_number_);
      for (uint32_t i = 0; i < taken; i++) {
        submission.key = Key::from(keys[of[i]]);
        if (round.send_next(submission) != 0) break;
      }
    }
    round.ring();
    Locked rings(session_.rings);
    if (round.count() == 0) return wait_for_room();
    const int result = round.wait(deadline_ns_);
    for (uint32_t i = 0; i < round.count(); i++) results[of[i]] = round.answer(i);
    return result;
  }

  // The rings are full of others' operations, or the daemon is lost. Requires: rings locked.
  int wait_for_room() {
    if (connection_.lost.load()) return -ENOTCONN;
    if (now_ns() >= deadline_ns_) return -ETIMEDOUT;
    const uint64_t soon = deadline_after(1'000'000);
    session_.rings.wait_until(soon < deadline_ns_ ? soon : deadline_ns_);
    drain(session_);
    return 0;
  }

  Session& session_;
  Connection& connection_;
  const LayoutInfo& info_;
  const int16_t layout_number_;
  const uint64_t deadline_ns_;
};

int locate(speckv_session* handle, uint32_t layout, Keys keys, unsigned count, uint64_t timeout_ns,
           int32_t* ret_tiers) {
  Call call(handle);
  if (call.result() != 0) return call.result();
  const int batch = check_batch(keys, count);
  if (batch != 0) return batch;
  if (!ret_tiers) return -EINVAL;
  Session& session = call.session();
  const LayoutInfo* info = find_layout(session, layout);
  if (!info) return -EBADF;
  const uint64_t deadline_ns = deadline_after(timeout_ns);
  maintain(session);
  const Pin connection(session);
  const int16_t number = connection->layout_number[layout];
  int result = 0;
  if (look_up(*connection, *info, keys, count, ret_tiers) != 0) {
    if (connection->lost.load() || number == layout_refused) result = -ENOTCONN;
    else
      result = Locate(session, *connection, *info, number, deadline_ns).run(keys, ret_tiers, count);
  }
  unsigned leading = 0;
  for (unsigned i = 0; i < count; i++) {
    const bool unknown = ret_tiers[i] == not_answered && result != 0;
    ret_tiers[i] = unknown ? result : tier_of(ret_tiers[i]);
    leading += leading == i && ret_tiers[i] >= 0;
  }
  return int(leading);
}

}  // namespace
}  // namespace speckv::lib

using namespace speckv::lib;

extern "C" int speckv_locate(speckv_session* handle, uint32_t layout,
                             const uint8_t (*keys)[SPECKV_KEY_BYTES], unsigned count,
                             uint64_t timeout_ns, int32_t* ret_tiers) {
  const int result = locate(handle, layout, keys, count, timeout_ns, ret_tiers);
  if (result < 0 && ret_tiers && count <= SPECKV_BATCH_MAX)
    for (unsigned i = 0; i < count; i++) ret_tiers[i] = result;
  return result;
}
