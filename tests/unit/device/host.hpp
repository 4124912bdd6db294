// SPDX-License-Identifier: Apache-2.0
// host.hpp - a driver of the device in few words: memory that is lent to it, rings, descriptors,
// completions. Registers are reached by whatever the test hands in: a back end itself, or a client
// of the server.
#pragma once

#include <fcntl.h>
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
  // offsets; a queue pair's rings lie queue_bytes behind the one's before
  static constexpr uint64_t ring = 0, completions = 64 << 10, queue_bytes = 128 << 10;
  static constexpr uint64_t data = 1 << 20;
  static constexpr uint32_t extent_rings = 0, extent_data = 1, extent_read_only = 2;

  std::function<uint32_t(uint32_t)> read;
  std::function<void(uint32_t, uint32_t)> write;

  Host() : file_(memfd_create("host", MFD_CLOEXEC | MFD_ALLOW_SEALING)) {
    if (ftruncate(file_, bytes) != 0) std::abort();
    if (fcntl(file_, F_ADD_SEALS, F_SEAL_SHRINK) != 0) std::abort();  // as QEMU does
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

  // As a driver after a reset: it trusts nothing of what the registers held.
  void set_up(uint32_t log2_slots = 3, uint8_t vector = 5) {
    set_extent(extent_rings, 0, data, true);
    set_extent(extent_data, data, bytes - data, true);
    set_extent(extent_read_only, data, bytes - data, false, 1);
    for (uint32_t queue = 0; queue < SPECKV_REG_QUEUES_COUNT; ++queue)
      set_queue(queue, log2_slots, uint8_t(vector + queue));
    write(SPECKV_REG_CONTROL, SPECKV_REG_CONTROL_ENABLE_MASK);
  }

  void set_queue(uint32_t queue, uint32_t log2_slots, uint8_t vector) {
    const uint32_t at = queue * SPECKV_REG_QUEUES_STRIDE;
    write(SPECKV_REG_QUEUES_SETUP + at, 0);
    std::memset(base_ + queue * queue_bytes, 0, queue_bytes);
    write(SPECKV_REG_QUEUES_SQ_OFFSET + at, uint32_t(ring + queue * queue_bytes));
    write(SPECKV_REG_QUEUES_CQ_OFFSET + at, uint32_t(completions + queue * queue_bytes));
    write(SPECKV_REG_QUEUES_CQ_HEAD + at, 0);
    write(SPECKV_REG_QUEUES_SETUP + at, SPECKV_REG_QUEUES_SETUP_ENABLE_MASK |
                                            log2_slots << SPECKV_REG_QUEUES_SETUP_LOG2_SLOTS_SHIFT |
                                            uint32_t(vector)
                                                << SPECKV_REG_QUEUES_SETUP_VECTOR_SHIFT);
    slots_ = 1u << log2_slots;
    tail_[queue] = head_[queue] = 0;
  }

  // Without a doorbell.
  void place(const speckv_engine_descriptor& descriptor, uint32_t queue = 0) {
    const uint64_t slot = tail_[queue]++ % slots_;
    std::memcpy(base_ + queue * queue_bytes + ring + slot * 64, &descriptor, 64);
  }
  void ring_bell(uint32_t queue = 0) {
    write(SPECKV_REG_QUEUES_SQ_TAIL + queue * SPECKV_REG_QUEUES_STRIDE, tail_[queue]);
  }
  void submit(const speckv_engine_descriptor& descriptor, uint32_t queue = 0) {
    place(descriptor, queue);
    ring_bell(queue);
  }

  std::optional<speckv_engine_completion> poll(uint32_t queue = 0) {
    speckv_engine_completion told;
    const uint64_t slot = head_[queue] % slots_;
    std::memcpy(&told, base_ + queue * queue_bytes + completions + slot * 64, 64);
    if ((told.phase & 1) != ((head_[queue] & slots_) == 0 ? 1u : 0u)) return {};
    write(SPECKV_REG_QUEUES_CQ_HEAD + queue * SPECKV_REG_QUEUES_STRIDE, ++head_[queue]);
    return told;
  }

 private:
  int file_;
  std::byte* base_;
  uint16_t tail_[SPECKV_REG_QUEUES_COUNT] = {}, head_[SPECKV_REG_QUEUES_COUNT] = {};
  uint32_t slots_ = 8;
};

}  // namespace speckv::device::testing
