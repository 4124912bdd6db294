// SPDX-License-Identifier: Apache-2.0
// shard.cpp - the journey of one block, told once; each station is in the file of its name.
#include "journey/shard.hpp"

#include "shm/atomics.hpp"

namespace speckv {

Shard::Shard(const ShardOptions& options)
    : options_(options),
      slabs_(options.pool, options.first_unit, options.units, options.shard),
      index_(options.index, options.shard),
      policy_(predict::make_policy(options.policy, options.blocks_max)),
      blocks_(options.blocks_max),
      pinned_(options.blocks_max, 0) {
  free_blocks_.reserve(options.blocks_max);
  for (uint32_t block = options.blocks_max; block-- > 0;) free_blocks_.push_back(block);
  under_way_.reserve(SPECKV_LAYERS_MAX + 1);
  limbo_.reserve(options.blocks_max);
  auto* header = reinterpret_cast<shm::PoolHeader*>(options.pool);
  gen_ = gen_end_ = header->gen_reserved[options.shard];
}

int Shard::put(const shm::Submission& submission, const Layout& layout, const Widths& widths,
               std::span<const std::byte> arena, uint64_t now_ns, bool* ret_existed) {
  *ret_existed = false;
  const uint64_t hash = hash_key(submission.key);
  shm::Entry known;
  if (index_.find(submission.key, hash, &known)) {
    if (layout.widths->takes(known.fingerprint)) {
      *ret_existed = true;
      counters_.puts_existed.fetch_add(1, std::memory_order_relaxed);
      touch(known.block, now_ns);
      return 0;
    }
    if (pinned_[known.block]) return -EBUSY;
    evict(known.block,
          now_ns);  // the same key under another layout: those bytes are of no use to this one
  }

  uint32_t block = 0;
  int error = allocate_block(&block, now_ns);
  if (error) return error;
  under_way_.clear();
  const Incoming incoming{submission, layout, widths, now_ns};
  const auto layers = layout.desc.layers;
  for (uint32_t layer = 0; layer < layers && !error; layer++) {
    Placed segment;
    error = compress_segment(
        incoming, block, layer,
        arena.subspan(layer * layout.segment_raw_bytes, layout.segment_raw_bytes), &segment);
    if (!error) under_way_.push_back(segment);
  }
  Placed head;
  if (!error && layers == 1) head = under_way_[0];
  if (!error && layers > 1) error = write_record(incoming, block, &head);
  if (!error) error = publish(block, incoming, head);
  if (error) undo(block);
  else measure(incoming, arena);
  (error ? counters_.puts_failed : counters_.puts).fetch_add(1, std::memory_order_relaxed);
  return error;
}

int Shard::remove(const Key& key, const Layout& layout) {
  shm::Entry known;
  if (!index_.find(key, hash_key(key), &known) || !layout.widths->takes(known.fingerprint))
    return -ENOENT;
  if (pinned_[known.block]) return -EBUSY;
  unpublish(known.block);  // guards are not asked: whoever reads it now misses, as it should
  shm::full_fence();
  free_block(known.block);
  counters_.removed.fetch_add(1, std::memory_order_relaxed);
  return 0;
}

void Shard::touch(uint32_t block, uint64_t now_ns) {
  if (block >= blocks_.size() || blocks_[block].state != BlockState::published) return;
  policy_->on_hit(block, now_ns);
  counters_.touches.fetch_add(1, std::memory_order_relaxed);
}

void Shard::touch_key(const Key& key, const Layout& layout, uint64_t now_ns) {
  shm::Entry known;
  if (index_.find(key, hash_key(key), &known) && layout.widths->takes(known.fingerprint))
    touch(known.block, now_ns);
}

void Shard::tick(uint64_t now_ns) {
  expire_holds(now_ns);
  drop_limbo(now_ns, false);
  counters_.held_blocks.store(held_blocks_, std::memory_order_relaxed);
  counters_.limbo_blocks.store(limbo_.size(), std::memory_order_relaxed);
  counters_.free_units.store(slabs_.free_units(), std::memory_order_relaxed);
  counters_.waste_ppm.store(uint64_t(slabs_.waste() * 1e6), std::memory_order_relaxed);
}

void Shard::add_gauges(const Block& block, int sign) {
  const auto by = [sign](std::atomic<uint64_t>& gauge, uint64_t amount) {
    gauge.fetch_add(sign > 0 ? amount : 0 - amount, std::memory_order_relaxed);
  };
  by(counters_.blocks, 1);
  by(counters_.raw_bytes, block.raw_bytes);
  by(counters_.stored_bytes, block.stored_bytes);
}

}  // namespace speckv
