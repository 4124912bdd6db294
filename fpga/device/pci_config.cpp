// SPDX-License-Identifier: Apache-2.0
#include "pci_config.hpp"

namespace speckv::device {

namespace {

// QEMU's vendor has a range of device numbers for experiments; no driver in any kernel takes it.
constexpr uint32_t kVendor = 0x1b36, kDevice = 0x10f0;
constexpr uint32_t kClass = 0x120000;  // processing accelerator
constexpr uint32_t kPcie = 0x40, kMsix = 0x80;
constexpr uint32_t kDeviceControl = kPcie + 8, kFlrBit = 1u << 15;

}  // namespace

void PciConfig::set(uint32_t offset, uint32_t value, int count, uint32_t writable) {
  for (int i = 0; i < count; ++i) {
    bytes_[offset + uint32_t(i)] = std::byte(value >> 8 * i);
    writable_[offset + uint32_t(i)] = std::byte(writable >> 8 * i);
  }
}

void PciConfig::reset() {
  bytes_.fill(std::byte{0});
  writable_.fill(std::byte{0});
  set(0x00, kVendor, 2);
  set(0x02, kDevice, 2);
  set(0x04, 0, 2, 0x0546);  // command: memory, bus master, parity, SERR, no INTx
  set(0x06, 0x0010, 2);     // status: it has capabilities
  set(0x08, 0x01, 1);       // revision
  set(0x09, kClass, 3);
  set(0x0c, 0, 1, 0xff);  // cache line size
  // 64-bit memory, not prefetchable: the mask is what makes a BAR as large as it is
  set(0x10, 0x4, 4, ~(register_bar_bytes - 1));
  set(0x14, 0, 4, 0xffffffff);
  set(0x18, 0x4, 4, ~(msix_bar_bytes - 1));
  set(0x1c, 0, 4, 0xffffffff);
  set(0x2c, kVendor, 2);
  set(0x2e, kDevice, 2);
  set(0x34, kPcie, 1);
  set(0x3c, 0, 1, 0xff);  // interrupt line; the pin is 0: no INTx
  // PCI Express endpoint, version 2, with function-level reset
  set(kPcie, 0x10, 1);
  set(kPcie + 1, kMsix, 1);
  set(kPcie + 2, 0x0002, 2);
  set(kPcie + 4, 1u << 28 | 0x8000, 4);  // DevCap: FLR, role-based errors
  set(kDeviceControl, 0x2810, 2, 0x7fff);
  set(kPcie + 0x0c, 0x00000011, 4);  // LnkCap: x1, 2.5 GT/s
  set(kPcie + 0x12, 0x0011, 2);      // LnkSta
  // MSI-X: the table at 0, the pending bits behind it, both in BAR 2
  set(kMsix, 0x11, 1);
  set(kMsix + 2, msix_vectors - 1, 2, 0xc000);
  set(kMsix + 4, 2, 4);
  set(kMsix + 8, msix_pending_offset | 2, 4);
}

void PciConfig::read(uint32_t offset, std::span<std::byte> into) const {
  for (size_t i = 0; i < into.size(); ++i) into[i] = bytes_[offset + i];
}

bool PciConfig::write(uint32_t offset, std::span<const std::byte> from) {
  bool is_flr = false;
  for (size_t i = 0; i < from.size(); ++i) {
    const size_t at = offset + i;
    bytes_[at] = (bytes_[at] & ~writable_[at]) | (from[i] & writable_[at]);
    if (at == kDeviceControl + 1) is_flr = (uint32_t(from[i]) << 8 & kFlrBit) != 0;
  }
  return is_flr;
}

}  // namespace speckv::device
