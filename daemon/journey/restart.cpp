// SPDX-License-Identifier: Apache-2.0
// restart.cpp - a new daemon over an old pool: the slots are the truth, blocks and index are
// rebuilt from them.
//
// A record counts if its own checksum holds and every segment it names is complete and its own.
// Payloads of segments are not read here: a reader verifies them anyway. Whatever no block names is
// free again. Nothing torn can come back: a slot under way has an odd gen.
//
// The policy is told of blocks in the order of their gens, which is the order in which they were
// put: parents before children, the coldest first. When they were used last is not known any more:
// each counts as `age_step_ns` younger than the one before it, so their order is right and their
// ages are of a size that the policy can tell apart.
#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "assert.hpp"
#include "codec/checksum.hpp"
#include "journey/shard.hpp"
#include "shm/atomics.hpp"

namespace speckv {

namespace {
constexpr uint32_t unclaimed = UINT32_MAX - 1;
constexpr uint64_t age_step_ns = 1'000'000;

// So many blocks are worked on at once, and their memory is asked for before, by loads that nobody
// waits for: a prefetch is dropped by some machines where the page's translation is not at hand.
constexpr size_t batch = 32;

void ask_for(const void* address) {
  static_cast<void>(*static_cast<const volatile uint8_t*>(address));
}

struct Order {
  uint64_t gen = 0;
  uint32_t number = 0;  // in found
};

// All gens are even, and few digits apart, so that this is two passes for a million.
void sort_by_gen(std::vector<Order>* found) {
  constexpr uint32_t digit_bits = 11;
  if (found->empty()) return;
  const auto by_gen = [](const Order& a, const Order& b) { return a.gen < b.gen; };
  const auto [least, most] = std::minmax_element(found->begin(), found->end(), by_gen);
  const uint64_t base = least->gen, span = (most->gen - base) >> 1;
  std::vector<Order> other(found->size());
  for (uint32_t shift = 0; shift < 64 && span >> shift; shift += digit_bits) {
    const auto digit = [&](const Order& each) {
      return size_t((each.gen - base) >> 1 >> shift) % (1u << digit_bits);
    };
    std::array<size_t, 1u << digit_bits> at{};
    for (const Order& each : *found) at[digit(each)]++;
    for (size_t sum = 0, i = 0; i < at.size(); i++) sum += std::exchange(at[i], sum);
    for (const Order& each : *found) other[at[digit(each)]++] = each;
    found->swap(other);
  }
}
}  // namespace

// In three walks: through all slots, as they lie; through the blocks found, as they lie, which is
// where their bytes are looked at; and through what is known of them then, as they were put.
uint64_t Shard::restore(uint64_t now_ns) {
  std::vector<Restored> found;
  slabs_.adopt([&](uint64_t offset, uint32_t slot_bytes) {
    const shm::SlotHeader* header = slot(offset);
    if ((header->gen & 1) || header->gen == 0 || header->gen >= gen_end_ ||
        header->payload_bytes >= slot_bytes || shm::slot_bytes_of(*header) != slot_bytes)
      return no_owner;
    if (header->layer == shm::layer_record || (header->flags & shm::slot_single)) {
      found.emplace_back();
      found.back().offset = offset;
    }
    return unclaimed;
  });
  std::vector<Order> order(found.size());
  for (uint32_t i = 0; i < order.size(); i++) order[i] = {slot(found[i].offset)->gen, i};
  sort_by_gen(&order);
  const uint64_t step_ns = std::min(age_step_ns, now_ns / (order.size() + 1));
  const auto used_ns = [&](size_t i) { return now_ns - step_ns * (order.size() - i); };
  if (found.size() <= free_blocks_.size()) {
    for (const Order& each : order) found[each.number].block = take_number();
    take_all_back(found);
    for (size_t first = 0; first < order.size(); first += batch) {
      const size_t end = std::min(first + batch, order.size());
      for (size_t i = first; i < end; i++) ask_for(&found[order[i].number]);
      for (size_t i = first; i < end; i++) ask_for_buckets(found[order[i].number]);
      for (size_t i = first; i < end; i++) publish_back(found[order[i].number], used_ns(i));
    }
  } else {  // the index was made smaller: the policy says which ones go
    for (size_t i = 0; i < order.size(); i++) {
      Restored& next = found[order[i].number];
      if (!is_whole(next) || !number_for_restored(used_ns(i))) continue;
      next.block = take_number();
      take_back(&next);
      publish_back(next, used_ns(i));
    }
  }
  slabs_.for_each_slot_of(unclaimed, [this](uint64_t offset) {
    shm::store_relaxed(slot(offset)->gen, slot(offset)->gen | 1);
    slabs_.release(offset);
  });
  counters_.restored.store(counters_.blocks, std::memory_order_relaxed);
  return counters_.blocks;
}

void Shard::take_all_back(std::vector<Restored>& found) {
  for (size_t first = 0; first < found.size(); first += batch) {
    const size_t end = std::min(first + batch, found.size());
    for (size_t i = first; i < end; i++) ask_for(slot(found[i].offset));
    for (size_t i = first; i < end; i++) ask_for_rest(found[i]);
    for (size_t i = first; i < end; i++) {
      if (is_whole(found[i])) {
        take_back(&found[i]);
      } else {
        blocks_[found[i].block].state = BlockState::absent;
        free_blocks_.push_back(std::exchange(found[i].block, no_block));
      }
    }
  }
}

// What its header leads to, and the memory of its number.
void Shard::ask_for_rest(const Restored& found) {
  const shm::SlotHeader& header = *slot(found.offset);
  ask_for(&blocks_[found.block]);
  if (header.layer != shm::layer_record)
    return ask_for(reinterpret_cast<const std::byte*>(&header) + shm::meta_offset(header));
  const auto* meta = reinterpret_cast<const shm::RecordMeta*>(&header + 1);
  const auto* refs = reinterpret_cast<const shm::SegmentRef*>(meta + 1);
  const uint32_t layers =
      std::min(header.payload_bytes / uint32_t(sizeof *refs), SPECKV_LAYERS_MAX);
  for (uint32_t layer = 0; layer < layers; layer++)  // any bytes, and memory may be gone
    if (slabs_.owner_of(refs[layer].offset) == unclaimed) ask_for(slot(refs[layer].offset));
}

void Shard::ask_for_buckets(const Restored& found) {
  if (found.block == no_block) return;
  index_.ask_for(found.hash);
  if (!found.parent.is_zero()) index_.ask_for(hash_key(found.parent));
}

std::span<const shm::SegmentRef> Shard::refs_of(const Restored& found) {
  const shm::SlotHeader& header = *slot(found.offset);
  if (header.layer != shm::layer_record) return {};
  const auto* meta = reinterpret_cast<const shm::RecordMeta*>(&header + 1);
  return {reinterpret_cast<const shm::SegmentRef*>(meta + 1), meta->layers};
}

// Whether a record and all that it names, or a block's only segment, are what they were. Such a
// segment's payload is not read here.
bool Shard::is_whole(const Restored& found) {
  const shm::SlotHeader& header = *slot(found.offset);
  if (header.layer != shm::layer_record) return header.layer == 0;
  const auto* meta = reinterpret_cast<const shm::RecordMeta*>(&header + 1);
  const uint32_t layers = meta->layers;
  if (layers < 2 || layers > SPECKV_LAYERS_MAX ||
      header.payload_bytes != shm::record_payload_bytes(layers))
    return false;
  codec::Checksum sum;
  codec::checksum_update(sum, meta, header.payload_bytes);
  if (header.checksum != shm::slot_checksum(header, codec::checksum_final(sum))) return false;
  const std::span<const shm::SegmentRef> refs = refs_of(found);
  for (uint32_t layer = 0; layer < layers; layer++) {
    if (slabs_.owner_of(refs[layer].offset) != unclaimed) return false;
    const shm::SlotHeader* segment = slot(refs[layer].offset);
    if (segment->gen != refs[layer].gen || segment->layer != layer ||
        !(segment->key == header.key) || segment->fingerprint != header.fingerprint)
      return false;
  }
  return true;
}

// Requires: is_whole(), and it has a number. Its slots are its own then.
void Shard::take_back(Restored* found) {
  const shm::SlotHeader& header = *slot(found->offset);
  const std::span<const shm::SegmentRef> refs = refs_of(*found);
  Block& back = blocks_[found->block];
  back.entry = {header.key, found->offset, header.gen, header.fingerprint, found->block};
  back.entry.layers = uint16_t(std::max<size_t>(refs.size(), 1));
  back.entry.flags = refs.empty() ? 0 : shm::entry_record;
  slabs_.set_owner(found->offset, found->block);
  back.stored_bytes = shm::slot_bytes_of(header);
  for (const shm::SegmentRef& ref : refs) {
    slabs_.set_owner(ref.offset, found->block);
    back.stored_bytes += shm::slot_bytes_of(*slot(ref.offset));
  }
  found->hash = hash_key(header.key);
  const shm::RecordMeta meta = shm::meta_of(header);
  // What a block of one segment says of itself is no part of what readers check.
  const bool told = !refs.empty() || shm::tail_holds(header, meta);
  back.raw_bytes =
      told ? uint32_t(std::min<uint64_t>(meta.raw_bytes, UINT32_MAX)) : back.stored_bytes;
  if (!told) return;
  back.kind = meta.kind;
  found->parent = meta.parent;
  found->position = meta.position;
  found->block_tokens = meta.block_tokens;
}

// used_ns: what the policy is told of when this block was used last.
void Shard::publish_back(const Restored& found, uint64_t used_ns) {
  if (found.block == no_block) return;
  Block& back = blocks_[found.block];
  shm::Entry known;
  if (index_.find(back.entry.key, found.hash, &known)) {  // killed between W1 of the old and its W3
    unpublish(known.block);
    free_block(known.block);
  }
  if (!index_.has_room(found.hash)) {
    counters_.not_restored.fetch_add(1, std::memory_order_relaxed);
    back.state = BlockState::limbo;
    return free_block(found.block);
  }
  const bool placed = index_.insert(found.hash, back.entry);
  SPECKV_ASSERT(placed, "the index has no place for a block that had one a moment ago");
  back.state = BlockState::published;
  const Place place{found.parent, hash_key(found.parent), found.position, found.block_tokens};
  const predict::BlockFacts facts = facts_of(found.block, found.hash, place, used_ns);
  policy_->on_insert(found.block, facts);
  note_lineage(found.block, facts);
  add_gauges(back, +1);
  back.used_ns = used_ns;
  note_published(found.block, found.parent, used_ns);
}

// A number for one more; where the index was made smaller, what the policy would evict goes.
bool Shard::number_for_restored(uint64_t now_ns) {
  if (!free_blocks_.empty()) return true;
  uint32_t coldest = 0;
  const bool room = policy_->victim(now_ns, pinned_, &coldest);
  counters_.not_restored.fetch_add(1, std::memory_order_relaxed);
  if (!room) return false;
  unpublish(coldest);
  free_block(coldest);
  return true;
}

}  // namespace speckv
