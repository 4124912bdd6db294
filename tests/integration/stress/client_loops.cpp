// SPDX-License-Identifier: Apache-2.0
// client_loops.cpp - a reader that checks every word it is given, a writer that puts, rewrites,
// holds and removes.
#include "client_loops.hpp"

#include <sched.h>
#include <unistd.h>

#include <cerrno>
#include <initializer_list>
#include <random>

#include "speckv/speckv.h"
#include "tagged_block.hpp"

namespace speckv::test {
namespace {

constexpr uint64_t second_ns = 1'000'000'000;

// The process is one client; the library's hook has no other way to it.
ClientTask task;
std::mt19937_64 dice;
bool was_slow = false;

uint32_t roll(uint32_t sides) { return uint32_t(dice() % sides); }

// Says where this client stands; stands still there for the driver to kill it, if the driver wants
// that.
void mark(uint32_t state) {
  ClientSlot& slot = task.shared->clients[task.client];
  if (slot.pause_at.load() != state || state == idle) return;
  slot.paused.store(state);
  while (!task.shared->stop.load() && slot.pause_at.load() == state) usleep(500);
  slot.paused.store(idle);
}

void expect(int call, int result, std::initializer_list<int> allowed) {
  for (int each : allowed)
    if (result == each) return;
  if (task.shared->unexpected.fetch_add(1) > 0) return;
  task.shared->unexpected_call.store(call);
  task.shared->unexpected_result.store(result);
}

// Opens a session and registers both layouts, as often as it takes. Returns: false when told to
// stop.
bool open_session(speckv_session** ret_session, uint32_t ret_layouts[2]) {
  while (!task.shared->stop.load()) {
    speckv_open_args args{};
    args.size = sizeof args;
    args.socket_path = task.socket_path.c_str();
    args.arena_bytes = 1 << 20;
    args.daemon_uid = -1;
    if (speckv_open(&args, ret_session) != 0) {
      usleep(2000);
      continue;
    }
    int result = 0;
    for (uint32_t i = 0; i < 2 && result == 0; i++) {
      const speckv_layout layout = stress_layout(i);
      result = speckv_layout_register(*ret_session, &layout, &ret_layouts[i]);
    }
    if (result == 0) return true;
    expect(call_layout, result, {-ENOTCONN, -ETIMEDOUT});
    speckv_close(*ret_session);
    usleep(2000);
  }
  return false;
}

// Adds what a session has counted since the last time.
class StatsDelta {
 public:
  void add(speckv_session* session) {
    struct speckv_stats now {};
    now.size = sizeof now;
    if (speckv_stats(session, &now) != 0) return;
    task.shared->retries += now.retries - last_.retries;
    task.shared->stale += now.stale - last_.stale;
    task.shared->corrupt += now.corrupt - last_.corrupt;
    task.shared->foreign += now.foreign - last_.foreign;
    task.shared->reconnects += now.reconnects - last_.reconnects;
    last_ = now;
  }

 private:
  struct speckv_stats last_ {};
};

class Reader {
 public:
  Reader(speckv_session* session, const uint32_t layouts[2])
      : session_(session), layouts_{layouts[0], layouts[1]} {}

  void read_some() {
    const uint32_t kind = roll(2), count = 1 + roll(batch_max);
    TaggedBlock* blocks = kind == 0 ? records_ : singles_;
    const uint32_t layers = blocks[0].layers();
    const uint32_t first = roll(4) == 0 ? roll(layers) : 0;
    const uint32_t layer_count = roll(4) == 0 ? 1 + roll(layers - first) : layers - first;
    uint32_t numbers[batch_max];
    speckv_get_op ops[batch_max]{};
    for (uint32_t i = 0; i < count; i++) {
      // half of the reads go where much is rewritten
      numbers[i] = roll(2) ? roll(numbers_of[kind]) : roll(16);
      blocks[i].forget();
      stress_key(kind, numbers[i], ops[i].key);
      ops[i].buf = blocks[i].buf(first, layer_count);
      ops[i].flags = roll(4) == 0 ? SPECKV_GET_STREAM : 0;
    }
    const int result = speckv_get(session_, layouts_[kind], ops, count);
    if (result < 0) return expect(call_get, result, {});
    for (uint32_t i = 0; i < count; i++) {
      task.shared->gets++;
      expect(call_get, ops[i].ret_result, {0, -ENOENT});
      if (ops[i].ret_result != 0) continue;
      task.shared->hits++;
      uint64_t version = 0;
      if (!blocks[i].whole(numbers[i], first, layer_count, &version)) task.shared->wrong++;
    }
  }

 private:
  static constexpr uint32_t batch_max = 4;
  speckv_session* session_;
  uint32_t layouts_[2];
  TaggedBlock records_[batch_max]{TaggedBlock(0), TaggedBlock(0), TaggedBlock(0), TaggedBlock(0)};
  TaggedBlock singles_[batch_max]{TaggedBlock(1), TaggedBlock(1), TaggedBlock(1), TaggedBlock(1)};
};

class Writer {
 public:
  Writer(speckv_session* session, const uint32_t layouts[2])
      : session_(session), layouts_{layouts[0], layouts[1]} {}

  void write_some() {
    const uint32_t kind = roll(2);
    const uint32_t number = roll(2) ? roll(numbers_of[kind]) : roll(16);
    // Without a remove the block stays as it is: the same key is the same block.
    if (roll(3) == 0) remove(kind, number);
    const uint32_t choice = roll(10);
    if (choice < 5) put(kind, number);
    else if (choice < 7) put_parts(kind, number);
    else if (choice < 9) put_page(kind, number);
    else hold(kind);
  }

 private:
  // A version that no write had before: of this life of this client, and counted.
  uint64_t next_version() { return (task.seed << 24) + ++versions_; }
  TaggedBlock& block(uint32_t kind) { return kind == 0 ? record_ : single_; }

  void settle(uint32_t count) {
    for (int tries = 0; count > 0 && tries < 200; tries++) {
      speckv_completion done[16];
      const int got = speckv_reap(session_, done, 16);
      if (got < 0) return expect(call_completion, got, {-ENOTCONN});
      for (int i = 0; i < got; i++) {
        expect(call_completion, done[i].result, {0, -ENOENT, -EBUSY, -ENOSPC, -ECONNRESET});
        if (done[i].result == 0) task.shared->stored++;
      }
      count -= uint32_t(got) < count ? uint32_t(got) : count;
      if (count > 0 && speckv_wait(session_, second_ns / 20) == -ENOTCONN) usleep(1000);
    }
  }
  void count_lost(int result) {
    if (result != -ENOTCONN) return;
    task.shared->not_connected++;
    usleep(1000);
  }

  void put(uint32_t kind, uint32_t number) {
    block(kind).fill(number, next_version());
    mark(putting);
    speckv_put_op op{};
    stress_key(kind, number, op.key);
    op.buf = block(kind).buf();
    op.meta.position = SPECKV_POSITION_UNKNOWN;
    const int result = speckv_put(session_, layouts_[kind], &op, 1);
    const int each = result < 0 ? result : op.ret_result;
    expect(call_put, each, {0, -EAGAIN, -ENOTCONN});
    if (each != 0) return count_lost(each);
    mark(put_submitted);
    settle(1);
  }
  void put_parts(uint32_t kind, uint32_t number) {
    TaggedBlock& from = block(kind);
    from.fill(number, next_version());
    uint8_t key[SPECKV_KEY_BYTES];
    stress_key(kind, number, key);
    struct speckv_put* parts = nullptr;
    int result = speckv_put_begin(session_, layouts_[kind], key, nullptr, &parts);
    expect(call_parts, result, {0, -EAGAIN, -ENOTCONN});
    if (result != 0) return count_lost(result);
    mark(parts_begun);
    for (uint32_t layer = from.layers(); layer-- > 0 && result == 0;) {  // last layer first
      const speckv_buf buf = from.buf(layer, 1);
      result = speckv_put_layers(parts, &buf);
      if (layer == 1) mark(parts_half);
    }
    if (result == 0) result = speckv_put_commit(parts, 0);
    else speckv_put_abort(parts);
    expect(call_parts, result, {0, -EAGAIN, -ENOTCONN, -ECONNRESET, -EBADF});
    if (result != 0) return count_lost(result);
    mark(parts_committed);
    settle(1);
  }
  void put_page(uint32_t kind, uint32_t number) {
    speckv_page* page = nullptr;
    int result = speckv_alloc(session_, layouts_[kind], &page);
    expect(call_page, result, {0, -EAGAIN, -ENOTCONN});
    if (result != 0) return count_lost(result);
    speckv_view views[6];
    result = speckv_page_views(page, views, 2 * block(kind).layers());
    if (result == 0) block(kind).fill_views(views, number, next_version());
    mark(page_open);
    if (result == 0) result = speckv_append(page, stress_layout(kind).block_tokens);
    uint8_t key[SPECKV_KEY_BYTES];
    stress_key(kind, number, key);
    if (result >= 0) result = speckv_seal(page, key, nullptr, 0);
    else speckv_release(page);
    expect(call_page, result, {0, -EAGAIN, -ENOTCONN, -ECONNRESET, -EBADF});
    if (result != 0) return count_lost(result);
    mark(page_sealed);
    settle(1);
  }
  void remove(uint32_t kind, uint32_t number) {
    uint8_t key[1][SPECKV_KEY_BYTES];
    stress_key(kind, number, key[0]);
    const int result = speckv_remove(session_, layouts_[kind], key, 1, 0);
    expect(call_remove, result, {1, -EAGAIN, -ENOTCONN, 0});
    if (result != 1) return count_lost(result);
    task.shared->removed++;
    settle(1);
  }
  void hold(uint32_t kind) {
    uint8_t keys[8][SPECKV_KEY_BYTES], hits[8];
    for (auto& key : keys) stress_key(kind, roll(numbers_of[kind]), key);
    uint64_t number = 0;
    const int result =
        speckv_hold(session_, layouts_[kind], keys, 8, 30 * second_ns, second_ns, hits, &number);
    if (result < 0) {
      expect(call_hold, result, {-ENOTCONN, -ETIMEDOUT, -EAGAIN, -EDQUOT, -ENOENT, -ECONNRESET});
      return count_lost(result);
    }
    task.shared->held++;
    mark(holding);
    // Every third is left to the session's end.
    if (result > 0 && roll(3) != 0)
      expect(call_hold, speckv_unhold(session_, number), {0, -ENOTCONN, -EBADF, -EAGAIN});
  }

  speckv_session* session_;
  uint32_t layouts_[2];
  uint64_t versions_ = 0;
  TaggedBlock record_{0}, single_{1};
};

template <typename Body>
void loop(const ClientTask& given) {
  task = given;
  dice.seed(task.seed);
  speckv_session* session = nullptr;
  uint32_t layouts[2];
  if (!open_session(&session, layouts)) return;
  Body body(session, layouts);
  StatsDelta stats;
  for (uint32_t turn = 0; !task.shared->stop.load(); turn++) {
    body(turn);
    if (turn % 16 == 0) stats.add(session);
  }
  stats.add(session);
  speckv_close(session);
}

struct ReaderBody : Reader {
  using Reader::Reader;
  void operator()(uint32_t) { read_some(); }
};
struct WriterBody : Writer {
  using Writer::Writer;
  void operator()(uint32_t) { write_some(); }
};

}  // namespace

void read_until_stopped(const ClientTask& given) { loop<ReaderBody>(given); }
void write_until_stopped(const ClientTask& given) { loop<WriterBody>(given); }

}  // namespace speckv::test

// Called by the library between the steps of docs/protocol.md.
extern "C" void speckv_test_read_step(int step) {
  using namespace speckv::test;
  if (!task.shared) return;
  mark(uint32_t(step));
  const uint32_t luck = roll(64);
  if (luck == 0) usleep(roll(400));
  else if (luck < 8) sched_yield();
  if (task.slow_once && !was_slow && step >= 5) {
    was_slow = true;
    usleep(2'300'000);  // past guard_ignored_after_ns
  }
}
