// SPDX-License-Identifier: Apache-2.0
// shard.cpp - the journey of one block, told once; each station is in the file of its name.
#include "journey/shard.hpp"

#include "shm/atomics.hpp"

namespace speckv {

namespace {
// Whether the block's first page may be its sequence's first, whose keys a coarse codec hurts most
// and which therefore has a codec of its own. A connector that tells neither position nor parent is
// given the benefit of the doubt.
bool may_open_sequence(const shm::Submission& submission) {
  if (submission.position != SPECKV_POSITION_UNKNOWN) return submission.position == 0;
  return submission.parent == Key{};
}
}  // namespace

Shard::Shard(const ShardOptions& options)
    : options_(options),
      slabs_(options.pool, options.first_unit, options.units, options.shard),
      index_(options.index, options.shard),
      policy_(predict::make_policy(options.policy, options.blocks_max)),
      blocks_(options.blocks_max),
      pinned_(options.blocks_max, 0),
      holds_(options.holds_max) {
  free_blocks_.reserve(options.blocks_max);
  for (uint32_t block = options.blocks_max; block-- > 0;) free_blocks_.push_back(block);
  plan_.victims.reserve(predict::kProposalsMax + options.blocks_max);
  limbo_.reserve(options.blocks_max);
  auto* header = reinterpret_cast<shm::PoolHeader*>(options.pool);
  gen_ = gen_end_ = header->gen_reserved[options.shard];
}

int Shard::put(const shm::Submission& submission, const Layout& layout, const Widths& widths,
               std::span<const std::byte> arena, uint64_t now_ns, bool* ret_existed) {
  *ret_existed = false;
  const uint64_t hash = hash_key(submission.key);
  shm::Entry known;
  uint32_t replaces = no_block;
  if (index_.find(submission.key, hash, &known)) {
    if (layout.widths->takes(known.fingerprint)) {
      *ret_existed = true;
      counters_.puts_existed.fetch_add(1, std::memory_order_relaxed);
      touch(known.block, now_ns);
      return 0;
    }
    if (pinned_[known.block]) return -EBUSY;
    replaces = known.block;  // those bytes are of no use to this layout
  }

  Put& put = under_way_;
  put.submission = submission;
  put.layout = &layout;
  put.widths = &widths;
  put.now_ns = now_ns;
  put.opens_sequence = may_open_sequence(submission);
  put.replaces = replaces;
  put.segments_refused = put.segments_bounded = put.placed = 0;
  int error = allocate(put);
  if (!error) {
    error = compress(put, arena);
    if (error) undo(put);
  }
  if (!error) {
    write(put);
    measure(put, arena);
  }
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
  drop_limbo(now_ns);
  counters_.held_blocks.store(holds_.blocks(), std::memory_order_relaxed);
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
