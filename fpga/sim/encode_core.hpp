// SPDX-License-Identifier: Apache-2.0
// encode_core.hpp - the bench of an encoder core (fpga/doc/seams.md), whichever: raw pages of its
// codecs, against the golden model: bytes of the page in the ring, or the refusal.
//
// The page ring is played by an array. Pages of all codecs, shapes and dtypes come back to back;
// raw beats come in three patterns. Where nothing holds them up they are taken in every cycle:
// bubbles are those in which one was not.
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

struct EncodePage {
  uint32_t cfg;
  size_t base;  // units
  Values values;
  std::optional<Bytes> stored;
  codec::Refusal refusal;
};

template <typename Dut>
class EncodeCore {
 public:
  EncodeCore(Bench<Dut>& bench, std::vector<codec::CodecId> ids)
      : bench_(bench), dut_(bench.dut()), ids_(std::move(ids)) {}

  // Resets, then runs the bench's pages in three parts, each under its pattern of raw beats.
  int run_all() {
    dut_.page_valid_i = 0;
    dut_.valid_i = 0;
    bench_.reset();
    for (int pattern = 0; pattern < 3; ++pattern) run(bench_.options().pages / 3, pattern);
    return bench_.finish();
  }

 private:

  void run(uint64_t pages, int pattern) {
    Flow flow(pattern);
    uint64_t added = 0, idle = 0;
    while (added < pages || !open_.empty()) {
      while (added < pages && waiting_.size() < 3) add_page(), ++added;
      dut_.page_valid_i = !waiting_.empty() && fits(waiting_.front());
      if (dut_.page_valid_i) {
        dut_.page_cfg_i = waiting_.front().cfg;
        dut_.page_base_i = waiting_.front().base;
      }
      dut_.valid_i = feeding_ < open_.size() && flow.next(bench_.random());
      if (dut_.valid_i) std::memcpy(&dut_.beat_i[0], &open_[feeding_].values[at_], 64);
      bench_.settle();
      const bool handed = dut_.page_valid_i && dut_.page_ready_o;
      const bool taken = dut_.valid_i && dut_.ready_o;
      idle += dut_.valid_i && !dut_.ready_o;
      look();
      bench_.edge();
      if (taken) feed();
      if (handed) open_.push_back(std::move(waiting_.front())), waiting_.pop_front();
    }
    if (pattern == 0) bench_.count_bubbles(idle);
  }

  void add_page() {
    const codec::CodecId id = ids_[bench_.random()() % ids_.size()];
    const codec::PageShape shape = any_shape(bench_.random());
    EncodePage page{page_cfg(id, shape), base_, any_page(shape, bench_.random()), {}, {}};
    page.stored = golden_encode(id, shape, page.values, &page.refusal);
    base_ = (base_ + stored_bytes(id, shape) / 32) % ring_units;
    waiting_.push_back(std::move(page));
  }
  // Three pages under way at most: the ring has room for four of the largest.
  bool fits(const EncodePage&) const { return open_.size() < 3; }
  void feed() {
    bench_.count_beat();
    at_ += 32;
    if (at_ < open_[feeding_].values.size()) return;
    at_ = 0;
    ++feeding_;
  }
  void look() {
    if (dut_.write_o) {
      const size_t unit = dut_.write_addr_o;
      if (dut_.write_mask_o & 1) std::memcpy(&ring_[unit], &dut_.write_data_o[0], 32);
      if (dut_.write_mask_o & 2)
        std::memcpy(&ring_[(unit + 1) % ring_units], &dut_.write_data_o[8], 32);
    }
    if (!dut_.done_o) return;
    const EncodePage& page = open_.front();
    if (dut_.refusal_o != uint32_t(page.refusal)) {
      bench_.mismatch("page %03x: refusal %u, not %u", page.cfg, dut_.refusal_o,
                      unsigned(page.refusal));
    } else if (page.stored) {
      for (size_t i = 0; i < page.stored->size(); i += 32) {
        if (std::memcmp(&ring_[(page.base + i / 32) % ring_units], &(*page.stored)[i], 32) == 0)
          continue;
        bench_.mismatch("page %03x: unit %zu of %zu", page.cfg, i / 32, page.stored->size() / 32);
        break;
      }
    }
    bench_.count_page();
    open_.pop_front();
    --feeding_;
  }

  Bench<Dut>& bench_;
  Dut& dut_;
  std::vector<codec::CodecId> ids_;
  std::array<std::array<std::byte, 32>, ring_units> ring_{};
  std::deque<EncodePage> waiting_, open_;
  size_t feeding_ = 0, base_ = 0, at_ = 0;
};

}  // namespace speckv::fpga
