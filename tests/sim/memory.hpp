// SPDX-License-Identifier: Apache-2.0
// memory.hpp - what the kernel gives a daemon, in plain memory: regions, and an Io whose polls,
// cancels and signals are refused as often as the seed likes.
#pragma once

#include <sys/mman.h>

#include <cerrno>
#include <memory>
#include <vector>

#include "loop/io.hpp"
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

class SimIo : public Io {
 public:
  explicit SimIo(Random& random) : random_(random) {}
  uint32_t refused = 0;  // of 1024

  int poll(Operation* operation, int) override {
    if (random_.chance(refused)) return -EAGAIN;
    *operation = {0, true};
    return 0;
  }
  int read(Operation*, int, std::span<std::byte>, uint64_t) override { return -ENOSYS; }
  int write(Operation*, int, std::span<const std::byte>, uint64_t) override { return -ENOSYS; }
  int cancel(Operation* operation) override {
    if (random_.chance(refused)) return -EAGAIN;
    for (const Operation* each : cancelled_)
      if (each == operation) return 0;
    cancelled_.push_back(operation);
    return 0;
  }
  int signal(int) override { return random_.chance(refused) ? -EAGAIN : 0; }
  void wait(uint64_t) override {}
  // One of those that were cancelled, in any order.
  void reap(std::vector<Operation*>* ret_completed) override {
    if (cancelled_.empty()) return;
    const auto at = cancelled_.begin() + ptrdiff_t(random_.below(cancelled_.size()));
    (*at)->result = -ECANCELED;
    (*at)->under_way = false;
    ret_completed->push_back(*at);
    cancelled_.erase(at);
  }

 private:
  Random& random_;
  std::vector<Operation*> cancelled_;
};

}  // namespace speckv::sim
