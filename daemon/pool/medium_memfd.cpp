// SPDX-License-Identifier: Apache-2.0
// medium_memfd.cpp - anonymous files in DRAM: needs no right at all, ends with the daemon, isolates
// by uid only.
//
// A client's descriptor is read-only, but a process of the daemon's uid (or root) can open it anew
// for writing through /proc: hence mode 0600 and "isolation: by uid". Also what shm falls back to.
#include "pool/mapped_region.hpp"

namespace speckv::pool {
namespace {

class MemfdMedium : public Medium {
 public:
  MemfdMedium(const MediumOptions& options, std::string reason)
      : options_(options),
        map_{options.huge_pages, options.numa_node, false},
        reason_(std::move(reason)) {}

  Result<std::unique_ptr<Region>> open_region(const std::string& name, uint64_t bytes,
                                              bool) override {
    auto region = make_memfd_region(name, bytes, map_);
    if (region.ok() && bytes >= (2u << 20)) {
      huge_ = huge_ && region.value()->page_bytes() > 4096;
      mapped_ = true;
    }
    return region;
  }
  Result<std::unique_ptr<Region>> open_near(const std::string& name, uint64_t bytes) override {
    return make_memfd_region(name, bytes, near_options(options_));
  }
  Result<std::unique_ptr<Region>> open_session(uint64_t bytes) override {
    return make_session_region(bytes, map_);
  }
  std::string describe() const override {
    std::string text = "memfd";
    if (mapped_) text += huge_ ? ", 2 MiB pages" : ", 4 KiB pages";
    if (map_.numa_node >= 0) text += ", node " + std::to_string(map_.numa_node);
    if (!reason_.empty()) text += " (instead of shm: " + reason_ + ")";
    return text + describe_emulation(options_);
  }
  const char* kind() const override { return "memfd"; }
  const char* isolation_kind() const override { return "uid"; }
  std::string isolation() const override {
    return reason_.empty() ? "by uid" : "by uid (no read-only mount: " + reason_ + ")";
  }
  bool survives_daemon() const override { return false; }

 private:
  MediumOptions options_;
  MapOptions map_;
  std::string reason_;
  bool mapped_ = false;
  bool huge_ = true;
};

}  // namespace

std::unique_ptr<Medium> make_memfd(const MediumOptions& options, const std::string& reason) {
  return std::make_unique<MemfdMedium>(options, reason);
}

}  // namespace speckv::pool
