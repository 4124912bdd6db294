// SPDX-License-Identifier: Apache-2.0
// extent_device.hpp - the calls of /dev/speckvN (include/uapi/linux/speckv.h) as the daemon uses
// them. Private to pool/ and its test.
//
// One control file, checked when it is opened: the right kind of device, the right ABI. Its extents
// are zeroed memory that lives as long as a descriptor holds it; whoever keeps fd() keeps them all.
// Control thread only. Never maps anything.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "pool/mapped_region.hpp"
#include "uapi/linux/speckv.h"

namespace speckv::pool {

// Where extents come from: the device, or a model of it in a test.
class ExtentSource {
 public:
  virtual ~ExtentSource() = default;
  virtual uint64_t device_bytes() const = 0;
  // One call of ALLOC. Returns: 0 or an errno.
  virtual int try_alloc(speckv_alloc* request) = 0;
  // Limits are looked at first, with all numbers in the answer.
  virtual Result<speckv_alloc> alloc(const std::string& what, uint64_t bytes, uint64_t cookie) = 0;
  virtual Status free(uint64_t handle) = 0;
  virtual Result<speckv_stat> stat() = 0;
};

class ExtentDevice : public ExtentSource {
 public:
  // kept_fd: of an earlier daemon, taken over if it is alive and of this device, closed if not.
  static Result<std::shared_ptr<ExtentDevice>> open(const std::string& path, int kept_fd);

  int fd() const { return file_.get(); }
  const std::string& path() const { return path_; }
  const speckv_info& info() const { return info_; }
  bool taken_over() const { return taken_over_; }

  uint64_t device_bytes() const override { return info_.device_bytes; }
  int try_alloc(speckv_alloc* request) override;
  Result<speckv_alloc> alloc(const std::string& what, uint64_t bytes, uint64_t cookie) override;
  Status free(uint64_t handle) override;
  // A descriptor that shows these extents, read-only for whoever gets it.
  Result<Fd> export_read_only(const std::vector<uint64_t>& handles);
  Result<std::vector<speckv_extent_entry>> list();
  // Offsets of poisoned granules. ENODEV: the region is gone.
  Result<std::vector<uint64_t>> poisoned();
  Result<speckv_stat> stat() override;

 private:
  ExtentDevice(std::string path, Fd file, const speckv_info& info, bool taken_over)
      : path_(std::move(path)), file_(std::move(file)), info_(info), taken_over_(taken_over) {}

  std::string path_;
  Fd file_;
  speckv_info info_;
  bool taken_over_;
};

// Whether a driver's answer to INFO is one that this daemon can work with.
Status check_extent_driver(const std::string& path, const speckv_info& info);

// A socket that becomes readable with each kernel event of the class speckv (and others). Invalid
// where the kernel's events do not reach: then losses are found a little later.
Fd open_kernel_events();

}  // namespace speckv::pool
