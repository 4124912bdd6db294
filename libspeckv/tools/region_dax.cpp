// SPDX-License-Identifier: Apache-2.0
// region_dax.cpp - DAX devices: whose they are, who uses them, and how they change hands.
//
// libdaxctl finds them and knows kmem and device_dax; speckv is bound through the DAX bus's own
// files. A device is taken from a driver only when nobody has it open or mapped: stock device_dax
// crashes the kernel if it goes while its memory is pinned.
#include <daxctl/libdaxctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>

#include "tools/ctl.hpp"
#include "tools/region.hpp"

namespace speckv::ctl {
namespace {

namespace fs = std::filesystem;

const std::string bus = "/sys/bus/dax/";
const std::string online_policy = "/sys/devices/system/memory/auto_online_blocks";

using Context = std::unique_ptr<daxctl_ctx, decltype(&daxctl_unref)>;

void no_log(daxctl_ctx*, int, const char*, int, const char*, const char*, va_list) {}

Context open_context() {
  daxctl_ctx* context = nullptr;
  const int rc = daxctl_new(&context);
  if (rc) throw Failure{std::string("libdaxctl does not start: ") + std::strerror(-rc)};
  daxctl_set_log_fn(context, no_log);
  return {context, daxctl_unref};
}

std::string read_word(const std::string& path) {
  std::string word;
  std::ifstream(path) >> word;
  return word;
}

// Returns: 0 or errno.
int write_word(const std::string& path, const std::string& word) {
  errno = 0;
  std::ofstream file(path);
  file << word << std::flush;
  return file ? 0 : errno ? errno : EIO;
}

std::string driver_of(const std::string& name) {
  std::error_code error;
  return fs::read_symlink(bus + "devices/" + name + "/driver", error).filename().string();
}

// .../region0/dax_region0/dax0.0 -> region0
std::string region_of(const std::string& name) {
  std::error_code error;
  for (const fs::path& part : fs::canonical(bus + "devices/" + name, error))
    if (part.string().compare(0, 6, "region") == 0) return part.string();
  return "";
}

std::string speckv_node_of(const std::string& name) {
  std::error_code error;
  for (const fs::directory_entry& one : fs::directory_iterator("/sys/class/speckv", error))
    if (read_word(one.path() / "dax_device") == name)
      return "/dev/" + one.path().filename().string();
  return "";
}

DaxDevice describe(daxctl_dev* dev) {
  DaxDevice one;
  one.name = daxctl_dev_get_devname(dev);
  one.region = region_of(one.name);
  one.driver = driver_of(one.name);
  one.mode = mode_of_driver(one.driver);
  one.bytes = daxctl_dev_get_size(dev);
  one.numa_node = daxctl_dev_get_target_node(dev);
  if (one.mode == RegionMode::speckv) one.node_path = speckv_node_of(one.name);
  if (one.mode == RegionMode::dax) one.node_path = "/dev/" + one.name;
  if (one.mode == RegionMode::numa)
    one.node_path = "/sys/devices/system/node/node" + std::to_string(one.numa_node);
  return one;
}

void for_each_device(daxctl_ctx* context, const std::function<void(daxctl_dev*)>& visit) {
  daxctl_region* region;
  daxctl_region_foreach(context, region) {
    daxctl_dev* dev;
    daxctl_dev_foreach(region, dev) {
      if (daxctl_dev_get_size(dev) > 0) visit(dev);  // a seed without memory is nobody's
    }
  }
}

// "1234 (speckvd)" of the first process that has `node` open or mapped; "": none.
std::string user_of(const std::string& node) {
  struct stat wanted {};
  if (stat(node.c_str(), &wanted)) return "";
  std::error_code error;
  for (const fs::directory_entry& process : fs::directory_iterator("/proc", error)) {
    const std::string pid = process.path().filename().string();
    if (pid.find_first_not_of("0123456789") != std::string::npos) continue;
    bool uses = false;
    for (const fs::directory_entry& fd : fs::directory_iterator(process.path() / "fd", error)) {
      struct stat is {};
      uses = uses ||
             (!stat(fd.path().c_str(), &is) && S_ISCHR(is.st_mode) && is.st_rdev == wanted.st_rdev);
    }
    std::ifstream maps(process.path() / "maps");
    for (std::string line; !uses && std::getline(maps, line);)
      uses = line.size() > node.size() && line.ends_with(" " + node);
    if (uses) return pid + " (" + read_word(process.path() / "comm") + ")";
  }
  return "";
}

void load_driver(const std::string& driver) {
  if (fs::exists(bus + "drivers/" + driver)) return;
  // By its own name, which a "blacklist" line in modprobe.d does not keep out.
  const int rc = std::system(("modprobe " + driver + " >/dev/null 2>&1").c_str());
  if (rc || !fs::exists(bus + "drivers/" + driver))
    throw Failure{"the driver " + driver + " is not loaded, and `modprobe " + driver +
                  "` did not help"};
}

// The kernel tries for ever to move what cannot move; a signal ends that.
constexpr int offline_patience_s = 10;

void wake(int) {}

// One try. Returns: how much is still online.
int offline_once(daxctl_memory* memory, int* ret_rc) {
  struct sigaction action {
  }, before{};
  action.sa_handler = wake;  // no SA_RESTART
  sigaction(SIGALRM, &action, &before);
  alarm(offline_patience_s);
  *ret_rc = daxctl_memory_offline(memory);
  alarm(0);
  sigaction(SIGALRM, &before, nullptr);
  return daxctl_memory_is_online(memory);
}

void offline_memory(daxctl_dev* dev, const std::string& name) {
  daxctl_memory* memory = daxctl_dev_get_memory(dev);
  int online = memory ? daxctl_memory_is_online(memory) : 0;
  int rc = 0;
  while (online > 0) {  // as long as each try takes some more of it
    const int left = offline_once(memory, &rc);
    if (left >= online) break;
    online = left;
  }
  if (online == 0) return;
  if (memory) daxctl_memory_online(memory);  // what went is put back
  throw Failure{name + ": its memory is in use and cannot go offline" +
                (rc < 0 ? std::string(" (") + std::strerror(-rc) + ")" : "") +
                "; end what runs on node " + std::to_string(daxctl_dev_get_target_node(dev)) +
                " (`numastat -p` tells), or reboot"};
}

void leave_driver(daxctl_dev* dev, const DaxDevice& device) {
  if (device.driver.empty()) return;
  if (device.mode == RegionMode::numa) offline_memory(dev, device.name);
  require_idle(device);
  const std::string path = bus + "drivers/" + device.driver + "/";
  // Else it would take the device again when the region is made anew.
  write_word(path + "remove_id", device.name);
  const int error = write_word(path + "unbind", device.name);
  if (error || !driver_of(device.name).empty())
    throw Failure{device.name + ": " + device.driver + " does not let go of it: " +
                  std::strerror(error ? error : EBUSY) + "; this needs root, and dmesg says more"};
}

// Memory that comes online as movable can go offline again.
int enter_numa(daxctl_dev* dev) {
  const std::string policy = read_word(online_policy);
  write_word(online_policy, "online_movable");
  int rc = daxctl_dev_enable_ram(dev);
  write_word(online_policy, policy);
  daxctl_memory* memory = rc < 0 ? nullptr : daxctl_dev_get_memory(dev);
  if (memory && daxctl_memory_is_online(memory) == 0) rc = daxctl_memory_online(memory);
  return rc;
}

int enter_speckv(const std::string& name) {
  const std::string path = bus + "drivers/speckv/";
  // A name that the driver knows already is refused here, and then is bound by the second line.
  write_word(path + "new_id", name);
  return driver_of(name).empty() ? -write_word(path + "bind", name) : 0;
}

void enter_driver(daxctl_dev* dev, const std::string& name, RegionMode mode) {
  int rc = 0;
  if (mode == RegionMode::numa) rc = enter_numa(dev);
  if (mode == RegionMode::dax) rc = daxctl_dev_enable_devdax(dev);
  if (mode == RegionMode::speckv) rc = enter_speckv(name);
  if (rc < 0 || driver_of(name) != mode_driver(mode))
    throw Failure{name + ": " + mode_driver(mode) +
                  " does not take it: " + std::strerror(rc < 0 ? -rc : ENODEV) +
                  "; dmesg says more. The device has no driver now"};
}

}  // namespace

void require_idle(const DaxDevice& device) {
  if (device.mode == RegionMode::numa) {
    const Context context = open_context();
    for_each_device(context.get(), [&](daxctl_dev* dev) {
      daxctl_memory* memory = daxctl_dev_get_memory(dev);
      if (device.name == daxctl_dev_get_devname(dev) && memory && daxctl_memory_is_online(memory))
        throw Failure{device.name +
                      " is system RAM (kmem owns it); first: speckvctl region mode dax " +
                      device.name};
    });
    return;
  }
  if (device.node_path.empty()) return;
  const std::string user = user_of(device.node_path);
  if (!user.empty())
    throw Failure{device.name + " is busy: process " + user + " uses " + device.node_path +
                  "; end it first"};
}

std::vector<DaxDevice> list_dax_devices() {
  const Context context = open_context();
  std::vector<DaxDevice> all;
  for_each_device(context.get(), [&](daxctl_dev* dev) { all.push_back(describe(dev)); });
  return all;
}

DaxDevice set_mode(const std::string& wanted, RegionMode mode) {
  const Context context = open_context();
  std::vector<daxctl_dev*> found;
  for_each_device(context.get(), [&](daxctl_dev* dev) {
    if (wanted.empty() || wanted == daxctl_dev_get_devname(dev)) found.push_back(dev);
  });
  if (found.empty())
    throw Failure{wanted.empty() ? "there is no DAX device; first: speckvctl region create"
                                 : "no DAX device " + wanted + "; see `speckvctl region list`"};
  if (found.size() > 1)
    throw Failure{"there are " + std::to_string(found.size()) +
                  " DAX devices; name one, see `speckvctl region list`"};
  const DaxDevice before = describe(found[0]);
  if (before.mode == mode) return before;
  load_driver(mode_driver(mode));
  leave_driver(found[0], before);
  enter_driver(found[0], before.name, mode);
  return describe(found[0]);
}

}  // namespace speckv::ctl
