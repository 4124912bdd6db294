// SPDX-License-Identifier: Apache-2.0
// doctor_machine.cpp - what doctor looks up of the machine: swap, kernels and their modules, Secure
// Boot. Reads files only; what cannot be read is not there.
#include <sys/utsname.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "tools/doctor.hpp"

namespace speckv::ctl {
namespace {

namespace fs = std::filesystem;

bool swap_on() {
  std::ifstream file("/proc/swaps");
  std::string line;
  int devices = -1;  // its first line is a head
  while (std::getline(file, line)) devices++;
  return devices > 0;
}

// Where DKMS and `make modules_install` put a module that is not the kernel's own.
bool has_module(const fs::path& kernel) {
  std::error_code ignored;
  for (const char* folder : {"updates", "extra"})
    for (const auto& entry : fs::recursive_directory_iterator(kernel / folder, ignored))
      if (entry.path().filename().string().rfind("speckv.ko", 0) == 0) return true;
  return false;
}

// The last byte of the variable, after four of attributes.
Machine::SecureBoot secure_boot() {
  std::ifstream file("/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c",
                     std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (bytes.size() != 5) return Machine::SecureBoot::unknown;
  return bytes[4] == 1 ? Machine::SecureBoot::on : Machine::SecureBoot::off;
}

}  // namespace

Machine look_at_machine() {
  Machine machine;
  machine.swap = swap_on();
  utsname name{};
  if (uname(&name) == 0) machine.kernel = name.release;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator("/lib/modules", ignored)) {
    // A folder that an uninstalled kernel left behind has no list of its own modules.
    if (!fs::exists(entry.path() / "modules.order", ignored)) continue;
    machine.kernels.push_back(entry.path().filename());
    if (has_module(entry.path())) machine.with_module.push_back(machine.kernels.back());
  }
  std::sort(machine.kernels.begin(), machine.kernels.end());
  std::sort(machine.with_module.begin(), machine.with_module.end());
  machine.module_loaded = fs::exists("/sys/module/speckv", ignored);
  machine.secure_boot = secure_boot();
  return machine;
}

}  // namespace speckv::ctl
