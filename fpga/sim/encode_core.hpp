// SPDX-License-Identifier: Apache-2.0
// encode_core.hpp - the bench of an encoder core (fpga/doc/seams.md), whichever: raw pages of its
// codecs, against the golden model: bytes of the page in the ring, or the refusal.
//
// The page ring is played by an array. Rounds of pages of all codecs, shapes and dtypes come back
// to back; raw beats come in three patterns, and so do what has left the ring (cores of two passes
// wait for that): nine in all. Where nothing holds them up they are taken in every cycle: bubbles
// are those in which one was not. A core of two passes owes that to pages of one shape, as a
// segment has them.
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
  size_t base;  // units since the start
  size_t units;
  Values values;
  std::optional<Bytes> stored;
  codec::Refusal refusal;
  uint64_t begun = 0;  // cycle of its first beat
  uint32_t rope = 0, slot = 0;
  bool guess = false;  // what it becomes is anybody's guess, but it ends like any other
};

template <typename Dut>
class EncodeCore {
 public:
  EncodeCore(Bench<Dut>& bench, std::vector<codec::CodecId> ids)
      : bench_(bench), dut_(bench.dut()), ids_(std::move(ids)) {}
  virtual ~EncodeCore() = default;

  // Resets, prints how long a page of this codec takes alone if there is one, then runs the bench's
  // pages in rounds, each under its two patterns.
  int run_all(std::optional<codec::CodecId> alone = {}) {
    clear();
    if (alone) print_latency(*alone);
    int pattern = 0;
    for (uint64_t left = bench_.options().pages; left > 0; pattern = (pattern + 1) % 9) {
      const uint64_t pages = std::min<uint64_t>(left, round_pages);
      run(pages, pattern);
      left -= pages;
      if (two_passes && pattern % 3 == 2) interrupt();
    }
    return bench_.finish();
  }

 protected:
  static constexpr bool two_passes = requires(Dut & dut) { dut.left_i; };
  static constexpr uint64_t round_pages = 45;

  // What a codec adds to a page and to its hand-over; once a cycle before it is clocked.
  virtual void make(EncodePage& page, codec::CodecId id, const codec::PageShape& shape) {
    page.stored = golden_encode(id, shape, page.values, &page.refusal);
  }
  // Returns: whether the page may be handed out.
  virtual bool offer(const EncodePage&) { return true; }
  virtual void before_edge() {}
  // No page is inside.
  virtual void before_round() {}

  Bench<Dut>& bench_;
  Dut& dut_;

 private:
  void clear() {
    dut_.page_valid_i = 0;
    dut_.valid_i = 0;
    if constexpr (two_passes) dut_.left_i = 0;
    bench_.reset();
    waiting_.clear();
    open_.clear();
    feeding_ = base_ = at_ = left_ = made_ = 0;
  }

  void run(uint64_t pages, int pattern) {
    before_round();
    Flow flow(pattern % 3), leaves(pattern / 3);
    uint64_t added = 0, idle = 0;
    full_ = pattern == 7;
    const bool free = pattern == 0 || (!two_passes && pattern % 3 == 0);
    if (!only_) {
      even_ = free && two_passes;
      round_shape_ = any_shape(bench_.random());
      if (even_) {
        round_shape_.tokens = uint16_t(16u << evens_ % 3);
        round_shape_.head_dim = uint16_t(64 * (1 + evens_++ / 3 % 4));
      }
    }
    while (added < pages || !waiting_.empty() || !open_.empty()) {
      while (added < pages && waiting_.size() < 3) add_page(), ++added;
      idle += cycle(flow.next(bench_.random()), leaves.next(bench_.random()));
    }
    if (free) bench_.count_bubbles(idle);
  }

  // From a page's first beat to its last write; behind it a lane takes 7 cycles more.
  void print_latency(codec::CodecId id) {
    round_shape_ = {32, 64, SPECKV_DTYPE_F16, codec::Kind::k};
    even_ = true;
    only_ = id;
    run(1, 0);
    only_.reset();
    std::printf("codec %u, 32 x 64: first beat in to last write %llu cycles\n", unsigned(id),
                (unsigned long long)last_latency_);
  }

  // A reset in the middle of pages: what comes after it is as if nothing had been.
  void interrupt() {
    for (uint64_t left = 1 + bench_.random()() % 1000; left > 0; --left) {
      while (waiting_.size() < 3) add_page();
      cycle(true, true);
    }
    clear();
  }

  // Returns: whether a beat had to wait.
  bool cycle(bool flows, bool leaves) {
    dut_.page_valid_i = !waiting_.empty() && fits(waiting_.front());
    if (dut_.page_valid_i) {
      dut_.page_cfg_i = waiting_.front().cfg;
      dut_.page_base_i = waiting_.front().base % (two_passes ? 2 * ring_units : ring_units);
      if (!offer(waiting_.front())) dut_.page_valid_i = 0;
    }
    dut_.valid_i = feeding_ < open_.size() && flows;
    if (dut_.valid_i) std::memcpy(&dut_.beat_i[0], &open_[feeding_].values[at_], 64);
    if (full_ ? bench_.cycles() % 24 == 0 : leaves) left_ = std::min(left_ + 2, made_);
    if constexpr (two_passes) dut_.left_i = left_ % (2 * ring_units);
    before_edge();
    bench_.settle();
    const bool handed = dut_.page_valid_i && dut_.page_ready_o;
    const bool taken = dut_.valid_i && dut_.ready_o;
    const bool waits = dut_.valid_i && !dut_.ready_o;
    look();
    bench_.edge();
    if (taken) feed();
    if (handed) open_.push_back(std::move(waiting_.front())), waiting_.pop_front();
    return waits;
  }

  void add_page() {
    const codec::CodecId id = only_ ? *only_ : ids_[bench_.random()() % ids_.size()];
    codec::PageShape shape = any_shape(bench_.random());
    if (even_) shape = round_shape_;
    EncodePage page{page_cfg(id, shape),
                    base_,
                    stored_bytes(id, shape) / 32,
                    any_page(shape, bench_.random()),
                    {},
                    {}};
    make(page, id, shape);
    base_ += page.units;
    waiting_.push_back(std::move(page));
  }
  // As a lane does it: the ring has room for the page; a core of two passes looks for itself.
  bool fits(const EncodePage& page) const {
    return page.base + page.units - left_ <= (two_passes ? 2 * ring_units - 1 : ring_units);
  }
  void feed() {
    bench_.count_beat();
    if (at_ == 0) open_[feeding_].begun = bench_.cycles() - 1;
    at_ += 32;
    if (at_ < open_[feeding_].values.size()) return;
    at_ = 0;
    ++feeding_;
  }
  void look() {
    if (dut_.write_o) {
      const size_t unit = dut_.write_addr_o;
      if ((unit - left_) % ring_units < made_ - left_)
        bench_.mismatch("unit %zu is written before it has left", unit);
      if (dut_.write_mask_o & 1) std::memcpy(&ring_[unit], &dut_.write_data_o[0], 32);
      if (dut_.write_mask_o & 2)
        std::memcpy(&ring_[(unit + 1) % ring_units], &dut_.write_data_o[8], 32);
    }
    if (!dut_.done_o) return;
    const EncodePage& page = open_.front();
    if (page.guess) {
    } else if (dut_.refusal_o != uint32_t(page.refusal)) {
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
    last_latency_ = bench_.cycles() - page.begun;
    made_ = page.base + page.units;
    if (!two_passes) left_ = made_;
    open_.pop_front();
    --feeding_;
  }

  std::vector<codec::CodecId> ids_;
  std::array<std::array<std::byte, 32>, ring_units> ring_{};
  std::deque<EncodePage> waiting_, open_;
  codec::PageShape round_shape_{};
  std::optional<codec::CodecId> only_;
  bool even_ = false;
  uint64_t evens_ = 0;  // rounds of one shape
  uint64_t last_latency_ = 0;
  size_t feeding_ = 0, base_ = 0, at_ = 0, left_ = 0, made_ = 0;
  bool full_ = false;  // the ring fills up, for units leave it slowly
};

}  // namespace speckv::fpga
