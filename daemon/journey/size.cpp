// SPDX-License-Identifier: Apache-2.0
// size.cpp - tells predict/size_curve what is asked for: blocks that clients read, and blocks that
// they put, since they had not found them.
//
// What is asked ahead, held or hinted is no use: the read that follows is. A miss that nobody puts
// is not known here. Reads are as lossy as the touch rings that tell of them.
#include "journey/shard.hpp"

namespace speckv {

void Shard::count_use(uint32_t block, uint64_t now_ns) {
  if (!curve_) return;
  const Block& used = blocks_[block];
  const uint64_t hash = hash_key(used.entry.key);
  if (!curve_->asked(hash)) return;
  const Lineage& lineage = lineages_[block];
  curve_->use({hash, now_ns, lineage.ancestor, lineage.position, used.stored_bytes, used.kind});
}

// Called where a block becomes resident: its parent's number means its parent only now.
void Shard::note_lineage(uint32_t block, const predict::BlockFacts& facts) {
  if (!curve_) return;
  Lineage& lineage = lineages_[block];
  lineage = {0, facts.position};
  if (facts.parent >= lineages_.size() || facts.parent == block) return;
  const uint64_t parent = hash_key(blocks_[facts.parent].entry.key);
  lineage.ancestor = curve_->looks_at(parent) ? parent : lineages_[facts.parent].ancestor;
}

void Shard::forget_use(const Key& key) {
  if (curve_) curve_->forget(hash_key(key));
}

void Shard::publish_sizes() {
  if (!curve_) return;
  const auto one_in = double(curve_->one_in());
  counters_.size_one_in.store(curve_->one_in(), std::memory_order_relaxed);
  for (uint32_t model = 0; model < predict::kSizeModels; model++) {
    const auto count = curve_->count(model);
    counters_.size_uses[model].store(uint64_t(count.uses * one_in), std::memory_order_relaxed);
    counters_.size_hits[model].store(uint64_t(count.hits * one_in), std::memory_order_relaxed);
  }
}

}  // namespace speckv
