// SPDX-License-Identifier: Apache-2.0
// policy.hpp - who is evicted next: one interface, one registry, several policies.
//
// What it is: bookkeeping on dense block numbers. No I/O, no clock (time is handed in), no logging,
//   no locks, no allocation after construction; every call is O(1) amortised.
// Who calls it: the data thread that owns the shard (journey/evict), the replay of tests/bench and
//   tests/unit/predict. All run this same code.
// Threading: one object, one thread.
// What it never does: touch a block's bytes, pick a pinned block, or forget a block by itself: a
//   victim stays known until on_remove().
//
// A block here is the daemon's number of a resident block, 0..capacity-1, reused after on_remove().
// Why parents matter: prefix reuse counts leading hits only, so once a block is gone all that
// follows it in its sequence is dead weight. A policy may use that; one that does not ignores it.
//
// The daemon's side:
//   put:    if full { take what helps of coldest(now, pinned, ...): unpublish b; on_remove(b) }
//           on_insert(new block, facts)
//   get:    on_hit(b, now), in the order of the touch ring; lossy and late is fine
//   a put of a key that is already resident: on_hit, not on_insert
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

namespace speckv::predict {

inline constexpr uint32_t kNoBlock = UINT32_MAX;
inline constexpr uint32_t kParentAway = UINT32_MAX - 1;
inline constexpr uint32_t kCapacityMax = 1u
                                         << 31;  // leaves numbers for the two above and list heads
inline constexpr uint32_t kProposalsMax =
    384;  // a block of the most layers, and what is passed over
inline constexpr uint32_t kPositionUnknown = UINT32_MAX;

// What is known of a block when it is stored. Unknown stays at its default; nothing is required but
// key_hash, which must be the same whenever this key is stored again (ghost queues remember it).
struct BlockFacts {
  uint64_t key_hash = 0;                 // 64 bits of the key
  uint64_t now_ns = 0;                   // any monotonic origin, the same as in on_hit and victim
  uint8_t kind = 0;                      // enum speckv_kind, as its writer said
  uint32_t parent = kNoBlock;            // resident block that precedes it; kParentAway: it has a
                                         // parent but that is not resident; kNoBlock: none, unknown
  uint32_t position = kPositionUnknown;  // its number in its sequence, the first is 0
  uint32_t stored_bytes = 0;             // what its eviction gives back
  bool speculative = false;              // nobody asked for it yet: it says nothing of returns
};

class EvictionPolicy {
 public:
  virtual ~EvictionPolicy() = default;

  // A block became resident. Requires: block < capacity and not resident.
  virtual void on_insert(uint32_t block, const BlockFacts& facts) = 0;
  // A resident block was read (or put again). Not resident: ignored, touch rings may be late.
  virtual void on_hit(uint32_t block, uint64_t now_ns) = 0;
  // A block is gone: evicted, removed or replaced. Not resident: ignored.
  virtual void on_remove(uint32_t block) = 0;
  // A client says what a resident block is, and when its session will speak again (0: it does not
  // know). Nobody has to believe it.
  virtual void on_hint(uint32_t /*block*/, uint8_t /*kind*/, uint64_t /*returns_ns*/) {}

  // Proposes up to ret_blocks.size() blocks (at most kProposalsMax) in the order in which they
  // would be evicted, as if each had been removed before the next was asked for; changes nothing
  // that is resident, so a plan may take all, some or none of them. pinned[b] != 0: b must stay;
  // pinned.size() is capacity, or 0 for "nothing is pinned". May move pinned blocks it meets away
  // from the cold end, so that repeated calls do not walk over them again.
  // Returns: how many; fewer than asked for when every other resident block is pinned.
  [[nodiscard]] virtual uint32_t coldest(uint64_t now_ns, std::span<const uint8_t> pinned,
                                         std::span<uint32_t> ret_blocks) = 0;
  // The first of them. Returns: false when there is none.
  [[nodiscard]] bool victim(uint64_t now_ns, std::span<const uint8_t> pinned, uint32_t* ret_block) {
    return coldest(now_ns, pinned, {ret_block, 1}) == 1;
  }

  virtual uint32_t resident() const = 0;
  virtual std::string_view name() const = 0;
};

// Every policy that exists in this build.
std::span<const std::string_view> policy_names();
// The default for a namespace of so many shards.
std::string_view policy_default(uint32_t shards);

// Returns: nullptr when no policy has that name (see policy_names()) or capacity is not
// 1..kCapacityMax.
// Allocates everything it will ever use, about 100 bytes a block (ghosts included). ghosts_min: a
// policy that remembers evicted keys has room for so many at least (8 bytes each); a small pool
// needs more than its own number of blocks to see people come back.
inline constexpr uint32_t kGhostsMin = 32'768;
std::unique_ptr<EvictionPolicy> make_policy(std::string_view name, uint32_t capacity,
                                            uint32_t ghosts_min = kGhostsMin);

}  // namespace speckv::predict
