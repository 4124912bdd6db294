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
  return header.magic == shm::pool_magic && header.version == shm::pool_version && header.shards == space.shards &&
         header.units == space.units &&
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

}  // namespace

Result<Namespace> open_namespace(Medium& medium, const std::string& name, uint64_t bytes, uint64_t entries,
                                 uint32_t shards) {
  Namespace space;
  space.name = name;
  space.shards = shards;
  space.units = bytes / shm::unit_bytes - 1;
  if (bytes < 4 * shm::unit_bytes || space.units < shards)
    return Status(EINVAL, "namespace " + name + ": " + std::to_string(bytes) +
                              " bytes are too few: at least 8 MiB and 2 MiB for each data thread");
  auto pool = medium.open_region(name + ".pool", (space.units + 1) * shm::unit_bytes, false);
  if (!pool.ok()) return pool.status();
  space.pool = std::move(pool.value());
  auto* header = reinterpret_cast<shm::PoolHeader*>(space.pool->data());
  space.taken_over = space.pool->existed() && ours(*header, space);
  if (space.taken_over) {
    space.pool_id = header->pool_id;
  } else {
    if (getrandom(&space.pool_id, sizeof space.pool_id, 0) != sizeof space.pool_id)
      return Status::from_errno("getrandom");
    format_pool(space.pool->data(), space);
  }
  space.buckets = buckets_for(entries, shards);
  auto index = medium.open_region(name + ".index", shm::index_file_bytes(shards, space.buckets), true);
  if (!index.ok()) return index.status();
  space.index = std::move(index.value());
  IndexWriter::format(space.index->data(), shards, space.buckets, space.pool_id);
  return space;
}

}  // namespace speckv
