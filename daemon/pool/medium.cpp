// SPDX-License-Identifier: Apache-2.0
// medium.cpp - which medium a configuration means. A new medium is one line here.
#include "pool/medium.hpp"

#include "pool/mapped_region.hpp"

namespace speckv {

Result<std::unique_ptr<Medium>> make_medium(const MediumOptions& options) {
  const Status node = pool::check_numa_node(options.numa_node);
  if (!node.ok()) return node;
  if (options.kind == "shm") return pool::make_shm(options);
  if (options.kind == "memfd") return pool::make_memfd(options, "");
  if (options.kind == "devdax") return pool::make_devdax(options);
  if (options.kind == "extent") return pool::make_extent(options);
  return Status(EINVAL,
                "no medium \"" + options.kind + "\"; there are shm, memfd, devdax and extent");
}

}  // namespace speckv
