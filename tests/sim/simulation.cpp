// SPDX-License-Identifier: Apache-2.0
// simulation.cpp - see simulation.hpp.
#include "simulation.hpp"

#include <cerrno>

#include "kill_switch.hpp"

namespace speckv::sim {

namespace {
constexpr uint64_t turns_max = 4'000;  // until everything is answered once faults have stopped
}

Simulation::Simulation(uint64_t seed, const Limits& limits)
    : seed_(seed), limits_(limits), random_(seed) {
  world = this;
  stores_to_live = 0;
  choose();
}

Simulation::~Simulation() {
  for (Client& client : clients_) client.library.reset();
}

// ---- what the seed picks -----------------------------------------------------------------------

void Simulation::choose() {
  sizes_.spaces = random_.chance(256) ? 2 : 1;
  sizes_.units = uint32_t(random_.range(3, 12));
  sizes_.buckets = random_.chance(300) ? 2 : uint32_t(random_.range(4, 40));
  sizes_.blocks_max =
      random_.chance(300) ? uint32_t(random_.range(3, 12)) : uint32_t(random_.range(16, 200));
  sizes_.jobs_max = uint32_t(random_.range(1, 24));
  sizes_.holds_max = random_.chance(200) ? 4 : 64;
  sizes_.policy = random_.one_of<std::string>({"lru", "s3fifo", "continuation"});
  if (random_.chance(600)) {
    sizes_.spill_units = uint32_t(random_.range(24, 40));  // a parcel of little takes one, too
    sizes_.spill_entries = random_.chance(200) ? uint32_t(random_.range(30, 60)) : 400;
    if (random_.chance(600)) sizes_.speculation_bytes_s = uint64_t(1) << random_.range(12, 30);
    sizes_.demote_ahead_bytes = random_.chance(700) ? uint64_t(64) << 20 : random_.below(8 << 20);
  }
  keys_ = random_.chance(300) ? uint32_t(random_.range(1, 6)) : uint32_t(random_.range(8, 160));
  choose_near();
  choose_layouts();
  choose_rates();
  steps_max_ = random_.range(400, 3'000);
  daemon_ = std::make_unique<Daemon>(sizes_, layouts_, random_);
  daemon_->start(now_ns);
  const auto count = uint32_t(random_.range(1, 7));
  for (uint32_t i = 0; i < count && i < limits_.clients; i++) {
    clients_.emplace_back();
    Client& client = clients_.back();
    client.number = i;
    client.space = uint32_t(random_.below(sizes_.spaces));
    client.old = old_clients_ && i % old_clients_ == 1;
    client.scribbles = i > 0 && random_.chance(200) && may(scribblers);
    connect(client);
  }
}

// By numbers of its own: seeds are what they were before there was near memory.
void Simulation::choose_near() {
  Random random(seed_ + 0x4ea4);
  if (!may(near_memory) || !random.chance(450)) return;
  sizes_.near_units = uint32_t(random.range(3, 10));
  sizes_.near_after_hits = uint32_t(random.range(1, 3));
  old_clients_ = random.chance(300) ? 2 : 0;
}

void Simulation::choose_layouts() {
  const uint64_t count = random_.range(1, 3);
  Random side(seed_ + 0x51de);  // by numbers of its own, too
  uint64_t largest = 0;
  for (uint64_t i = 0; i < count; i++) {
    const bool large = random_.chance(64);
    speckv_layout layout{};
    layout.size = sizeof layout;
    layout.dtype = SPECKV_DTYPE_F16;
    layout.layers = random_.chance(400) ? 1 : uint32_t(random_.range(2, large ? 4 : 9));
    layout.kv_heads = large ? 4 : 1;
    layout.head_dim = large ? 128 : uint32_t(random_.range(1, 5)) * 16;
    layout.page_tokens = 16;
    layout.block_tokens = large ? 256 : uint32_t(random_.range(1, 3)) * 16;
    layout.world = 4;
    layout.rank = uint32_t(i);  // no two are the same
    layout.preset = random_.chance(256) ? SPECKV_PRESET_Q8 : SPECKV_PRESET_EXACT;
    if (side.chance(300)) layout.side_bytes = uint32_t(side.range(1, large ? 30'000 : 400)) * 8;
    layouts_.push_back(layout);
    blocks_.emplace_back(layout, uint32_t(i));
    batch_.emplace_back();
    for (int k = 0; k < 8; k++) batch_.back().emplace_back(layout, uint32_t(i));
    largest = std::max(largest, shm::raw_block_bytes(layout));
  }
  const uint64_t chunk = shm::arena_chunk_bytes;
  arena_bytes_ = (largest + chunk - 1) / chunk * chunk * random_.range(1, 16);
}

void Simulation::choose_rates() {
  const auto maybe = [this](uint32_t chance, uint32_t most) {
    return random_.chance(chance) ? uint32_t(random_.range(1, most)) : 0;
  };
  rates_.turn = uint32_t(random_.range(100, 900));
  rates_.complete = uint32_t(random_.range(100, 900));
  rates_.kill = maybe(400, 8);
  rates_.kill_soon = maybe(500, 24);
  rates_.lose = maybe(200, 8);
  rates_.forget = maybe(200, 24);
  rates_.session_end = maybe(500, 16);
  rates_.scribble = uint32_t(random_.range(1, 200));
  rates_.slow = maybe(300, 6);
  rates_.disk = maybe(300, 16);
  rates_.power = maybe(200, 6);
  const uint32_t most[] = {12, 4, 16, 4, 3, 2, 5, 4, 10, 2};
  for (uint32_t action = 0; action < std::size(most); action++)
    rates_.mix.insert(rates_.mix.end(), random_.below(most[action] + 1), action);
  rates_.mix.insert(rates_.mix.end(), {0, 2, 8});  // a put, a get, a reap
}

// ---- a step ------------------------------------------------------------------------------------

void Simulation::run() {
  for (; steps_ < steps_max_ && steps_ < limits_.steps; steps_++) step();
  faults_ = false;
  end();
}

void Simulation::step() {
  now_ns += random_.below(400'000);
  if (random_.chance(rates_.slow)) now_ns += random_.below(12'000'000'000);
  daemon_fault();
  daemon_step();
  Client& client = clients_[random_.below(clients_.size())];
  act(client);
  if (client.scribbles && random_.chance(rates_.scribble)) scribble(client);
  if (random_.chance(rates_.session_end) && may(session_ends)) {
    say(text("client %u ends", client.number));
    disconnect(client);
    daemon_->run([&] { daemon_->server().dismiss_ended(); });
    if (daemon_->alive()) connect(client);
  }
  if (!daemon_->alive()) after_death();
}

void Simulation::daemon_fault() {
  NullEngine& engine = daemon_->engine();
  if (may(engine_faults) && random_.chance(20)) {
    engine.faults.full = random_.chance(512) ? uint32_t(random_.below(200)) : 0;
    engine.faults.failed = random_.chance(512) ? uint32_t(random_.below(64)) : 0;
    engine.faults.again = random_.chance(512) ? uint32_t(random_.below(64)) : 0;
    engine.cancels = random_.chance(512);
    daemon_->io().refused = random_.chance(300) ? 300 : 0;
  }
  if (may(stuck_jobs) && random_.chance(rates_.forget)) {
    if (random_.chance(400)) engine.remember();
    else if (engine.waiting()) engine.forget_one();
  }
  if (may(lost_memory) && random_.chance(rates_.lose)) {
    const auto space = uint32_t(random_.below(sizes_.spaces));
    const auto unit = uint32_t(random_.below(sizes_.units));
    say(text("unit %u of space %u is lost", unit, space));
    daemon_->lose_unit(space, unit);
  }
  if (sizes_.spill_units && random_.chance(24)) now_ns += 120'000'000;  // parcels are closed
  if (may(disk_faults) && random_.chance(rates_.disk)) {
    SimIo& io = daemon_->io();
    io.failing = random_.chance(400) ? uint32_t(random_.below(1024)) : 0;
    io.shortened = random_.chance(512) ? 300 : 0;
    if (random_.chance(300)) io.stuck = true;
    else io.let_go();
    disks_failed_ = disks_failed_ || io.failing || io.stuck;
  }
  if (daemon_->alive() && may(power) && random_.chance(rates_.power)) {
    say("the power goes");
    daemon_->lose_power();
    return;
  }
  if (!may(kills)) return;
  if (random_.chance(rates_.kill_soon) && stores_to_live == 0)
    stores_to_live = random_.range(1, random_.chance(512) ? 8 : 200);
  if (daemon_->alive() && random_.chance(rates_.kill)) daemon_->kill();
}

void Simulation::daemon_step() {
  if (!daemon_->alive()) return;
  if (random_.chance(rates_.complete)) daemon_->engine().complete(random_.below(6));
  if (random_.chance(rates_.turn)) daemon_turn();
}

void Simulation::daemon_turn() {
  daemon_->run([this] {
    std::vector<Operation*> done;
    daemon_->io().reap(&done);
    for (Operation* operation : done) daemon_->server().completed(operation);
    daemon_->server().turn(now_ns);
  });
}

void Simulation::while_reading() {
  if (inside_ || !may(turns_while_reading) || !random_.chance(60)) return;
  inside_ = true;
  now_ns += random_.below(1'000'000);
  for (uint64_t left = random_.chance(512) ? 1 : random_.range(2, 12); left > 0; left--)
    daemon_step();
  inside_ = false;
}

bool Simulation::while_waiting() {
  now_ns += random_.below(20'000'000);
  daemon_step();
  if (!faults_ && daemon_->alive()) daemon_->engine().complete_all();
  return daemon_->alive();
}

void Simulation::after_death() {
  say("the daemon is killed");
  for (Client& client : clients_)
    if (client.session) disconnect(client);
  oracle_.daemon_died();
  disks_failed_ = false;
  daemon_->start(now_ns);
  for (uint32_t space = 0; space < sizes_.spaces; space++)
    say(text("it starts again: space %u has %llu blocks", space,
             (unsigned long long)daemon_->counters(space).blocks));
  for (Client& client : clients_) connect(client);
}

// ---- the end -----------------------------------------------------------------------------------

void Simulation::wait_for_all() {
  const auto all_answered = [this] {
    for (Client& client : clients_)
      if (client.library && client.library->under_way()) return false;
    return true;
  };
  for (uint64_t turn = 0; turn < turns_max; turn++) {
    if (turn % 16 == 15) now_ns += tick_ns;
    now_ns += 1000;
    daemon_->engine().complete_all();
    daemon_turn();
    for (Client& client : clients_)
      if (client.library) reap(client);
    if (all_answered()) return;
  }
  for (Client& client : clients_)
    for (const auto& [number, pending] : client.pending)
      throw Contradiction(text(
          "client %u: block %s: a %s is not answered in %llu turns without "
          "faults, and %zu more",
          client.number, pending.name.text().c_str(), pending.kind == Kind::put ? "put" : "removal",
          (unsigned long long)turns_max, client.pending.size() - 1));
  throw Contradiction("an operation is not answered, of which the client knows nothing");
}

void Simulation::end() {
  say("faults stop");
  stores_to_live = 0;
  NullEngine& engine = daemon_->engine();
  engine.faults = {};
  engine.cancels = true;
  engine.remember();
  daemon_->io().refused = daemon_->io().failing = daemon_->io().shortened = 0;
  daemon_->io().let_go();
  for (Client& client : clients_)
    if (client.scribbles) disconnect(client);
  daemon_->server().dismiss_ended();
  for (int turn = 0; turn < 400 && sizes_.spill_units; turn++) {  // disks are tried again
    now_ns += 500'000'000;
    daemon_turn();
  }
  wait_for_all();
  for (Client& client : clients_)
    demand(!client.library || client.library->all_answered_once(),
           text("client %u: the daemon took or answered more than was asked", client.number));
  for (uint32_t i = 0; i < 200; i++) {  // what was stored is there
    Client& client = clients_[i % clients_.size()];
    if (client.library) get(client);
  }
  for (Client& client : clients_)
    if (client.library) disconnect(client);
  daemon_->server().dismiss_ended();
  for (int i = 0; i < 12; i++) {
    now_ns += i ? 3'000'000'000 : tick_ns;
    daemon_->engine().complete_all();
    daemon_turn();
    for (uint32_t space = 0; space < sizes_.spaces; space++)
      demand(daemon_->counters(space).held_blocks == 0 &&
                 daemon_->counters(space).retained_blocks == 0,
             "no session is left, and blocks are held or retained");
  }
  const auto at_work = [this] { return daemon_->server().under_way() || daemon_->brings_near(); };
  int quiet_turns = 0;  // a read that a turn begins as a guess is asked for in the next one
  for (int turn = 0; turn < 4000 && quiet_turns < 2; turn++) {
    quiet_turns = at_work() ? 0 : quiet_turns + 1;
    now_ns += tick_ns;  // what is cold goes down still, what is hot comes near, or leaves
    daemon_->engine().complete_all();
    daemon_turn();
  }
  demand(quiet_turns == 2, "all quiet, and puts, disks or near memory are at work");
  demand(daemon_->server().sessions() == 0, "all sessions ended, and the server has some");
  demand(daemon_->server().leaving() == 0, "all sessions ended, and some are leaving still");
  demand(daemon_->server().counters().engine_mistaken == 0, "the engine gave back what it had not");
  for (uint32_t space = 0; space < sizes_.spaces; space++) daemon_->demand_balance(space);
  for (uint32_t space = 0; space < sizes_.spaces; space++) remove_all(space);
  find_nothing();
}

// The clock has jumped by seconds between turns, so that good disks looked overdue. Nothing is
// wrong with them any more: the next probe says so.
void Simulation::close_breakers(uint32_t space) {
  if (!sizes_.spill_units) return;
  const SpillIoCounters& below = daemon_->shard(space).spill()->io_counters();
  for (int turn = 0; turn < 40'000 && (below.read_breaker || below.write_breaker); turn++) {
    now_ns += 1'000'000;
    daemon_turn();
  }
  demand(!below.read_breaker && !below.write_breaker, "a breaker of a good disk stays open");
}

// Nothing is held any more, so everything can go, and leaves nothing behind.
void Simulation::remove_all(uint32_t space) {
  close_breakers(space);
  Client last;
  last.space = space;
  connect(last);
  for (uint32_t layout = 0; layout < layouts_.size(); layout++)
    for (uint32_t key = 0; key < keys_; key++) {
      const Name name{space, layout, key};
      uint8_t keys[1][SPECKV_KEY_BYTES];
      key_bytes(name, keys[0]);
      demand(speckv_remove(last.library->handle(), layout, SPECKV_KEYS(keys), 1, key) == 1,
             "a removal from an idle daemon was refused");
      speckv_completion done{};
      int reaped = 0;
      for (int turn = 0; turn < 1000 && reaped == 0; turn++) {
        now_ns += 1'000'000;  // a mark on the disk takes some turns
        daemon_turn();
        reaped = speckv_reap(last.library->handle(), &done, 1);
      }
      demand(reaped == 1, "a removal was not answered");
      demand(done.result == 0 || done.result == -ENOENT,
             text("block %s: all quiet, nothing held, and its removal gave %d", name.text().c_str(),
                  done.result));
    }
  disconnect(last);
  daemon_->server().dismiss_ended();
  now_ns += tick_ns;
  daemon_turn();
  daemon_->demand_balance(space);
}

// All was removed: a daemon that starts on what is left finds nothing.
void Simulation::find_nothing() {
  if (!sizes_.spill_units) return;
  for (const Client& client : clients_)
    if (client.scribbles) return;  // it put blocks of keys that are nobody's
  if (random_.chance(512)) daemon_->lose_power();
  else daemon_->kill();
  daemon_->start(now_ns);
  for (int turn = 0; turn < 2000; turn++) {
    now_ns += 1'000'000;
    daemon_turn();
  }
  for (uint32_t space = 0; space < sizes_.spaces; space++) {
    const SpillCounters& below = daemon_->shard(space).spill()->counters();
    demand(!below.scanning, "a scan of a disk without faults does not end");
    demand(below.found == 0, text("space %u: all was removed, and %llu blocks came back", space,
                                  (unsigned long long)below.found.load()));
  }
}

void Simulation::say(const std::string& what) {
  if (limits_.trace)
    std::fprintf(stderr, "%6llu  %9.3f ms  %s\n", (unsigned long long)steps_, double(now_ns) / 1e6,
                 what.c_str());
}

}  // namespace speckv::sim
