// SPDX-License-Identifier: Apache-2.0
// host.hpp - a driver of the device in few words: memory that is lent to it, rings, descriptors,
// completions. Registers are reached by whatever the test hands in: a back end itself, or a client
// of the server.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <functional>
#include <optional>
#include <span>

#include "hw/speckv_engine.h"
#include "hw/speckv_regs.h"

namespace speckv::device::testing {

class Host {
 public:
  static constexpr uint64_t bus_base = 0x1'0000'0000, bytes = 8 << 20;
  static constexpr uint64_t ring = 0, completions = 64 << 10, data = 1 << 20;  // offsets
  static constexpr uint32_t extent_rings = 0, extent_data = 1, extent_read_only = 2;

  std::function<uint32_t(uint32_t)> read;
  std::function<void(uint32_t, uint32_t)> write;

  Host() : file_(memfd_create("host", MFD_CLOEXEC)) {
    if (ftruncate(file_, bytes) != 0) std::abort();
    void* base = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file_, 0);
    if (base == MAP_FAILED) std::abort();
    base_ = static_cast<std::byte*>(base);
  }
  ~Host() {
    munmap(base_, bytes);
    close(file_);
  }
  Host(const Host&) = delete;
  int file() const { return file_; }
  std::span<std::byte> at(uint64_t offset, size_t count) { return {base_ + offset, count}; }

  void set_extent(uint32_t index, uint64_t offset, uint64_t size, bool writable,
                  uint32_t queues = 3) {
    const uint32_t at = index * SPECKV_REG_EXTENTS_STRIDE;
    const uint64_t address = bus_base + offset;
    write(SPECKV_REG_EXTENTS_BASE_LOW + at, uint32_t(address));
    write(SPECKV_REG_EXTENTS_BASE_HIGH + at, uint32_t(address >> 32));
    write(SPECKV_REG_EXTENTS_SIZE + at, uint32_t(size / 64));
    write(SPECKV_REG_EXTENTS_FLAGS + at,
          SPECKV_REG_EXTENTS_FLAGS_VALID_MASK |
              (writable ? SPECKV_REG_EXTENTS_FLAGS_WRITABLE_MASK : 0) |
              queues << SPECKV_REG_EXTENTS_FLAGS_QUEUES_SHIFT);
  }

  void set_up(uint32_t log2_slots = 3, uint8_t vector = 5) {
    set_extent(extent_rings, 0, data, true);
    set_extent(extent_data, data, bytes - data, true);
    set_extent(extent_read_only, data, bytes - data, false, 1);
    write(SPECKV_REG_QUEUES_SQ_OFFSET, ring);
    write(SPECKV_REG_QUEUES_CQ_OFFSET, completions);
    write(SPECKV_REG_QUEUES_SETUP, SPECKV_REG_QUEUES_SETUP_ENABLE_MASK |
                                       log2_slots << SPECKV_REG_QUEUES_SETUP_LOG2_SLOTS_SHIFT |
                                       uint32_t(vector) << SPECKV_REG_QUEUES_SETUP_VECTOR_SHIFT);
    write(SPECKV_REG_CONTROL, SPECKV_REG_CONTROL_ENABLE_MASK);
    slots_ = 1u << log2_slots;
    tail_ = head_ = 0;
  }

  void submit(const speckv_engine_descriptor& descriptor) {
    std::memcpy(base_ + ring + (tail_ % slots_) * 64, &descriptor, 64);
    write(SPECKV_REG_QUEUES_SQ_TAIL, ++tail_);
  }

  std::optional<speckv_engine_completion> poll() {
    speckv_engine_completion told;
    std::memcpy(&told, base_ + completions + (head_ % slots_) * 64, 64);
    if ((told.phase & 1) != ((head_ & slots_) == 0 ? 1u : 0u)) return {};
    write(SPECKV_REG_QUEUES_CQ_HEAD, ++head_);
    return told;
  }

 private:
  int file_;
  std::byte* base_;
  uint16_t tail_ = 0, head_ = 0;
  uint32_t slots_ = 8;
};

}  // namespace speckv::device::testing
