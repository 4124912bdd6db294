// SPDX-License-Identifier: Apache-2.0
// medium_devdax.cpp - a device-DAX character device (/dev/daxX.Y): CXL memory that no file system
// or kernel pool owns.
//
// One tenant: whoever can open the device sees all of it, so the pool of the one namespace lies at
// offset 0 and its bytes outlive the daemon. The index is rebuilt at each start and read at random,
// so it lies in DRAM (a memfd). Never writes to a device before its class, its size and the
// alignment of the request were checked. Nobody tells of poison or of the device's removal; what
// the daemon itself touches of it is noticed by the guard of the mapping.
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <climits>
#include <fstream>

#include "pool/dax_device.hpp"
#include "pool/mapped_region.hpp"

namespace speckv::pool {
namespace {

class DevdaxMedium : public DeviceMedium {
 public:
  DevdaxMedium(const MediumOptions& options, const DaxDevice& device, Fd wake)
      : DeviceMedium(options), device_(device), wake_(std::move(wake)) {}

  // fresh: the same bytes, but they are not to be trusted.
  Result<std::unique_ptr<Region>> open_region(const std::string& name, uint64_t bytes,
                                              bool fresh) override {
    const Status named = check_region_name(name);
    if (!named.ok()) return named;
    if (!owner_.empty() && owner_ != name)
      return Status(EBUSY, options_.path + " holds the pool \"" + owner_ +
                               "\" already: devdax takes one namespace");
    auto region = map_whole(bytes, !fresh);
    if (region.ok()) owner_ = name;
    return region;
  }
  std::string describe() const override {
    return "devdax " + options_.path + ", " + std::to_string(device_.bytes >> 20) + " MiB, " +
           std::to_string(device_.align_bytes >> 10) + " KiB pages; index and arenas in DRAM" +
           describe_emulation(options_);
  }
  const char* kind() const override { return "devdax"; }
  const char* isolation_kind() const override { return "device"; }
  std::string isolation() const override {
    return "by uid, one tenant (everyone with the device sees all of it)";
  }
  int loss_fd() const override { return wake_.get(); }
  void clear_loss() override {
    uint64_t count = 0;
    [[maybe_unused]] const ssize_t ignored = read(wake_.get(), &count, sizeof count);
  }

 private:
  Result<std::unique_ptr<Region>> map_whole(uint64_t bytes, bool existed) {
    const Status fits = check_dax_request(device_, options_.path, bytes);
    if (!fits.ok()) return fits;
    Fd file(open(options_.path.c_str(), O_RDWR | O_CLOEXEC));
    if (!file.valid()) return Status::from_errno("opening " + options_.path);
    Fd client(open(options_.path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!client.valid()) return Status::from_errno("opening " + options_.path + " read-only");
    auto region = MappedRegion::map_device(std::move(file), std::move(client),
                                           {0, bytes, device_.align_bytes, existed}, wake_.get());
    if (!region.ok()) return region.status();
    return std::unique_ptr<Region>(std::move(region.value()));
  }

  DaxDevice device_;
  Fd wake_;
  std::string owner_;  // the pool that has the device
};

// A sysfs attribute that holds one number, decimal or 0x...; 0 when it is not there.
uint64_t read_number(const std::string& path) {
  std::ifstream file(path);
  std::string text;
  file >> text;
  return std::strtoull(text.c_str(), nullptr, 0);
}

}  // namespace

std::string device_class(const std::string& sysfs, unsigned major_number, unsigned minor_number) {
  const std::string node =
      sysfs + "/dev/char/" + std::to_string(major_number) + ":" + std::to_string(minor_number);
  char link[PATH_MAX];
  const ssize_t length = readlink((node + "/subsystem").c_str(), link, sizeof link);
  if (length <= 0) return "unknown";
  const std::string target(link, size_t(length));
  return target.substr(target.rfind('/') + 1);
}

Result<DaxDevice> read_dax_device(const std::string& sysfs, const std::string& path,
                                  unsigned major_number, unsigned minor_number) {
  const std::string node =
      sysfs + "/dev/char/" + std::to_string(major_number) + ":" + std::to_string(minor_number);
  const std::string subsystem = device_class(sysfs, major_number, minor_number);
  if (subsystem != "dax")
    return Status(ENODEV, path + " is a character device, but of the class \"" + subsystem +
                              "\", not dax: `daxctl list` names devices in mode devdax");
  DaxDevice device;
  device.bytes = read_number(node + "/size");
  device.align_bytes = read_number(node + "/align");
  if (device.align_bytes == 0)
    device.align_bytes = 2u << 20;  // kernels before 5.10 have no such attribute
  if (device.bytes == 0)
    return Status(
        ENODEV,
        path + " has size 0: give it memory with `daxctl reconfigure-device --mode=devdax`");
  return device;
}

Status check_dax_request(const DaxDevice& device, const std::string& path, uint64_t bytes) {
  if (bytes > device.bytes)
    return {ENOSPC, path + " has " + std::to_string(device.bytes >> 20) +
                        " MiB, the namespace wants " + std::to_string(bytes >> 20) +
                        " MiB: lower its bytes"};
  if (bytes % device.align_bytes != 0)
    return {EINVAL, path + " maps in steps of " + std::to_string(device.align_bytes >> 20) +
                        " MiB: the namespace's bytes must be a multiple of that, not " +
                        std::to_string(bytes >> 20) + " MiB"};
  return {};
}

Result<std::unique_ptr<Medium>> make_devdax(const MediumOptions& options) {
  struct stat info {};
  if (options.path.empty())
    return Status(EINVAL, "medium \"devdax\" needs [pool] path, the device");
  if (stat(options.path.c_str(), &info) != 0)
    return Status::from_errno("[pool] path = " + options.path +
                              ", expected a device like /dev/dax0.0");
  if (!S_ISCHR(info.st_mode))
    return Status(
        ENODEV,
        options.path + " is not a character device: expected one like /dev/dax0.0" +
            (S_ISBLK(info.st_mode) ? " (a /dev/pmem device is no devdax: see daxctl)" : ""));
  auto device = read_dax_device("/sys", options.path, major(info.st_rdev), minor(info.st_rdev));
  if (!device.ok()) return device.status();
  Fd wake(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake.valid()) return Status::from_errno("eventfd for the guard of " + options.path);
  return std::unique_ptr<Medium>(
      std::make_unique<DevdaxMedium>(options, device.value(), std::move(wake)));
}

}  // namespace speckv::pool
