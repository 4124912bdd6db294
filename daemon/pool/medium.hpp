// SPDX-License-Identifier: Apache-2.0
// medium.hpp - where a namespace's bytes live, behind one interface.
//
// A medium gives a namespace two files of fixed size (pool and index): mapped read-write by the
// daemon, handed to clients as read-only descriptors. A new medium is one new file and one line in
// make_medium(). Called by: main and session set-up, on the control thread. Never on the hot path.
// May do I/O; never evicts, never logs per block.
//
// Memory of a device can be lost while it is in use: poison, or the card is pulled. Such a part
// reads as zeros from then on, to the daemon as to clients; a medium that knows of losses says so
// through loss_fd(), and its regions say which parts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "status.hpp"

namespace speckv {

struct MediumOptions {
  std::string kind = "shm";  // "shm", "memfd", "devdax", "extent"
  std::string path;  // shm: mount point or empty for the runtime directory; devdax, extent: device
  int numa_node = -1;        // bind pool memory to this node; -1: where it falls
  int near_numa_node = -1;   // the same of near memory; -1: beside the daemon's processors
  bool huge_pages = true;    // ask for 2 MiB pages
  double emulated_gb_s = 0;  // throttle reported as *emulated*; 0: none
  uint64_t emulated_ns = 0;
  // extent: the device's descriptor that an earlier daemon left with its supervisor, or -1. The
  // medium takes it over.
  int kept_fd = -1;
};

struct LostRange {  // bytes of a region, from its start
  uint64_t offset = 0, bytes = 0;
};

// One file of a namespace: the daemon's map and the descriptor that clients get.
class Region {
 public:
  virtual ~Region() = default;
  virtual std::byte* data() = 0;
  virtual uint64_t bytes() const = 0;
  virtual int client_fd() const = 0;  // read-only for the receiver; owned by the region
  virtual uint64_t client_offset() const { return 0; }  // where the region begins in it
  virtual uint64_t page_bytes() const = 0;  // 4096 or 2 MiB, as the kernel really gave it
  virtual bool existed() const = 0;         // true: the bytes are those of an earlier daemon
  // Parts that were lost since the last call.
  virtual std::vector<LostRange> take_lost() { return {}; }
  // A session's: populates at most so many bytes more. Errors: ENOMEM, the memory that the rest
  // takes is not there any more.
  virtual Status populate_some(uint64_t most, bool* ret_whole) {
    (void)most;
    *ret_whole = true;
    return {};
  }
  // A session's: its end does not empty the file.
  virtual void leave() {}
};

// Memory as commands to a codec engine name it: an extent of the medium's own open file.
struct EngineExtent {
  std::byte* data = nullptr;
  uint64_t bytes = 0;
  uint64_t handle = 0;
};

// Memory of a device that was given back and that somebody keeps pinned: it cannot be handed out.
struct Pinned {
  uint64_t bytes = 0;         // all of it
  uint64_t pinner_bytes = 0;  // of the process that has most of it
  uint32_t pinner_pid = 0, pinner_uid = 0;
};

class Medium {
 public:
  virtual ~Medium() = default;
  // Opens file `name` with exactly `bytes` bytes, fully allocated. An existing one of the same size
  // is kept as it is, one of another size is replaced. fresh: replace in any case, so that clients
  // of the old one do not see it change.
  virtual Result<std::unique_ptr<Region>> open_region(const std::string& name, uint64_t bytes,
                                                      bool fresh) = 0;
  // The same for an index, which a medium may keep elsewhere. ENOENT: not fresh, and no old one.
  virtual Result<std::unique_ptr<Region>> open_index(const std::string& name, uint64_t bytes,
                                                     bool fresh) {
    return open_region(name, bytes, fresh);
  }
  // Near memory: DRAM, whatever else this medium is made of, that ends with the daemon. Always new.
  virtual Result<std::unique_ptr<Region>> open_near(const std::string& name, uint64_t bytes) {
    return open_region(name, bytes, true);
  }
  // What an earlier daemon left under this name, before anything is opened: its size, and its first
  // bytes. Returns: false when there is nothing, or the medium cannot tell.
  virtual bool peek(const std::string& name, uint64_t* ret_bytes, std::span<std::byte> ret_head) {
    (void)name, (void)ret_bytes, (void)ret_head;
    return false;
  }
  // Gives that back, so that what replaces it need not fit beside it. Clients that still map it
  // keep it until they are gone; those of an index are told that it will not change any more.
  virtual void drop(const std::string& name) { (void)name; }
  // The same, and who still maps it sees zeros from now on, and its memory goes back at once. An
  // index before what it refers to: a reader's touch gives a page to what was given back.
  virtual void revoke(const std::string& name) { drop(name); }
  // Gives back what earlier daemons left of other namespaces than these, where that takes room.
  // Returns: one sentence for each.
  virtual std::vector<std::string> keep_only(std::span<const std::string> region_names) {
    (void)region_names;
    return {};
  }
  // The arena of a session: read-write for its client, sealed against resize. Its memory comes with
  // populate_some(): others wait for the thread that opens it.
  virtual Result<std::unique_ptr<Region>> open_session(uint64_t bytes) = 0;
  virtual std::string describe() const = 0;   // "shm, tmpfs with 2 MiB pages, node 1"
  virtual std::string isolation() const = 0;  // "by read-only mount" or "by uid"
  // The same two for programs. "shm", "memfd", "devdax" or "extent"; "mount" (nobody else can
  // write), "exports" (likewise, by the driver), "uid" (the daemon's own user can) or "device" (who
  // has the device sees all of it).
  virtual const char* kind() const { return "other"; }
  virtual const char* isolation_kind() const { return "uid"; }
  virtual bool survives_daemon() const = 0;
  // To be left with a supervisor, so that the next daemon gets it as kept_fd. -1: none.
  virtual int fd_to_keep() const { return -1; }
  // Readable when something may have been lost: then clear_loss(), and ask the regions. -1: memory
  // of this medium is not lost.
  virtual int loss_fd() const { return -1; }
  virtual void clear_loss() {}
  virtual Pinned pinned() const { return {}; }
  // Which open file gives commands to codec engines that reach this memory (docs/driver.md), and
  // what of its regions they can be told of. -1: none do.
  virtual int engine_fd() const { return -1; }
  virtual std::vector<EngineExtent> engine_extents() const { return {}; }
};

Result<std::unique_ptr<Medium>> make_medium(const MediumOptions& options);

}  // namespace speckv
