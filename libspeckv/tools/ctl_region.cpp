// SPDX-License-Identifier: Apache-2.0
// ctl_region.cpp - `speckvctl region`: what was asked, and the answer for people or as JSON.
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <thread>

#include "tools/ctl.hpp"
#include "tools/region.hpp"

namespace speckv::ctl {
namespace {

using nlohmann::ordered_json;

std::string hex(uint64_t value) {
  char text[24];
  std::snprintf(text, sizeof text, "%#llx", static_cast<unsigned long long>(value));
  return text;
}

ordered_json to_json(const DaxDevice& device) {
  return {
      {"name", device.name},          {"region", device.region},  {"mode", mode_name(device.mode)},
      {"driver", device.driver},      {"path", device.node_path}, {"bytes", device.bytes},
      {"numa_node", device.numa_node}};
}

ordered_json to_json(const CxlRegion& region) {
  return {{"name", region.name},
          {"bytes", region.bytes},
          {"address", hex(region.address)},
          {"committed", region.committed},
          {"memdevs", region.memdevs}};
}

std::string joined(const std::vector<std::string>& words) {
  std::string all;
  for (const std::string& word : words) all += (all.empty() ? "" : ",") + word;
  return all.empty() ? "-" : all;
}

std::string or_dash(const std::string& text) { return text.empty() ? "-" : text; }

void add_device(std::vector<std::string> left, const DaxDevice* device,
                std::vector<std::vector<std::string>>* rows) {
  if (device)
    left.insert(left.end(), {device->name, mode_name(device->mode), or_dash(device->node_path),
                             std::to_string(device->numa_node)});
  else left.insert(left.end(), {"-", "-", "-", "-"});
  rows->push_back(std::move(left));
}

// An empty list has a reason more often than not.
std::string why_nothing() {
  const bool has_card = access("/sys/bus/cxl/devices/mem0", F_OK) == 0;
  return std::string("no CXL region and no DAX device; ") +
         (has_card ? "there is a card: speckvctl region create"
                   : "nor a CXL memory device: is the card in, and are cxl_pci and cxl_mem loaded? "
                     "If its memory is part of the system's already, the firmware has to mark it "
                     "as special purpose memory, and dmesg then says \"soft reserved\"");
}

int list(const Options& options) {
  const std::vector<CxlRegion> regions = list_regions();
  const std::vector<DaxDevice> devices = list_dax_devices();
  if (options.json) {
    ordered_json all{{"regions", ordered_json::array()}, {"devices", ordered_json::array()}};
    for (const CxlRegion& one : regions) all["regions"].push_back(to_json(one));
    for (const DaxDevice& one : devices) all["devices"].push_back(to_json(one));
    return std::puts(all.dump(2).c_str()), 0;
  }
  std::vector<std::vector<std::string>> rows{
      {"region", "size", "address", "memory", "device", "mode", "path", "node"}};
  for (const CxlRegion& one : regions) {
    const std::vector<std::string> left{one.name, human_bytes(static_cast<double>(one.bytes)),
                                        one.committed ? hex(one.address) : "not committed",
                                        joined(one.memdevs)};
    const DaxDevice* device = nullptr;
    for (const DaxDevice& candidate : devices)
      if (candidate.region == one.name) add_device(left, device = &candidate, &rows);
    if (!device) add_device(left, nullptr, &rows);
  }
  for (const DaxDevice& one : devices)
    if (one.region.empty())
      add_device({"-", human_bytes(static_cast<double>(one.bytes)), "-", "-"}, &one, &rows);
  if (rows.size() == 1) return std::puts(why_nothing().c_str()), 0;
  return std::fputs(table(rows).c_str(), stdout), 0;
}

int print_device(const Options& options, const DaxDevice& device) {
  if (options.json) return std::puts(to_json(device).dump(2).c_str()), 0;
  std::printf("%s: mode %s, %s\n", device.name.c_str(), mode_name(device.mode),
              or_dash(device.node_path).c_str());
  return 0;
}

int create(const Options& options, const std::string& memdev) {
  const std::string name = create_region(memdev);
  // The DAX device comes a moment later, from a work item of the kernel's.
  std::vector<DaxDevice> devices;
  bool found = false;
  for (int tick = 0; tick < 500 && !found; tick++) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    devices = list_dax_devices();
    for (const DaxDevice& one : devices) found = found || one.region == name;
  }
  for (const CxlRegion& one : list_regions()) {
    if (one.name != name) continue;
    if (!options.json)
      std::printf("%s: %s at %s of %s\n", name.c_str(),
                  human_bytes(static_cast<double>(one.bytes)).c_str(), hex(one.address).c_str(),
                  joined(one.memdevs).c_str());
    else if (!found) std::puts(to_json(one).dump(2).c_str());
  }
  for (const DaxDevice& one : devices)
    if (one.region == name) return print_device(options, one);
  throw Failure{"the kernel made no DAX device of " + name + "; is the module dax_cxl loaded?"};
}

// What stands in the card's poison list, from standard input.
int poison(const Options& options, const std::string& device) {
  std::string text;
  char piece[4096];
  for (size_t got; (got = std::fread(piece, 1, sizeof piece, stdin)) > 0;) text.append(piece, got);
  std::vector<PoisonRange> ranges;
  std::string complaint = parse_media_errors(text, &ranges);
  if (complaint.empty() && !ranges.empty()) complaint = mark_poison(device, ranges);
  if (!complaint.empty()) throw Failure{complaint};
  uint64_t bytes = 0;
  for (const PoisonRange& range : ranges) bytes += range.bytes;
  if (options.json)
    return std::puts(ordered_json{{"records", ranges.size()}, {"bytes", bytes}}.dump(2).c_str()), 0;
  std::printf("%zu records, %llu bytes: their granules of 2 MiB are out of use\n", ranges.size(),
              static_cast<unsigned long long>(bytes));
  return 0;
}

}  // namespace

int run_region(const Options& options) {
  RegionRequest request;
  const std::string complaint = parse_region(options.words, &request);
  if (!complaint.empty()) {
    std::fprintf(stderr, "speckvctl: %s\nTry 'speckvctl --help'.\n", complaint.c_str());
    return 2;
  }
  switch (request.verb) {
    case RegionRequest::Verb::list:
      return list(options);
    case RegionRequest::Verb::create:
      return create(options, request.name);
    case RegionRequest::Verb::destroy:
      destroy_region(request.name);
      if (options.json) std::puts(ordered_json{{"destroyed", request.name}}.dump(2).c_str());
      return 0;
    case RegionRequest::Verb::poison:
      return poison(options, request.name);
    case RegionRequest::Verb::mode:
      return print_device(options, set_mode(request.name, request.mode));
  }
  return 2;
}

}  // namespace speckv::ctl
