// SPDX-License-Identifier: Apache-2.0
// pci_config.hpp - the device's configuration space: 4 KiB, of which a guest may write what the
// masks say.
//
// BAR 0 has the registers, BAR 2 the MSI-X table and its pending bits. BARs are sized as on any
// PCI device: written with ones they answer with their size. A function-level reset is a write of
// DevCtl's bit 15; whoever calls write() is told and does it. Pure; one thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace speckv::device {

inline constexpr uint32_t config_bytes = 4096;
inline constexpr uint32_t register_bar_bytes = 64 << 10;
inline constexpr uint32_t msix_bar_bytes = 4096;
inline constexpr uint32_t msix_vectors = 8;
inline constexpr uint32_t msix_pending_offset = 2048;  // in BAR 2

class PciConfig {
 public:
  PciConfig() { reset(); }
  void reset();
  // Requires: offset + bytes <= config_bytes.
  void read(uint32_t offset, std::span<std::byte> into) const;
  // Returns: true, a function-level reset is asked for.
  bool write(uint32_t offset, std::span<const std::byte> from);

  bool is_bus_master() const { return (uint32_t(bytes_[4]) & 4) != 0; }

 private:
  void set(uint32_t offset, uint32_t value, int count, uint32_t writable = 0);

  std::array<std::byte, config_bytes> bytes_{};
  std::array<std::byte, config_bytes> writable_{};
};

}  // namespace speckv::device
