// SPDX-License-Identifier: Apache-2.0
// namespace.cpp - see namespace.hpp.
#include "pool/namespace.hpp"

#include <sys/random.h>

#include <algorithm>
#include <cstdio>

#include "pool/index_writer.hpp"
#include "shm/atomics.hpp"
#include "shm/pool_format.hpp"

namespace speckv {

namespace {

// Two-choice buckets of 7 overflow rarely up to here; beyond it inserts start to evict neighbours.
constexpr double index_load_max = 0.8;

uint32_t buckets_for(uint64_t entries, uint32_t shards) {
  const double per_shard = double(entries) / shards / index_load_max / shm::bucket_entries;
  return std::max<uint32_t>(8, uint32_t(per_shard) + 1);
}

void format_pool(std::byte* pool, const Namespace& space, const Readers& readers) {
  for (uint64_t unit = 0; unit < space.units; unit++)  // old slabs of whatever this was
    reinterpret_cast<shm::SlabHeader*>(pool + (1 + unit) * shm::unit_bytes)->magic = 0;
  auto* header = reinterpret_cast<shm::PoolHeader*>(pool);
  *header = shm::PoolHeader{};
  header->version = shm::pool_version;
  header->shards = space.shards;
  header->units = space.units;
  header->pool_id = space.pool_id;
  std::snprintf(header->namespace_name, sizeof header->namespace_name, "%s", space.name.c_str());
  readers.write(pool);
  shm::store_release(header->magic, shm::pool_magic);
}

std::string near_name(const std::string& space_name) { return space_name + ".near"; }
std::string index_name(const std::string& space_name) { return space_name + ".index"; }

// Takes over the pool of an earlier daemon if it is of the same shape, and its readers are; else
// makes a new file: clients of an old one may still look there, and a slot must not change its
// shard while they do. What cannot be kept goes before the new one is allocated, where the medium
// can tell beforehand: the index first, so that nobody is led to what is gone.
Status open_pool(Medium& medium, const WantedSpace& wanted, Namespace& space) {
  const uint64_t bytes = (space.units + 1) * shm::unit_bytes;
  const std::string name = pool_name(space.name);
  std::vector<std::byte> old(readers_end_bytes);
  uint64_t old_bytes = 0;
  if (medium.peek(name, &old_bytes, old) &&
      !why_not_kept(old, old_bytes, wanted, space.shards).empty())
    for (const auto& each : {index_name(space.name), near_name(space.name), name})
      medium.revoke(each);
  auto pool = medium.open_region(name, bytes, false);
  if (!pool.ok()) return pool.status();
  space.pool = std::move(pool.value());
  const auto& header = *reinterpret_cast<const shm::PoolHeader*>(space.pool->data());
  const std::string why =
      why_not_kept({space.pool->data(), readers_end_bytes}, bytes, wanted, space.shards);
  space.taken_over = space.pool->existed() && why.empty();
  space.pool_id = header.pool_id;
  if (space.taken_over) {
    wanted.readers.write(space.pool->data());  // some may have come
    return {};
  }
  if (space.pool->existed()) {
    if (header.magic == shm::pool_magic) space.not_kept = why;
    space.pool.reset();
    auto fresh = medium.open_region(name, bytes, true);
    if (!fresh.ok()) return fresh.status();
    space.pool = std::move(fresh.value());
  }
  if (getrandom(&space.pool_id, sizeof space.pool_id, 0) != sizeof space.pool_id)
    return Status::from_errno("getrandom");
  format_pool(space.pool->data(), space, wanted.readers);
  return {};
}

Status open_near(Medium& medium, uint64_t bytes, Namespace& space) {
  if (bytes == 0) return {};
  if (bytes / shm::unit_bytes < 1 + space.shards)
    return {EINVAL, "namespace " + space.name + ": near_bytes = " + std::to_string(bytes) +
                        " are too few: 2 MiB for itself and 2 MiB for each data thread"};
  auto near = medium.open_near(near_name(space.name), bytes);
  if (!near.ok()) return near.status();
  space.near = std::move(near.value());
  space.near_gate = std::make_unique<NearGate>();
  auto* header = reinterpret_cast<shm::PoolHeader*>(space.near->data());
  header->version = shm::pool_version;
  header->shards = space.shards;
  header->units = space.near_units();
  header->pool_id = space.pool_id;
  std::snprintf(header->namespace_name, sizeof header->namespace_name, "%s", space.name.c_str());
  shm::store_release(header->magic, shm::near_magic);
  return {};
}

}  // namespace

std::string pool_name(const std::string& space_name) { return space_name + ".pool"; }

Result<Namespace> open_namespace(Medium& medium, const WantedSpace& wanted, uint32_t shards,
                                 bool has_below, uint64_t near_bytes) {
  Namespace space;
  space.name = wanted.name;
  space.shards = shards;
  space.units = wanted.bytes / shm::unit_bytes - 1;
  if (wanted.bytes < 4 * shm::unit_bytes || space.units < shards)
    return Status(EINVAL, "namespace " + space.name + ": " + std::to_string(wanted.bytes) +
                              " bytes are too few: at least 8 MiB and 2 MiB for each data thread");
  Status status = open_pool(medium, wanted, space);
  if (!status.ok()) return status;
  medium.drop(near_name(space.name));  // the index that referred to it goes, too
  space.buckets = buckets_for(wanted.index_entries, shards);
  const uint64_t index_bytes = shm::index_file_bytes(shards, space.buckets);
  medium.drop(index_name(space.name));  // it is made anew from the slots
  auto index = medium.open_index(index_name(space.name), index_bytes, true);
  if (!index.ok()) return index.status();
  space.index = std::move(index.value());
  uint64_t epoch = 0;
  if (getrandom(&epoch, sizeof epoch, 0) != sizeof epoch) return Status::from_errno("getrandom");
  IndexWriter::format(space.index->data(), shards, space.buckets, space.pool_id, epoch | 1,
                      has_below);
  status = open_near(medium, near_bytes, space);
  if (!status.ok()) return status;
  return space;
}

}  // namespace speckv
