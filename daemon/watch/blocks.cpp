// SPDX-License-Identifier: Apache-2.0
// blocks.cpp - see blocks.hpp.
#include "watch/blocks.hpp"

#include <algorithm>
#include <cstring>
#include <optional>

#include "codec/checksum.hpp"
#include "shm/atomics.hpp"

namespace speckv::watch {
namespace {

constexpr char hex_digits[] = "0123456789abcdef";

// Of one step: a bucket that is shown costs 7 slots that are read and checked, one that is searched
// 7 keys in hex, one that is only counted a copy of 512 bytes.
constexpr uint64_t shown_buckets = 64, found_buckets = 1024, counted_buckets = 4096;

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

// The slot of a ref if so many bytes of it lie within its file.
const std::byte* slot_at(const NamespaceFiles& files, uint64_t ref, uint64_t payload_bytes) {
  const std::span<const std::byte> file = shm::is_near(ref) ? files.near : files.pool;
  const uint64_t offset = shm::ref_offset(ref);
  const uint64_t needed = sizeof(shm::SlotHeader) + payload_bytes;
  if (offset % shm::slot_align_bytes || offset < shm::unit_bytes || offset > file.size() ||
      needed > file.size() - offset)
    return nullptr;
  return file.data() + offset;
}

bool still(const std::byte* slot, uint64_t gen) {
  shm::acquire_fence();
  return shm::load_relaxed(reinterpret_cast<const shm::SlotHeader*>(slot)->gen) == gen;
}

// A slot with all the checks of a get but the decoding. layer: expected. Returns: "ok", "changed",
// "corrupt: ...".
std::string check_slot(const NamespaceFiles& files, uint64_t ref, uint64_t gen,
                       const shm::Entry& entry, uint16_t layer, shm::SlotHeader* ret_header,
                       std::vector<std::byte>* ret_payload) {
  const std::byte* slot = slot_at(files, ref, 0);
  if (!slot) return "corrupt: its offset lies outside its file";
  shm::copy_racing(ret_header, *reinterpret_cast<const shm::SlotHeader*>(slot));
  if (ret_header->gen != gen || (gen & 1)) return "changed";
  const char* wrong = nullptr;
  if (!(ret_header->key == entry.key)) wrong = "corrupt: another key";
  if (ret_header->fingerprint != entry.fingerprint) wrong = "corrupt: another layout";
  if (ret_header->layer != layer) wrong = "corrupt: another layer";
  if (ret_header->payload_bytes > SPECKV_SEGMENT_BYTES_MAX ||
      !slot_at(files, ref, ret_header->payload_bytes))
    wrong = "corrupt: its length passes its file's end";
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
  segment.side = header.flags & shm::slot_side;
  segment.payload_bytes = header.payload_bytes;
  segment.state = std::move(state);
  return segment;
}

// What a block says of itself. Returns: nothing where the slot has changed meanwhile.
std::optional<shm::RecordMeta> read_meta(const NamespaceFiles& files, const shm::Entry& entry) {
  const std::byte* slot = slot_at(files, entry.ref, sizeof(shm::RecordMeta));
  if (!slot) return std::nullopt;
  shm::SlotHeader header;
  shm::copy_racing(&header, *reinterpret_cast<const shm::SlotHeader*>(slot));
  const uint64_t at = shm::meta_offset(header);
  if (header.gen != entry.gen || !slot_at(files, entry.ref, at + sizeof(shm::RecordMeta)))
    return std::nullopt;
  shm::RecordMeta meta;
  std::memcpy(&meta, slot + at, sizeof meta);
  if (!still(slot, entry.gen)) return std::nullopt;
  if (!(entry.flags & shm::entry_record) && !shm::tail_holds(header, meta)) return std::nullopt;
  return meta;
}

// The identity that a block's slot tells. Returns: nothing where the slot has changed meanwhile.
std::optional<uint64_t> read_identity(const NamespaceFiles& files, const shm::Entry& entry) {
  const auto meta = read_meta(files, entry);
  return meta ? std::optional(meta->identity) : std::nullopt;
}

BlockSummary summary_of(Keys& keys, const shm::Entry& entry) {
  BlockSummary summary;
  summary.entry = entry;
  summary.key = keys.key_of(entry);
  summary.identity = keys.identity_of(entry);
  return summary;
}

void tell(const shm::RecordMeta& meta, BlockSummary* ret) {
  ret->has_meta = true;
  ret->parent = masked_parent(meta.parent, layout_mask(meta.identity));
  ret->position = meta.position;
  ret->raw_bytes = meta.raw_bytes;
}

BlockSummary summarise(const NamespaceFiles& files, Keys& keys, const shm::Entry& entry) {
  BlockSummary summary = summary_of(keys, entry);
  if (entry.flags & shm::entry_record) {
    shm::SlotHeader header;
    std::vector<std::byte> payload;
    if (check_slot(files, entry.ref, entry.gen, entry, shm::layer_record, &header, &payload) !=
        "ok")
      return summary;
  }
  if (const auto meta = read_meta(files, entry)) tell(*meta, &summary);
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

bool EntryWalk::step(uint64_t buckets, const std::function<bool(const shm::Entry&)>& visit) {
  if (index_.size() < shm::index_header_bytes) return false;
  const auto* header = reinterpret_cast<const shm::IndexHeader*>(index_.data());
  const uint64_t all = uint64_t(header->shards) * header->buckets;
  if (shm::index_header_bytes + all * sizeof(shm::Bucket) > index_.size()) return false;
  const auto* table = reinterpret_cast<const shm::Bucket*>(index_.data() + shm::index_header_bytes);
  for (const uint64_t end = std::min(all, next_ + buckets); next_ < end; next_++) {
    const std::optional<shm::Bucket> bucket = copy_bucket(table[next_]);
    if (!bucket) continue;
    for (uint32_t slot = 0; slot < shm::bucket_entries; slot++)
      if (bucket->head.tags[slot] && !visit(bucket->entries[slot])) return false;
  }
  return next_ < all;
}

uint64_t Keys::identity_of(const shm::Entry& entry) {
  const auto known = identities_.find(entry.fingerprint);
  if (known != identities_.end()) return known->second;
  const std::optional<uint64_t> read = read_identity(files_, entry);
  if (read) identities_[entry.fingerprint] = *read;
  return read.value_or(0);
}

bool BlockLister::step(std::vector<BlockSummary>* ret_more) {
  return walk_.step(total_ < limit_ ? shown_buckets : counted_buckets,
                    [&](const shm::Entry& entry) {
                      if (total_++ < limit_) ret_more->push_back(summarise(files_, keys_, entry));
                      return true;
                    });
}

BlockFinder::BlockFinder(const NamespaceFiles& files, std::string_view prefix)
    : keys_(files), prefix_(prefix), walk_(files.index) {
  wrong_ = prefix.empty() || prefix.size() > 2 * SPECKV_KEY_BYTES ||
           prefix.find_first_not_of(hex_digits) != std::string_view::npos;
}

bool BlockFinder::step() {
  if (wrong_ || several_) return false;
  return walk_.step(found_buckets, [&](const shm::Entry& entry) {
    const Key key = keys_.key_of(entry);
    if (key_hex(key).compare(0, prefix_.size(), prefix_) != 0) return true;
    several_ = !found_.empty() && !(key == first_);
    first_ = key;
    found_.push_back(entry);
    return !several_ && found_.size() < blocks_of_a_key_max;
  });
}

Result<std::vector<shm::Entry>> BlockFinder::found() const {
  if (wrong_)
    return Status(EINVAL, "\"" + prefix_.substr(0, 80) +
                              "\" is no key: expected up to 64 of the digits 0-9 and a-f");
  if (several_) return Status(EEXIST, "several keys begin with " + prefix_ + ": give more digits");
  if (found_.empty()) return Status(ENOENT, "no block has a key that begins with " + prefix_);
  return found_;
}

bool BlockInspector::step() {
  if (!begun_) return begin();
  if (layer_ == refs_.size()) return false;
  const shm::SegmentRef& ref = refs_[layer_];
  shm::SlotHeader header{};
  std::string state = check_slot(files_, ref.offset, ref.gen, entry_, layer_, &header, &payload_);
  if (state == "changed") detail_.state = state;
  detail_.segments.push_back(segment_state(header, layer_, ref.offset, ref.gen, std::move(state)));
  return ++layer_ < refs_.size();
}

// Its record, or its only segment. Returns: whether there are segments to look at.
bool BlockInspector::begin() {
  begun_ = true;
  detail_.summary = summarise(files_, keys_, entry_);
  const bool record = entry_.flags & shm::entry_record;
  shm::SlotHeader header{};
  detail_.state = check_slot(files_, entry_.ref, entry_.gen, entry_,
                             record ? shm::layer_record : uint16_t(0), &header, &payload_);
  if (!record) {
    detail_.segments.push_back(segment_state(header, 0, entry_.ref, entry_.gen, detail_.state));
    return false;
  }
  if (detail_.state != "ok") return false;
  if (payload_.size() != shm::record_payload_bytes(entry_.layers)) {
    detail_.state = "corrupt: the record has another number of layers";
    return false;
  }
  refs_.resize(entry_.layers);
  std::memcpy(refs_.data(), payload_.data() + sizeof(shm::RecordMeta),
              refs_.size() * sizeof(shm::SegmentRef));
  return !refs_.empty();
}

}  // namespace speckv::watch
