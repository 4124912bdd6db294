// SPDX-License-Identifier: Apache-2.0
// region.hpp - `speckvctl region`: CXL regions made and destroyed, and whose hands they are in.
//
// A region is CXL's (libcxl); the DAX device that the kernel makes of it belongs to one driver at a
// time, which is the mode: `numa` (kmem: system RAM of a node of its own), `dax` (device_dax),
// `speckv` (ours), or none. Private to speckvctl's region files and their tests. region_parse.cpp
// touches nothing; region_cxl.cpp and region_dax.cpp need root for all but looking. Whoever holds
// memory is asked to let go first: nothing here takes memory that is in use.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace speckv::ctl {

enum class RegionMode { none, numa, dax, speckv, other };

struct RegionRequest {
  enum class Verb { list, create, destroy, mode, poison } verb = Verb::list;
  std::string name;  // memN, regionN, daxN.M or /dev/speckvN; "": the only one
  RegionMode mode = RegionMode::none;
};

struct PoisonRange {  // bytes of a region, from its start
  uint64_t offset = 0, bytes = 0;
};

// The records of `cxl list -L` by region. Returns: what is wrong with the text, "" if nothing.
std::string parse_media_errors(const std::string& text, std::vector<PoisonRange>* ret);
// Tells the driver. Returns: what was refused, "" if nothing; what came before that is marked.
std::string mark_poison(const std::string& device, const std::vector<PoisonRange>& ranges);

// What `words` ("region", verb, ...) ask for. Returns: what is wrong with them, "" if nothing.
std::string parse_region(const std::vector<std::string>& words, RegionRequest* ret);

const char* mode_name(RegionMode mode);
// The kernel driver behind a mode, and back. "": none.
const char* mode_driver(RegionMode mode);
RegionMode mode_of_driver(const std::string& driver);

struct CxlRegion {
  std::string name;
  uint64_t bytes = 0;
  uint64_t address = 0;  // host physical
  bool committed = false;
  std::vector<std::string> memdevs;
};

struct DaxDevice {
  std::string name;
  std::string region;  // "": of no CXL region
  RegionMode mode = RegionMode::none;
  std::string driver;     // "": none
  std::string node_path;  // /dev/dax0.0, /dev/speckv0, /sys/devices/system/node/node1; "": none
  uint64_t bytes = 0;
  int numa_node = -1;
};

// All of these throw Failure with a sentence that says what was wrong and what to do.

std::vector<CxlRegion> list_regions();
// A region of the whole volatile capacity of one memory device. Returns: its name.
std::string create_region(const std::string& memdev);
// Requires: no DAX device of it is system RAM or in use.
void destroy_region(const std::string& name);

std::vector<DaxDevice> list_dax_devices();
// Returns: the device as it is now. A device that has the mode already is left alone.
DaxDevice set_mode(const std::string& name, RegionMode mode);
// Throws unless nobody uses the device and taking it away from its driver would be harmless.
void require_idle(const DaxDevice& device);

}  // namespace speckv::ctl
