// SPDX-License-Identifier: Apache-2.0
#include "device.hpp"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace speckv::device {

namespace {

// Indices of regions and interrupts as VFIO numbers them for PCI.
enum Region : uint32_t { kBar0 = 0, kBar2 = 2, kConfig = 7, kRegions = 9 };
enum Irq : uint32_t { kMsix = 2, kErr = 3, kReq = 4, kIrqs = 5 };
constexpr uint32_t kDeviceReset = 1, kDevicePci = 2;   // of GET_INFO
constexpr uint32_t kRegionRead = 1, kRegionWrite = 2;  // of REGION_INFO
constexpr uint32_t kIrqEventfd = 1, kIrqNoResize = 8;  // of IRQ_INFO
constexpr uint32_t kRegisterBytes = 4;                 // of one access

constexpr char kCapabilities[] =
    R"({"capabilities":{"max_msg_fds":16,"max_data_xfer_size":1048576,"pgsizes":4096,)"
    R"("max_dma_maps":65535}})";

uint64_t region_bytes(uint32_t region) {
  switch (region) {
    case kBar0:
      return register_bar_bytes;
    case kBar2:
      return msix_bar_bytes;
    case kConfig:
      return config_bytes;
    default:
      return 0;
  }
}

bool is_inside(const Message& message) {
  const uint64_t bytes = region_bytes(message.region);
  return message.offset <= bytes && message.count <= bytes - message.offset;
}

}  // namespace

Descriptor::~Descriptor() {
  if (number_ >= 0) close(number_);
}

Answer Device::answer(const Message& message, std::vector<Descriptor> descriptors) {
  switch (Command(message.header.command)) {
    case Command::version:
      if (message.major != 0) return Answer(EINVAL);
      return Answer().u16(0).u16(0).text(kCapabilities);
    case Command::dma_map:
      return map(message, descriptors);
    case Command::dma_unmap:
      return unmap(message);
    case Command::get_info:
      return Answer().u32(16).u32(kDeviceReset | kDevicePci).u32(kRegions).u32(kIrqs);
    case Command::get_region_info:
      return region_info(message);
    case Command::get_irq_info:
      return irq_info(message);
    case Command::set_irqs:
      return set_irqs(message, std::move(descriptors));
    case Command::region_read:
      return read(message);
    case Command::region_write:
      return write(message);
    case Command::reset:
      reset();
      return {};
  }
  return Answer(ENOTSUP);
}

Answer Device::map(const Message& message, const std::vector<Descriptor>& descriptors) {
  if (descriptors.size() > 1) return Answer(EINVAL);
  const int file = descriptors.empty() ? -1 : descriptors[0].get();
  return Answer(memory_.add(message.address, message.size, file, message.file_offset,
                            message.readable, message.writable));
}

Answer Device::unmap(const Message& message) {
  int error = 0;
  if (message.all) {
    memory_.remove_all();
  } else {
    error = memory_.remove(message.address, message.size);
  }
  if (error != 0) return Answer(error);
  return Answer().u32(24).u32(message.all ? 2 : 0).u64(message.address).u64(message.size);
}

Answer Device::region_info(const Message& message) const {
  if (message.index >= kRegions) return Answer(EINVAL);
  const uint64_t bytes = region_bytes(message.index);
  const uint32_t flags = bytes == 0 ? 0 : kRegionRead | kRegionWrite;
  return Answer().u32(32).u32(flags).u32(message.index).u32(0).u64(bytes).u64(0);
}

Answer Device::irq_info(const Message& message) const {
  if (message.index >= kIrqs) return Answer(EINVAL);
  const uint32_t count = message.index == kMsix ? msix_vectors : message.index >= kErr ? 1 : 0;
  return Answer().u32(16).u32(kIrqEventfd | kIrqNoResize).u32(message.index).u32(count);
}

// A growing set is sent anew as each vector is asked for; "one vector, no descriptor" is one that
// nobody listens to.
Answer Device::set_irqs(const Message& message, std::vector<Descriptor> descriptors) {
  if (message.index == kErr || message.index == kReq) return {};  // nothing here signals them
  if (message.index != kMsix) return Answer(EINVAL);
  const uint64_t end = uint64_t(message.start) + message.count;
  if (end > msix_vectors || descriptors.size() > message.count) return Answer(EINVAL);
  const std::lock_guard lock(vectors_lock_);
  if (message.has_none) {
    if (message.count != 0) return Answer(ENOTSUP);  // signalling by hand
    for (Descriptor& vector : vectors_) vector = Descriptor();
    return {};
  }
  for (uint32_t i = 0; i < message.count; ++i)
    vectors_[message.start + i] = i < descriptors.size() ? std::move(descriptors[i]) : Descriptor();
  return {};
}

Answer Device::read(const Message& message) {
  if (!is_inside(message)) return Answer(EINVAL);
  std::vector<std::byte> data(message.count);
  if (is_off_bus()) {
    std::memset(data.data(), 0xff, data.size());
  } else if (message.region == kConfig) {
    config_.read(uint32_t(message.offset), data);
  } else if (message.region == kBar0) {
    // registers have 32 bits; anything else reads as ones, as on a bus where nobody answers
    std::memset(data.data(), 0xff, data.size());
    if (message.count == kRegisterBytes && message.offset % kRegisterBytes == 0) {
      const uint32_t value = backend_.read(uint32_t(message.offset));
      std::memcpy(data.data(), &value, sizeof(value));
    }
  }
  return Answer().u64(message.offset).u32(message.region).u32(message.count).bytes(data);
}

Answer Device::write(const Message& message) {
  if (!is_inside(message)) return Answer(EINVAL);
  if (message.region == kConfig) {
    if (!is_off_bus() && config_.write(uint32_t(message.offset), message.data)) reset();
  } else if (message.region == kBar0 && message.count == kRegisterBytes &&
             message.offset % kRegisterBytes == 0) {
    uint32_t value;
    std::memcpy(&value, message.data.data(), sizeof(value));
    backend_.write(uint32_t(message.offset), value);
  }
  return Answer().u64(message.offset).u32(message.region).u32(message.count);
}

void Device::deliver(uint8_t vector) {
  const std::lock_guard lock(vectors_lock_);
  if (vector >= vectors_.size() || vectors_[vector].get() < 0) return;
  // the client's own eventfd: one that it has filled loses an interrupt and holds nobody up
  pollfd room{vectors_[vector].get(), POLLOUT, 0};
  if (poll(&room, 1, 0) != 1 || (room.revents & POLLOUT) == 0) return;
  const uint64_t one = 1;
  (void)!::write(vectors_[vector].get(), &one, sizeof(one));
}

void Device::reset() {
  backend_.reset();
  config_.reset();
}

void Device::forget_client() {
  reset();
  memory_.remove_all();
  const std::lock_guard lock(vectors_lock_);
  for (Descriptor& vector : vectors_) vector = Descriptor();
}

}  // namespace speckv::device
