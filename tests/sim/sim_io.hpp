// SPDX-License-Identifier: Apache-2.0
// sim_io.hpp - an Io without a kernel: polls, cancels and signals are refused as often as the seed
// likes, and the disks of spill tiers are plain memory.
//
// Reads and writes complete in any order, some at a time, whole, short, failed, or never until they
// are let go. What a daemon had asked for when it died happens in whole, in part or not at all. A
// write is durable when a sync that was asked for after it has completed, or some time later: a
// loss of power takes pages of the others back.
#pragma once

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <vector>

#include "loop/io.hpp"
#include "world.hpp"

namespace speckv::sim {

// One spill file. Outlives daemons.
class SimDisk {
 public:
  static constexpr uint64_t page_bytes = 4096;
  SimDisk(std::byte* data, uint64_t bytes) : data_(data), bytes_(bytes) {}
  uint64_t bytes() const { return bytes_; }
  void read(std::byte* into, uint64_t count, uint64_t offset) const {
    std::memcpy(into, data_ + offset, count);
  }
  void write(const std::byte* from, uint64_t count, uint64_t offset) {
    for (uint64_t at = 0; at < count; at += page_bytes) {
      const uint64_t page = (offset + at) / page_bytes;
      std::byte* to = data_ + page * page_bytes;
      if (!cached_.contains(page)) cached_[page].assign(to, to + page_bytes);
      std::memcpy(to, from + at, page_bytes);
    }
  }
  void sync() { cached_.clear(); }
  // Of what was in the device's cache some pages are what they were before.
  void lose_power(Random& random) {
    for (const auto& [page, before] : cached_)
      if (random.chance(512)) std::memcpy(data_ + page * page_bytes, before.data(), page_bytes);
    cached_.clear();
  }
  void settle(Random& random) {
    if (random.chance(64)) cached_.clear();
  }

 private:
  std::byte* data_;
  uint64_t bytes_;
  std::map<uint64_t, std::vector<std::byte>> cached_;  // pages as they are on the medium
};

class SimIo : public Io {
 public:
  // Descriptor i is that of disks[i].
  SimIo(Random& random, std::vector<SimDisk*> disks) : random_(random), disks_(std::move(disks)) {}
  uint32_t refused = 0, failing = 0, shortened = 0;  // of 1024
  bool stuck = false;                                // what is asked for from now on stays

  int poll(Operation* operation, int) override {
    if (random_.chance(refused)) return -EAGAIN;
    *operation = {0, true};
    polls_.push_back(operation);
    return 0;
  }
  int read(Operation* operation, int fd, std::span<std::byte> into, uint64_t offset) override {
    return ask({operation, fd, into.data(), nullptr, into.size(), offset, stuck});
  }
  int write(Operation* operation, int fd, std::span<const std::byte> from,
            uint64_t offset) override {
    return ask({operation, fd, nullptr, from.data(), from.size(), offset, stuck});
  }
  int sync(Operation* operation, int fd) override {
    return ask({operation, fd, nullptr, nullptr, 0, 0, stuck});
  }
  int cancel(Operation* operation) override {
    if (random_.chance(refused)) return -EAGAIN;
    const auto poll = std::find(polls_.begin(), polls_.end(), operation);
    if (poll == polls_.end()) return 0;  // a disk does not let go of what it has begun
    polls_.erase(poll);
    cancelled_.push_back(operation);
    return 0;
  }
  int signal(int) override { return random_.chance(refused) ? -EAGAIN : 0; }
  void wait(uint64_t) override {}
  // One of those that were cancelled, and some of the disks', in any order.
  void reap(std::vector<Operation*>* ret_completed) override {
    if (!cancelled_.empty()) {
      const auto at = cancelled_.begin() + ptrdiff_t(random_.below(cancelled_.size()));
      (*at)->result = -ECANCELED;
      (*at)->under_way = false;
      ret_completed->push_back(*at);
      cancelled_.erase(at);
    }
    for (uint64_t left = random_.below(4); left > 0 && !asked_.empty(); left--) {
      const auto at = asked_.begin() + ptrdiff_t(random_.below(asked_.size()));
      if (at->stuck) continue;
      at->operation->result = complete(*at);
      at->operation->under_way = false;
      ret_completed->push_back(at->operation);
      asked_.erase(at);
    }
    for (SimDisk* disk : disks_) disk->settle(random_);
  }
  void let_go() {
    stuck = false;
    for (Asked& each : asked_) each.stuck = false;
  }
  // The daemon is dead; its writes may be done, or begun.
  void died() {
    for (const Asked& each : asked_)
      if (each.from && random_.chance(512)) {
        const uint64_t pages = each.bytes / SimDisk::page_bytes;
        const uint64_t done = random_.chance(512) ? pages : random_.below(pages + 1);
        disk(each).write(each.from, done * SimDisk::page_bytes, each.offset);
      }
    for (const Asked& each : asked_) each.operation->under_way = false;
    asked_.clear();
  }
  size_t under_way() const { return asked_.size(); }

 private:
  struct Asked {
    Operation* operation = nullptr;
    int fd = -1;
    std::byte* into = nullptr;
    const std::byte* from = nullptr;
    uint64_t bytes = 0, offset = 0;
    bool stuck = false;
  };
  SimDisk& disk(const Asked& asked) { return *disks_[size_t(asked.fd)]; }
  int ask(const Asked& asked) {
    if (random_.chance(refused)) return -EAGAIN;
    demand(asked.bytes % SimDisk::page_bytes == 0 && asked.offset % SimDisk::page_bytes == 0 &&
               asked.offset + asked.bytes <= disks_[size_t(asked.fd)]->bytes(),
           "an operation on a disk is not aligned, or reaches beyond it");
    *asked.operation = {0, true};
    asked_.push_back(asked);
    return 0;
  }
  int complete(const Asked& asked) {
    if (random_.chance(failing)) return random_.chance(512) ? -EIO : -ENOSPC;
    if (!asked.from && !asked.into) {
      disk(asked).sync();
      return 0;
    }
    uint64_t count = asked.bytes;
    if (count > SimDisk::page_bytes && random_.chance(shortened))
      count = random_.range(1, count / SimDisk::page_bytes - 1) * SimDisk::page_bytes;
    if (asked.from) disk(asked).write(asked.from, count, asked.offset);
    else disk(asked).read(asked.into, count, asked.offset);
    return int(count);
  }

  Random& random_;
  std::vector<SimDisk*> disks_;
  std::vector<Asked> asked_;
  std::vector<Operation*> polls_, cancelled_;
};

}  // namespace speckv::sim
