// SPDX-License-Identifier: Apache-2.0
// device.hpp - the PCI device that a client sees: answers each message. No socket and no thread of
// its own.
//
// Called by the one thread that reads the socket (and by tests). Registers are answered at once;
// commands run on another thread (server.cpp), which calls deliver(). It never asks the client for
// anything: a client that waits for an answer of ours would wait for ever.
#pragma once

#include <array>
#include <atomic>
#include <mutex>
#include <span>
#include <vector>

#include "backend.hpp"
#include "dma_map.hpp"
#include "message.hpp"
#include "pci_config.hpp"

namespace speckv::device {

// A file descriptor that closes itself.
class Descriptor {
 public:
  explicit Descriptor(int number = -1) : number_(number) {}
  ~Descriptor();
  Descriptor(Descriptor&& other) noexcept : number_(other.number_) { other.number_ = -1; }
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  int get() const { return number_; }

 private:
  int number_;
};

class Device {
 public:
  // is_off_bus: nullptr, or whether the configuration space answers with ones, too.
  Device(Backend& backend, DmaMap& memory, const std::atomic<bool>* is_off_bus = nullptr)
      : backend_(backend), memory_(memory), is_off_bus_(is_off_bus) {}

  // descriptors: that came with the message; what it does not take is closed.
  Answer answer(const Message& message, std::vector<Descriptor> descriptors);
  // Signals this MSI-X vector, if the client wants it. From any thread.
  void deliver(uint8_t vector);
  // The client has gone: as after power-on, with no memory lent.
  void forget_client();

 private:
  Answer map(const Message& message, const std::vector<Descriptor>& descriptors);
  Answer unmap(const Message& message);
  Answer region_info(const Message& message) const;
  Answer irq_info(const Message& message) const;
  Answer set_irqs(const Message& message, std::vector<Descriptor> descriptors);
  Answer read(const Message& message);
  Answer write(const Message& message);
  void reset();
  bool is_off_bus() const { return is_off_bus_ != nullptr && *is_off_bus_; }

  Backend& backend_;
  DmaMap& memory_;
  const std::atomic<bool>* is_off_bus_;
  PciConfig config_;
  std::mutex vectors_lock_;
  std::array<Descriptor, msix_vectors> vectors_;
};

}  // namespace speckv::device
