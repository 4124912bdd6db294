// SPDX-License-Identifier: Apache-2.0
// demote.cpp - station 9, spill: the coldest blocks are written to the tier below before their room
// is needed, so that an eviction drops what stands there already, and no put waits for a write.
//
// A block is copied into the store's buffer at once, its checksums are tried on the copy, and
// nothing of it is needed any more: it can be read, held, evicted, removed or put anew at any
// moment of the write. What a block is, the store knows by its content: who has the same is clean.
#include <cerrno>
#include <cstring>

#include "journey/shard.hpp"
#include "predict/admission.hpp"
#include "shm/atomics.hpp"

namespace speckv {

namespace {
// Copied in one go: about as long as a turn of the server.
constexpr uint64_t demote_bytes_a_turn = 4 << 20;
// Numbers of blocks that are free: fewer than one of so many asks for room, too.
constexpr uint64_t free_numbers_share = 8;
}  // namespace

// Of its segments in their order; 0 is never one.
uint64_t Shard::content_of(uint32_t block) {
  Block& known = blocks_[block];
  if (known.content) return known.content;
  uint64_t content = spill::content_start(known.entry.fingerprint);
  for_each_segment(block, [&](uint64_t offset) {
    content = spill::content_add(content, shm::load_relaxed(slot(offset)->checksum));
  });
  return known.content = content ? content : 1;
}

bool Shard::is_clean(uint32_t block) {
  return spill_->has(hash_key(blocks_[block].entry.key), content_of(block));
}

// Whether what is left for puts is less than what is to be clean ahead of them. Holes in slabs of
// other sizes are no room for a put: how much of that there is shows when a block has to go, and
// until one had to, none of them counts.
bool Shard::wants_to_demote() const {
  const uint64_t room = useless_bytes_ == no_eviction   ? slabs_.free_units() * shm::unit_bytes
                        : room_bytes() > useless_bytes_ ? room_bytes() - useless_bytes_
                                                        : 0;
  return room < options_.demote_ahead_bytes ||
         free_blocks_.size() < blocks_.size() / free_numbers_share;
}

void Shard::demote_ahead(uint64_t now_ns) {
  if (!spill_->accepts() || !wants_to_demote()) return;
  const uint32_t found = policy_->coldest(now_ns, pinned_, plan_.coldest);
  // Of a tier that is small beside the pool no more than half: or what is written would push out
  // what was written a moment ago, for ever.
  const uint64_t below_bytes = spill_->units() * spill::unit_bytes / 2;
  const uint32_t below_blocks = options_.spill->entries_max / 2;
  uint64_t seen = 0, copied = 0;
  for (uint32_t i = 0; i < found && copied < demote_bytes_a_turn; i++) {
    Block& block = blocks_[plan_.coldest[i]];
    seen += block.stored_bytes;
    if (seen > below_bytes || i >= below_blocks) return;
    if (seen > 2 * options_.demote_ahead_bytes && free_blocks_.size() > blocks_.size() / 4) return;
    if (block.unspillable) continue;
    const uint64_t hash = hash_key(block.entry.key);
    if (spill_->has(hash, content_of(plan_.coldest[i]), true)) continue;
    if (!predict::worth_spilling(spill_facts(plan_.coldest[i]))) {
      spill_->counters().not_wanted.fetch_add(1, std::memory_order_relaxed);
      block.unspillable = true;
      continue;
    }
    if (!demote(plan_.coldest[i], now_ns)) return;
    copied += block.stored_bytes;
  }
}

predict::SpillFacts Shard::spill_facts(uint32_t block) {
  predict::SpillFacts facts;
  facts.stored_bytes = blocks_[block].stored_bytes;
  facts.spill_is_full = spill_->counters().reclaimed.load(std::memory_order_relaxed) > 0;
  const shm::Entry& entry = blocks_[block].entry;
  const Key parent = shm::meta_of(*slot(entry.ref)).parent;
  shm::Entry known;
  facts.parent_is_gone = !parent.is_zero() && !spill_->has_hash(hash_key(parent)) &&
                         !index_.find(parent, hash_key(parent), &known);
  return facts;
}

// On a client's word: one that stands below already goes at once; another one is written now, and
// goes when its room is wanted. Who asks for one that has gone before its write ended waits for
// that end.
int Shard::demote(const Key& key, const Layout& layout) {
  if (!spill_) return -EOPNOTSUPP;
  shm::Entry known;
  if (!index_.find(key, hash_key(key), &known)) {
    if (spill_->image_bytes(hash_key(key)) == 0) return -ENOENT;
    if (!spill_->is_on_its_way(hash_key(key))) return 0;
    spill_->want_written(hash_key(key));  // a kill now would lose it
    return -EAGAIN;
  }
  if (!layout.widths->takes(known.fingerprint)) return -ENOENT;
  if (pinned_[known.block]) return -EBUSY;
  if (is_clean(known.block)) {
    evict({&known.block, 1}, spill_now_ns_);
    return 0;
  }
  const auto is_written = [&] { return spill_->has(hash_key(key), content_of(known.block), true); };
  if (!is_written() && spill_->accepts()) static_cast<void>(demote(known.block, spill_now_ns_));
  if (!is_written()) return -EIO;
  spill_->want_written(hash_key(key));
  return 0;
}

// Returns: false, the store takes no more now.
bool Shard::demote(uint32_t number, uint64_t now_ns) {
  Block& block = blocks_[number];
  const uint32_t layers = block.entry.flags & shm::entry_record ? block.entry.layers : 1;
  uint64_t bytes = spill::image_head_bytes(layers);
  for_each_segment(number, [&](uint64_t offset) { bytes += slabs_.slot_bytes_at(offset); });
  if (!spill_->takes(bytes)) {
    spill_->counters().too_large.fetch_add(1, std::memory_order_relaxed);
    block.unspillable = true;
    return true;
  }
  std::byte* const image = spill_->room_for(bytes, now_ns);
  if (!image) return false;
  make_image(number, layers, bytes, image);
  const uint64_t hash = hash_key(block.entry.key);
  spill::Image whole;
  if (!spill::read_image({image, bytes}, block.entry.key, &whole) || !spill::slots_hold(whole)) {
    block.unspillable = true;  // its memory is not what it was: lost a moment ago
    return true;
  }
  if (spill_->has_hash(hash)) static_cast<void>(spill_->drop(hash));  // another version
  if (spill_->has_hash(hash)) return true;
  spill::TableEntry row{};
  row.key = block.entry.key;
  row.fingerprint = block.entry.fingerprint;
  row.content = block.content;
  row.bytes64 = uint32_t(bytes / spill::align_bytes);
  spill_->add(row, hash);
  return true;
}

void Shard::make_image(uint32_t number, uint32_t layers, uint64_t bytes, std::byte* image) {
  const Block& block = blocks_[number];
  std::memset(image, 0, spill::image_head_bytes(layers));
  auto* head = reinterpret_cast<spill::ImageHead*>(image);
  auto* sizes = reinterpret_cast<uint32_t*>(head + 1);
  head->magic = spill::image_magic;
  head->key = block.entry.key;
  head->fingerprint = block.entry.fingerprint;
  head->content = block.content;
  head->layers = layers;
  head->bytes64 = uint32_t(bytes / spill::align_bytes);
  const shm::RecordMeta meta = shm::meta_of(*slot(block.entry.ref));
  head->parent = meta.parent;
  head->position = meta.position;
  head->block_tokens = meta.block_tokens;
  head->raw_bytes = meta.raw_bytes;
  head->identity = meta.identity;
  head->kind = block.kind;  // a hint may have said it since
  if (block.entry.flags & shm::entry_record) head->record_flags = slot(block.entry.ref)->flags;
  std::byte* at = image + spill::image_head_bytes(layers);
  uint32_t layer = 0;
  for_each_segment(number, [&](uint64_t offset) {
    const uint32_t slot_bytes = slabs_.slot_bytes_at(offset);
    sizes[layer++] = slot_bytes;
    std::memcpy(at, slot(offset), slot_bytes);
    at += slot_bytes;
  });
  head->check = spill::image_check(*head, {sizes, layers});
}

}  // namespace speckv
