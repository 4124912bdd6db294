// SPDX-License-Identifier: Apache-2.0
// memory.hpp - what the kernel gives a daemon, in plain memory: regions and a medium. sim_io.hpp
// has its Io.
#pragma once

#include <sys/mman.h>

#include <memory>
#include <string>

#include "pool/medium.hpp"
#include "world.hpp"

namespace speckv::sim {

class PlainRegion : public Region {
 public:
  explicit PlainRegion(uint64_t bytes) : bytes_(bytes) {
    data_ = static_cast<std::byte*>(mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  }
  ~PlainRegion() override { munmap(data_, bytes_); }
  PlainRegion(const PlainRegion&) = delete;
  PlainRegion& operator=(const PlainRegion&) = delete;
  std::byte* data() override { return data_; }
  uint64_t bytes() const override { return bytes_; }
  int client_fd() const override { return -1; }
  uint64_t page_bytes() const override { return 4096; }
  bool existed() const override { return false; }

 private:
  std::byte* data_;
  uint64_t bytes_;
};

class PlainMedium : public Medium {
 public:
  Result<std::unique_ptr<Region>> open_region(const std::string&, uint64_t bytes, bool) override {
    return std::unique_ptr<Region>(std::make_unique<PlainRegion>(bytes));
  }
  Result<std::unique_ptr<Region>> open_session(uint64_t bytes) override {
    return std::unique_ptr<Region>(std::make_unique<PlainRegion>(bytes));
  }
  std::string describe() const override { return "plain memory"; }
  std::string isolation() const override { return "none"; }
  bool survives_daemon() const override { return true; }
};

}  // namespace speckv::sim
