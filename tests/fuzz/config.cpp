// SPDX-License-Identifier: Apache-2.0
// config.cpp (fuzz) - any bytes as a configuration: no crash, and an error always has its place and
// a sentence.
#include "config/config.hpp"

#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace speckv::config;
  static const KnownNames known{{"lru", "s3fifo"}, "lru", "lru", {{"exact", 1}, {"q8", 2}}, "q8"};
  const auto parsed = parse_config({reinterpret_cast<const char*>(data), size}, "fuzz", known);
  if (!parsed.ok()) {
    if (parsed.status().error() != EINVAL || parsed.status().text().rfind("fuzz:", 0) != 0)
      std::abort();
    return 0;
  }
  // What was accepted keeps its promises.
  const Config& config = parsed.value();
  uint64_t bytes = 0;
  for (const NamespaceConfig& space : config.namespaces) {
    bytes += space.bytes;
    if (space.name.empty() || space.bytes < speckv::limits::namespace_bytes_min ||
        space.index_entries == 0)
      std::abort();
  }
  if (config.namespaces.empty() || bytes > config.pool.bytes || describe(config).empty())
    std::abort();
  return 0;
}
