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

bool ours(const shm::PoolHeader& header, const Namespace& space) {
  return header.magic == shm::pool_magic && header.version == shm::pool_version &&
         header.shards == space.shards && header.units == space.units &&
         std::strncmp(header.namespace_name, space.name.c_str(), sizeof header.namespace_name) == 0;
}

void format_pool(std::byte* pool, const Namespace& space) {
  for (uint64_t unit = 0; unit < space.units; unit++)  // old slabs of whatever this was
    reinterpret_cast<shm::SlabHeader*>(pool + (1 + unit) * shm::unit_bytes)->magic = 0;
  auto* header = reinterpret_cast<shm::PoolHeader*>(pool);
  *header = shm::PoolHeader{};
  header->version = shm::pool_version;
  header->shards = space.shards;
  header->units = space.units;
  header->pool_id = space.pool_id;
  std::snprintf(header->namespace_name, sizeof header->namespace_name, "%s", space.name.c_str());
  shm::store_release(header->magic, shm::pool_magic);
}

// Takes over the pool of an earlier daemon if it is of the same shape; else makes a new file:
// clients of an old one may still read there, and a slot must not change its shard while they do.
Status open_pool(Medium& medium, Namespace& space) {
  const uint64_t bytes = (space.units + 1) * shm::unit_bytes;
  auto pool = medium.open_region(pool_name(space.name), bytes, false);
  if (!pool.ok()) return pool.status();
  space.pool = std::move(pool.value());
  const auto& header = *reinterpret_cast<const shm::PoolHeader*>(space.pool->data());
  space.taken_over = space.pool->existed() && ours(header, space);
  space.pool_id = header.pool_id;
  if (space.taken_over) return {};
  if (space.pool->existed()) {
    space.pool.reset();
    auto fresh = medium.open_region(pool_name(space.name), bytes, true);
    if (!fresh.ok()) return fresh.status();
    space.pool = std::move(fresh.value());
  }
  if (getrandom(&space.pool_id, sizeof space.pool_id, 0) != sizeof space.pool_id)
    return Status::from_errno("getrandom");
  format_pool(space.pool->data(), space);
  return {};
}

// Tells clients of the old index that it will not change any more.
void retire(Medium& medium, const std::string& name, uint64_t bytes) {
  auto old = medium.open_index(name, bytes, false);
  if (old.ok() && old.value()->existed())
    shm::store_release(reinterpret_cast<shm::IndexHeader*>(old.value()->data())->retired, 1);
}

}  // namespace

std::string pool_name(const std::string& space_name) { return space_name + ".pool"; }

Result<Namespace> open_namespace(Medium& medium, const std::string& name, uint64_t bytes,
                                 uint64_t entries, uint32_t shards) {
  Namespace space;
  space.name = name;
  space.shards = shards;
  space.units = bytes / shm::unit_bytes - 1;
  if (bytes < 4 * shm::unit_bytes || space.units < shards)
    return Status(EINVAL, "namespace " + name + ": " + std::to_string(bytes) +
                              " bytes are too few: at least 8 MiB and 2 MiB for each data thread");
  Status status = open_pool(medium, space);
  if (!status.ok()) return status;
  space.buckets = buckets_for(entries, shards);
  const std::string index_name = name + ".index";
  const uint64_t index_bytes = shm::index_file_bytes(shards, space.buckets);
  if (space.taken_over) retire(medium, index_name, index_bytes);
  auto index = medium.open_index(index_name, index_bytes, true);
  if (!index.ok()) return index.status();
  space.index = std::move(index.value());
  IndexWriter::format(space.index->data(), shards, space.buckets, space.pool_id);
  return space;
}

}  // namespace speckv
