// SPDX-License-Identifier: Apache-2.0
// engines.hpp - which engine each data thread gets: the cpu's, or one that has a codec engine of
// the pool's driver and the cpu's beside it.
//
// Called by Daemon on the control thread, once the namespaces are open and before any data thread
// runs. What is asked of the driver here may take its time. A device that is wanted and is not
// there is said in the log, and the cpu does the work.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "config/config.hpp"
#include "engine/device.hpp"
#include "pool/medium.hpp"

namespace speckv {

class Engines {
 public:
  // Names of the regions that engines have in the medium: keep_only() keeps these, too.
  static std::vector<std::string> region_names(const config::Config& config);

  // workers: encode threads of all data threads.
  Status open(const config::Config& config, Medium& medium, uint32_t workers);
  // The driver's engine may have been bound anew. Control thread, at any time; an error is no news:
  // data threads try it by themselves.
  void attach_again() const;
  // workers: encode threads that this data thread has.
  std::unique_ptr<Engine> make(uint32_t shard, uint32_t workers) const;

 private:
  Status open_device(const config::Config& config, Medium& medium);
  Status choose(uint32_t workers);
  Status open_staging(const config::Config& config, Medium& medium, uint32_t shard);

  int numa_node_ = -1, fd_ = -1;
  std::vector<std::optional<DeviceOptions>> devices_;  // by data thread
  std::vector<std::unique_ptr<Region>> staging_;
};

}  // namespace speckv
