// SPDX-License-Identifier: Apache-2.0
// get.cpp - speckv_get: look keys up in groups so that their cache misses overlap, then read block
// by block.
//
// A hit makes no system call, takes no page fault, needs no daemon turn. Steps are numbered as in
// docs/protocol.md.
#include <algorithm>
#include <cerrno>

#include "src/connect.hpp"
#include "src/handle.hpp"
#include "src/read_block.hpp"
#include "src/touch.hpp"
#include "src/views.hpp"

namespace speckv::lib {
namespace {

struct Tally {
  uint32_t hits = 0, misses = 0;
  uint64_t bytes_read = 0;
  uint32_t retries = 0, stale = 0, corrupt = 0, foreign = 0;
};

void add(std::atomic<uint64_t>& counter, uint64_t n) {
  if (n) counter.fetch_add(n, std::memory_order_relaxed);
}

void count(Stripe& stripe, const Tally& tally) {
  add(stripe.hits, tally.hits);
  add(stripe.misses, tally.misses);
  add(stripe.bytes_read, tally.bytes_read);
  add(stripe.retries, tally.retries);
  add(stripe.stale, tally.stale);
  add(stripe.corrupt, tally.corrupt);
  add(stripe.foreign, tally.foreign);
}

// What is known of each key of a group between the passes.
struct Lookup {
  Key address;
  uint64_t hash;
  uint32_t shard;
  bool wanted;
  bool found;
};

// An array that is not cleared for each call: a single key would pay for 64.
template <typename T>
struct Unset {
  alignas(T) std::byte bytes[group_keys * sizeof(T)];
  T& operator[](uint32_t i) { return reinterpret_cast<T*>(bytes)[i]; }
};

class GroupReader {
 public:
  GroupReader(const Connection& connection, const LayoutInfo& info, Tally& tally)
      : connection_(connection),
        info_(info),
        tally_(tally),
        prefetch_bytes_(sizeof(shm::SlotHeader) +
                        info.stored[info.layout.preset & shm::slot_preset_mask][0].bytes) {}

  void read(speckv_get_op* ops, uint32_t ops_count) {
    for (uint32_t i = 0; i < ops_count; i++) look(ops[i], lookups_[i]);
    for (uint32_t i = 0; i < ops_count; i++)
      if (lookups_[i].wanted) view(lookups_[i]).prefetch_entry(lookups_[i].hash);
    for (uint32_t i = 0; i < ops_count; i++) {  // (1)
      Lookup& lookup = lookups_[i];
      lookup.found = lookup.wanted && view(lookup).find(lookup.address, lookup.hash, &entries_[i]);
      if (lookup.found) prefetch_slot(entries_[i]);
    }
    Guard guard(connection_);
    for (uint32_t from = 0; from < ops_count; from += shm::guard_names) {
      const uint32_t end = std::min(from + shm::guard_names, ops_count);
      protect(guard, from, end);
      for (uint32_t i = from; i < end; i++) {
        if (i + 1 < ops_count && lookups_[i + 1].found) prefetch_payload(entries_[i + 1]);
        if (lookups_[i].wanted) finish(ops[i], lookups_[i], entries_[i], guard);
      }
    }
  }

 private:
  const shm::IndexView& view(const Lookup& lookup) const { return connection_.views[lookup.shard]; }

  void look(speckv_get_op& op, Lookup& lookup) {
    lookup.wanted = false;
    op.ret_result = op.flags & ~SPECKV_GET_STREAM ? -EINVAL : check_buf(info_, op.buf);
    if (op.ret_result == 0 && info_.layout.side_bytes && !is_whole(info_, op.buf))
      op.ret_result = -ERANGE;  // no KV without its side bytes
    if (op.ret_result != 0) return;
    lookup.wanted = true;
    lookup.address = masked(Key::from(op.key), info_.mask);
    lookup.hash = hash_key(lookup.address);
    lookup.shard = shard_of(lookup.hash, connection_.shards);
    view(lookup).prefetch(lookup.hash);
  }

  const std::byte* slot_for_prefetch(const shm::Entry& entry, uint64_t bytes) const {
    const Map& pool = connection_.pool;
    if (entry.ref < pool.bytes && pool.bytes - entry.ref >= bytes) return pool.base + entry.ref;
    return near_slot_for_prefetch(entry.ref, bytes);
  }
  [[gnu::noinline, gnu::cold]] const std::byte* near_slot_for_prefetch(uint64_t ref,
                                                                       uint64_t bytes) const {
    const uint64_t offset = ref - shm::ref_near, end = connection_.near.bytes;
    return offset < end && end - offset >= bytes ? connection_.near.base + offset : nullptr;
  }

  void prefetch_slot(const shm::Entry& entry) const {
    const std::byte* slot = slot_for_prefetch(entry, 0);
    if (!slot) return;
    for (int line = 0; line < 4; line++) __builtin_prefetch(slot + line * 64);
  }

  // The block to be read next comes while this one is decoded. What is longer than two pages comes
  // by itself: the decoder reads ahead.
  void prefetch_payload(const shm::Entry& entry) const {
    const uint64_t bytes = std::min<uint64_t>(prefetch_bytes_, prefetch_bytes_max);
    const std::byte* slot = slot_for_prefetch(entry, bytes);
    if (!slot) return;
    for (uint64_t at = 0; at < bytes; at += 64) __builtin_prefetch(slot + at);
  }

  // (2), of some keys at once: the fence waits for all stores of the copies before it.
  void protect(Guard& guard, uint32_t from, uint32_t end) {
    const shm::Entry* named[shm::guard_names];
    uint32_t count = 0;
    for (uint32_t i = from; i < end; i++)
      if (lookups_[i].found) named[count++] = &entries_[i];
    if (count) guard.protect(named, count);
  }

  // Returns: the widths that the block was stored with, nullptr for one that is not of the layout.
  const WidthSet* ours(const shm::Entry& entry) {
    const WidthSet* widths = info_.widths_of(entry.fingerprint);
    if (!widths) tally_.foreign++;
    const bool whole =
        entry.layers == info_.segments && (entry.flags & shm::entry_record || entry.layers == 1);
    return whole ? widths : nullptr;
  }

  static void rename(Guard& guard, const shm::Entry& entry) {
    const shm::Entry* const named[] = {&entry};
    guard.protect(named, 1);
  }

  void miss(speckv_get_op& op) {
    op.ret_result = -ENOENT;
    tally_.misses++;
  }

  void finish(speckv_get_op& op, const Lookup& lookup, shm::Entry& entry, Guard& guard) {
    const shm::IndexView& index = view(lookup);
    bool found = lookup.found;
    for (uint32_t attempt = 0;; attempt++) {
      const WidthSet* widths = found ? ours(entry) : nullptr;
      if (!widths) return miss(op);
      const BlockReader reader{connection_, info_, *widths, index, lookup.address, lookup.hash};
      const Outcome outcome = reader.read(entry, op.buf, op.flags & SPECKV_GET_STREAM);
      if (outcome == Outcome::hit) break;
      if (outcome == Outcome::corrupt) {
        tally_.corrupt++;
        return miss(op);
      }
      if (attempt + 1 == read_tries) {
        tally_.stale++;
        return miss(op);
      }
      tally_.retries++;
      found = index.find(lookup.address, lookup.hash, &entry);
      if (found) rename(guard, entry);
    }
    touch(connection_, lookup.shard, entry.block);
    tally_.hits++;
    tally_.bytes_read +=
        info_.layout.side_bytes ? info_.block_bytes : op.buf.layer_count * info_.segment_bytes;
  }

  const Connection& connection_;
  const LayoutInfo& info_;
  Tally& tally_;
  const uint64_t prefetch_bytes_;
  Unset<Lookup> lookups_;
  Unset<shm::Entry> entries_;
};

int get_all(speckv_session* handle, uint32_t layout, speckv_get_op* ops, unsigned count_ops) {
  Call call(handle);
  if (call.result() != 0) return call.result();
  const int batch = check_batch(ops, count_ops);
  if (batch != 0) return batch;
  const LayoutInfo* info = find_layout(call.session(), layout);
  if (!info) return -EBADF;
  Tally tally;
  {
    const Pin connection(call.session());
    GroupReader reader(*connection, *info, tally);
    for (uint32_t at = 0; at < count_ops; at += group_keys)
      reader.read(ops + at, count_ops - at < group_keys ? count_ops - at : group_keys);
  }
  count(call.stripe(), tally);
  if (tally.foreign) want_widths(call.session());
  if (tally.misses) maintain(call.session());
  return int(tally.hits);
}

}  // namespace
}  // namespace speckv::lib

using namespace speckv::lib;

extern "C" int speckv_get(speckv_session* handle, uint32_t layout, speckv_get_op* ops,
                          unsigned count_ops) {
  return told(get_all(handle, layout, ops, count_ops), ops, count_ops);
}
