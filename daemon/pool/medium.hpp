// SPDX-License-Identifier: Apache-2.0
// medium.hpp - where a namespace's bytes live, behind one interface.
//
// A medium gives a namespace two files of fixed size (pool and index): mapped read-write by the
// daemon, handed to clients as read-only descriptors. A new medium is one new file and one line in
// make_medium(). Called by: main and session set-up, on the control thread. Never on the hot path.
// May do I/O; never evicts, never logs per block.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "status.hpp"

namespace speckv {

struct MediumOptions {
  std::string kind = "shm";  // "shm", "memfd", "devdax"
  std::string path;    // shm: mount point or empty for the runtime directory; devdax: the device
  int numa_node = -1;  // bind pool memory to this node; -1: where it falls
  bool huge_pages = true;    // ask for 2 MiB pages
  double emulated_gb_s = 0;  // throttle reported as *emulated*; 0: none
  uint64_t emulated_ns = 0;
};

// One file of a namespace: the daemon's map and the descriptor that clients get.
class Region {
 public:
  virtual ~Region() = default;
  virtual std::byte* data() = 0;
  virtual uint64_t bytes() const = 0;
  virtual int client_fd() const = 0;        // read-only for the receiver; owned by the region
  virtual uint64_t page_bytes() const = 0;  // 4096 or 2 MiB, as the kernel really gave it
  virtual bool existed() const = 0;         // true: the bytes are those of an earlier daemon
};

class Medium {
 public:
  virtual ~Medium() = default;
  // Opens file `name` with exactly `bytes` bytes, fully allocated. An existing one of the same size
  // is kept as it is, one of another size is replaced. fresh: replace in any case (the index:
  // clients of the old one must not see it change).
  virtual Result<std::unique_ptr<Region>> open_region(const std::string& name, uint64_t bytes,
                                                      bool fresh) = 0;
  // The arena of a session: read-write for its client, sealed against resize.
  virtual Result<std::unique_ptr<Region>> open_session(uint64_t bytes) = 0;
  virtual std::string describe() const = 0;   // "shm, tmpfs with 2 MiB pages, node 1"
  virtual std::string isolation() const = 0;  // "by read-only mount" or "by uid"
  virtual bool survives_daemon() const = 0;
};

Result<std::unique_ptr<Medium>> make_medium(const MediumOptions& options);

}  // namespace speckv
