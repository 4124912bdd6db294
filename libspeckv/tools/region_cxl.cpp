// SPDX-License-Identifier: Apache-2.0
// region_cxl.cpp - CXL regions by libcxl: listed, made of one memory device, destroyed.
//
// libcxl as of ndctl 76 knows everything about regions but how to begin one of RAM; that one step
// is a write to the root decoder's create_ram_region, which hands out the name.
#include <cxl/libcxl.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <memory>

#include "tools/ctl.hpp"
#include "tools/region.hpp"

namespace speckv::ctl {
namespace {

constexpr const char* devices = "/sys/bus/cxl/devices/";

using Context = std::unique_ptr<cxl_ctx, decltype(&cxl_unref)>;

void no_log(cxl_ctx*, int, const char*, int, const char*, const char*, va_list) {}

Context open_context() {
  cxl_ctx* context = nullptr;
  const int rc = cxl_new(&context);
  if (rc) throw Failure{std::string("libcxl does not start: ") + std::strerror(-rc)};
  cxl_set_log_fn(context, no_log);  // every failure is told by its caller, once
  return {context, cxl_unref};
}

std::string why(int rc) { return std::strerror(rc < 0 ? -rc : rc); }

// Calls `visit` for each decoder of each host bridge's root; stops when it returns true.
template <typename Visit>
cxl_decoder* find_root_decoder(cxl_ctx* context, Visit visit) {
  cxl_bus* bus;
  cxl_bus_foreach(context, bus) {
    cxl_decoder* decoder;
    cxl_decoder_foreach(cxl_bus_get_port(bus), decoder) {
      if (visit(decoder)) return decoder;
    }
  }
  return nullptr;
}

cxl_region* find_region(cxl_ctx* context, const std::string& name) {
  cxl_region* found = nullptr;
  find_root_decoder(context, [&](cxl_decoder* decoder) {
    cxl_region* region;
    cxl_region_foreach(decoder, region) {
      if (name == cxl_region_get_devname(region)) found = region;
    }
    return found != nullptr;
  });
  return found;
}

// The card's first decoder, if none of its decoders carries anything: the hardware wants them used
// in order, and a region here takes the whole card. nullptr: it is in use, or has no driver.
cxl_decoder* idle_endpoint_decoder(cxl_memdev* memdev) {
  cxl_endpoint* endpoint = cxl_memdev_get_endpoint(memdev);
  if (!endpoint) return nullptr;
  cxl_decoder *decoder, *first = nullptr;
  cxl_decoder_foreach(cxl_endpoint_get_port(endpoint), decoder) {
    if (cxl_decoder_get_dpa_size(decoder) || cxl_decoder_get_region(decoder)) return nullptr;
    if (!first) first = decoder;
  }
  return first;
}

// The named one, or the first that is idle.
cxl_memdev* choose_memdev(cxl_ctx* context, const std::string& name) {
  cxl_memdev* memdev;
  bool any = false;
  cxl_memdev_foreach(context, memdev) {
    if (!name.empty() && name != cxl_memdev_get_devname(memdev)) continue;
    any = true;
    const bool has_ram = cxl_memdev_get_ram_size(memdev) > 0;
    if (has_ram && idle_endpoint_decoder(memdev)) return memdev;
    if (name.empty()) continue;
    throw Failure{has_ram ? name +
                                " is in a region already, or cxl_mem has not bound it; see "
                                "`speckvctl region list`"
                          : name + " has no volatile capacity, and a region needs that"};
  }
  if (!name.empty()) throw Failure{"no CXL memory device " + name + "; see `cxl list -M`"};
  throw Failure{any ? "no CXL memory device has volatile capacity that is in no region yet"
                    : "no CXL memory device: is the card in, and are cxl_pci and cxl_mem loaded?"};
}

cxl_decoder* root_decoder_for(cxl_ctx* context, cxl_memdev* memdev, uint64_t bytes) {
  const std::string name = cxl_memdev_get_devname(memdev);
  bool interleaved = false, small = false;
  cxl_decoder* root = find_root_decoder(context, [&](cxl_decoder* decoder) {
    if (!cxl_decoder_is_volatile_capable(decoder) ||
        !cxl_decoder_get_target_by_memdev(decoder, memdev))
      return false;
    if (cxl_decoder_get_interleave_ways(decoder) != 1) return interleaved = true, false;
    if (cxl_decoder_get_max_available_extent(decoder) < bytes) return small = true, false;
    return true;
  });
  if (root) return root;
  if (small)
    throw Failure{"the CXL windows above " + name + " have no room for its " +
                  human_bytes(static_cast<double>(bytes)) + "; destroy a region there"};
  if (interleaved)
    throw Failure{"the CXL window above " + name +
                  " interleaves host bridges; `cxl create-region` makes such regions"};
  throw Failure{"no CXL window for RAM leads to " + name +
                "; firmware has to describe one (CFMWS), see `cxl list -BDT`"};
}

// Returns: the name that the kernel gave the new region.
std::string begin_ram_region(const std::string& root) {
  const std::string path = devices + root + "/create_ram_region";
  std::string name;
  std::ifstream(path) >> name;
  if (name.empty())
    throw Failure{path + ": cannot read; does this kernel know CXL regions of RAM?"};
  std::ofstream file(path);
  file << name << std::flush;
  if (!file)
    throw Failure{path + ": cannot write " + name + ": " + std::strerror(errno) +
                  "; this needs root"};
  return name;
}

struct Step {
  const char* what;
  int rc;
};

// Everything from an empty region to one that the kernel has made a DAX device of.
Step fill_region(cxl_region* region, cxl_decoder* root, cxl_decoder* endpoint, uint64_t bytes) {
  int rc =
      cxl_region_set_interleave_granularity(region, cxl_decoder_get_interleave_granularity(root));
  if (rc) return {"interleave granularity", rc};
  if ((rc = cxl_region_set_interleave_ways(region, 1))) return {"interleave ways", rc};
  if ((rc = cxl_region_set_size(region, bytes))) return {"size", rc};
  if ((rc = cxl_decoder_set_mode(endpoint, CXL_DECODER_MODE_RAM))) return {"decoder mode", rc};
  if ((rc = cxl_decoder_set_dpa_size(endpoint, bytes))) return {"decoder size", rc};
  if ((rc = cxl_region_set_target(region, 0, endpoint))) return {"target", rc};
  if ((rc = cxl_region_decode_commit(region))) return {"commit", rc};
  if ((rc = cxl_region_enable(region))) return {"enable", rc};
  return {"", 0};
}

void take_apart(cxl_region* region) {
  cxl_region_disable(region);
  cxl_region_decode_reset(region);
  for (unsigned int i = 0; i < cxl_region_get_interleave_ways(region); i++) {
    cxl_decoder* endpoint = cxl_region_get_target_decoder(region, static_cast<int>(i));
    if (!endpoint) continue;
    cxl_region_clear_target(region, static_cast<int>(i));
    cxl_decoder_set_dpa_size(endpoint, 0);
  }
}

}  // namespace

std::vector<CxlRegion> list_regions() {
  const Context context = open_context();
  std::vector<CxlRegion> all;
  find_root_decoder(context.get(), [&](cxl_decoder* decoder) {
    cxl_region* region;
    cxl_region_foreach(decoder, region) {
      CxlRegion one{cxl_region_get_devname(region),
                    cxl_region_get_size(region),
                    cxl_region_get_resource(region),
                    cxl_region_decode_is_committed(region) == 1,
                    {}};
      cxl_memdev_mapping* mapping;
      cxl_mapping_foreach(region, mapping) {
        cxl_memdev* memdev = cxl_decoder_get_memdev(cxl_mapping_get_decoder(mapping));
        if (memdev) one.memdevs.emplace_back(cxl_memdev_get_devname(memdev));
      }
      all.push_back(one);
    }
    return false;
  });
  return all;
}

std::string create_region(const std::string& memdev_name) {
  std::string name, root_name, chosen;
  {
    const Context context = open_context();
    cxl_memdev* memdev = choose_memdev(context.get(), memdev_name);
    chosen = cxl_memdev_get_devname(memdev);
    root_name = cxl_decoder_get_devname(
        root_decoder_for(context.get(), memdev, cxl_memdev_get_ram_size(memdev)));
    name = begin_ram_region(root_name);
  }
  const Context context = open_context();  // anew: this one sees the region
  cxl_region* region = find_region(context.get(), name);
  if (!region) throw Failure{"the kernel made " + name + ", but libcxl does not see it"};
  cxl_memdev* memdev = choose_memdev(context.get(), chosen);
  const uint64_t bytes = cxl_memdev_get_ram_size(memdev);
  const Step step =
      fill_region(region, cxl_region_get_decoder(region), idle_endpoint_decoder(memdev), bytes);
  if (!step.rc) return name;
  take_apart(region);
  cxl_region_delete(region);
  const bool no_invalidation = step.rc == -ENXIO && !std::strcmp(step.what, "commit");
  throw Failure{std::string("making a region of ") + chosen + " failed at its " + step.what + ": " +
                why(step.rc) +
                (no_invalidation ? "; in a virtual machine hide the hypervisor bit from the guest"
                                 : "; dmesg says more") +
                ". Nothing was left behind"};
}

void destroy_region(const std::string& name) {
  const Context context = open_context();
  cxl_region* region = find_region(context.get(), name);
  if (!region) throw Failure{"no region " + name + "; `speckvctl region list` names them"};
  for (const DaxDevice& device : list_dax_devices())
    if (device.region == name) require_idle(device);
  take_apart(region);
  if (cxl_region_is_enabled(region))
    throw Failure{name + " cannot be disabled; this needs root, and dmesg says more"};
  const int rc = cxl_region_delete(region);
  if (rc) throw Failure{name + " cannot be deleted: " + why(rc)};
}

}  // namespace speckv::ctl
