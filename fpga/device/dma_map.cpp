// SPDX-License-Identifier: Apache-2.0
#include "dma_map.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <mutex>

namespace speckv::device {

namespace {

// A map beyond its file's end would be a signal at the first access.
bool file_holds(int descriptor, uint64_t offset, uint64_t size) {
  struct stat about {};
  if (fstat(descriptor, &about) != 0) return false;
  if (!S_ISREG(about.st_mode)) return true;  // a device says so itself
  const auto end = uint64_t(about.st_size);
  return offset <= end && size <= end - offset;
}

// QEMU seals what memory-backend-memfd makes. What is no regular file (a device) has no length that
// its owner could change.
bool may_shrink(int descriptor) {
  struct stat about {};
  if (fstat(descriptor, &about) != 0) return true;
  if (!S_ISREG(about.st_mode)) return false;
  const int seals = fcntl(descriptor, F_GET_SEALS);
  return seals < 0 || (seals & F_SEAL_SHRINK) == 0;
}

}  // namespace

DmaMap::Area::~Area() {
  if (base != nullptr) munmap(base, size);
  if (file >= 0) close(file);
}

bool DmaMap::Area::has(uint64_t at, size_t bytes) const {
  return base != nullptr || (file >= 0 && file_holds(file, file_offset + at, bytes));
}

bool DmaMap::Area::read(uint64_t at, std::byte* into, size_t bytes) const {
  if (base == nullptr) {
    return file >= 0 && pread(file, into, bytes, off_t(file_offset + at)) == ssize_t(bytes);
  }
  std::memcpy(into, base + at, bytes);
  return true;
}

// A file that shrinks between the look and the write grows again, which hurts its owner alone.
bool DmaMap::Area::write(uint64_t at, const std::byte* from, size_t bytes) const {
  if (!has(at, bytes)) return false;
  if (base == nullptr) {
    return pwrite(file, from, bytes, off_t(file_offset + at)) == ssize_t(bytes);
  }
  std::memcpy(base + at, from, bytes);
  return true;
}

int DmaMap::add(uint64_t address, uint64_t size, int descriptor, uint64_t file_offset,
                bool readable, bool writable) {
  auto area = std::make_unique<Area>();
  if (descriptor >= 0 && (readable || writable)) {
    const bool is_mapped = !may_shrink(descriptor);  // before its length: a seal stays
    if (!file_holds(descriptor, file_offset, size)) return EINVAL;
    if (!is_mapped) {
      area->file = fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
      if (area->file < 0) return errno;
      area->file_offset = file_offset;
    } else {
      // written to by guests that may read, so that PROT_READ is always there
      const int protection = PROT_READ | (writable ? PROT_WRITE : 0);
      void* base = mmap(nullptr, size, protection, MAP_SHARED, descriptor, off_t(file_offset));
      if (base == MAP_FAILED) return errno;
      area->base = static_cast<std::byte*>(base);
    }
    area->readable = readable;
    area->writable = writable;
  }
  area->size = size;
  const std::unique_lock lock(lock_);
  if (areas_.size() >= areas_max) return ENOSPC;
  const auto after = areas_.lower_bound(address);
  if (after != areas_.end() && after->first - address < size) return EEXIST;
  if (after != areas_.begin()) {
    const auto before = std::prev(after);
    if (address - before->first < before->second->size) return EEXIST;
  }
  areas_.emplace(address, std::move(area));
  return 0;
}

int DmaMap::remove(uint64_t address, uint64_t size) {
  const std::unique_lock lock(lock_);
  const auto found = areas_.find(address);
  if (found == areas_.end() || found->second->size != size) return ENOENT;
  areas_.erase(found);
  return 0;
}

void DmaMap::remove_all() {
  const std::unique_lock lock(lock_);
  areas_.clear();
}

size_t DmaMap::areas() const {
  const std::shared_lock lock(lock_);
  return areas_.size();
}

template <typename Visit>
bool DmaMap::walk(uint64_t address, size_t bytes, bool is_write, Visit visit) const {
  const std::shared_lock lock(lock_);
  while (bytes > 0) {
    auto found = areas_.upper_bound(address);
    if (found == areas_.begin()) return false;
    --found;
    const Area& area = *found->second;
    const uint64_t at = address - found->first;
    if (at >= area.size) return false;
    if (is_write ? !area.writable : !area.readable) return false;
    const auto part = size_t(std::min<uint64_t>(bytes, area.size - at));
    if (!visit(area, at, part)) return false;
    bytes -= part;
    if (bytes > 0 && address + part < address) return false;
    address += part;
  }
  return true;
}

bool DmaMap::read(uint64_t address, std::span<std::byte> into) const {
  return walk(address, into.size(), false, [&](const Area& area, uint64_t at, size_t part) {
    const bool is_read = area.read(at, into.data(), part);
    into = into.subspan(part);
    return is_read;
  });
}

bool DmaMap::write(uint64_t address, std::span<const std::byte> from) const {
  return walk(address, from.size(), true, [&](const Area& area, uint64_t at, size_t part) {
    const bool is_written = area.write(at, from.data(), part);
    from = from.subspan(part);
    return is_written;
  });
}

bool DmaMap::takes(uint64_t address, size_t bytes) const {
  return walk(address, bytes, true,
              [](const Area& area, uint64_t at, size_t part) { return area.has(at, part); });
}

}  // namespace speckv::device
