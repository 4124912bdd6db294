// SPDX-License-Identifier: Apache-2.0
// decode_core.hpp - the bench of a decoder core (fpga/doc/seams.md), whichever: pages of its codecs
// against the golden model.
//
// The page ring is played by an array here. Pages of all codecs, shapes and dtypes come back to
// back; grants are missing at times, what leaves is held up by three patterns. Where nothing holds
// it up bubbles are counted: raw beats must leave in every cycle from the first to the last.
#pragma once

#include <array>
#include <cstring>
#include <deque>
#include <utility>
#include <vector>

#include "bench.hpp"
#include "pages_of.hpp"

namespace speckv::fpga {

inline constexpr size_t ring_units = 2048;
inline constexpr int ring_latency = 3;

struct DecodePage {
  uint32_t cfg;
  size_t base;  // units
  Values values;
};

template <typename Dut>
class DecodeCore {
 public:
  DecodeCore(Bench<Dut>& bench, std::vector<codec::CodecId> ids)
      : bench_(bench), dut_(bench.dut()), ids_(std::move(ids)) {}

  // Resets, then runs the bench's pages in three parts, each under its pattern of back-pressure.
  int run_all() {
    dut_.page_valid_i = 0;
    bench_.reset();
    for (int pattern = 0; pattern < 3; ++pattern) run(bench_.options().pages / 3, pattern);
    return bench_.finish();
  }

 private:
  // Pages one after the other, under one pattern of back-pressure.
  void run(uint64_t pages, int pattern) {
    Flow flow(pattern);
    uint64_t made = 0, first = 0, last = 0, beats = 0;
    while (made < pages || !pending_.empty()) {
      while (made < pages && pending_.size() < 3) add_page(), ++made;
      offer_page();
      dut_.read_grant_i = pattern == 0 || bench_.random()() % 4 != 0;
      dut_.ready_i = flow.next(bench_.random());
      serve_ring();
      bench_.settle();
      if (dut_.valid_o && dut_.ready_i) {
        if (beats++ == 0) first = bench_.cycles();
        last = bench_.cycles();
        take_beat();
      }
      const bool done = dut_.page_done_o;
      read_ = dut_.read_o && dut_.read_grant_i;
      read_addr_ = dut_.read_addr_o;
      bench_.edge();
      if (done) ++offered_;
    }
    if (pattern == 0) bench_.count_bubbles(last - first + 1 - beats);
  }

  void add_page() {
    const codec::CodecId id = ids_[bench_.random()() % ids_.size()];
    const codec::PageShape shape = any_shape(bench_.random());
    const Bytes bytes = any_encoded(id, shape, bench_.random());
    pending_.push_back({page_cfg(id, shape), base_, golden_decode(id, shape, bytes)});
    for (size_t i = 0; i < bytes.size(); i += 32)
      std::memcpy(&ring_[(base_ + i / 32) % ring_units], &bytes[i], 32);
    base_ = (base_ + bytes.size() / 32) % ring_units;
  }
  void offer_page() {
    dut_.page_valid_i = offered_ < pending_.size();
    if (!dut_.page_valid_i) return;
    dut_.page_cfg_i = pending_[offered_].cfg;
    dut_.page_base_i = pending_[offered_].base;
  }
  void serve_ring() {
    reads_.push_back(read_ ? int(read_addr_) : -1);
    if (reads_.size() < ring_latency) return;
    const int addr = reads_.front();
    reads_.pop_front();
    if (addr < 0) return;
    std::memcpy(&dut_.read_data_i[0], &ring_[size_t(addr)], 32);
    std::memcpy(&dut_.read_data_i[8], &ring_[size_t(addr + 1) % ring_units], 32);
  }
  void take_beat() {
    bench_.count_beat();
    const DecodePage& page = pending_.front();
    if (std::memcmp(&dut_.beat_o[0], &page.values[at_], 64) != 0)
      bench_.mismatch("page %03x beat %zu", page.cfg, at_ / 32);
    at_ += 32;
    if (bool(dut_.last_o) != (at_ == page.values.size())) bench_.mismatch("last at %zu", at_);
    if (at_ < page.values.size()) return;
    at_ = 0;
    pending_.pop_front();
    --offered_;
    bench_.count_page();
  }

  Bench<Dut>& bench_;
  Dut& dut_;
  std::vector<codec::CodecId> ids_;
  std::array<std::array<std::byte, 32>, ring_units> ring_{};
  std::deque<DecodePage> pending_;
  std::deque<int> reads_;
  size_t offered_ = 0, base_ = 0, at_ = 0;
  bool read_ = false;
  uint32_t read_addr_ = 0;
};

}  // namespace speckv::fpga
