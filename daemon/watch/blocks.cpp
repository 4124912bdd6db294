// SPDX-License-Identifier: Apache-2.0
// blocks.cpp - see blocks.hpp.
#include "watch/blocks.hpp"

#include <cstring>
#include <map>
#include <optional>

#include "codec/checksum.hpp"
#include "shm/atomics.hpp"

namespace speckv::watch {
namespace {

constexpr char hex_digits[] = "0123456789abcdef";

// One consistent copy of a bucket; nothing when its writer did not let go.
std::optional<shm::Bucket> copy_bucket(const shm::Bucket& bucket) {
  shm::Bucket copy;
  for (int spin = 0; spin < shm::seq_spins_max; spin++) {
    const uint64_t seq = shm::load_acquire(bucket.head.seq);
    if (seq & 1) continue;
    shm::copy_racing(&copy, bucket);
    shm::acquire_fence();
    if (shm::load_relaxed(bucket.head.seq) == seq) return copy;
  }
  return std::nullopt;
}

// Calls visit(entry) for each published block until it returns false.
template <typename Visit>
void for_each_entry(std::span<const std::byte> index, Visit&& visit) {
  if (index.size() < shm::index_header_bytes) return;
  const auto* header = reinterpret_cast<const shm::IndexHeader*>(index.data());
  const uint64_t buckets = uint64_t(header->shards) * header->buckets;
  if (shm::index_header_bytes + buckets * sizeof(shm::Bucket) > index.size()) return;
  const auto* table = reinterpret_cast<const shm::Bucket*>(index.data() + shm::index_header_bytes);
  for (uint64_t i = 0; i < buckets; i++) {
    const std::optional<shm::Bucket> bucket = copy_bucket(table[i]);
    if (!bucket) continue;
    for (uint32_t slot = 0; slot < shm::bucket_entries; slot++)
      if (bucket->head.tags[slot] && !visit(bucket->entries[slot])) return;
  }
}

// The slot at offset if `bytes` of it lie within the pool.
const std::byte* slot_at(std::span<const std::byte> pool, uint64_t offset, uint64_t payload_bytes) {
  const uint64_t needed = sizeof(shm::SlotHeader) + payload_bytes;
  if (offset % shm::slot_align_bytes || offset < shm::unit_bytes || offset > pool.size() ||
      needed > pool.size() - offset)
    return nullptr;
  return pool.data() + offset;
}

bool still(const std::byte* slot, uint64_t gen) {
  shm::acquire_fence();
  return shm::load_relaxed(reinterpret_cast<const shm::SlotHeader*>(slot)->gen) == gen;
}

// A slot with all the checks of a get but the decoding. layer: expected. Returns: "ok", "changed",
// "corrupt: ...".
std::string check_slot(std::span<const std::byte> pool, uint64_t offset, uint64_t gen,
                       const shm::Entry& entry, uint16_t layer, shm::SlotHeader* ret_header,
                       std::vector<std::byte>* ret_payload) {
  const std::byte* slot = slot_at(pool, offset, 0);
  if (!slot) return "corrupt: its offset lies outside the pool";
  shm::copy_racing(ret_header, *reinterpret_cast<const shm::SlotHeader*>(slot));
  if (ret_header->gen != gen || (gen & 1)) return "changed";
  const char* wrong = nullptr;
  if (!(ret_header->key == entry.key)) wrong = "corrupt: another key";
  if (ret_header->fingerprint != entry.fingerprint) wrong = "corrupt: another layout";
  if (ret_header->layer != layer) wrong = "corrupt: another layer";
  if (ret_header->payload_bytes > SPECKV_SEGMENT_BYTES_MAX ||
      !slot_at(pool, offset, ret_header->payload_bytes))
    wrong = "corrupt: its length passes the pool's end";
  if (wrong) return still(slot, gen) ? wrong : "changed";
  ret_payload->assign(slot + sizeof(shm::SlotHeader),
                      slot + sizeof(shm::SlotHeader) + ret_header->payload_bytes);
  if (!still(slot, gen)) return "changed";
  codec::Checksum sum;
  codec::checksum_update(sum, ret_payload->data(), ret_payload->size());
  return shm::slot_checksum(*ret_header, codec::checksum_final(sum)) == ret_header->checksum
             ? "ok"
             : "corrupt: checksum";
}

SegmentState segment_state(const shm::SlotHeader& header, uint32_t layer, uint64_t offset,
                           uint64_t gen, std::string state) {
  SegmentState segment;
  segment.layer = layer;
  segment.offset = offset;
  segment.gen = gen;
  segment.preset = header.flags & shm::slot_preset_mask;
  segment.first = header.flags & shm::slot_first;
  segment.payload_bytes = header.payload_bytes;
  segment.state = std::move(state);
  return segment;
}

// The identity that a block's slot tells. Returns: nothing where the slot has changed meanwhile.
std::optional<uint64_t> read_identity(std::span<const std::byte> pool, const shm::Entry& entry) {
  const std::byte* slot = slot_at(pool, entry.ref, sizeof(shm::RecordMeta));
  if (!slot) return std::nullopt;
  shm::SlotHeader header;
  shm::copy_racing(&header, *reinterpret_cast<const shm::SlotHeader*>(slot));
  uint64_t at = sizeof header + offsetof(shm::RecordMeta, identity);
  if (!(entry.flags & shm::entry_record)) at = sizeof header + header.payload_bytes;
  if (header.gen != entry.gen || !slot_at(pool, entry.ref, at)) return std::nullopt;
  uint64_t identity = 0;
  std::memcpy(&identity, slot + at, sizeof identity);
  if (!still(slot, entry.gen)) return std::nullopt;
  return identity;
}

// Finds the way from addresses back to keys. Blocks of one fingerprint have one layout, so that a
// walk over the whole index reads few slots.
class Keys {
 public:
  explicit Keys(std::span<const std::byte> pool) : pool_(pool) {}
  // Returns: of the entry's layout, or 0.
  uint64_t identity_of(const shm::Entry& entry) {
    const auto known = identities_.find(entry.fingerprint);
    if (known != identities_.end()) return known->second;
    const std::optional<uint64_t> read = read_identity(pool_, entry);
    if (read) identities_[entry.fingerprint] = *read;
    return read.value_or(0);
  }
  Key key_of(const shm::Entry& entry) { return masked(entry.key, layout_mask(identity_of(entry))); }

 private:
  std::span<const std::byte> pool_;
  std::map<uint64_t, uint64_t> identities_;
};

BlockSummary summary_of(Keys& keys, const shm::Entry& entry) {
  BlockSummary summary;
  summary.entry = entry;
  summary.key = keys.key_of(entry);
  summary.identity = keys.identity_of(entry);
  return summary;
}

void read_meta(const std::vector<std::byte>& payload, BlockSummary* ret) {
  shm::RecordMeta meta;
  std::memcpy(&meta, payload.data(), sizeof meta);
  ret->has_record = true;
  ret->parent = masked_parent(meta.parent, layout_mask(meta.identity));
  ret->position = meta.position;
  ret->raw_bytes = meta.raw_bytes;
}

BlockSummary summarise(std::span<const std::byte> pool, Keys& keys, const shm::Entry& entry) {
  BlockSummary summary = summary_of(keys, entry);
  if (!(entry.flags & shm::entry_record)) return summary;
  shm::SlotHeader header;
  std::vector<std::byte> payload;
  const std::string state =
      check_slot(pool, entry.ref, entry.gen, entry, shm::layer_record, &header, &payload);
  if (state == "ok" && payload.size() >= sizeof(shm::RecordMeta)) read_meta(payload, &summary);
  return summary;
}

}  // namespace

std::string key_hex(const Key& key) {
  std::string text;
  for (size_t i = 0; i < SPECKV_KEY_BYTES; i++) {
    const auto byte = uint8_t(key.word[i / 8] >> (i % 8 * 8));
    text += hex_digits[byte >> 4];
    text += hex_digits[byte & 15];
  }
  return text;
}

std::vector<BlockSummary> list_blocks(const NamespaceFiles& files, uint64_t limit,
                                      uint64_t* ret_total) {
  std::vector<BlockSummary> blocks;
  Keys keys(files.pool);
  uint64_t total = 0;
  for_each_entry(files.index, [&](const shm::Entry& entry) {
    if (total++ < limit) blocks.push_back(summarise(files.pool, keys, entry));
    return true;
  });
  *ret_total = total;
  return blocks;
}

Result<std::vector<shm::Entry>> find_blocks(const NamespaceFiles& files, std::string_view prefix) {
  if (prefix.empty() || prefix.size() > 2 * SPECKV_KEY_BYTES ||
      prefix.find_first_not_of(hex_digits) != std::string_view::npos)
    return Status(EINVAL, "\"" + std::string(prefix.substr(0, 80)) +
                              "\" is no key: expected up to 64 of the digits 0-9 and a-f");
  std::vector<shm::Entry> found;
  Keys keys(files.pool);
  Key first;
  bool several = false;
  for_each_entry(files.index, [&](const shm::Entry& entry) {
    const Key key = keys.key_of(entry);
    if (key_hex(key).compare(0, prefix.size(), prefix) != 0) return true;
    several = !found.empty() && !(key == first);
    first = key;
    found.push_back(entry);
    return !several && found.size() < blocks_of_a_key_max;
  });
  if (several)
    return Status(EEXIST, "several keys begin with " + std::string(prefix) + ": give more digits");
  if (found.empty())
    return Status(ENOENT, "no block has a key that begins with " + std::string(prefix));
  return found;
}

BlockDetail inspect_block(const NamespaceFiles& files, const shm::Entry& entry) {
  BlockDetail detail;
  Keys keys(files.pool);
  detail.summary = summary_of(keys, entry);
  shm::SlotHeader header{};
  std::vector<std::byte> payload;
  if (!(entry.flags & shm::entry_record)) {
    detail.state = check_slot(files.pool, entry.ref, entry.gen, entry, 0, &header, &payload);
    detail.segments.push_back(segment_state(header, 0, entry.ref, entry.gen, detail.state));
    return detail;
  }
  detail.state =
      check_slot(files.pool, entry.ref, entry.gen, entry, shm::layer_record, &header, &payload);
  if (detail.state != "ok") return detail;
  if (payload.size() != shm::record_payload_bytes(entry.layers)) {
    detail.state = "corrupt: the record has another number of layers";
    return detail;
  }
  read_meta(payload, &detail.summary);
  std::vector<shm::SegmentRef> refs(entry.layers);
  std::memcpy(refs.data(), payload.data() + sizeof(shm::RecordMeta),
              refs.size() * sizeof(shm::SegmentRef));
  for (uint16_t layer = 0; layer < entry.layers; layer++) {
    const shm::SegmentRef& ref = refs[layer];
    header = {};
    std::string state =
        check_slot(files.pool, ref.offset, ref.gen, entry, layer, &header, &payload);
    if (state == "changed") detail.state = state;
    detail.segments.push_back(segment_state(header, layer, ref.offset, ref.gen, std::move(state)));
  }
  return detail;
}

}  // namespace speckv::watch
