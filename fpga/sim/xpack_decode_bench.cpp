// SPDX-License-Identifier: Apache-2.0
// xpack_decode_bench - pages of xpack through the decoder core, against the golden model.
//
// The page ring is played by an array here. Rounds of pages of all shapes and both dtypes, back to
// back: real ones, textures, random bytes, nothing but escapes. Rounds take nine patterns of grants
// and back-pressure in turn; where nothing holds a page up, pages have one shape, as in a segment,
// and bubbles are counted: beats must leave in every cycle from the first to the last.
#include <algorithm>
#include <array>
#include <cstring>
#include <deque>

#include "Vxpack_decode.h"
#include "Vxpack_decode_speckv_check_pkg.h"
#include "bench.hpp"
#include "pages_of.hpp"

using namespace speckv;
using namespace speckv::fpga;

namespace {

constexpr size_t ring_units = 2048;
constexpr int ring_latency = 3;
constexpr size_t page_units_max = 924;
constexpr size_t round_pages = 45;

struct Page {
  uint32_t cfg;
  size_t base, units;
  Values values;
};

class XpackDecode {
 public:
  explicit XpackDecode(Bench<Vxpack_decode>& bench) : bench_(bench), dut_(bench.dut()) {}

  // Pages one after the other, under one pattern of back-pressure.
  void run(uint64_t pages, int pattern) {
    Flow flow(pattern / 3), grant(pattern % 3);
    even_ = pattern == 0;
    round_shape_ = any_shape(bench_.random());
    if (even_) {
      round_shape_.tokens = uint16_t(16u << evens_ % 3);
      round_shape_.head_dim = uint16_t(64 * (1 + evens_++ / 3 % 4));
    }
    uint64_t made = 0, first = 0, last = 0, beats = 0;
    while (made < pages || !pending_.empty()) {
      while (made < pages && pending_.size() < 4 && waiting_units() + page_units_max <= ring_units)
        add_page(), ++made;
      offer_page();
      dut_.read_grant_i = grant.next(bench_.random());
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
      read_half_ = dut_.read_half_o;
      read_addr_ = dut_.read_addr_o;
      bench_.edge();
      if (done) ++offered_;
    }
    if (pattern == 0) bench_.count_bubbles(last - first + 1 - beats);
  }

 private:
  void add_page() {
    const auto id = codec::CodecId::xpack;
    const codec::PageShape shape = even_ ? round_shape_ : any_shape(bench_.random());
    Bytes bytes = any_encoded(id, shape, bench_.random());
    // Nothing but escapes: lists run out at once.
    if (bench_.random()() % 64 == 0) std::fill(bytes.begin(), bytes.end(), std::byte{0xff});
    pending_.push_back(
        {page_cfg(id, shape), base_, bytes.size() / 32, golden_decode(id, shape, bytes)});
    for (size_t i = 0; i < bytes.size(); i += 32)
      std::memcpy(&ring_[(base_ + i / 32) % ring_units], &bytes[i], 32);
    base_ = (base_ + bytes.size() / 32) % ring_units;
  }
  // Of pages that are not read yet.
  size_t waiting_units() const {
    size_t units = 0;
    for (size_t i = offered_; i < pending_.size(); ++i) units += pending_[i].units;
    return units;
  }
  void offer_page() {
    dut_.page_valid_i = offered_ < pending_.size();
    if (!dut_.page_valid_i) return;
    dut_.page_cfg_i = pending_[offered_].cfg;
    dut_.page_base_i = pending_[offered_].base;
  }
  void serve_ring() {
    reads_.push_back({read_ ? int(read_addr_) : -1, read_half_});
    if (reads_.size() < ring_latency) return;
    const auto [addr, half] = reads_.front();
    reads_.pop_front();
    if (addr < 0) return;
    std::memcpy(&dut_.read_data_i[0], &ring_[size_t(addr)], 32);
    std::memcpy(&dut_.read_data_i[8], &ring_[size_t(addr + 1) % ring_units], 32);
    if (half) std::memset(&dut_.read_data_i[8], int(bench_.random()()), 32);
  }
  void take_beat() {
    bench_.count_beat();
    const Page& page = pending_.front();
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

  Bench<Vxpack_decode>& bench_;
  Vxpack_decode& dut_;
  std::array<std::array<std::byte, 32>, ring_units> ring_{};
  std::deque<Page> pending_;
  std::deque<std::pair<int, bool>> reads_;
  codec::PageShape round_shape_{};
  bool even_ = false;
  uint64_t evens_ = 0;  // rounds of one shape
  size_t offered_ = 0, base_ = 0, at_ = 0;
  bool read_ = false, read_half_ = false;
  uint32_t read_addr_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  Bench<Vxpack_decode> bench("xpack_decode", argc, argv);
  bench.dut().page_valid_i = 0;
  bench.reset();
  XpackDecode test(bench);
  int pattern = 0;
  for (uint64_t left = bench.options().pages; left > 0; pattern = (pattern + 1) % 9) {
    const uint64_t pages = std::min<uint64_t>(left, round_pages);
    test.run(pages, pattern);
    left -= pages;
  }
  return bench.finish();
}
