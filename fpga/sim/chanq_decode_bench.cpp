// SPDX-License-Identifier: Apache-2.0
// chanq_decode_bench - pages of chanq2.5 .. chanq7 through the decoder core, against the golden
// model.
//
// The page ring is played by an array here. A round loads two tables of turns and then gives pages
// of all codecs, shapes, dtypes and pairings back to back, with and without a table of widths: real
// pages, every texture, random bytes, and now and then a page with widths that are not its own,
// whose values are anybody's guess but which must leave like any other. Rounds take the nine
// patterns of grants and back-pressure in turn; where nothing holds a page up, pages have one
// shape, as in a segment, and bubbles are counted: beats must leave in every cycle from the first
// to the last.
#include <algorithm>
#include <array>
#include <cstring>
#include <deque>

#include "Vchanq_decode.h"
#include "Vchanq_decode_speckv_check_pkg.h"
#include "bench.hpp"
#include "chanq_tables.hpp"
#include "codec/chanq.hpp"
#include "codec/golden.hpp"
#include "pages_of.hpp"

using namespace speckv;
using namespace speckv::fpga;
using codec::CodecId;
using codec::PageShape;

namespace {

constexpr size_t ring_units = 2048;
constexpr int ring_latency = 3;
constexpr size_t round_pages = 45;  // between two loads of turns

struct Page {
  uint32_t cfg;
  uint32_t rope;
  size_t base;  // units
  std::array<uint32_t, 32> widths;
  Values values;
  bool guess;  // widths of another page: any values
};

codec::View view_of(Values& page, const PageShape& shape) {
  return {reinterpret_cast<std::byte*>(page.data()), 2 * ptrdiff_t(shape.head_dim), 2};
}

class ChanqDecode {
 public:
  explicit ChanqDecode(Bench<Vchanq_decode>& bench) : bench_(bench), dut_(bench.dut()) {}

  void load_turns() {
    for (uint32_t which = 0; which < 2; ++which) {
      thetas_[which] = any_theta(random_());
      const std::vector<uint32_t> turns = turns_of(thetas_[which]);
      for (uint32_t beat = 0; beat < turns.size() / 16; ++beat) {
        dut_.turn_write_i = 1;
        dut_.turn_addr_i = which << 9 | beat;
        std::memcpy(&dut_.turn_data_i[0], &turns[beat * 16], 64);
        bench_.settle();
        bench_.edge();
      }
    }
    dut_.turn_write_i = 0;
    bench_.progress();
  }

  // Pages one after the other, under one pattern of grants and back-pressure.
  void run(uint64_t pages, int pattern) {
    Flow ready(pattern / 3), grant(pattern % 3);
    uint64_t made = 0, first = 0, last = 0, beats = 0;
    const uint64_t start = bench_.cycles();
    even_ = pattern == 0;
    round_shape_ = any_shape(random_());
    if (even_) {
      round_shape_.tokens = uint16_t(16u << evens_ % 3);
      round_shape_.head_dim = uint16_t(64 * (1 + evens_++ / 3 % 4));
    }
    while (made < pages || !pending_.empty()) {
      while (made < pages && pending_.size() < 4) add_page(), ++made;
      offer_page();
      dut_.read_grant_i = grant.next(random_());
      dut_.ready_i = ready.next(random_());
      serve_ring();
      bench_.settle();
      if (dut_.valid_o && dut_.ready_i) {
        if (beats++ == 0) first = bench_.cycles();
        last = bench_.cycles();
        take_beat();
      }
      const bool done = dut_.page_done_o;
      remember_read();
      bench_.edge();
      if (done) ++offered_;
    }
    if (pattern != 0) return;
    bench_.count_bubbles(last - first + 1 - beats);
    lead_ = std::max(lead_, first - start);
  }

  // A reset in the middle of pages: what comes after it is as if nothing had been.
  void interrupt() {
    for (int i = 0; i < 3; ++i) add_page();
    for (uint64_t left = 1 + random() % 300; left > 0; --left) {
      offer_page();
      dut_.read_grant_i = 1;
      dut_.ready_i = 0;
      serve_ring();
      bench_.settle();
      const bool done = dut_.page_done_o;
      remember_read();
      bench_.edge();
      if (done) ++offered_;
    }
    dut_.page_valid_i = 0;
    bench_.reset();
    pending_.clear();
    offered_ = at_ = 0;
    read_ = false;
  }

  // From the page's first address to its first beat, 32 x 64 chanq3.5.
  void print_latency() {
    fixed_ = true;
    const uint64_t before = lead_;
    lead_ = 0;
    run(1, 0);
    std::printf("chanq_decode: chanq3.5, 32 x 64: first address to first beat %llu cycles\n",
                (unsigned long long)lead_);
    lead_ = before;
    fixed_ = false;
  }

 private:
  codec::testing::Random& random_() { return bench_.random(); }
  uint64_t random() { return bench_.random()(); }

  void add_page() {
    PageShape shape = even_ ? round_shape_ : any_shape(random_());
    CodecId id = CodecId(size_t(CodecId::chanq2_5) + random() % codec::chanq_codecs);
    if (fixed_) shape = {32, 64, SPECKV_DTYPE_F16, codec::Kind::v}, id = CodecId::chanq3_5;
    const uint32_t which = random() % 2;
    const Theta theta = thetas_[which];
    uint32_t rope = uint32_t(random() % 3);
    if (theta.rotated > shape.head_dim) rope = SPECKV_ROPE_NONE;
    const auto tables = make_tables(shape, 1, rope, theta, random() % 3 != 0, random_());
    const codec::ChanTable& table = tables->at(0, 0);
    const Bytes bytes = any_encoded(id, shape, random_(), &table);
    Page page{page_cfg(id, shape), 0, base_, {}, Values(shape.values()), false};
    page.rope = rope_word(table.map, which);
    page.widths = widths_of(table, id);
    if (!fixed_ && random() % 50 == 0) {
      page.guess = true;
      const uint32_t any = uint32_t(random() % 9) * 0x11111111u;
      page.widths.fill(any);
    }
    codec::golden::chanq_decode(id, shape, bytes.data(), view_of(page.values, shape), table);
    pending_.push_back(std::move(page));
    for (size_t i = 0; i < bytes.size(); i += 32)
      std::memcpy(&ring_[(base_ + i / 32) % ring_units], &bytes[i], 32);
    base_ = (base_ + bytes.size() / 32) % ring_units;
  }
  void offer_page() {
    dut_.page_valid_i = offered_ < pending_.size();
    if (!dut_.page_valid_i) return;
    const Page& page = pending_[offered_];
    dut_.page_cfg_i = page.cfg;
    dut_.page_base_i = page.base;
    dut_.page_rope_i = page.rope;
    std::memcpy(&dut_.page_widths_i[0], page.widths.data(), sizeof(page.widths));
  }
  void remember_read() {
    read_ = dut_.read_o && dut_.read_grant_i;
    read_half_ = dut_.read_half_o;
    read_addr_ = dut_.read_addr_o;
  }
  void serve_ring() {
    reads_.push_back({read_ ? int(read_addr_) : -1, read_half_});
    if (reads_.size() < ring_latency) return;
    const auto [addr, half] = reads_.front();
    reads_.pop_front();
    if (addr < 0) return;
    std::memcpy(&dut_.read_data_i[0], &ring_[size_t(addr)], 32);
    std::memcpy(&dut_.read_data_i[8], &ring_[size_t(addr + 1) % ring_units], 32);
    if (half) std::memset(&dut_.read_data_i[8], int(random()), 32);
  }
  void take_beat() {
    bench_.count_beat();
    const Page& page = pending_.front();
    if (!page.guess && std::memcmp(&dut_.beat_o[0], &page.values[at_], 64) != 0)
      bench_.mismatch("page %03x rope %03x beat %zu", page.cfg, page.rope, at_ / 32);
    at_ += 32;
    if (bool(dut_.last_o) != (at_ == page.values.size())) bench_.mismatch("last at %zu", at_);
    if (at_ < page.values.size()) return;
    at_ = 0;
    pending_.pop_front();
    --offered_;
    bench_.count_page();
  }

  Bench<Vchanq_decode>& bench_;
  Vchanq_decode& dut_;
  std::array<Theta, 2> thetas_{};
  std::array<std::array<std::byte, 32>, ring_units> ring_{};
  std::deque<Page> pending_;
  std::deque<std::pair<int, bool>> reads_;
  size_t offered_ = 0, base_ = 0, at_ = 0;
  uint64_t lead_ = 0;
  PageShape round_shape_{};
  uint64_t evens_ = 0;  // rounds of one shape
  bool read_ = false, read_half_ = false, fixed_ = false, even_ = false;
  uint32_t read_addr_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  Bench<Vchanq_decode> bench("chanq_decode", argc, argv);
  bench.dut().page_valid_i = 0;
  bench.dut().turn_write_i = 0;
  bench.reset();
  ChanqDecode test(bench);
  int pattern = 0;
  for (uint64_t left = bench.options().pages; left > 0; pattern = (pattern + 1) % 9) {
    const uint64_t pages = std::min<uint64_t>(left, round_pages);
    test.load_turns();
    if (pattern == 0 && left == bench.options().pages) test.print_latency();
    test.run(pages, pattern);
    left -= pages;
    test.interrupt();
  }
  return bench.finish();
}
