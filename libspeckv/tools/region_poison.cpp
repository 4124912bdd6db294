// SPDX-License-Identifier: Apache-2.0
// region_poison.cpp - `speckvctl region poison`: what the card's own poison list says, told to the
// driver. `cxl list -r region0 -L` knows it; the kernel's reports of memory failures, which the
// driver sees by itself, do not cover what nobody has touched yet.
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>
#include <uapi/linux/speckv.h>

#include "tools/region.hpp"

namespace speckv::ctl {
namespace {

using nlohmann::json;

// A number, or a string that is one: cxl writes addresses in hexadecimal where people read them.
bool number_of(const json& record, const char* name, uint64_t* ret) {
  const auto found = record.find(name);
  if (found == record.end()) return false;
  if (found->is_number_unsigned()) return *ret = found->get<uint64_t>(), true;
  if (!found->is_string()) return false;
  const std::string& text = found->get_ref<const std::string&>();
  size_t read = 0;
  try {
    *ret = std::stoull(text, &read, 0);
  } catch (const std::exception&) {
    return false;
  }
  return read == text.size();
}

// Every record of every "media_errors" below value. Returns: what is wrong, "" if nothing.
std::string collect(const json& value, std::vector<PoisonRange>* ret) {
  if (!value.is_structured()) return "";
  for (const auto& [name, child] : value.items()) {
    if (!value.is_object() || name != "media_errors" || !child.is_array()) {
      const std::string complaint = collect(child, ret);
      if (!complaint.empty()) return complaint;
      continue;
    }
    for (const json& record : child) {
      PoisonRange range;
      if (!number_of(record, "offset", &range.offset) || !number_of(record, "length", &range.bytes))
        return "a record has no offset in a region (" + record.dump() +
               "); list by region: cxl list -r region0 -L";
      if (range.bytes == 0) range.bytes = 1;
      ret->push_back(range);
    }
  }
  return "";
}

}  // namespace

std::string parse_media_errors(const std::string& text, std::vector<PoisonRange>* ret) {
  ret->clear();
  const json all = json::parse(text, nullptr, false);
  if (all.is_discarded()) return "this is no JSON; pipe it in: cxl list -r region0 -L | ...";
  return collect(all, ret);
}

std::string mark_poison(const std::string& device, const std::vector<PoisonRange>& ranges) {
  const int fd = open(device.c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) return device + ": " + std::strerror(errno) + "; this needs root, and a bound region";
  std::string complaint;
  for (const PoisonRange& range : ranges) {
    speckv_poison request{};
    request.flags = SPECKV_POISON_MARK;
    request.offset = range.offset;
    request.bytes = range.bytes;
    if (ioctl(fd, SPECKV_IOC_POISON, &request) == 0) continue;
    complaint = device + " does not take offset " + std::to_string(range.offset) + ", " +
                std::to_string(range.bytes) + " bytes: " + std::strerror(errno) +
                (errno == EINVAL ? "; is it that region's list?" : "");
    break;
  }
  close(fd);
  return complaint;
}

}  // namespace speckv::ctl
