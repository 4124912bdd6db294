// SPDX-License-Identifier: Apache-2.0
// spill_format.cpp - see spill_format.hpp. Reads bytes that anybody may have written.
#include "pool/spill_format.hpp"

#include <cstring>

#include "codec/checksum.hpp"

namespace speckv::spill {

uint64_t superblock_check(const Superblock& block) {
  codec::Checksum sum;
  codec::checksum_update(sum, &block, offsetof(Superblock, check) / 8 * 8);
  return codec::checksum_final(sum);
}

uint64_t page_check(const Page& page) {
  PageHead head = page.head;
  head.check = 0;
  codec::Checksum sum;
  codec::checksum_update(sum, &head, sizeof head);
  codec::checksum_update(sum, page.entries, sizeof page.entries);
  return codec::checksum_final(sum);
}

uint64_t image_check(const ImageHead& head, std::span<const uint32_t> slot_bytes) {
  ImageHead whole = head;
  whole.check = 0;
  codec::Checksum sum;
  codec::checksum_update(sum, &whole, sizeof whole);
  codec::checksum_update(sum, slot_bytes.data(), slot_bytes.size_bytes());
  return codec::checksum_final(sum);
}

bool read_page(std::span<const std::byte> bytes, uint64_t store_id, uint64_t unit, uint64_t units,
               Page* ret_page) {
  if (bytes.size() < sizeof(Page)) return false;
  std::memcpy(ret_page, bytes.data(), sizeof(Page));
  const PageHead& head = ret_page->head;
  if (head.magic != page_magic || head.store_id != store_id || head.check != page_check(*ret_page))
    return false;
  if (head.units == 0 || unit > units || head.units > units - unit || head.pages == 0 ||
      head.pages > pages_max || head.page >= head.pages || head.entries > entries_per_page)
    return false;
  const uint64_t room = head.units * (unit_bytes / align_bytes);
  const uint64_t begin = uint64_t(head.pages) * page_bytes / align_bytes;
  if (head.bytes64 > room) return false;
  for (uint32_t i = 0; i < head.entries; i++) {
    const TableEntry& entry = ret_page->entries[i];
    if (entry.at64 < begin || entry.at64 > room || entry.bytes64 > room - entry.at64 ||
        entry.bytes64 < sizeof(ImageHead) / align_bytes)
      return false;
  }
  return true;
}

bool read_image(std::span<const std::byte> bytes, const Key& key, Image* ret_image) {
  if (bytes.size() < sizeof(ImageHead)) return false;
  const auto* head = reinterpret_cast<const ImageHead*>(bytes.data());
  if (head->magic != image_magic || !(head->key == key) || head->layers == 0 ||
      head->layers > SPECKV_LAYERS_MAX || uint64_t(head->bytes64) * align_bytes > bytes.size())
    return false;
  const uint64_t image_bytes = uint64_t(head->bytes64) * align_bytes;
  const uint64_t head_bytes = image_head_bytes(head->layers);
  if (head_bytes > image_bytes) return false;
  const std::span<const uint32_t> sizes(reinterpret_cast<const uint32_t*>(head + 1), head->layers);
  if (head->check != image_check(*head, sizes)) return false;
  uint64_t end = head_bytes;
  for (const uint32_t slot_bytes : sizes) {
    if (slot_bytes < sizeof(shm::SlotHeader) || slot_bytes % shm::slot_align_bytes) return false;
    end += slot_bytes;
  }
  if (end != image_bytes) return false;
  *ret_image = {head, sizes, bytes.data() + head_bytes};
  return true;
}

bool slots_hold(const Image& image) {
  const std::byte* at = image.slots;
  uint64_t content = content_start(image.head->fingerprint);
  for (uint32_t layer = 0; layer < image.head->layers; layer++) {
    const auto& slot = *reinterpret_cast<const shm::SlotHeader*>(at);
    if (!(slot.key == image.head->key) || slot.fingerprint != image.head->fingerprint ||
        slot.layer != layer ||
        (slot.flags & shm::slot_single ? 1u : 0u) != (image.head->layers == 1 ? 1u : 0u) ||
        shm::slot_bytes_of(slot) != image.slot_bytes[layer])
      return false;
    codec::Checksum sum;
    codec::checksum_update(sum, at + sizeof slot, slot.payload_bytes);
    if (slot.checksum != shm::slot_checksum(slot, codec::checksum_final(sum))) return false;
    content = content_add(content, slot.checksum);
    at += image.slot_bytes[layer];
  }
  return content == image.head->content;
}

}  // namespace speckv::spill
