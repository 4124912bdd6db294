// SPDX-License-Identifier: Apache-2.0
// shard.cpp - what a shard is made of, and what does not wait; each station is in the file of its
// name, and under_way.cpp leads a put through them.
#include "journey/shard.hpp"

#include <algorithm>

#include "predict/speculator.hpp"
#include "shm/atomics.hpp"
#include "speckv/speckv.h"

namespace speckv {

Shard::Shard(const ShardOptions& options)
    : options_(options),
      slabs_(options.pool, options.first_unit, options.units, options.shard),
      index_(options.index, options.shard),
      policy_(predict::make_policy(options.policy, options.blocks_max)),
      blocks_(options.blocks_max),
      pinned_(options.blocks_max, 0),
      records_(puts_max),
      holds_(options.holds_max, options.hold_room),
      retains_(std::min(options.blocks_max, retained_blocks_max)) {
  free_records_.reserve(puts_max);
  under_way_.reserve(puts_max);
  reaped_.reserve(puts_max);
  for (Put& record : records_) free_records_.push_back(&record);
  free_blocks_.reserve(options.blocks_max);
  for (uint32_t block = options.blocks_max; block-- > 0;) free_blocks_.push_back(block);
  plan_.victims.reserve(predict::kProposalsMax + options.blocks_max);
  limbo_.reserve(options.blocks_max);
  auto* header = reinterpret_cast<shm::PoolHeader*>(options.pool);
  gen_ = gen_end_ = header->gen_reserved[options.shard];
  if (options.spill)
    spill_ = std::make_unique<SpillStore>(*options.spill, static_cast<SpillWitness*>(this));
  if (options.spill && options.speculation_bytes_s) {
    predict::SpeculatorOptions guesses;
    guesses.blocks_max = options.blocks_max + options.spill->entries_max;
    guesses.block_bytes = guess_block_bytes;
    guesses.tier_bytes_per_s = options.speculation_bytes_s;
    guesses.guess_share = 1;
    guesses.unread_bytes_max = options.units * shm::unit_bytes / guess_unread_share;
    speculator_ = std::make_unique<predict::Speculator>(guesses);
  }
  if (options.near)
    near_ = std::make_unique<Near>(*options.near, options.shard, options.blocks_max);
  waiting_.reserve(fetches_waiting_max);
  fetched_.reserve(2 * spill_reads_max + fetches_waiting_max);
  if (options.size_samples == 0) return;
  const uint64_t below = options.spill ? options.spill->units * shm::unit_bytes : 0;
  curve_ = std::make_unique<predict::SizeCurve>(predict::SizeCurveOptions{
      options_.policy, options.units * shm::unit_bytes, below, options.size_samples});
  lineages_.resize(options.blocks_max);
}

Shard::~Shard() = default;

// One that was evicted while a reader names it goes too: a restart would find it whole.
int Shard::remove_from_pool(const Key& key, const Layout& layout) {
  for (size_t i = limbo_.size(); i-- > 0;)
    if (blocks_[limbo_[i]].entry.key == key) free_limbo(limbo_[i]);
  free_near_limbo_of(key);
  shm::Entry known;
  if (!index_.find(key, hash_key(key), &known) || !layout.widths->takes(known.fingerprint))
    return -ENOENT;
  if (pinned_[known.block]) return -EBUSY;
  forget_use(key);
  unpublish(known.block);  // guards are not asked: whoever reads it now misses, as it should
  shm::full_fence();
  free_block(known.block);
  free_near_limbo_of(key);
  counters_.removed.fetch_add(1, std::memory_order_relaxed);
  return 0;
}

bool Shard::touch(uint32_t block, uint64_t now_ns) {
  if (!warm(block, now_ns)) return false;
  count_use(block, now_ns);
  return near_ && near_touched(block, now_ns);
}

// It is wanted, or will be. Returns: false where there is no such block any more.
bool Shard::warm(uint32_t block, uint64_t now_ns) {
  if (block >= blocks_.size() || blocks_[block].state != BlockState::published) return false;
  used(block, now_ns);
  counters_.touches.fetch_add(1, std::memory_order_relaxed);
  return true;
}

void Shard::touch_key(const Key& key, const Layout& layout, uint64_t now_ns) {
  shm::Entry known;
  if (index_.find(key, hash_key(key), &known) && layout.widths->takes(known.fingerprint))
    warm(known.block, now_ns);
}

void Shard::hint(const Key& key, const Layout& layout, uint8_t kind, uint64_t returns_ns) {
  if (speculator_ && returns_ns) speculator_->on_hint(hash_key(key), returns_ns, spill_now_ns_);
  shm::Entry known;
  if (!index_.find(key, hash_key(key), &known) || !layout.widths->takes(known.fingerprint)) return;
  Block& block = blocks_[known.block];
  if (kind != SPECKV_KIND_UNKNOWN) block.kind = kind;
  block.returns_ns = returns_ns;
  policy_->on_hint(known.block, block.kind, returns_ns);
}

void Shard::tick(uint64_t now_ns) {
  expire_holds(now_ns);
  expire_retains(now_ns);
  drop_limbo(now_ns);
  forget_removals(now_ns);
  show_guesses(now_ns);
  counters_.held_blocks.store(holds_.blocks(), std::memory_order_relaxed);
  counters_.retained_blocks.store(retains_.blocks(), std::memory_order_relaxed);
  counters_.retained_bytes.store(retained_bytes_, std::memory_order_relaxed);
  counters_.limbo_blocks.store(limbo_.size(), std::memory_order_relaxed);
  counters_.puts_under_way.store(under_way_.size(), std::memory_order_relaxed);
  counters_.puts_quarantined.store(
      uint64_t(std::count_if(under_way_.begin(), under_way_.end(),
                             [](const Put* put) { return put->answered; })),
      std::memory_order_relaxed);
  if (near_) {
    counters_.near_limbo.store(near_->limbo.size(), std::memory_order_relaxed);
    counters_.near_under_way.store(
        uint64_t(std::count_if(near_->brings.begin(), near_->brings.end(),
                               [](const NearBring& each) { return each.used; })),
        std::memory_order_relaxed);
  }
  counters_.free_units.store(slabs_.free_units(), std::memory_order_relaxed);
  counters_.waste_ppm.store(uint64_t(slabs_.waste() * 1e6), std::memory_order_relaxed);
  publish_sizes();
}

// Nobody else writes them: an addition in one step would wait for every store before it.
void Shard::add_gauges(const Block& block, int sign) {
  const auto by = [sign](std::atomic<uint64_t>& gauge, uint64_t amount) {
    const uint64_t before = gauge.load(std::memory_order_relaxed);
    gauge.store(sign > 0 ? before + amount : before - amount, std::memory_order_relaxed);
  };
  by(counters_.blocks, 1);
  by(counters_.raw_bytes, block.raw_bytes);
  by(counters_.stored_bytes, block.stored_bytes);
}

}  // namespace speckv
