// SPDX-License-Identifier: Apache-2.0
// extent_device.cpp - see extent_device.hpp.
#include "pool/extent_device.hpp"

#include <fcntl.h>
#include <linux/netlink.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "pool/dax_device.hpp"

namespace speckv::pool {
namespace {

constexpr uint32_t zeroing_wait_ms = 30'000;  // within systemd's patience with a start
constexpr uint32_t kernel_events_group = 1;   // as the kernel sends them; 2 is udev's

std::string mib(uint64_t bytes) { return std::to_string(bytes >> 20) + " MiB"; }

// What is at path, if not one of our devices.
Status check_path(const std::string& path, struct stat* ret_info) {
  if (::stat(path.c_str(), ret_info) != 0)
    return Status::from_errno("[pool] path = " + path +
                              ", expected a device like /dev/speckv0 (is the driver bound? see "
                              "docs/driver.md)");
  if (!S_ISCHR(ret_info->st_mode))
    return {ENODEV, path + " is a " +
                        (S_ISDIR(ret_info->st_mode)   ? "directory"
                         : S_ISBLK(ret_info->st_mode) ? "block device"
                                                      : "file") +
                        ", not a character device like /dev/speckv0"};
  const std::string kind = device_class("/sys", major(ret_info->st_rdev), minor(ret_info->st_rdev));
  if (kind == "speckv" || kind == "unknown") return {};  // unknown: no sysfs; INFO will tell
  return {ENODEV, path + " is a character device of the class \"" + kind + "\", not speckv" +
                      (kind == "dax" ? ": give it to the driver with `speckv-bind`, or use medium "
                                       "\"devdax\""
                                     : "")};
}

// Who has most of what is pinned: ending that process gives it back.
std::string pinner(const speckv_stat& stat) {
  if (stat.pinner_bytes == 0) return "";
  return " (most of it by process " + std::to_string(stat.pinner_pid) + " of uid " +
         std::to_string(stat.pinner_uid) + ")";
}

int ask_info(int fd, speckv_info* ret_info) {
  *ret_info = speckv_info{};
  return ioctl(fd, SPECKV_IOC_INFO, ret_info) == 0 ? 0 : errno;
}

// Returns: an invalid Fd when the kept descriptor is of no use any more.
Fd take_kept(int kept_fd, const struct stat& wanted, speckv_info* ret_info) {
  if (kept_fd < 0) return {};
  Fd kept(kept_fd);
  struct stat there {};
  if (fstat(kept_fd, &there) != 0 || there.st_rdev != wanted.st_rdev) return {};
  if (ask_info(kept_fd, ret_info) != 0 || ret_info->role != SPECKV_ROLE_CONTROL) return {};
  fcntl(kept_fd, F_SETFD, FD_CLOEXEC);
  return kept;
}

}  // namespace

Status check_extent_driver(const std::string& path, const speckv_info& info) {
  if (info.abi_version != SPECKV_ABI_VERSION)
    return {EPROTO, path + ": the driver speaks ABI " + std::to_string(info.abi_version) +
                        ", this speckvd " + std::to_string(SPECKV_ABI_VERSION) +
                        ": install driver and daemon of one version"};
  if (info.granule_bytes != SPECKV_GRANULE_BYTES || info.role != SPECKV_ROLE_CONTROL)
    return {EPROTO, path + ": the driver's answer cannot be (granules of " +
                        std::to_string(info.granule_bytes) + " bytes, role " +
                        std::to_string(info.role) + ")"};
  if (!(info.features & SPECKV_FEATURE_ZERO_FALLBACK))
    return {EOPNOTSUPP, path +
                            ": this driver would kill clients when memory is lost (no feature "
                            "ZERO_FALLBACK): install a newer one"};
  return {};
}

Result<std::shared_ptr<ExtentDevice>> ExtentDevice::open(const std::string& path, int kept_fd) {
  struct stat there {};
  Status status = check_path(path, &there);
  speckv_info info;
  Fd file;
  if (status.ok()) file = take_kept(kept_fd, there, &info);
  else if (kept_fd >= 0) Fd closed(kept_fd);
  if (!status.ok()) return status;
  const bool taken_over = file.valid();
  if (!taken_over) {
    file = Fd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
    if (!file.valid())
      return Status::from_errno("opening " + path +
                                (errno == EACCES || errno == EPERM
                                     ? " (the node must belong to the daemon's user: see "
                                       "driver/config/99-speckv.rules)"
                                     : ""));
    const int error = ask_info(file.get(), &info);
    if (error)
      return Status(error == ENOTTY ? ENODEV : error,
                    path + " does not answer as a speckv device: " + std::strerror(error));
  }
  status = check_extent_driver(path, info);
  if (!status.ok()) return status;
  return std::shared_ptr<ExtentDevice>(new ExtentDevice(path, std::move(file), info, taken_over));
}

int ExtentDevice::try_alloc(speckv_alloc* request) {
  while (ioctl(file_.get(), SPECKV_IOC_ALLOC, request) != 0)
    if (errno != EINTR) return errno;
  return 0;
}

Result<speckv_alloc> ExtentDevice::alloc(const std::string& what, uint64_t bytes, uint64_t cookie) {
  const std::string wish = path_ + ": " + what + " wants " + mib(bytes);
  if (bytes > info_.device_bytes)
    return Status(ENOSPC, wish + ", the region has " + mib(info_.device_bytes) +
                              ": lower the namespace's bytes");
  if (bytes > info_.limit_bytes)
    return Status(EDQUOT, wish + ", file_limit_bytes in sysfs is " + mib(info_.limit_bytes) +
                              ": raise it or lower the namespace's bytes");
  speckv_alloc request{};
  request.bytes = bytes;
  request.cookie = cookie;
  request.timeout_ms = zeroing_wait_ms;
  const int error = try_alloc(&request);
  if (error) {
    const auto now = stat();
    std::string numbers;
    if (now.ok())
      numbers = "; of the region " + mib(now.value().free_bytes) + " are free, " +
                mib(now.value().used_bytes) + " used (" + mib(now.value().held_bytes) +
                " by this daemon), " + mib(now.value().dirty_bytes) + " being zeroed, " +
                mib(now.value().quarantined_bytes) + " pinned" + pinner(now.value()) + ", " +
                mib(now.value().poisoned_bytes) + " bad; the longest free run has " +
                mib(now.value().longest_bytes);
    const char* advice = error == EAGAIN   ? ": start again in a moment"
                         : error == ENOSPC ? ": no free run is long enough"
                         : error == EDQUOT ? ": over file_limit_bytes in sysfs"
                                           : "";
    return Status(error, wish + ": " + std::strerror(error) + advice + numbers);
  }
  return request;
}

Status ExtentDevice::free(uint64_t handle) {
  speckv_free request{};
  request.handle = handle;
  if (ioctl(file_.get(), SPECKV_IOC_FREE, &request) == 0) return {};
  return Status::from_errno(path_ + ": freeing an extent");
}

Result<Fd> ExtentDevice::export_read_only(const std::vector<uint64_t>& handles) {
  if (handles.size() > SPECKV_CALL_MAX)
    return Status(E2BIG, path_ + ": a pool of " + std::to_string(handles.size()) + " extents");
  speckv_export request{};
  request.flags = SPECKV_EXPORT_NEW;
  request.fd = -1;
  request.handles = reinterpret_cast<uintptr_t>(handles.data());
  request.count = uint32_t(handles.size());
  if (ioctl(file_.get(), SPECKV_IOC_EXPORT, &request) != 0)
    return Status::from_errno(path_ + ": exporting an extent");
  return Fd(request.fd);
}

Result<std::vector<speckv_extent_entry>> ExtentDevice::list() {
  std::vector<speckv_extent_entry> all, some(256);
  speckv_list request{};
  do {
    request.count = uint32_t(some.size());
    request.entries = reinterpret_cast<uintptr_t>(some.data());
    if (ioctl(file_.get(), SPECKV_IOC_LIST, &request) != 0)
      return Status::from_errno(path_ + ": listing extents");
    all.insert(all.end(), some.begin(), some.begin() + request.count);
  } while (request.count > 0);
  return all;
}

Result<std::vector<uint64_t>> ExtentDevice::poisoned() {
  std::vector<uint64_t> all, some(256);
  speckv_poison request{};
  request.flags = SPECKV_POISON_LIST;
  do {
    request.count = uint32_t(some.size());
    request.entries = reinterpret_cast<uintptr_t>(some.data());
    if (ioctl(file_.get(), SPECKV_IOC_POISON, &request) != 0)
      return Status::from_errno(path_ + ": listing poison");
    all.insert(all.end(), some.begin(), some.begin() + request.count);
  } while (request.count > 0);
  return all;
}

Result<speckv_stat> ExtentDevice::stat() {
  speckv_stat answer{};
  answer.fd = -1;
  if (ioctl(file_.get(), SPECKV_IOC_STAT, &answer) == 0) return answer;
  return Status::from_errno(path_ + ": STAT");
}

Fd open_kernel_events() {
  Fd events(socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT));
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = kernel_events_group;
  if (events.valid() &&
      bind(events.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0)
    return events;
  return {};
}

}  // namespace speckv::pool
