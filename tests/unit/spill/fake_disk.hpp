// SPDX-License-Identifier: Apache-2.0
// fake_disk.hpp - an Io over plain memory: operations complete when reap() is called, and fail,
// stall or come back short as the test says. What was asked for and not completed has not happened.
#pragma once

#include <cerrno>
#include <cstring>
#include <vector>

#include "loop/io.hpp"

namespace speckv::test {

class FakeDisk : public Io {
 public:
  explicit FakeDisk(uint64_t bytes) : bytes_(bytes) {}

  int poll(Operation*, int) override { return -ENOSYS; }
  int read(Operation* operation, int, std::span<std::byte> into, uint64_t offset) override {
    return ask({operation, into.data(), nullptr, into.size(), offset});
  }
  int write(Operation* operation, int, std::span<const std::byte> from, uint64_t offset) override {
    return ask({operation, nullptr, from.data(), from.size(), offset});
  }
  int sync(Operation* operation, int) override {
    return ask({operation, nullptr, nullptr, 0, 0, false, true});
  }
  int cancel(Operation* operation) override {
    cancels++;
    if (cancels_work)
      for (Asked& each : asked_)
        if (each.operation == operation) each.cancelled = true;
    return 0;
  }
  int signal(int) override { return 0; }
  void wait(uint64_t) override {}
  void reap(std::vector<Operation*>* ret_completed) override {
    std::vector<Asked> later;
    std::vector<Asked> now;
    now.swap(asked_);
    for (const Asked& each : now) {
      const bool write = each.from != nullptr || each.sync;
      if (!each.cancelled && (write ? stall_writes : stall_reads)) {
        later.push_back(each);
        continue;
      }
      each.operation->result = each.cancelled ? -ECANCELED : complete(each, write);
      each.operation->under_way = false;
      ret_completed->push_back(each.operation);
    }
    asked_.insert(asked_.begin(), later.begin(), later.end());
  }
  // The process died: what was under way is not.
  void forget() { asked_.clear(); }

  std::byte* at(uint64_t offset) { return bytes_.data() + offset; }
  uint64_t size() const { return bytes_.size(); }
  size_t under_way() const { return asked_.size(); }

  int read_error = 0, write_error = 0;  // a negative errno for all of them
  uint64_t bad_from = 0, bad_to = 0;    // writes that reach in here fail
  bool refuse = false;                  // nothing is started
  bool damage_reads = false;            // none comes back as it was written
  bool stall_reads = false, stall_writes = false, cancels_work = false;
  uint32_t short_by = 0;   // sectors that are left out of what is longer than one
  uint64_t failed_at = 0;  // the unit that bad_from had fail last
  uint64_t written = 0, reads = 0, writes = 0, syncs = 0, cancels = 0;

 private:
  struct Asked {
    Operation* operation = nullptr;
    std::byte* into = nullptr;
    const std::byte* from = nullptr;
    uint64_t bytes = 0, offset = 0;
    bool cancelled = false, sync = false;
  };
  int ask(const Asked& asked) {
    if (refuse) return -EAGAIN;
    *asked.operation = {0, true};
    asked_.push_back(asked);
    return 0;
  }
  int complete(const Asked& asked, bool write) {
    (asked.sync ? syncs : write ? writes : reads)++;
    if (const int error = write ? write_error : read_error) return error;
    if (asked.sync) return 0;
    if (write && asked.offset < bad_to && asked.offset + asked.bytes > bad_from) {
      failed_at = asked.offset / (2u << 20) * (2u << 20);
      return -EIO;
    }
    if (asked.offset % 512 || asked.bytes % 512 || asked.offset >= bytes_.size()) return -EINVAL;
    uint64_t count = std::min(asked.bytes, bytes_.size() - asked.offset);
    if (short_by && count > 4096) count -= std::min<uint64_t>(short_by * 512, count - 4096);
    if (write) std::memcpy(at(asked.offset), asked.from, count);
    else std::memcpy(asked.into, at(asked.offset), count);
    for (uint64_t at = 0; damage_reads && !write && at < count; at += 64)
      asked.into[at + 40] ^= std::byte{1};
    written += write ? count : 0;
    return int(count);
  }
  std::vector<std::byte> bytes_;
  std::vector<Asked> asked_;
};

}  // namespace speckv::test
