// SPDX-License-Identifier: Apache-2.0
// daemon.cpp - see daemon.hpp.
#include "daemon.hpp"

#include <cstring>

#include "kill_switch.hpp"
#include "pool/index_writer.hpp"

namespace speckv::sim {

uint64_t stores_to_live = 0;

void store_done(const char*, int) {  // kill_points.hpp
  if (stores_to_live && --stores_to_live == 0) throw Killed{};
}

Daemon::Daemon(const DaemonSizes& sizes, const std::vector<speckv_layout>& layouts, Random& random)
    : sizes_(sizes), random_(random), spaces_(sizes.spaces) {
  for (uint32_t i = 0; i < sizes.spaces; i++) {
    spaces_[i].pool = std::make_unique<PlainRegion>((sizes.units + 1) * shm::unit_bytes);
    spaces_[i].file = std::make_unique<PlainRegion>((sizes.spill_units + 1) * shm::unit_bytes);
    spaces_[i].disk = std::make_unique<SimDisk>(spaces_[i].file->data(), spaces_[i].file->bytes());
    for (const speckv_layout& desc : layouts) {
      const auto made = layouts_.add(desc, desc.preset, "space" + std::to_string(i));
      demand(made.ok(), "a layout of the simulation is refused: " + made.status().text());
      spaces_[i].layouts.push_back(made.value());
    }
  }
}

std::vector<Server::Space> Daemon::make_shards(uint64_t now_ns) {
  std::vector<Server::Space> parts;
  for (Space& space : spaces_) {
    space.index = std::make_unique<PlainRegion>(shm::index_file_bytes(1, sizes_.buckets));
    std::byte* index = space.index->data();
    IndexWriter::format(index, 1, sizes_.buckets, 1);
    ShardOptions options;
    options.pool = space.pool->data();
    options.index = index;
    options.first_unit = 1;
    options.units = sizes_.units;
    options.blocks_max = sizes_.blocks_max;
    options.policy = sizes_.policy;
    options.holds_max = sizes_.holds_max;
    options.retained_bytes_max = sizes_.units * shm::unit_bytes / 4;
    options.engine = engine_.get();
    space.gate = std::make_unique<NearGate>();
    if (sizes_.near_units) {  // whatever an earlier daemon had there
      space.near = std::make_unique<PlainRegion>((sizes_.near_units + 1) * shm::unit_bytes);
      options.near = NearOptions{space.near->data(), space.gate.get(), 1, sizes_.near_units,
                                 sizes_.near_after_hits};
    }
    if (sizes_.spill_units) {
      SpillOptions spill;
      spill.fd = int(&space - spaces_.data());
      spill.units = sizes_.spill_units;
      spill.store_id = 4711;
      spill.entries_max = sizes_.spill_entries;
      spill.buffer_bytes = 8 << 20;
      spill.scan = lives_ > 1;
      options.spill = spill;
      options.demote_ahead_bytes = sizes_.demote_ahead_bytes;
      options.speculation_bytes_s = sizes_.speculation_bytes_s;
    }
    auto shard = std::make_unique<Shard>(options);
    shard->restore(now_ns);
    shards_.push_back(shard.get());
    parts.push_back({std::move(shard), reinterpret_cast<shm::IndexHeader*>(index)});
  }
  return parts;
}

// It may die while it starts, too.
void Daemon::start(uint64_t now_ns) {
  for (;;) {
    lives_++;
    std::vector<SimDisk*> disks;
    for (Space& space : spaces_) disks.push_back(space.disk.get());
    io_ = std::make_unique<SimIo>(random_, disks);
    engine_ = std::make_unique<NullEngine>(random_.next(), sizes_.jobs_max);
    shards_.clear();
    try {
      server_ = std::make_unique<Server>(0, make_shards(now_ns), *io_, *engine_);
      return;
    } catch (const Killed&) {
      stores_to_live = 0;
      for (Space& space : spaces_) {  // what it had dropped is not known
        space.gone_before++;
        space.dropped_before++;
      }
    }
  }
}

void Daemon::kill() {
  for (uint32_t i = 0; i < spaces_.size(); i++) {
    spaces_[i].gone_before = gone(i) + spaces_[i].lost_memory;
    spaces_[i].lost_before = lost(i);
    spaces_[i].dropped_before = dropped(i) + spaces_[i].lost_memory;
    spaces_[i].lost_memory = false;
  }
  stores_to_live = 0;
  brought_before_ = brought_near();
  io_->died();
  server_.reset();
  shards_.clear();
}

void Daemon::lose_power() {
  kill();
  for (Space& space : spaces_) {
    space.disk->lose_power(random_);
    for (uint32_t unit = 0; unit <= sizes_.units; unit++)
      std::memset(space.pool->data() + unit * shm::unit_bytes, 0, shm::slab_header_bytes);
    space.gone_before++;
    space.dropped_before++;
  }
}

bool Daemon::run(const std::function<void()>& what) {
  if (!alive()) return false;
  try {
    what();
  } catch (const Killed&) {
    kill();
  }
  return alive();
}

std::shared_ptr<Session> Daemon::connect(uint32_t space, uint64_t arena_bytes, bool reads_near) {
  const Session::Identity identity{++sessions_, 1000, 0, 0, space, sessions_, reads_near};
  if (!reads_near) spaces_[space].gate->close();
  auto made = Session::create(identity, medium_, 1, arena_bytes);
  demand(made.ok(), "no session: " + made.status().text());
  std::shared_ptr<Session> session = made.value();
  int number = 0;
  for (const Layout* layout : spaces_[space].layouts)
    demand(session->add_layout(layout, &layout->widths->current()) == number++,
           "a layout has another number for the daemon than for the library");
  run([&] { server_->admit(session); });
  return session;
}

void Daemon::ended(const Session& session) {
  if (!session.identity().reads_near && alive()) spaces_[session.identity().space].gate->open();
}

SharedMemory Daemon::memory_of(const Session& session) {
  const auto arena = session.arena(0, 1);
  auto* memory = const_cast<std::byte*>(arena.data()) - shm::session_arena_offset(1);
  Space& space = spaces_[session.identity().space];
  const bool near = space.near && session.identity().reads_near;
  return {memory,
          session.memory_bytes(),
          session.arena_bytes(),
          space.pool->data(),
          space.pool->bytes(),
          space.index->data(),
          space.index->bytes(),
          near ? space.near->data() : nullptr,
          near ? space.near->bytes() : 0};
}

// Readers see zeros there.
void Daemon::lose_unit(uint32_t space, uint32_t unit) {
  const uint64_t offset = (1 + uint64_t(unit)) * shm::unit_bytes;
  spaces_[space].lost_memory = true;
  std::memset(spaces_[space].pool->data() + offset, 0, shm::unit_bytes);
  run([&] { server_->lose(space, {offset, shm::unit_bytes}); });
}

uint64_t Daemon::gone(uint32_t space) const {
  uint64_t sum = spaces_[space].gone_before;
  if (shards_.empty()) return sum;
  const ShardCounters& counters = shards_[space]->counters();
  return sum + counters.evicted + counters.lost + counters.not_restored;
}

bool Daemon::brings_near() const {
  for (const Shard* shard : shards_) {
    if (shard->counters().near_under_way) return true;
    if (!shard->near()) continue;
    for (const NearBring& bring : shard->near()->brings)
      if (bring.used) return true;
    if (!shard->near()->limbo.empty()) return true;
  }
  return false;
}

uint64_t Daemon::brought_near() const {
  uint64_t sum = brought_before_;
  for (const Shard* shard : shards_) sum += shard->counters().near_brought;
  return sum;
}

uint64_t Daemon::dropped(uint32_t space) const {
  if (!sizes_.spill_units) return gone(space);
  uint64_t sum = spaces_[space].dropped_before;
  if (shards_.empty()) return sum;
  const ShardCounters& pool = shards_[space]->counters();
  const SpillCounters& below = shards_[space]->spill()->counters();
  return sum + pool.lost + pool.not_restored + below.not_written + below.reclaimed +
         below.promote_failed + below.scan_dropped + below.damaged;
}

uint64_t Daemon::lost(uint32_t space) const {
  return spaces_[space].lost_before +
         (shards_.empty() ? 0 : shards_[space]->counters().lost.load());
}

void Daemon::demand_balance(uint32_t space) {
  const ShardCounters& counters = shards_[space]->counters();
  const std::byte* file = spaces_[space].index->data();
  const shm::IndexView view(file, 0);
  uint64_t entries = 0, slots = 0, near_entries = 0, near_slots = 0;
  for (uint32_t i = 0; i < view.buckets(); i++)
    for (uint32_t at = 0; at < shm::bucket_entries; at++) {
      if (!view.bucket(i).head.tags[at]) continue;
      const shm::Entry& entry = view.bucket(i).entries[at];
      entries++;
      const uint64_t of_it = 1 + (entry.flags & shm::entry_record ? entry.layers : 0);
      slots += of_it;
      near_entries += shm::is_near(entry.ref);
      if (shm::is_near(entry.ref)) near_slots += of_it;
    }
  uint64_t live_slots = 0, live_bytes = 0, near_live = 0, near_bytes = 0;
  const_cast<SlabPool&>(shards_[space]->slabs())
      .for_each_live_slot([&](uint64_t, uint32_t slot_bytes, uint32_t) {
        live_slots++;
        live_bytes += slot_bytes;
      });
  if (const Near* near = shards_[space]->near())
    const_cast<SlabPool&>(near->slabs)
        .for_each_live_slot([&](uint64_t, uint32_t slot_bytes, uint32_t) {
          near_live++;
          near_bytes += slot_bytes;
        });
  const auto equal = [space](const char* what, uint64_t got, uint64_t expected) {
    demand(got == expected, text("space %u, all quiet: %s are %llu, expected %llu", space, what,
                                 (unsigned long long)got, (unsigned long long)expected));
  };
  equal("counters.blocks", counters.blocks, entries);
  equal("slots in use", live_slots, slots);
  equal("counters.stored_bytes", counters.stored_bytes, live_bytes);
  equal("counters.puts_under_way", counters.puts_under_way, 0);
  equal("counters.puts_quarantined", counters.puts_quarantined, 0);
  equal("counters.held_blocks", counters.held_blocks, 0);
  equal("counters.limbo_blocks", counters.limbo_blocks, 0);
  equal("counters.near_blocks", counters.near_blocks, near_entries);
  equal("slots of near memory in use", near_live, near_slots);
  equal("counters.near_bytes", counters.near_bytes, near_bytes);
  equal("counters.near_limbo", counters.near_limbo, 0);
  equal("counters.near_under_way", counters.near_under_way, 0);
  equal("near: brought - evicted", counters.near_brought - counters.near_evicted, near_entries);
  const SpillStore* below = shards_[space]->spill();
  const uint64_t promoted = below ? below->counters().promoted.load() : 0;
  uint64_t fetched = 0, settled = 0;
  for (const GuessCounters& guesses : counters.guesses) {
    fetched += guesses.fetched;
    settled += guesses.useful + guesses.wasted;
  }
  demand(settled <= fetched && fetched - settled <= entries,
         text("space %u, all quiet: %llu blocks were guessed, %llu read or wasted, %llu are there",
              space, (unsigned long long)fetched, (unsigned long long)settled,
              (unsigned long long)entries));
  equal("restored + puts + promoted - removed - evicted - lost",
        counters.restored + counters.puts + promoted - counters.removed - counters.evicted -
            counters.lost,
        entries);
}

}  // namespace speckv::sim
