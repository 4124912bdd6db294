// SPDX-License-Identifier: Apache-2.0
// slab_pool.cpp - see slab_pool.hpp. Slabs are made, cut into slots and dropped here; claims are in
// slab_claims.cpp.
#include "pool/slab_pool.hpp"

#include <algorithm>

#include "assert.hpp"
#include "shm/atomics.hpp"

namespace speckv {

SlabPool::SlabPool(std::byte* pool, uint64_t first_unit, uint64_t units, uint32_t shard)
    : pool_(pool),
      first_unit_(first_unit),
      units_(units),
      shard_(shard),
      free_units_(units),
      slabs_(units),
      slab_of_(units, no_owner),
      free_words_((units + 63) / 64, 0),
      empty_words_((units + 63) / 64, 0),
      classes_(std::min<uint64_t>(units, classes_max)),
      class_heads_(classes_.size() * 2 + 1, none),
      owners_(units * slots_per_unit_max),
      free_bits_(units * words_per_unit),
      pin_bits_(units * words_per_unit) {
  for (uint64_t unit = 0; unit < units; unit++) free_words_[unit / 64] |= 1ull << (unit % 64);
  for (uint32_t i = 0; i < classes_.size(); i++)
    classes_[i].next = i + 1 < classes_.size() ? i + 1 : none;
  if (classes_.empty()) unused_class_ = none;
  claims_.reserve(claims_max);
}

void SlabPool::set_free_units(uint32_t unit, uint32_t count, bool free) {
  for (uint32_t i = unit; i < unit + count; i++) {
    const uint64_t bit = 1ull << (i % 64);
    SPECKV_ASSERT(bool(free_words_[i / 64] & bit) != free,
                  "a unit was taken that is in use, or given back twice");
    free_words_[i / 64] ^= bit;
  }
  if (free) free_units_ += count;
  else free_units_ -= count;
  if (free) no_run_of_ = 0;
}

// A run of `count` free units that begins at a multiple of it. count: a power of two up to 32, so
// the run lies in one word.
bool SlabPool::find_units(uint32_t count, uint32_t* ret_unit) {
  if (free_units_ < count || (no_run_of_ & count)) return false;
  uint64_t starts = 0;
  for (uint32_t i = 0; i < 64; i += count) starts |= 1ull << i;
  const auto words = uint32_t(free_words_.size());
  for (uint32_t i = 0; i < words; i++) {
    const uint32_t at = (unit_hint_ + i) % words;
    steps_++;
    uint64_t runs = free_words_[at];
    for (uint32_t length = 1; length < count; length *= 2) runs &= runs >> length;
    if (!(runs & starts)) continue;
    unit_hint_ = at;
    *ret_unit = at * 64 + uint32_t(__builtin_ctzll(runs & starts));
    return true;
  }
  no_run_of_ |= count;  // not worth another look until units come free
  return false;
}

uint32_t SlabPool::find_class(uint32_t slot_bytes) const {
  uint32_t number = class_heads_[mix64(slot_bytes) % class_heads_.size()];
  while (number != none && classes_[number].slot_bytes != slot_bytes)
    number = classes_[number].next;
  return number;
}

uint32_t SlabPool::make_class(uint32_t slot_bytes) {
  const uint32_t known = find_class(slot_bytes);
  if (known != none || unused_class_ == none) return known;
  const uint32_t number = unused_class_;
  unused_class_ = classes_[number].next;
  uint32_t& head = class_heads_[mix64(slot_bytes) % class_heads_.size()];
  classes_[number] = SizeClass{};
  classes_[number].slot_bytes = slot_bytes;
  classes_[number].next = head;
  head = number;
  return number;
}

void SlabPool::drop_class(uint32_t number) {
  uint32_t* link = &class_heads_[mix64(classes_[number].slot_bytes) % class_heads_.size()];
  SPECKV_ASSERT(classes_[number].slabs == 0 && classes_[number].claimed_new == 0,
                "a size class was dropped that has slabs, or that a claim makes one of");
  while (*link != number) link = &classes_[*link].next;
  *link = classes_[number].next;
  classes_[number] = SizeClass{};
  classes_[number].next = unused_class_;
  unused_class_ = number;
}

void SlabPool::list_slab(uint32_t unit) {
  Slab& slab = slabs_[unit];
  SizeClass& sized = classes_[slab.size_class];
  slab.previous = none;
  slab.next = sized.with_room;
  if (slab.next != none) slabs_[slab.next].previous = unit;
  sized.with_room = unit;
}

void SlabPool::unlist_slab(uint32_t unit) {
  Slab& slab = slabs_[unit];
  SPECKV_ASSERT(slab.previous != none || classes_[slab.size_class].with_room == unit,
                "a slab left the list of those with room twice");
  if (slab.next != none) slabs_[slab.next].previous = slab.previous;
  if (slab.previous != none) slabs_[slab.previous].next = slab.next;
  else classes_[slab.size_class].with_room = slab.next;
  slab.next = slab.previous = none;
}

void SlabPool::mark_empty(uint32_t unit, bool empty) {
  const uint64_t bit = 1ull << (unit % 64);
  SPECKV_ASSERT(bool(empty_words_[unit / 64] & bit) != empty,
                "a slab became empty, or came into use, twice");
  empty_words_[unit / 64] ^= bit;
  empty_slabs_ += empty ? 1 : -1;
}

// Requires: the units are free and a class can be had.
void SlabPool::init_slab(uint32_t unit, uint32_t slot_bytes, uint32_t units) {
  Slab& slab = slabs_[unit];
  SPECKV_ASSERT(slab.slot_bytes == 0, "a slab was made where there is one");
  slab = Slab{};
  slab.slot_bytes = slot_bytes;
  slab.units = units;
  slab.slots = slots_in(units, slot_bytes);
  slab.size_class = make_class(slot_bytes);
  SPECKV_ASSERT(slab.size_class != none, "a slab was made though no size class was left for it");
  std::fill_n(owners(unit), slab.slots, no_owner);
  const uint32_t words = (slab.slots + 63) / 64;
  std::fill_n(free_bits(unit), words, ~0ull);
  std::fill_n(pin_bits(unit), words, 0ull);
  if (slab.slots % 64) free_bits(unit)[words - 1] = (1ull << (slab.slots % 64)) - 1;
  for (uint32_t i = 0; i < units; i++) slab_of_[unit + i] = unit;
  set_free_units(unit, units, false);
  SizeClass& sized = classes_[slab.size_class];
  sized.slabs++;
  sized.slots += slab.slots;
  sized.free_slots += slab.slots;
  slab_count_++;
  slab_units_ += units;
  slot_bytes_in_slabs_ += uint64_t(slab.slots) * slot_bytes;
  list_slab(unit);
  mark_empty(unit, true);
}

void SlabPool::format_slab(uint32_t unit, uint32_t slot_bytes) {
  auto* header = reinterpret_cast<shm::SlabHeader*>(pool_ + unit_offset(unit));
  shm::store_relaxed(header->magic, 0);  // C1: no slab until its slots are marked free
  shm::release_fence();
  init_slab(unit, slot_bytes, units_for(slot_bytes));
  for (uint32_t slot = 0; slot < slabs_[unit].slots; slot++)
    shm::store_relaxed(reinterpret_cast<shm::SlotHeader*>(pool_ + slot_offset(unit, slot))->gen, 1);
  shm::SlabHeader fresh{
      shm::slab_magic, slabs_[unit].units, slot_bytes, slabs_[unit].slots, shard_, 0};
  fresh.check = shm::slab_check(fresh);
  header->units = fresh.units;
  header->slot_bytes = fresh.slot_bytes;
  header->slots = fresh.slots;
  header->shard = fresh.shard;
  header->check = fresh.check;
  shm::store_release(header->magic, fresh.magic);  // C4
}

// keep: sizes whose empty slabs stay.
bool SlabPool::make_slab(uint32_t slot_bytes, std::span<const SlotNeed> keep, uint32_t* ret_unit) {
  const uint32_t units = units_for(slot_bytes);
  if (units == 0) return false;
  if (!find_units(units, ret_unit) && !(drop_empty_slabs(keep) && find_units(units, ret_unit)))
    return false;
  if (find_class(slot_bytes) == none && unused_class_ == none && !drop_empty_slabs(keep))
    return false;
  if (find_class(slot_bytes) == none && unused_class_ == none) return false;
  format_slab(*ret_unit, slot_bytes);
  return true;
}

void SlabPool::drop_slab(uint32_t unit) {
  Slab& slab = slabs_[unit];
  SPECKV_ASSERT(slab.slot_bytes && slab.live == 0,
                "a slab with slots in use was dropped, or what is none");
  auto* header = reinterpret_cast<shm::SlabHeader*>(pool_ + unit_offset(unit));
  shm::store_release(header->magic, 0);
  unlist_slab(unit);
  mark_empty(unit, false);
  for (uint32_t i = 0; i < slab.units; i++) slab_of_[unit + i] = no_owner;
  set_free_units(unit, slab.units, true);
  SizeClass& sized = classes_[slab.size_class];
  sized.slots -= slab.slots;
  sized.free_slots -= slab.slots;
  if (slab.claimed) sized.claimed_away -= slab.slots;
  slab_count_--;
  slab_units_ -= slab.units;
  slot_bytes_in_slabs_ -= uint64_t(slab.slots) * slab.slot_bytes;
  if (--sized.slabs == 0 && sized.claimed_new == 0) drop_class(slab.size_class);
  slab = Slab{};
}

bool SlabPool::drop_empty_slabs(std::span<const SlotNeed> keep) {
  bool dropped = false;
  for (size_t word = 0; empty_slabs_ && word < empty_words_.size(); word++)
    for (uint64_t bits = empty_words_[word]; bits; bits &= bits - 1) {
      const uint32_t unit = uint32_t(word) * 64 + uint32_t(__builtin_ctzll(bits));
      steps_++;
      if (std::any_of(keep.begin(), keep.end(), [&](const SlotNeed& need) {
            return need.slot_bytes == slabs_[unit].slot_bytes;
          }))
        continue;
      drop_slab(unit);
      dropped = true;
    }
  return dropped;
}

uint64_t SlabPool::take(uint32_t unit, uint32_t owner) {
  Slab& slab = slabs_[unit];
  SPECKV_ASSERT(slab.live < slab.slots, "a full slab was listed as one with room");
  const uint32_t words = (slab.slots + 63) / 64;
  uint64_t* bits = free_bits(unit);
  uint32_t word = slab.word_hint;
  while (!bits[word]) word = word + 1 < words ? word + 1 : 0;
  slab.word_hint = word;
  const uint32_t slot = word * 64 + uint32_t(__builtin_ctzll(bits[word]));
  SPECKV_ASSERT(owners(unit)[slot] == no_owner, "a slot in use was listed as free");
  bits[word] &= bits[word] - 1;
  pin_bits(unit)[word] |= 1ull << (slot % 64);
  owners(unit)[slot] = owner;
  if (slab.live++ == 0) mark_empty(unit, false);
  slab.stuck++;
  if (slab.live == slab.slots) unlist_slab(unit);
  classes_[slab.size_class].free_slots--;
  classes_[slab.size_class].stuck++;
  live_bytes_ += slab.slot_bytes;
  return slot_offset(unit, slot);
}

void SlabPool::adopt_slot(uint32_t unit, uint32_t slot, uint32_t owner) {
  Slab& slab = slabs_[unit];
  SPECKV_ASSERT(free_bits(unit)[slot / 64] >> (slot % 64) & 1, "a slot was taken over twice");
  free_bits(unit)[slot / 64] &= ~(1ull << (slot % 64));
  owners(unit)[slot] = owner;
  if (slab.live++ == 0) mark_empty(unit, false);
  if (slab.live == slab.slots) unlist_slab(unit);
  classes_[slab.size_class].free_slots--;
  live_bytes_ += slab.slot_bytes;
}

uint64_t SlabPool::allocate(uint32_t slot_bytes, uint32_t owner) {
  const uint32_t known = find_class(slot_bytes);
  steps_++;
  if (known != none && classes_[known].with_room != none)
    return take(classes_[known].with_room, owner);
  uint32_t unit = 0;
  const SlotNeed keep{slot_bytes, 1};
  return make_slab(slot_bytes, {&keep, 1}, &unit) ? take(unit, owner) : 0;
}

uint64_t SlabPool::free_slots(uint32_t slot_bytes) const {
  const uint32_t known = find_class(slot_bytes);
  return known == none ? 0 : classes_[known].free_slots;
}

bool SlabPool::reserve(std::span<const SlotNeed> needs) {
  bool all = true;
  uint32_t unit = 0;
  for (const SlotNeed& need : needs) {
    while (free_slots(need.slot_bytes) < need.count)
      if (!make_slab(need.slot_bytes, needs, &unit)) break;
    all = all && free_slots(need.slot_bytes) >= need.count;
  }
  return all;
}

bool SlabPool::locate(uint64_t offset, uint32_t* ret_unit, uint32_t* ret_slot) const {
  const uint64_t unit = offset / shm::unit_bytes - first_unit_;
  if (unit >= units_ || slab_of_[unit] == no_owner || slab_of_[unit] == lost_owner) return false;
  *ret_unit = slab_of_[unit];
  if (offset < slot_offset(*ret_unit, 0)) return false;
  *ret_slot = uint32_t((offset - slot_offset(*ret_unit, 0)) / slabs_[*ret_unit].slot_bytes);
  return *ret_slot < slabs_[*ret_unit].slots;
}

void SlabPool::locate_live(uint64_t offset, uint32_t* ret_unit, uint32_t* ret_slot) const {
  const bool there = locate(offset, ret_unit, ret_slot);
  SPECKV_ASSERT(there && slot_offset(*ret_unit, *ret_slot) == offset,
                "an offset where no slot of this shard begins was used as one");
  SPECKV_ASSERT(owners(*ret_unit)[*ret_slot] != no_owner, "a slot that is free was used as one");
}

void SlabPool::release(uint64_t offset) {
  uint32_t unit = 0, slot = 0;
  locate_live(offset, &unit, &slot);
  Slab& slab = slabs_[unit];
  SPECKV_ASSERT(owners(unit)[slot] != lost_owner, "a slot whose memory is gone was released");
  SizeClass& sized = classes_[slab.size_class];
  SPECKV_ASSERT(slab.live > 0 && live_bytes_ >= slab.slot_bytes && sized.free_slots < sized.slots,
                "more slots were released than were in use");
  const uint64_t bit = 1ull << (slot % 64);
  free_bits(unit)[slot / 64] |= bit;
  if (pin_bits(unit)[slot / 64] & bit) {
    pin_bits(unit)[slot / 64] &= ~bit;
    slab.stuck--;
    sized.stuck--;
  }
  owners(unit)[slot] = no_owner;
  slab.word_hint = slot / 64;
  if (slab.live == slab.slots) list_slab(unit);
  if (--slab.live == 0) mark_empty(unit, true);
  live_bytes_ -= slab.slot_bytes;
  sized.free_slots++;
}

void SlabPool::set_pinned(uint64_t offset, bool pinned) {
  uint32_t unit = 0, slot = 0;
  locate_live(offset, &unit, &slot);
  uint64_t& word = pin_bits(unit)[slot / 64];
  const uint64_t bit = 1ull << (slot % 64);
  SPECKV_ASSERT(bool(word & bit) != pinned, "a slot was pinned or unpinned twice");
  word ^= bit;
  slabs_[unit].stuck += pinned ? 1 : -1;
  classes_[slabs_[unit].size_class].stuck += pinned ? 1 : -1;
}

void SlabPool::set_owner(uint64_t offset, uint32_t owner) {
  uint32_t unit = 0, slot = 0;
  locate_live(offset, &unit, &slot);
  SPECKV_ASSERT(owner != no_owner && owners(unit)[slot] != lost_owner,
                "a slot in use was given to nobody, or one was used whose memory is gone");
  owners(unit)[slot] = owner;
}

uint32_t SlabPool::owner_of(uint64_t offset) const {
  uint32_t unit = 0, slot = 0;
  if (!locate(offset, &unit, &slot) || slot_offset(unit, slot) != offset) return no_owner;
  return owners(unit)[slot];
}

uint32_t SlabPool::slot_bytes_at(uint64_t offset) const {
  uint32_t unit = 0, slot = 0;
  locate_live(offset, &unit, &slot);
  return slabs_[unit].slot_bytes;
}

void SlabPool::lose(uint64_t offset, uint64_t bytes) {
  const uint64_t end = offset + bytes;
  for (uint32_t unit = 0; unit < units_; unit++) {
    if (slabs_[unit].slot_bytes) lose_slots(unit, offset, end);
    if (slab_of_[unit] != no_owner || unit_offset(unit) >= end ||
        unit_offset(unit) + shm::unit_bytes <= offset)
      continue;
    slab_of_[unit] = lost_owner;
    set_free_units(unit, 1, false);
    lost_units_++;
  }
}

void SlabPool::lose_slots(uint32_t unit, uint64_t offset, uint64_t end) {
  Slab& slab = slabs_[unit];
  SizeClass& sized = classes_[slab.size_class];
  for (uint32_t slot = 0; slot < slab.slots; slot++) {
    const uint64_t at = slot_offset(unit, slot);
    if (at >= end || at + slab.slot_bytes <= offset || owners(unit)[slot] == lost_owner) continue;
    const uint64_t bit = 1ull << (slot % 64);
    if (free_bits(unit)[slot / 64] & bit) {
      free_bits(unit)[slot / 64] &= ~bit;
      if (slab.live++ == 0) mark_empty(unit, false);
      if (slab.live == slab.slots) unlist_slab(unit);
      sized.free_slots--;
    } else {
      live_bytes_ -= slab.slot_bytes;
    }
    if (!(pin_bits(unit)[slot / 64] & bit)) {
      slab.stuck++;
      sized.stuck++;
    }
    pin_bits(unit)[slot / 64] |= bit;
    owners(unit)[slot] = lost_owner;
    slab.lost = true;
  }
}

bool SlabPool::plausible(const shm::SlabHeader& header, uint32_t unit) const {
  return header.magic == shm::slab_magic && header.check == shm::slab_check(header) &&
         header.shard == shard_ && header.units >= 1 && header.units <= shm::slab_units_max &&
         unit + header.units <= units_ && header.slot_bytes >= slot_bytes_min &&
         header.slot_bytes % shm::slot_align_bytes == 0 &&
         header.slots == slots_in(header.units, header.slot_bytes) && header.slots > 0 &&
         (find_class(header.slot_bytes) != none || unused_class_ != none);
}

double SlabPool::waste() const {
  const uint64_t all = slab_units_ * shm::unit_bytes;
  return all ? 1.0 - double(slot_bytes_in_slabs_) / double(all) : 0.0;
}

}  // namespace speckv
