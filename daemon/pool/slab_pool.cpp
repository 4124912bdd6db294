// SPDX-License-Identifier: Apache-2.0
// slab_pool.cpp - see slab_pool.hpp.
#include "pool/slab_pool.hpp"

#include "shm/atomics.hpp"

namespace speckv {

namespace {
// A slab may lose this share to its header and tail before a larger slab is preferred: the design's
// 2 % bound.
constexpr double slab_waste_max = 0.02;

uint32_t slots_in(uint32_t units, uint32_t slot_bytes) {
  return uint32_t((uint64_t(units) * shm::unit_bytes - shm::slab_header_bytes) / slot_bytes);
}
double waste_of(uint32_t units, uint32_t slot_bytes) {
  const double used = double(slots_in(units, slot_bytes)) * slot_bytes;
  return 1.0 - used / (double(units) * shm::unit_bytes);
}
}  // namespace

SlabPool::SlabPool(std::byte* pool, uint64_t first_unit, uint64_t units, uint32_t shard)
    : pool_(pool),
      first_unit_(first_unit),
      units_(units),
      shard_(shard),
      free_units_(units),
      slabs_(units),
      slab_of_(units, no_owner) {
  classes_.reserve(64);
}

// The smallest slab that keeps the waste bound; the least wasteful one if none does. A small pool
// takes smaller slabs, so that one size cannot take a large part of it at once.
uint32_t SlabPool::units_for(uint32_t slot_bytes) const {
  uint32_t best = 0;
  double best_waste = 2;
  for (uint32_t units = 1; units <= shm::slab_units_max; units *= 2) {
    if (slots_in(units, slot_bytes) == 0) continue;
    if (best && units > units_ / 8) break;
    const double waste = waste_of(units, slot_bytes);
    if (waste < best_waste) {
      best = units;
      best_waste = waste;
    }
    if (waste <= slab_waste_max) break;
  }
  return best;
}

bool SlabPool::find_units(uint32_t count, uint32_t* ret_unit) const {
  if (free_units_ < count) return false;
  uint32_t run = 0;
  for (uint32_t unit = 0; unit < units_; unit++) {
    run = slab_of_[unit] == no_owner ? run + 1 : 0;
    if (run == count) {
      *ret_unit = unit + 1 - count;
      return true;
    }
  }
  return false;
}

void SlabPool::init_slab(uint32_t unit, uint32_t slot_bytes, uint32_t units) {
  Slab& slab = slabs_[unit];
  slab.slot_bytes = slot_bytes;
  slab.units = units;
  slab.slots = slots_in(units, slot_bytes);
  slab.live = 0;
  slab.owners.assign(slab.slots, no_owner);
  slab.free_bits.assign((slab.slots + 63) / 64, ~0ull);
  if (slab.slots % 64) slab.free_bits.back() = (1ull << (slab.slots % 64)) - 1;
  for (uint32_t i = 0; i < units; i++) slab_of_[unit + i] = unit;
  free_units_ -= units;
  size_class(slot_bytes)->free_slots += slab.slots;
}

bool SlabPool::make_slab(uint32_t slot_bytes, uint32_t* ret_unit) {
  const uint32_t units = units_for(slot_bytes);
  if (units == 0 || (!find_units(units, ret_unit) &&
                     !(drop_empty_slabs(slot_bytes) && find_units(units, ret_unit))))
    return false;
  auto* header = reinterpret_cast<shm::SlabHeader*>(pool_ + unit_offset(*ret_unit));
  shm::store_relaxed(header->magic, 0);  // C1: no slab until its slots are marked free
  shm::release_fence();
  init_slab(*ret_unit, slot_bytes, units);
  for (uint32_t slot = 0; slot < slabs_[*ret_unit].slots; slot++)
    shm::store_relaxed(
        reinterpret_cast<shm::SlotHeader*>(pool_ + slot_offset(*ret_unit, slot))->gen, 1);
  shm::SlabHeader fresh{shm::slab_magic, units, slot_bytes, slabs_[*ret_unit].slots, shard_, 0};
  fresh.check = shm::slab_check(fresh);
  header->units = fresh.units;
  header->slot_bytes = fresh.slot_bytes;
  header->slots = fresh.slots;
  header->shard = fresh.shard;
  header->check = fresh.check;
  shm::store_release(header->magic, fresh.magic);  // C4
  return true;
}

void SlabPool::drop_slab(uint32_t unit) {
  Slab& slab = slabs_[unit];
  auto* header = reinterpret_cast<shm::SlabHeader*>(pool_ + unit_offset(unit));
  shm::store_release(header->magic, 0);
  for (uint32_t i = 0; i < slab.units; i++) slab_of_[unit + i] = no_owner;
  free_units_ += slab.units;
  size_class(slab.slot_bytes)->free_slots -= slab.slots - slab.live;
  slab = Slab{};
}

bool SlabPool::drop_empty_slabs(uint32_t but_slot_bytes) {
  bool dropped = false;
  for (uint32_t unit = 0; unit < units_; unit++)
    if (slabs_[unit].slot_bytes && slabs_[unit].slot_bytes != but_slot_bytes &&
        slabs_[unit].live == 0) {
      drop_slab(unit);
      dropped = true;
    }
  return dropped;
}

SlabPool::SizeClass* SlabPool::size_class(uint32_t slot_bytes) {
  for (SizeClass& known : classes_)
    if (known.slot_bytes == slot_bytes) return &known;
  classes_.push_back({slot_bytes, 0, 0});
  return &classes_.back();
}

uint64_t SlabPool::take(uint32_t unit, uint32_t owner) {
  Slab& slab = slabs_[unit];
  for (uint32_t word = 0; word < slab.free_bits.size(); word++) {
    if (!slab.free_bits[word]) continue;
    const uint32_t slot = word * 64 + uint32_t(__builtin_ctzll(slab.free_bits[word]));
    slab.free_bits[word] &= slab.free_bits[word] - 1;
    slab.owners[slot] = owner;
    slab.live++;
    size_class(slab.slot_bytes)->free_slots--;
    live_bytes_ += slab.slot_bytes;
    return slot_offset(unit, slot);
  }
  return 0;
}

uint64_t SlabPool::allocate(uint32_t slot_bytes, uint32_t owner) {
  SizeClass& sized = *size_class(slot_bytes);
  for (uint32_t i = 0; sized.free_slots && i < units_; i++) {
    const uint32_t unit = uint32_t((sized.hint + i) % units_);
    const Slab& slab = slabs_[unit];
    if (slab.slot_bytes != slot_bytes || slab.live == slab.slots) continue;
    sized.hint = unit;
    return take(unit, owner);
  }
  uint32_t unit = 0;
  if (!make_slab(slot_bytes, &unit)) return 0;
  size_class(slot_bytes)->hint = unit;
  return take(unit, owner);
}

bool SlabPool::can_allocate(uint32_t slot_bytes) {
  if (size_class(slot_bytes)->free_slots) return true;
  uint32_t unit = 0;
  const uint32_t units = units_for(slot_bytes);
  return units &&
         (find_units(units, &unit) || (drop_empty_slabs(slot_bytes) && find_units(units, &unit)));
}

bool SlabPool::locate(uint64_t offset, uint32_t* ret_unit, uint32_t* ret_slot) const {
  const uint64_t unit = offset / shm::unit_bytes - first_unit_;
  if (unit >= units_ || slab_of_[unit] == no_owner || slab_of_[unit] == lost_owner) return false;
  *ret_unit = slab_of_[unit];
  if (offset < slot_offset(*ret_unit, 0)) return false;
  *ret_slot = uint32_t((offset - slot_offset(*ret_unit, 0)) / slabs_[*ret_unit].slot_bytes);
  return *ret_slot < slabs_[*ret_unit].slots;
}

void SlabPool::release(uint64_t offset) {
  uint32_t unit = 0, slot = 0;
  if (!locate(offset, &unit, &slot)) return;
  Slab& slab = slabs_[unit];
  const uint64_t bit = 1ull << (slot % 64);
  if (slab.free_bits[slot / 64] & bit) return;
  slab.free_bits[slot / 64] |= bit;
  slab.owners[slot] = no_owner;
  slab.live--;
  live_bytes_ -= slab.slot_bytes;
  SizeClass& sized = *size_class(slab.slot_bytes);
  sized.hint = unit;
  sized.free_slots++;
}

void SlabPool::set_owner(uint64_t offset, uint32_t owner) {
  uint32_t unit = 0, slot = 0;
  if (locate(offset, &unit, &slot)) slabs_[unit].owners[slot] = owner;
}

uint32_t SlabPool::owner_of(uint64_t offset) const {
  uint32_t unit = 0, slot = 0;
  if (!locate(offset, &unit, &slot) || slot_offset(unit, slot) != offset) return no_owner;
  return slabs_[unit].owners[slot];
}

std::span<const uint32_t> SlabPool::cheapest_slab_but(uint32_t slot_bytes) const {
  const uint32_t wanted = units_for(slot_bytes);
  const Slab* best = nullptr;
  for (const Slab& slab : slabs_) {
    if (!slab.slot_bytes || slab.slot_bytes == slot_bytes || slab.units < wanted || slab.lost)
      continue;
    if (!best || uint64_t(slab.live) * best->slots < uint64_t(best->live) * slab.slots)
      best = &slab;
  }
  return best ? std::span<const uint32_t>(best->owners) : std::span<const uint32_t>();
}

void SlabPool::lose(uint64_t offset, uint64_t bytes) {
  const uint64_t end = offset + bytes;
  for (uint32_t unit = 0; unit < units_; unit++) {
    if (slabs_[unit].slot_bytes) lose_slots(unit, offset, end);
    if (slab_of_[unit] != no_owner || unit_offset(unit) >= end ||
        unit_offset(unit) + shm::unit_bytes <= offset)
      continue;
    slab_of_[unit] = lost_owner;
    free_units_--;
  }
}

void SlabPool::lose_slots(uint32_t unit, uint64_t offset, uint64_t end) {
  Slab& slab = slabs_[unit];
  for (uint32_t slot = 0; slot < slab.slots; slot++) {
    const uint64_t at = slot_offset(unit, slot);
    if (at >= end || at + slab.slot_bytes <= offset || slab.owners[slot] == lost_owner) continue;
    const uint64_t bit = 1ull << (slot % 64);
    if (slab.free_bits[slot / 64] & bit) {
      slab.free_bits[slot / 64] &= ~bit;
      slab.live++;
      size_class(slab.slot_bytes)->free_slots--;
    } else {
      live_bytes_ -= slab.slot_bytes;
    }
    slab.owners[slot] = lost_owner;
    slab.lost = true;
  }
}

bool SlabPool::plausible(const shm::SlabHeader& header, uint32_t unit) const {
  return header.magic == shm::slab_magic && header.check == shm::slab_check(header) &&
         header.shard == shard_ && header.units >= 1 && header.units <= shm::slab_units_max &&
         unit + header.units <= units_ && header.slot_bytes >= 2 * sizeof(shm::SlotHeader) &&
         header.slot_bytes % shm::slot_align_bytes == 0 &&
         header.slots == slots_in(header.units, header.slot_bytes) && header.slots > 0;
}

uint64_t SlabPool::slab_count() const {
  uint64_t count = 0;
  for (const Slab& slab : slabs_) count += slab.slot_bytes != 0;
  return count;
}

double SlabPool::waste() const {
  uint64_t used = 0, all = 0;
  for (const Slab& slab : slabs_) {
    all += uint64_t(slab.units) * shm::unit_bytes;
    used += uint64_t(slab.slots) * slab.slot_bytes;
  }
  return all ? 1.0 - double(used) / double(all) : 0.0;
}

}  // namespace speckv
