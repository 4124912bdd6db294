// SPDX-License-Identifier: Apache-2.0
// mapped_region.cpp - see mapped_region.hpp.
#include "pool/mapped_region.hpp"

#include <fcntl.h>
#include <numa.h>
#include <numaif.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <fstream>
#include <utility>

#include "pool/memory_limit.hpp"

#ifndef MADV_POPULATE_WRITE  // Linux 5.14
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_COLLAPSE  // Linux 6.1
#define MADV_COLLAPSE 25
#endif

namespace speckv::pool {
namespace {

constexpr uint64_t huge_bytes = 2u << 20;
constexpr uint64_t small_bytes = 4096;
constexpr uint64_t session_populated = 16u << 20;  // 20 ms in small pages; its rings lie in them

// Sum, in bytes, of the named fields of a meminfo file ("MemFree:   123 kB"); the node's have a
// prefix.
uint64_t meminfo_bytes(const std::string& path, std::initializer_list<const char*> fields) {
  std::ifstream file(path);
  std::string line;
  uint64_t total = 0;
  while (std::getline(file, line))
    for (const char* field : fields) {
      const size_t at = line.find(std::string(field) + ":");
      uint64_t kib = 0;
      if (at == std::string::npos || (at > 0 && line[at - 1] != ' ')) continue;
      if (std::sscanf(line.c_str() + at + std::strlen(field) + 1, "%" SCNu64, &kib) == 1)
        total += kib * 1024;
    }
  return total;
}

std::string mib(uint64_t bytes) { return std::to_string(bytes >> 20) + " MiB"; }

// Binds the map to one node. Requires: check_numa_node(node) was ok.
Status bind_to_node(std::byte* data, uint64_t bytes, const MapOptions& options) {
  if (options.numa_node < 0 && options.local) mbind(data, bytes, MPOL_LOCAL, nullptr, 0, 0);
  if (options.numa_node < 0) return {};
  bitmask* nodes =
      numa_bitmask_alloc(unsigned(std::max(numa_num_possible_nodes(), options.numa_node + 1)));
  numa_bitmask_setbit(nodes, unsigned(options.numa_node));
  const long failed = mbind(data, bytes, MPOL_BIND, nodes->maskp, nodes->size + 1,
                            options.move_pages ? MPOL_MF_MOVE : 0);
  Status status;
  if (failed)
    status = Status::from_errno("binding memory to NUMA node " + std::to_string(options.numa_node) +
                                " ([pool] numa_node; a container's filter may forbid mbind)");
  numa_bitmask_free(nodes);
  return status;
}

// Huge pages for a file of zeros, where the kernel's defaults give a memfd none: one small page in
// each 2 MiB, which the kernel then replaces by a huge one. A tenth of the CPU time of populating 4
// KiB pages and collapsing them (32 MiB: 3.8 against 38 ms, Zen 3, Linux 6.18), so a session opens
// faster too. A wish: failure is small pages.
void make_huge(std::byte* data, uint64_t bytes) {
  const uint64_t whole = bytes / huge_bytes * huge_bytes;
  for (uint64_t at = 0; at < whole; at += huge_bytes)
    if (madvise(data + at, small_bytes, MADV_POPULATE_WRITE) != 0) return;
  madvise(data, whole, MADV_COLLAPSE);
}

Result<Fd> new_memfd(const std::string& name, uint64_t bytes) {
  Fd file(memfd_create(("speckv:" + name).c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!file.valid())
    return Status::from_errno(
        "memfd_create for " + name +
        " (a filter of system calls that forbids it leaves no memory to share "
        "with clients: allow it)");
  if (fchmod(file.get(), 0600) != 0) return Status::from_errno("fchmod of memfd " + name);
  if (ftruncate(file.get(), off_t(bytes)) != 0)
    return Status::from_errno("sizing memfd " + name + " to " + mib(bytes));
  return file;
}

}  // namespace

Fd& Fd::operator=(Fd&& other) noexcept {
  if (this == &other) return *this;
  if (fd_ >= 0) ::close(fd_);
  fd_ = other.release();
  return *this;
}

Fd::~Fd() {
  if (fd_ >= 0) ::close(fd_);
}

int Fd::release() { return std::exchange(fd_, -1); }

MappedRegion::~MappedRegion() {
  guard_.reset();
  if (data_) munmap(data_, bytes_);
  if (give_back_)
    fallocate(file_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, off_t(bytes_));
}

// A huge entry needs the address and the file offset to agree modulo its size; mmap alone promises
// 4 KiB.
Status MappedRegion::map_aligned(uint64_t align_bytes) {
  const uint64_t reserve = bytes_ + align_bytes;
  void* place =
      mmap(nullptr, reserve, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (place == MAP_FAILED)
    return Status::from_errno("reserving " + mib(reserve) + " of address space");
  auto* start = static_cast<std::byte*>(place);
  const uint64_t skip =
      (align_bytes - reinterpret_cast<uintptr_t>(start) % align_bytes) % align_bytes;
  void* mapped = mmap(start + skip, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
                      file_.get(), off_t(offset_));
  if (mapped == MAP_FAILED) {
    const Status status = Status::from_errno("mapping " + mib(bytes_));
    munmap(place, reserve);
    return status;
  }
  data_ = static_cast<std::byte*>(mapped);
  if (skip) munmap(start, skip);
  std::byte* end = data_ + (bytes_ + small_bytes - 1) / small_bytes * small_bytes;
  const auto rest = uint64_t(start + reserve - end);
  if (rest) munmap(end, rest);
  return {};
}

// What has to be said of the memory before any of it is there.
Status MappedRegion::prepare() {
  const Status status = bind_to_node(data_, bytes_, options_);
  if (!status.ok()) return status;
  madvise(data_, bytes_,
          options_.huge_pages ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);  // a wish: may be refused
  return {};
}

Status MappedRegion::populate_some(uint64_t most, bool* ret_whole) {
  *ret_whole = populated_ == bytes_;
  if (*ret_whole) return {};
  const uint64_t left = bytes_ - populated_;
  // Meanwhile others may have taken what was there when this was opened.
  const Status status = populated_ ? check_memory(left, options_.numa_node) : Status();
  if (!status.ok()) return status;
  const uint64_t some = std::min(left, std::max(most / huge_bytes, uint64_t{1}) * huge_bytes);
  std::byte* from = data_ + populated_;
  if (options_.huge_pages && !existed_) make_huge(from, some);
  // Through the map first: for a memfd only the map carries the wish for huge pages. Then whatever
  // is missing.
  if (madvise(from, some, MADV_POPULATE_WRITE) != 0 && errno != EINVAL)
    return Status::from_errno("populating " + mib(bytes_) +
                              " (memory or its cgroup's limit is used up)");
  populated_ += some;
  *ret_whole = populated_ == bytes_;
  return *ret_whole ? finish() : Status();
}

Status MappedRegion::finish() {
  int failed;
  while ((failed = posix_fallocate(file_.get(), 0, off_t(bytes_))) == EINTR) {
  }
  if (failed) return {failed, "allocating " + mib(bytes_) + ": " + std::strerror(failed)};
  page_bytes_ = mapped_page_bytes(data_, bytes_);
  if (options_.huge_pages && existed_ && page_bytes_ < huge_bytes) {
    madvise(data_, bytes_ / huge_bytes * huge_bytes,
            MADV_COLLAPSE);  // a wish; copies what is there
    page_bytes_ = mapped_page_bytes(data_, bytes_);
  }
  return {};
}

Result<std::unique_ptr<MappedRegion>> MappedRegion::map(Fd file, Fd client, uint64_t bytes,
                                                        bool existed, const MapOptions& options) {
  std::unique_ptr<MappedRegion> region(new MappedRegion);
  region->file_ = std::move(file);
  region->client_ = std::move(client);
  region->bytes_ = bytes;
  region->existed_ = existed;
  region->give_back_ = options.give_back;
  region->options_ = options;
  bool whole = false;
  Status status = region->map_aligned(huge_bytes);
  if (status.ok()) status = region->prepare();
  if (status.ok()) status = region->populate_some(options.populated, &whole);
  if (!status.ok()) return status;
  return region;
}

Result<std::unique_ptr<MappedRegion>> MappedRegion::map_device(Fd file, Fd client,
                                                               const DevicePart& part,
                                                               int wake_fd) {
  std::unique_ptr<MappedRegion> region(new MappedRegion);
  region->file_ = std::move(file);
  region->client_ = std::move(client);
  region->bytes_ = part.bytes;
  region->offset_ = part.offset;
  region->existed_ = part.existed;
  region->page_bytes_ = part.page_bytes;
  const Status status = region->map_aligned(std::max(part.page_bytes, huge_bytes));
  if (!status.ok()) return status;
  auto guard = BusGuard::make(region->data_, part.bytes, part.page_bytes, wake_fd);
  if (!guard.ok()) return guard.status();
  region->guard_ = std::move(guard.value());
  madvise(region->data_, part.bytes, MADV_POPULATE_WRITE);  // a wish: it ends at a lost page
  return region;
}

Result<std::unique_ptr<Region>> make_session_region(uint64_t bytes, const MapOptions& options) {
  Status status = check_memory(bytes, options.numa_node);
  if (!status.ok()) return status;
  auto file = new_memfd("session", bytes);
  if (!file.ok()) return file.status();
  const int fd = file.value().get();
  if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
    return Status::from_errno("sealing a session's memory");
  Fd client(fcntl(fd, F_DUPFD_CLOEXEC, 0));
  if (!client.valid()) return Status::from_errno("duplicating a session's descriptor");
  MapOptions own = options;
  own.give_back = true;
  own.populated = session_populated;
  auto region = MappedRegion::map(std::move(file.value()), std::move(client), bytes, false, own);
  if (!region.ok()) return region.status();
  return std::unique_ptr<Region>(std::move(region.value()));
}

Result<std::unique_ptr<Region>> make_memfd_region(const std::string& name, uint64_t bytes,
                                                  const MapOptions& options) {
  Status status = check_region_name(name);
  if (status.ok()) status = check_memory(bytes, options.numa_node);
  if (!status.ok()) return status;
  auto file = new_memfd(name, bytes);
  if (!file.ok()) return file.status();
  const int fd = file.value().get();
  if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
    return Status::from_errno("sealing memfd " + name);
  // Opened anew, not duplicated: only a new open is read-only for its receiver.
  Fd client(open(("/proc/self/fd/" + std::to_string(fd)).c_str(), O_RDONLY | O_CLOEXEC));
  if (!client.valid())
    return Status::from_errno("opening memfd " + name + " read-only (is /proc mounted?)");
  auto region =
      MappedRegion::map(std::move(file.value()), std::move(client), bytes, false, options);
  if (!region.ok()) return region.status();
  return std::unique_ptr<Region>(std::move(region.value()));
}

uint64_t mapped_page_bytes(const std::byte* data, uint64_t bytes) {
  std::ifstream smaps("/proc/self/smaps");
  std::string line;
  const auto first = reinterpret_cast<uintptr_t>(data);
  const uintptr_t last = first + bytes;
  bool inside = false;
  uint64_t huge_kib = 0;
  // One mapping may be several entries: sum those within. The kernel walks the page tables of each
  // entry as it is read, lowest address first, so leave as soon as the range is behind.
  while (std::getline(smaps, line)) {
    uintptr_t from = 0, to = 0;
    uint64_t kib = 0;
    if (std::sscanf(line.c_str(), "%" SCNxPTR "-%" SCNxPTR " ", &from, &to) == 2) {
      if (from >= last) break;
      inside = from >= first;
    } else if (inside && (std::sscanf(line.c_str(), "ShmemPmdMapped: %" SCNu64, &kib) == 1 ||
                          std::sscanf(line.c_str(), "FilePmdMapped: %" SCNu64, &kib) == 1)) {
      huge_kib += kib;
    }
  }
  const uint64_t whole = bytes / huge_bytes * huge_bytes;
  return whole > 0 && huge_kib * 1024 >= whole ? huge_bytes : small_bytes;
}

Status check_numa_node(int node, const char* key) {
  if (node < 0) return {};
  const std::string what = std::string("[pool] ") + key + " = " + std::to_string(node);
  if (numa_available() < 0)
    return {ENODEV, what + ": this kernel has no NUMA support; remove " + key};
  std::string there;
  for (int i = 0; i <= numa_max_node(); i++)
    if (numa_bitmask_isbitset(numa_all_nodes_ptr, unsigned(i)))
      there += (there.empty() ? "" : ", ") + std::to_string(i);
  if (node > numa_max_node() || !numa_bitmask_isbitset(numa_all_nodes_ptr, unsigned(node)))
    return {ENODEV, what + ": no such node with memory; this machine has " + there +
                        " (a CXL expander appears as one once its memory is online)"};
  return {};
}

Status check_memory(uint64_t bytes, int node) {
  const std::string of_node = "/sys/devices/system/node/node" + std::to_string(node) + "/meminfo";
  const uint64_t free_bytes =
      node < 0 ? meminfo_bytes("/proc/meminfo", {"MemAvailable"})
               : meminfo_bytes(of_node, {"MemFree", "Active(file)", "Inactive(file)"});
  const MemoryLimit group = cgroup_memory_limit();
  if (group.any && bytes > group.free_bytes && (free_bytes == 0 || group.free_bytes < free_bytes))
    return {ENOMEM, mib(bytes) + " wanted and " + mib(group.free_bytes) +
                        " left of the memory limit of the control group " + group.group + ", " +
                        mib(group.bytes) + ": make the pool or the arenas smaller, or raise it"};
  if (free_bytes == 0 || bytes <= free_bytes) return {};  // 0: cannot tell
  return {ENOMEM, mib(bytes) + " wanted and " + mib(free_bytes) + " of memory available" +
                      (node < 0 ? "" : " on NUMA node " + std::to_string(node)) +
                      ": make the pool or the arenas smaller"};
}

Status check_region_name(const std::string& name) {
  if (!name.empty() && name[0] != '.' && name.size() < 200 && name.find('/') == std::string::npos &&
      name.find('\0') == std::string::npos)
    return {};
  return {EINVAL, "\"" + name + "\" cannot name a file of the pool"};
}

std::string describe_emulation(const MediumOptions& options) {
  if (options.emulated_gb_s <= 0 && options.emulated_ns == 0) return "";
  std::string text = ", *emulated*";
  char number[48];
  if (options.emulated_gb_s > 0) {
    std::snprintf(number, sizeof number, " %g GB/s", options.emulated_gb_s);
    text += number;
  }
  if (options.emulated_ns > 0) text += " +" + std::to_string(options.emulated_ns) + " ns";
  return text;
}

}  // namespace speckv::pool
