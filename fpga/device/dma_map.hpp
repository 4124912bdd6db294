// SPDX-License-Identifier: Apache-2.0
// dma_map.hpp - the guest's memory, as its client lends it: which bus addresses are which bytes of
// which mapped file.
//
// An address is looked up at each access and never kept as a pointer: areas come and go while a
// guest runs (firmware maps its RAM anew many times). Accesses hold the map's lock shared, so that
// remove() returns when nobody uses the area any more. What is not mapped, or not writable, is an
// error of the access, never a fault of this process. An area without a file (ROM, option areas) is
// taken, and every access to it fails. Only a file that is sealed against shrinking is mapped: any
// other may be cut short by its owner at any moment, and the next access to a mapping of it would
// end this process; so it is read and written by system calls, which fail instead. Thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <shared_mutex>
#include <span>

namespace speckv::device {

// What an engine sees of memory.
class Bus {
 public:
  virtual ~Bus() = default;
  // All of it or false, and then some of the bytes may have been moved.
  [[nodiscard]] virtual bool read(uint64_t address, std::span<std::byte> into) const = 0;
  [[nodiscard]] virtual bool write(uint64_t address, std::span<const std::byte> from) const = 0;
  // Whether write() of so many bytes would do all of it.
  [[nodiscard]] virtual bool takes(uint64_t address, size_t bytes) const = 0;
};

class DmaMap final : public Bus {
 public:
  static constexpr size_t areas_max = 65535;  // what VERSION tells the client

  // descriptor: of the file, -1: there is none; it stays the caller's. Returns: 0, EEXIST (it
  // overlaps another one), ENOSPC, or why it cannot be mapped.
  int add(uint64_t address, uint64_t size, int descriptor, uint64_t file_offset, bool readable,
          bool writable);
  // Exactly an area that was added. Returns: 0, ENOENT.
  int remove(uint64_t address, uint64_t size);
  void remove_all();
  size_t areas() const;

  bool read(uint64_t address, std::span<std::byte> into) const override;
  bool write(uint64_t address, std::span<const std::byte> from) const override;
  bool takes(uint64_t address, size_t bytes) const override;

 private:
  struct Area {
    uint64_t size = 0;
    std::byte* base = nullptr;  // of a file that cannot shrink
    int file = -1;              // of one that may
    uint64_t file_offset = 0;
    bool readable = false, writable = false;
    Area() = default;
    Area(const Area&) = delete;
    ~Area();
    bool read(uint64_t at, std::byte* into, size_t bytes) const;
    bool write(uint64_t at, const std::byte* from, size_t bytes) const;
    bool has(uint64_t at, size_t bytes) const;
  };
  // Calls visit(area, place in it, bytes) for each area that has a part of these addresses.
  template <typename Visit>
  bool walk(uint64_t address, size_t bytes, bool is_write, Visit visit) const;

  mutable std::shared_mutex lock_;
  std::map<uint64_t, std::unique_ptr<Area>> areas_;  // by first address
};

}  // namespace speckv::device
