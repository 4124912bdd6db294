// SPDX-License-Identifier: Apache-2.0
// load.cpp - speckv_load: speckv_get(), and what lies below the pool is fetched and read as it
// comes.
//
// A group of misses is asked for at once, under one number, and read in order: the first that is
// nowhere, or not there by the deadline, ends the run and the call. Waits for nothing else, and for
// nothing at all when its deadline has passed.
#include <cerrno>

#include "src/clock.hpp"
#include "src/connect.hpp"
#include "src/fetch.hpp"
#include "src/round.hpp"
#include "src/views.hpp"

namespace speckv::lib {
namespace {

unsigned leading(const speckv_get_op* ops, unsigned count) {
  unsigned i = 0;
  while (i < count && ops[i].ret_result == 0) i++;
  return i;
}

struct Answer {
  const int32_t* results;
  uint32_t index;
};
bool is_final(const void* argument) {
  const auto& answer = *static_cast<const Answer*>(argument);
  const int32_t result = answer.results[answer.index];
  return result != not_answered && result != -EINPROGRESS;
}

class Load {
 public:
  Load(speckv_session* handle, Session& session, uint32_t layout, const LayoutInfo& info,
       speckv_get_op* ops, unsigned count, uint64_t deadline_ns)
      : handle_(handle),
        session_(session),
        layout_(layout),
        info_(info),
        ops_(ops),
        count_(count),
        deadline_ns_(deadline_ns) {}

  // Until the run has ended.
  void run() {
    while (at_ < count_ && go_on_) {
      at_ += leading(ops_ + at_, count_ - at_);
      if (at_ == count_ || ops_[at_].ret_result != -ENOENT) return;
      const Pin connection(session_);
      const int16_t number = connection->layout_number[layout_];
      if (connection->lost.load() || number == layout_refused) return;
      load_group(*connection, number);
    }
  }

 private:
  // The misses from at_ on, up to hold_group of them.
  void load_group(Connection& connection, int16_t layout_number) {
    Round round(session_, connection);
    FetchAsked asked{shm::Op::load, layout_number, 0, deadline_ns_, SPECKV_NO_BUDGET};
    uint32_t of[hold_group];
    {
      Locked rings(session_.rings);
      asked.number = draw_number(session_);
      send_all(connection, round, asked, of);
    }
    round.ring();
    if (round.count() == 0) return wait_for_room();
    uint32_t answered = 0;
    while (answered < round.count() && go_on_) answered += take_one(round, answered, of[answered]);
    uint64_t told = 0;
    {
      Locked rings(session_.rings);
      if (round.left() == 0) return;
      told = end_fetch(session_, connection, round.shards(), asked.number);
    }
    ring_shards(connection, told);
  }

  void send_all(Connection& connection, Round& round, const FetchAsked& asked, uint32_t* ret_of) {
    uint32_t left[shm::shards_max] = {}, taken = 0;
    for (unsigned i = at_; i < count_ && taken < hold_group; i++) {
      if (ops_[i].ret_result != -ENOENT) continue;
      const uint32_t shard = shard_of_key(connection, info_, Key::from(ops_[i].key));
      if (round.take(shard, 2) != 0) break;
      left[shard]++;
      ret_of[taken++] = i;
    }
    for (uint32_t i = 0; i < taken; i++) {
      const uint32_t shard = round.shard_of_taken(i);
      const Key key = Key::from(ops_[ret_of[i]].key);
      if (round.send_next(fetch_submission(asked, key, --left[shard])) != 0) return;
    }
  }

  // The rings are full of others' operations, or the daemon is lost.
  void wait_for_room() {
    Locked rings(session_.rings);
    if (session_.current.load()->lost.load() || now_ns() >= deadline_ns_) {
      go_on_ = false;
      return;
    }
    const uint64_t soon = deadline_after(1'000'000);
    session_.rings.wait_until(soon < deadline_ns_ ? soon : deadline_ns_);
    drain(session_);
  }

  // Waits for one answer, and reads the block. Returns: 1.
  uint32_t take_one(const Round& round, uint32_t i, unsigned op) {
    int32_t result = 0;
    {
      Locked rings(session_.rings);
      const Answer answer{round.answers(), i};
      const int waited = wait_until(session_, deadline_ns_, is_final, &answer);
      result = waited == 0 ? round.answer(i) : waited;
    }
    if (result == 0) {
      const int got = speckv_get(handle_, layout_, &ops_[op], 1);
      if (got != 1) go_on_ = false;  // evicted again
      return 1;
    }
    go_on_ = false;
    // A daemon that went away, or hangs up: a miss, as everywhere.
    ops_[op].ret_result = result == -ECONNRESET || result == -ESHUTDOWN ? -ENOENT : result;
    return 1;
  }

  speckv_session* const handle_;
  Session& session_;
  const uint32_t layout_;
  const LayoutInfo& info_;
  speckv_get_op* const ops_;
  const unsigned count_;
  const uint64_t deadline_ns_;
  unsigned at_ = 0;
  bool go_on_ = true;
};

}  // namespace
}  // namespace speckv::lib

using namespace speckv::lib;

extern "C" int speckv_load(speckv_session* handle, uint32_t layout, speckv_get_op* ops,
                           unsigned count, uint64_t deadline_ns) {
  const int got = speckv_get(handle, layout, ops, count);
  if (got < 0) return got;
  if (unsigned(got) == count || deadline_ns <= now_ns()) return int(leading(ops, count));
  Call call(handle);
  if (call.result() != 0) return int(leading(ops, count));
  const LayoutInfo* info = find_layout(call.session(), layout);
  Load(handle, call.session(), layout, *info, ops, count, deadline_ns).run();
  return int(leading(ops, count));
}
