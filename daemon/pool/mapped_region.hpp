// SPDX-License-Identifier: Apache-2.0
// mapped_region.hpp - a file mapped whole by the daemon, and the steps that every medium shares to
// make one.
//
// What it is: reserve a 2 MiB-aligned place, map, bind to a node, populate, ask the kernel which
// pages it gave. Who calls it: the media of this folder, on the control thread. No other file needs
// it. What it never does: create a file, decide who may read it, log.
#pragma once

#include <cerrno>
#include <memory>
#include <string>

#include "pool/bus_guard.hpp"
#include "pool/medium.hpp"

namespace speckv::pool {

// Owns a descriptor.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(other.release()) {}
  Fd& operator=(Fd&& other) noexcept;
  ~Fd();
  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  int release();

 private:
  int fd_ = -1;
};

struct MapOptions {
  bool huge_pages = true;
  int numa_node = -1;
  bool move_pages = false;  // existing content: pages on another node are moved, where possible
  // With numa_node -1: beside the processor that populates it, whatever its file system says.
  bool local = false;
  // At its end the region's memory goes back, whoever else still has a descriptor of the file.
  bool give_back = false;
  uint64_t populated = UINT64_MAX;  // bytes that map() populates; the rest: populate_some()
};

// Which part of a device is mapped, and by which pages; they are there already.
struct DevicePart {
  uint64_t offset = 0, bytes = 0;
  uint64_t page_bytes = 0;
  bool existed = false;
};

class MappedRegion : public Region {
 public:
  // Maps `bytes` of file read-write and populates it; allocates what the file still lacks.
  // client: the descriptor for clients.
  static Result<std::unique_ptr<MappedRegion>> map(Fd file, Fd client, uint64_t bytes, bool existed,
                                                   const MapOptions& options);
  // The same for a device. wake_fd: an eventfd that is written when a part of it turns out to be
  // lost, which then reads as zeros (bus_guard.hpp).
  static Result<std::unique_ptr<MappedRegion>> map_device(Fd file, Fd client,
                                                          const DevicePart& part, int wake_fd);
  ~MappedRegion() override;
  MappedRegion(const MappedRegion&) = delete;
  MappedRegion& operator=(const MappedRegion&) = delete;

  std::byte* data() override { return data_; }
  uint64_t bytes() const override { return bytes_; }
  int client_fd() const override { return client_.get(); }
  uint64_t client_offset() const override { return offset_; }
  uint64_t page_bytes() const override { return page_bytes_; }
  bool existed() const override { return existed_; }
  std::vector<LostRange> take_lost() override {
    return guard_ ? guard_->take_lost() : std::vector<LostRange>();
  }
  void leave() override { give_back_ = false; }
  Status populate_some(uint64_t most, bool* ret_whole) override;

 private:
  MappedRegion() = default;
  Status map_aligned(uint64_t align_bytes);
  Status prepare();
  Status finish();

  Fd file_, client_;
  std::byte* data_ = nullptr;
  uint64_t bytes_ = 0, offset_ = 0;
  uint64_t page_bytes_ = 4096;
  uint64_t populated_ = 0;
  MapOptions options_;
  std::unique_ptr<BusGuard> guard_;
  bool existed_ = false;
  bool give_back_ = false;
};

// Private to a client and the daemon: memfd, sealed against resize and further seals, mode 0600.
// Its end empties the file, which may wait for the client: not for a thread that others wait for.
Result<std::unique_ptr<Region>> make_session_region(uint64_t bytes, const MapOptions& options);
// The same, with a read-only descriptor for clients: the fallback of shm, and the index of a
// device.
Result<std::unique_ptr<Region>> make_memfd_region(const std::string& name, uint64_t bytes,
                                                  const MapOptions& options);

// How near memory is mapped: not where a pool that is bound to an expander's node lies.
inline MapOptions near_options(const MediumOptions& options) {
  MapOptions near;
  near.huge_pages = options.huge_pages;
  near.numa_node = options.near_numa_node;
  near.local = true;
  return near;
}

// Page size of the mapping at data, as /proc/self/smaps tells: 2 MiB only if every whole 2 MiB unit
// of it is mapped by one huge entry.
uint64_t mapped_page_bytes(const std::byte* data, uint64_t bytes);
// An error when the node does not exist or has no memory. node -1 is always right.
Status check_numa_node(int node, const char* key = "numa_node");
// An error when memory for `bytes` more is not there, so that the allocation would end in the OOM
// killer.
Status check_memory(uint64_t bytes, int node);
// Name for one file of a medium: no '/', not empty, not hidden.
Status check_region_name(const std::string& name);

// What a pool on a device keeps in DRAM: its index, which is rebuilt at each start and read at
// random, and arenas. numa_node says where, since the device has a node of its own.
class DeviceMedium : public Medium {
 public:
  explicit DeviceMedium(const MediumOptions& options) : options_(options) {}
  Result<std::unique_ptr<Region>> open_index(const std::string& name, uint64_t bytes,
                                             bool fresh) final {
    if (!fresh) return Status(ENOENT, "the index of an earlier daemon went with it");
    return make_memfd_region(name, bytes, near_memory());
  }
  Result<std::unique_ptr<Region>> open_session(uint64_t bytes) final {
    return make_session_region(bytes, near_memory());
  }
  Result<std::unique_ptr<Region>> open_near(const std::string& name, uint64_t bytes) final {
    return make_memfd_region(name, bytes, near_options(options_));
  }
  bool survives_daemon() const final { return true; }

 protected:
  const MediumOptions options_;

 private:
  MapOptions near_memory() const { return {options_.huge_pages, options_.numa_node, false}; }
};

// Whole media, registered in make_medium(). reason: why shm had to fall back, or "".
Result<std::unique_ptr<Medium>> make_shm(const MediumOptions& options);
std::unique_ptr<Medium> make_memfd(const MediumOptions& options, const std::string& reason);
Result<std::unique_ptr<Medium>> make_devdax(const MediumOptions& options);
Result<std::unique_ptr<Medium>> make_extent(const MediumOptions& options);

// Whether a mount that shm made is at this path.
bool is_our_mount(const std::string& path);
// Gives back all that shm left there, where another medium is wanted now; not while another daemon
// has it.
void drop_our_mount(const std::string& path);

// ", *emulated* 10 GB/s, 300 ns" or "": belongs at the end of every describe().
std::string describe_emulation(const MediumOptions& options);

}  // namespace speckv::pool
