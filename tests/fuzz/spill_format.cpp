// SPDX-License-Identifier: Apache-2.0
// spill_format.cpp - any bytes in a spill file: a page that is taken names nothing outside of its
// parcel, an image that is taken lies within its bytes, and its slots may be read.
//
// The checksums are put right first, since a fuzzer would not find them; once more without.
#include <cstdlib>
#include <cstring>
#include <vector>

#include "pool/spill_format.hpp"

namespace {

using namespace speckv;
using namespace speckv::spill;

constexpr uint64_t store_id = 77, units = 40;

void try_page(const Page& page, uint64_t unit) {
  Page read;
  if (!read_page({reinterpret_cast<const std::byte*>(&page), sizeof page}, store_id, unit, units,
                 &read))
    return;
  const uint64_t bytes = read.head.units * unit_bytes;
  if (unit + read.head.units > units || read.head.page >= read.head.pages ||
      read.head.pages > pages_max)
    std::abort();
  for (uint32_t i = 0; i < read.head.entries; i++) {
    const TableEntry& entry = read.entries[i];  // beyond the last one: the sanitizer says so
    const uint64_t at = uint64_t(entry.at64) * align_bytes;
    const uint64_t end = at + uint64_t(entry.bytes64) * align_bytes;
    if (at < uint64_t(read.head.pages) * page_bytes || end > bytes || end <= at) std::abort();
  }
}

void try_image(std::vector<uint64_t>& words, size_t bytes) {
  const std::span<const std::byte> all(reinterpret_cast<const std::byte*>(words.data()), bytes);
  const Key key =
      bytes >= sizeof(ImageHead) ? reinterpret_cast<const ImageHead*>(all.data())->key : Key{};
  Image image;
  if (!read_image(all, key, &image)) return;
  uint64_t end = uint64_t(image.slots - all.data());
  for (const uint32_t slot_bytes : image.slot_bytes) end += slot_bytes;
  if (end > bytes || image.slot_bytes.size() != image.head->layers) std::abort();
  if (slots_hold(image) && image.head->content == 0) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 8) return 0;
  Page page{};
  std::memcpy(&page, data + 1, std::min(size - 1, sizeof page));
  const uint64_t unit = data[0] % units;
  try_page(page, unit);
  page.head.magic = page_magic;
  page.head.store_id = store_id;
  page.head.check = page_check(page);
  try_page(page, unit);

  std::vector<uint64_t> words((size + 7) / 8);  // aligned, and no byte longer than what is there
  std::memcpy(words.data(), data, size);
  const size_t bytes = size / 8 * 8;
  try_image(words, bytes);
  if (bytes < sizeof(ImageHead)) return 0;
  auto* head = reinterpret_cast<ImageHead*>(words.data());
  head->magic = image_magic;
  head->layers = 1 + head->layers % 4;
  head->bytes64 = uint32_t(bytes / align_bytes);
  if (image_head_bytes(head->layers) > bytes) return 0;
  auto* sizes = reinterpret_cast<uint32_t*>(head + 1);
  uint64_t left = head->bytes64 * align_bytes - image_head_bytes(head->layers);
  if (data[1] % 2)  // sizes that fit, so that slots are looked at
    for (uint32_t layer = 0; layer < head->layers; layer++) {
      sizes[layer] = uint32_t(layer + 1 == head->layers ? left : left / 2 / 64 * 64);
      left -= sizes[layer];
    }
  head->check = image_check(*head, {sizes, head->layers});
  try_image(words, bytes);
  return 0;
}
