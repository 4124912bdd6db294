// SPDX-License-Identifier: Apache-2.0
// spill_tiers.hpp - the namespaces' spill files, opened before anything else of a start: what
// cannot be used ends it with a sentence, and nothing was touched.
//
// Called by Daemon on the control thread. The files stay open as long as data threads run.
#pragma once

#include <optional>
#include <vector>

#include "config/config.hpp"
#include "journey/shard.hpp"
#include "pool/spill_file.hpp"

namespace speckv {

class SpillTiers {
 public:
  Status open(const config::Config& config);
  // What a shard of this namespace is told of its tier below.
  void tell(const config::Config& config, size_t space, uint32_t shard, ShardOptions* ret) const;

 private:
  std::vector<std::optional<SpillFile>> files_;  // by namespace
};

}  // namespace speckv
