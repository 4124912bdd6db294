// SPDX-License-Identifier: Apache-2.0
// clients.cpp - what simulated clients do: calls of the library, and those that write into their
// session's memory as they like.
#include <cerrno>
#include <cstring>

#include <utility>

#include "kill_switch.hpp"
#include "shm/atomics.hpp"
#include "simulation.hpp"

namespace speckv::sim {

namespace {
constexpr uint64_t hold_ns = 3'000'000'000, wait_ns = 5'000'000'000;

enum Action : uint32_t {
  action_put,
  action_parts,
  action_get,
  action_hold,
  action_unhold,
  action_adopt,
  action_remove,
  action_touch,
  action_reap,
  action_retain
};
}  // namespace

void Simulation::connect(Client& client) {
  client.owner = ++owners_;
  client.session = daemon_->connect(client.space, arena_bytes_, !client.old);
  // Control tells it where the index is once no entry refers to what it cannot read.
  const uint64_t to_live = std::exchange(stores_to_live, 0);
  for (int turn = 0; client.old && !daemon_->near_is_closed(client.space); turn++) {
    demand(turn < 100, "an old client waits for near memory for ever");
    daemon_turn();
  }
  stores_to_live = to_live;
  if (!client.scribbles)
    client.library = std::make_unique<LibrarySession>(daemon_->memory_of(*client.session), layouts_,
                                                      random_.next());
}

// The client is gone: what it had under way has an end that nobody hears of.
void Simulation::disconnect(Client& client) {
  if (client.library) {
    client.library->lose();
    reap(client);
  }
  demand(client.pending.empty(), text("client %u: a lost session has %zu operations without an end",
                                      client.number, client.pending.size()));
  oracle_.owner_ended(client.owner);
  client.holds.clear();
  client.retained.clear();
  client.library.reset();
  daemon_->ended(*client.session);
  client.session->end();
  client.session.reset();
}

void Simulation::act(Client& client) {
  operations_++;
  if (client.scribbles) return submit_anything(client);
  switch (random_.one_of(rates_.mix)) {
    case action_put:
      return put(client);
    case action_parts:
      return may(parts) ? put_in_parts(client) : put(client);
    case action_get:
      return get(client);
    case action_hold:
      return may(holds) ? hold(client) : get(client);
    case action_unhold:
      return may(holds) ? unhold(client) : get(client);
    case action_adopt:
      return may(holds) ? adopt(client) : get(client);
    case action_remove:
      return may(removals) ? remove(client) : get(client);
    case action_touch:
      return touch(client);
    case action_retain:
      return may(holds) ? retain(client) : get(client);
    default:
      return reap(client);
  }
}

Name Simulation::any_name(const Client& client) {
  const auto layout = uint32_t(random_.below(layouts_.size()));
  // Some keys are asked for more often than others.
  const uint64_t among = random_.chance(512) ? keys_ : 1 + keys_ / 8;
  return {client.space, layout, uint32_t(random_.below(among))};
}

void Simulation::put(Client& client) {
  const Name name = any_name(client);
  BlockBytes& block = blocks_[name.layout];
  const uint64_t version =
      oracle_.put_asked(name, daemon_->gone(name.space), daemon_->dropped(name.space));
  block.fill(name.key, version);
  speckv_put_op op{};
  key_bytes(name, op.key);
  op.buf = block.buf();
  op.meta.position =
      random_.chance(512) ? SPECKV_POSITION_UNKNOWN : uint32_t(random_.below(3)) * 16;
  if (random_.chance(512)) key_bytes(any_name(client), op.meta.parent);
  op.user_data = ++user_data_;
  speckv_put(client.library->handle(), name.layout, &op, 1);
  say(text("client %u: put %s version %llu: %d", client.number, name.text().c_str(),
           (unsigned long long)version, op.ret_result));
  if (op.ret_result == 0) client.pending[op.user_data] = {Kind::put, name, version};
  else oracle_.put_refused(name, version);
  demand(op.ret_result == 0 || op.ret_result == -EAGAIN, text("a put gave %d", op.ret_result));
}

// In any order of layers, and sometimes not to its end.
void Simulation::put_in_parts(Client& client) {
  const Name name = any_name(client);
  BlockBytes& block = blocks_[name.layout];
  uint8_t key[SPECKV_KEY_BYTES];
  key_bytes(name, key);
  struct speckv_put* handle = nullptr;
  const int begun = speckv_put_begin(client.library->handle(), name.layout, key, nullptr, &handle);
  demand(begun == 0 || begun == -EAGAIN, text("put_begin gave %d", begun));
  if (begun != 0) return;
  const uint64_t version =
      oracle_.put_asked(name, daemon_->gone(name.space), daemon_->dropped(name.space));
  block.fill(name.key, version);
  const uint64_t first = random_.below(block.layers());
  for (uint32_t i = 0; i < block.layers(); i++) {
    const speckv_buf buf = block.buf(uint32_t((first + i) % block.layers()), 1);
    demand(speckv_put_layers(handle, &buf) == 0, "put_layers failed");
  }
  const int result = random_.chance(900) ? speckv_put_commit(handle, ++user_data_) : -ECANCELED;
  if (result != 0) speckv_put_abort(handle);
  say(text("client %u: put in parts %s version %llu: %d", client.number, name.text().c_str(),
           (unsigned long long)version, result));
  if (result == 0) client.pending[user_data_] = {Kind::put, name, version};
  else oracle_.put_refused(name, version);
}

void Simulation::get(Client& client) {
  const Name first = any_name(client);
  const uint32_t count = may(batches) ? uint32_t(random_.range(1, batch_[0].size())) : 1;
  speckv_get_op ops[8] = {};
  Name names[8];
  uint32_t layer_first = 0, layer_count = blocks_[first.layout].layers();
  if (random_.chance(256) && !blocks_[first.layout].has_side()) {
    layer_first = uint32_t(random_.below(layer_count));
    layer_count = 1;
  }
  for (uint32_t i = 0; i < count; i++) {
    names[i] = {first.space, first.layout, uint32_t((first.key + i) % keys_)};
    batch_[first.layout][i].forget();
    key_bytes(names[i], ops[i].key);
    ops[i].buf = batch_[first.layout][i].buf(layer_first, layer_count);
    ops[i].flags = random_.chance(128) ? SPECKV_GET_STREAM : 0;
  }
  const bool waits = random_.chance(300);
  if (waits) speckv_load(client.library->handle(), first.layout, ops, count, now_ns + wait_ns);
  else speckv_get(client.library->handle(), first.layout, ops, count);
  for (uint32_t i = 0; i < count; i++) {
    uint64_t version = 0;
    const int result = ops[i].ret_result;  // a load says why it did not come up
    const bool late = waits && (result == -ETIMEDOUT || result == -ENOSPC || result == -EIO);
    demand(ops[i].ret_result == 0 || ops[i].ret_result == -ENOENT || late,
           text("a get gave %d", ops[i].ret_result));
    if (ops[i].ret_result == 0) {
      demand(batch_[first.layout][i].whole(names[i].key, layer_first, layer_count, &version),
             text("block %s: a get gave bytes that are no version of it", names[i].text().c_str()));
      hits_++;
    }
    say(text("client %u: get %s: %d version %llu", client.number, names[i].text().c_str(),
             ops[i].ret_result, (unsigned long long)version));
    if (ops[i].ret_result == 0) oracle_.got(names[i], version);
    else if (daemon_->alive())
      oracle_.missed(names[i], daemon_->gone(client.space), daemon_->lost(client.space), now_ns);
  }
  operations_ += count - 1;
  struct speckv_stats stats {};
  stats.size = sizeof stats;
  speckv_stats(client.library->handle(), &stats);
  demand(stats.corrupt == 0, text("block %s or a later one: a get found bytes that were no block "
                                  "under a gen that had not changed",
                                  first.text().c_str()));
}

void Simulation::hold(Client& client) {
  const Name first = any_name(client);
  const uint32_t count = may(batches) ? uint32_t(random_.range(1, 4)) : 1;
  uint8_t keys[4][SPECKV_KEY_BYTES], hits[4];
  for (uint32_t i = 0; i < count; i++)
    key_bytes({first.space, first.layout, uint32_t((first.key + i) % keys_)}, keys[i]);
  uint64_t number = 0;
  const uint64_t lost_before = daemon_->lost(client.space), until_ns = now_ns + hold_ns;
  const uint32_t lives = daemon_->lives();
  const uint64_t refused_before =
      daemon_->alive() ? daemon_->counters(client.space).holds_refused.load() : 0;
  const auto reads_open = [&] {  // a tier that was slow is asked for nothing for a while
    return sizes_.spill_units && daemon_->alive() &&
           daemon_->shard(client.space).spill()->io_counters().read_breaker != 0;
  };
  const bool open_before = reads_open();
  const int result = speckv_hold(client.library->handle(), first.layout, SPECKV_KEYS(keys), count,
                                 hold_ns, wait_ns, hits, &number);
  say(text("client %u: hold %s and %u more: %d, %llx", client.number, first.text().c_str(),
           count - 1, result, (unsigned long long)number));
  if (result < 0 || !daemon_->alive() || daemon_->lives() != lives) return;
  const bool strict = sizes_.spill_units && !disks_failed_ && !client.scribbles && !open_before &&
                      !reads_open() && !daemon_->shard(client.space).spill()->scanning() &&
                      daemon_->counters(client.space).holds_refused == refused_before;
  for (uint32_t i = 0; i < count && strict; i++)
    if (!hits[i])
      oracle_.hold_missed({first.space, first.layout, uint32_t((first.key + i) % keys_)},
                          daemon_->dropped(client.space));
  if (number == 0) return;
  for (uint32_t i = 0; i < count; i++)
    if (hits[i])
      oracle_.held(number, client.owner,
                   {first.space, first.layout, uint32_t((first.key + i) % keys_)}, lost_before,
                   until_ns);
  client.holds.push_back(number);
}

void Simulation::unhold(Client& client) {
  if (client.holds.empty()) return;
  const uint64_t number = client.holds.back();
  client.holds.pop_back();
  oracle_.unheld(number);
  const int result = speckv_unhold(client.library->handle(), number);
  say(text("client %u: unhold %llx: %d", client.number, (unsigned long long)number, result));
}

void Simulation::adopt(Client& client) {
  Client& other = clients_[random_.below(clients_.size())];
  if (&other == &client || other.space != client.space || other.holds.empty()) return;
  const uint64_t number = other.holds.back();
  other.holds.pop_back();
  const int result = speckv_adopt(client.library->handle(), number, wait_ns);
  say(text("client %u: adopt %llx of client %u: %d", client.number, (unsigned long long)number,
           other.number, result));
  if (result != 0) return oracle_.unheld(number);  // who has it now is not known
  oracle_.adopted(number, client.owner);
  client.holds.push_back(number);
}

// As a hold, of what is in the pool already; some end before their time.
void Simulation::retain(Client& client) {
  if (client.retained.size() > 3 || (!client.retained.empty() && random_.chance(300))) {
    const uint64_t number = client.retained.back();
    client.retained.pop_back();
    oracle_.unheld(number);
    const int ended = speckv_retain_end(client.library->handle(), number);
    say(text("client %u: retain_end %llx: %d", client.number, (unsigned long long)number, ended));
    return;
  }
  const Name name = any_name(client);
  uint8_t keys[1][SPECKV_KEY_BYTES];
  key_bytes(name, keys[0]);
  int32_t result = 0;
  uint64_t number = 0;
  const uint64_t lost_before = daemon_->lost(client.space), until_ns = now_ns + hold_ns;
  const uint32_t lives = daemon_->lives();
  const int retained = speckv_retain(client.library->handle(), name.layout, SPECKV_KEYS(keys), 1,
                                     hold_ns, wait_ns, &result, &number);
  say(text("client %u: retain %s: %d, %d, %llx", client.number, name.text().c_str(), retained,
           result, (unsigned long long)number));
  if (retained != 1 || result != 0 || !daemon_->alive() || daemon_->lives() != lives) return;
  oracle_.held(number, client.owner, name, lost_before, until_ns);
  client.retained.push_back(number);
}

void Simulation::remove(Client& client) {
  const Name name = any_name(client);
  uint8_t keys[1][SPECKV_KEY_BYTES];
  key_bytes(name, keys[0]);
  const int result =
      speckv_remove(client.library->handle(), name.layout, SPECKV_KEYS(keys), 1, ++user_data_);
  say(text("client %u: remove %s: %d", client.number, name.text().c_str(), result));
  demand(result == 1 || result == -EAGAIN, text("a removal gave %d", result));
  if (result == 1) client.pending[user_data_] = {Kind::remove, name, oracle_.remove_asked(name)};
}

void Simulation::touch(Client& client) {
  const Name name = any_name(client);
  uint8_t keys[1][SPECKV_KEY_BYTES];
  key_bytes(name, keys[0]);
  if (sizes_.speculation_bytes_s && random_.chance(400)) {
    struct speckv_hint hint {};
    hint.size = sizeof hint;
    hint.returns_ns = now_ns + random_.below(3'000'000'000);
    speckv_hint(client.library->handle(), name.layout, SPECKV_KEYS(keys), 1, &hint);
    return;
  }
  if (random_.chance(512)) {
    speckv_prefetch(client.library->handle(), name.layout, SPECKV_KEYS(keys), 1);
    return;
  }
  // What becomes of it is looked at now, and it is ended now or never: its session's end does.
  speckv_prefetch_args args{};
  args.size = sizeof args;
  args.deadline_ns = random_.chance(512) ? SPECKV_NO_DEADLINE : now_ns + wait_ns;
  args.budget_bytes = random_.chance(512) ? SPECKV_NO_BUDGET : 1;
  args.user_data = ++user_data_;
  uint64_t prefetch = 0;
  const int asked = speckv_prefetch_begin(client.library->handle(), name.layout, SPECKV_KEYS(keys),
                                          1, &args, &prefetch);
  demand(asked >= 0 || asked == -EAGAIN, text("a prefetch gave %d", asked));
  if (asked < 0) return;
  client.pending[args.user_data] = {Kind::prefetch, name, 0};
  speckv_outcome outcome{};
  const int ready = speckv_prefetch_outcomes(client.library->handle(), prefetch, &outcome, 1);
  demand(ready == (outcome.outcome == SPECKV_OUTCOME_READY), "a prefetch contradicts itself");
  if (random_.chance(900))
    demand(speckv_prefetch_end(client.library->handle(), prefetch) == 0, "a prefetch has no end");
}

void Simulation::reap(Client& client) {
  speckv_completion done[64];
  for (int count = 1; count > 0;) {
    count = speckv_reap(client.library->handle(), done, 64);
    demand(count >= 0, text("reap gave %d", count));
    for (int i = 0; i < count; i++) {
      const auto at = client.pending.find(done[i].user_data);
      demand(at != client.pending.end(), text("client %u: an answer to nothing", client.number));
      const Pending pending = at->second;
      client.pending.erase(at);
      say(text("client %u: %s %s answered: %d%s", client.number,
               pending.kind == Kind::put      ? "put"
               : pending.kind == Kind::remove ? "remove"
                                              : "prefetch",
               pending.name.text().c_str(), done[i].result, done[i].flags ? " existed" : ""));
      answered(pending, done[i].result, done[i].flags & SPECKV_COMPLETION_EXISTED);
    }
  }
}

void Simulation::answered(const Pending& pending, int result, bool existed) {
  if (pending.kind == Kind::prefetch) return;
  if (pending.kind == Kind::put)
    oracle_.put_answered(pending.name, pending.version, result, existed);
  else
    oracle_.remove_answered(pending.name, pending.version, result,
                            daemon_->lost(pending.name.space), now_ns);
}

// ---- who does not use the library --------------------------------------------------------------

// An entry whose fields are mostly possible, in its own ring.
void Simulation::submit_anything(Client& client) {
  std::byte* memory = daemon_->memory_of(*client.session).session;
  auto& area = *reinterpret_cast<shm::ShardArea*>(memory + shm::shards_offset);
  shm::Submission entry{};
  entry.user_data = random_.next();
  entry.op = uint8_t(random_.below(16));
  entry.flags = random_.chance(32) ? uint8_t(random_.next()) : 0;
  entry.layout = uint16_t(random_.below(layouts_.size() + 1));
  entry.position = uint32_t(random_.below(4));
  for (uint64_t& word : entry.key.word) word = random_.below(24) + 77;
  entry.arena_offset = random_.chance(64) ? random_.next()
                                          : random_.below(arena_bytes_ / shm::arena_chunk_bytes) *
                                                shm::arena_chunk_bytes;
  entry.arg = random_.chance(64) ? random_.next() : random_.below(4 * hold_ns);
  entry.hold = random_.below(4);
  const uint32_t tail = shm::load_relaxed(area.sq_tail.value);
  area.sq[tail % shm::sq_entries] = entry;
  shm::store_release(area.sq_tail.value, tail + 1);
}

// As a reader that has stopped in the middle: what it names goes to limbo when it is evicted.
void Simulation::name_some_blocks(Client& client, shm::GuardSlot& guard) {
  const shm::IndexView view(daemon_->memory_of(*client.session).index, 0);
  guard.since_ns = now_ns;
  guard.slots_used |= 1;
  for (shm::GuardName& name : guard.names) {
    const shm::Bucket& bucket = view.bucket(uint32_t(random_.below(view.buckets())));
    const shm::Entry& entry = bucket.entries[random_.below(shm::bucket_entries)];
    name = {entry.ref, entry.gen};
  }
}

// Anywhere in what it shares with the daemon, arena and all: names of guards, tails, entries.
void Simulation::scribble(Client& client) {
  std::byte* memory = daemon_->memory_of(*client.session).session;
  const uint64_t bytes = shm::session_arena_offset(1) + arena_bytes_;
  const uint64_t from = random_.chance(512) ? shm::guards_offset : 0;
  const uint64_t window = random_.chance(512) ? 16384 : bytes - from;
  for (int i = 0; i < 64; i++)
    memory[from + random_.below(std::min(window, bytes - from))] = std::byte(random_.next());
  auto* guards = reinterpret_cast<shm::GuardSlot*>(memory + shm::guards_offset);
  guards[0].slots_used = uint32_t(random_.below(70));
  name_some_blocks(client, guards[0]);
  say(text("client %u scribbles", client.number));
}

}  // namespace speckv::sim
