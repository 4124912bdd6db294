// SPDX-License-Identifier: Apache-2.0
// allocate.cpp - station 1: a block number and slots for its segments; full means evict, then
// -ENOSPC.
#include "journey/shard.hpp"
#include "shm/atomics.hpp"

namespace speckv {

namespace {
// Evictions by the policy before a whole slab of another size is cleared: enough for a few blocks'
// worth of slots.
constexpr int policy_victims_max = 64;
}  // namespace

uint64_t Shard::next_gen() {
  gen_ += 2;
  if (gen_ >= gen_end_) {
    auto* header = reinterpret_cast<shm::PoolHeader*>(options_.pool);
    gen_end_ = gen_ + shm::gen_reserve;
    shm::store_release(header->gen_reserved[options_.shard], gen_end_);
  }
  return gen_;
}

int Shard::allocate_block(uint32_t* ret_block, uint64_t now_ns) {
  while (free_blocks_.empty())
    if (!evict_one(now_ns)) return -ENOSPC;
  *ret_block = free_blocks_.back();
  free_blocks_.pop_back();
  blocks_[*ret_block] = Block{};
  blocks_[*ret_block].state = BlockState::allocated;
  return 0;
}

uint64_t Shard::allocate_slot(uint32_t payload_bytes, uint32_t block, uint64_t now_ns) {
  const uint32_t slot_bytes = shm::slot_bytes_for(payload_bytes);
  for (;;) {
    const uint64_t offset = slabs_.allocate(slot_bytes, block);
    if (offset) return offset;
    if (!make_room(slot_bytes, now_ns)) return 0;
  }
}

// Evicts until a slot of this size is free or nothing helps. Returns: whether it is worth another
// try.
bool Shard::make_room(uint32_t slot_bytes, uint64_t now_ns) {
  drop_limbo(now_ns, false);
  for (int i = 0; i < policy_victims_max; i++) {
    if (!evict_one(now_ns)) break;
    if (slabs_.can_allocate(slot_bytes)) return true;
  }
  if (slabs_.can_allocate(slot_bytes)) return true;
  // The policy's victims are of other sizes: clear the slab that holds least.
  bool evicted = false;
  const std::span<const uint32_t> owners = slabs_.cheapest_slab_but(slot_bytes);
  const std::vector<uint32_t> victims(owners.begin(), owners.end());
  for (uint32_t block : victims) {
    if (block >= blocks_.size() || blocks_[block].state != BlockState::published || pinned_[block])
      continue;
    evict(block, now_ns);
    evicted = true;
  }
  if (!evicted && !limbo_.empty()) {  // readers name what is left; their guards are only hints
    drop_limbo(now_ns, true);
    evicted = true;
  }
  return evicted && slabs_.can_allocate(slot_bytes);
}

}  // namespace speckv
