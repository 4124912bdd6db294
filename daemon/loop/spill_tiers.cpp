// SPDX-License-Identifier: Apache-2.0
// spill_tiers.cpp - see spill_tiers.hpp.
#include "loop/spill_tiers.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>

namespace speckv {

namespace {
// Of a shard's pool, the coldest: written ahead of the puts that will want its room. A put storm
// that fills it faster than the medium writes evicts blocks that are not written yet.
constexpr uint64_t ahead_share = 8;
// One prompt's blocks come at once, tens of MiB of them: a small pool has so much written ahead, as
// far as that is half of it.
constexpr uint64_t ahead_bytes_least = 64 << 20;
}  // namespace

Status SpillTiers::open(const config::Config& config) {
  for (const config::NamespaceConfig& space : config.namespaces) {
    files_.emplace_back();
    if (space.spill_path.empty()) continue;
    auto file = SpillFile::open(
        {space.spill_path, space.name, space.spill_bytes, config.daemon.data_threads});
    if (!file.ok())
      return {file.status().error(), "namespace " + space.name + ": " + file.status().text()};
    if (!file.value().not_kept().empty())
      spdlog::warn("namespace {}: its spilled blocks went: {} {}", space.name, space.spill_path,
                   file.value().not_kept());
    if (!file.value().direct())
      spdlog::warn(
          "namespace {}: the file system of {} has no O_DIRECT: what is spilled takes memory of "
          "the page cache, too",
          space.name, space.spill_path);
    files_.back() = std::move(file.value());
  }
  return {};
}

void SpillTiers::tell(const config::Config& config, size_t space, uint32_t shard,
                      ShardOptions* ret) const {
  if (!files_[space]) return;
  const SpillFile& file = *files_[space];
  const SpillPart& part = file.parts()[shard];
  const config::NamespaceConfig& wanted = config.namespaces[space];
  SpillOptions options;
  options.fd = file.fd();
  options.base = part.base;
  options.units = part.units;
  options.store_id = part.store_id;
  options.entries_max = uint32_t(wanted.spill_entries / config.daemon.data_threads + 1);
  options.buffer_bytes = wanted.spill_buffer_bytes;
  if (wanted.spill_write_bytes_s != limits::not_limited)
    options.write_bytes_s = wanted.spill_write_bytes_s / config.daemon.data_threads;
  options.scan = part.existed;
  ret->spill = options;
  if (wanted.speculation) ret->speculation_bytes_s = wanted.speculation_bytes_s;
  const uint64_t bytes = ret->units * shm::unit_bytes;
  ret->demote_ahead_bytes =
      std::max<uint64_t>(bytes / ahead_share, std::min<uint64_t>(bytes / 2, ahead_bytes_least));
}

}  // namespace speckv
