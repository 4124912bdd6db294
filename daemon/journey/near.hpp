// SPDX-License-Identifier: Apache-2.0
// near.hpp - one shard's near memory: which blocks stand there decoded, and what is on its way.
//
//   free ── bring_near ──▶ filling ── publish_near ──▶ published ── leave_near ──▶ limbo ──▶ free
//                             └── give_up_near ──▶ free                (no reader names it)
//
// A *copy* is a block's second place: slots as the pool has them, in another file, filled with what
// preset `exact` would have stored. The block itself stays where it is and knows nothing of it; its
// index entry refers to the copy while that is published, and to the pool's slots before and after.
// docs/near.md argues each move. near.cpp fills copies, near_leave.cpp ends them; both are Shard's.
// Of the data thread alone. Never: waits, evicts anything of the pool, allocates once it is made.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "journey/put.hpp"
#include "pool/near_gate.hpp"
#include "pool/slab_pool.hpp"
#include "predict/policy.hpp"

namespace speckv {

struct NearOptions {
  std::byte* file = nullptr;  // near memory of the namespace, whole
  NearGate* gate = nullptr;   // of its shards; outlives them
  uint64_t first_unit = 0, units = 0;
  uint32_t after_hits = 2;  // a block that was read so often is brought
};

constexpr uint32_t no_copy = UINT32_MAX;
// Blocks that are brought at the same time, and layers of one that the engine has at once: enough
// to keep a worker busy, and few enough to leave its queue to puts.
constexpr uint32_t near_brings_max = 2, near_jobs_max = 2;
// So many copies may be asked to make room for one block.
constexpr uint32_t near_victims_max = 64;
// Entries that are taken back in one turn once the gate closes: 50 ns each.
constexpr uint32_t near_taken_back_max = 4096;
// One block's hits are halved each so many touches, in turn: a block that is read as often as the
// others comes to about twice this number.
constexpr uint32_t near_age_touches = 4;
// Copies are counted for blocks of this size and more, as index entries are.
constexpr uint64_t near_bytes_a_copy = 64 << 10;

enum class CopyState : uint8_t { free, filling, published, limbo };

struct NearCopy {
  uint64_t ref = 0, gen = 0;  // of its record, or its only segment
  uint64_t since_ns = 0;      // limbo: when its entry went
  uint32_t block = no_block;
  uint32_t bytes = 0;  // of its slots
  uint32_t named = 0;  // number of the last look at which a guard named it
  uint16_t layers = 0;
  CopyState state = CopyState::free;
};

struct NearJob : EncodeJob {
  uint32_t bring = 0;  // whose it is
  bool in_engine = false;
  codec::Preset from{};
};

// One block on its way. owner: while it lives, layout and widths stay where they are.
struct NearBring {
  bool used = false, failed = false;
  uint32_t copy = no_copy;
  shm::Entry entry;  // the pool's, when it began: another gen, and its work is for nothing
  const Layout* layout = nullptr;
  const Widths* widths = nullptr;
  std::shared_ptr<void> owner;
  uint32_t next_layer = 0, decoded = 0, jobs_in_engine = 0;
  uint32_t placed = 0;
  std::array<Placed, SPECKV_LAYERS_MAX + 1> slots;  // in near memory, the record last
  std::array<uint64_t, SPECKV_LAYERS_MAX> sources;  // offsets in the pool
  std::array<NearJob, near_jobs_max> jobs;
};

struct Near {
  Near(const NearOptions& given, uint32_t shard, uint32_t blocks_max);

  shm::SlotHeader* slot(uint64_t offset) {
    return reinterpret_cast<shm::SlotHeader*>(options.file + offset);
  }
  // Calls visit(offset) for each slot of a copy that is whole, the record first.
  template <typename Visit>
  void for_each_slot(const NearCopy& copy, Visit&& visit);

  const NearOptions options;
  SlabPool slabs;
  std::unique_ptr<predict::EvictionPolicy> policy;  // over numbers of copies
  std::vector<NearCopy> copies;
  std::vector<uint32_t> free_copies, limbo;
  std::array<NearBring, near_brings_max> brings;
  // By block. unfit: it cannot be brought, and is not tried again.
  std::vector<uint32_t> copy_of;
  std::vector<uint8_t> hits, unfit;
  uint32_t aged = 0, touches = 0;  // the block whose hits are halved next
  uint32_t published = 0;
  bool open = false;    // what the gate said this turn
  uint64_t now_ns = 0;  // of this turn
  std::array<uint32_t, near_victims_max> coldest{};
};

template <typename Visit>
void Near::for_each_slot(const NearCopy& copy, Visit&& visit) {
  const uint64_t head = shm::ref_offset(copy.ref);
  const uint32_t segments = copy.layers > 1 ? copy.layers : 0;
  std::array<uint64_t, SPECKV_LAYERS_MAX> offsets;
  const auto* meta = reinterpret_cast<const shm::RecordMeta*>(slot(head) + 1);
  const auto* refs = reinterpret_cast<const shm::SegmentRef*>(meta + 1);
  for (uint32_t layer = 0; layer < segments; layer++)
    offsets[layer] = shm::ref_offset(refs[layer].offset);
  visit(head);
  for (uint32_t layer = 0; layer < segments; layer++) visit(offsets[layer]);
}

}  // namespace speckv
