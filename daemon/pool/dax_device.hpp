// SPDX-License-Identifier: Apache-2.0
// dax_device.hpp - what sysfs says of a device-DAX device, and whether a request fits it. Private
// to pool/ and its test.
#pragma once

#include <cstdint>
#include <string>

#include "status.hpp"

namespace speckv::pool {

struct DaxDevice {
  uint64_t bytes = 0;
  uint64_t align_bytes = 0;  // page size of its mappings: every map is a multiple of it
};

// Class of a character device ("dax", "mem"), "unknown" when sysfs does not say.
std::string device_class(const std::string& sysfs, unsigned major_number, unsigned minor_number);

// sysfs: "/sys", or a test's copy. path: for error texts. Returns: ENODEV when the device is not of
// class dax.
Result<DaxDevice> read_dax_device(const std::string& sysfs, const std::string& path,
                                  unsigned major_number, unsigned minor_number);
Status check_dax_request(const DaxDevice& device, const std::string& path, uint64_t bytes);

}  // namespace speckv::pool
