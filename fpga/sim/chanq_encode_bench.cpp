// SPDX-License-Identifier: Apache-2.0
// chanq_encode_bench - raw pages to chanq2.5 .. chanq7 through the encoder core, against the golden
// model.
//
// Two tables of turns are loaded before each round; each page has its own slot of widths, by a
// made-up calibration or without, and one of three pairings. Beside real pages and textures: pages
// whose channels differ by many octaves, for drops and grains. Now and then a page has widths that
// are not its own.
#include <algorithm>
#include <cmath>
#include <deque>

#include "Vchanq_encode.h"
#include "Vchanq_encode_speckv_check_pkg.h"
#include "chanq_tables.hpp"
#include "codec/chanq.hpp"
#include "codec/half.hpp"
#include "encode_core.hpp"

using namespace speckv;
using namespace speckv::fpga;
using codec::CodecId;
using codec::PageShape;

namespace {

constexpr uint32_t turn_beats = 1024;  // of both thetas; slots of widths lie behind them
constexpr uint32_t slots = 256;

class ChanqEncode : public EncodeCore<Vchanq_encode> {
 public:
  explicit ChanqEncode(Bench<Vchanq_encode>& bench)
      : EncodeCore(bench, {CodecId::chanq2_5, CodecId::chanq3, CodecId::chanq3_5, CodecId::chanq4,
                           CodecId::chanq4_5, CodecId::chanq5, CodecId::chanq7}) {}

 private:
  struct Write {
    uint32_t addr;
    std::array<uint32_t, 16> data;
    uint64_t page;  // that waits for it
  };

  void make(EncodePage& page, CodecId id, const PageShape& shape) override {
    auto& random = bench_.random();
    const uint32_t which = random() % 2;
    uint32_t rope = uint32_t(random() % 3);
    if (thetas_[which].rotated > shape.head_dim) rope = SPECKV_ROPE_NONE;
    const auto tables = make_tables(shape, 1, rope, thetas_[which], random() % 3 != 0, random);
    const codec::ChanTable& table = tables->at(0, 0);
    if (random() % 4 == 0) spread(page.values, shape, random() % 2 == 0);
    page.stored = golden_encode(id, shape, page.values, &page.refusal, &table);
    page.rope = rope_word(table.map, which);
    page.slot = uint32_t(made_++ % slots);
    std::array<uint32_t, 32> widths = widths_of(table, id);
    page.guess = random() % 50 == 0;
    if (page.guess) widths.fill(uint32_t(random() % 9) * 0x11111111u);
    for (uint32_t half = 0; half < 2; ++half) {
      Write write{turn_beats + 2 * page.slot + half, {}, made_};
      std::copy_n(widths.begin() + 16 * half, 16, write.data.begin());
      writes_.push_back(write);
    }
  }
  bool offer(const EncodePage& page) override {
    dut_.page_rope_i = page.rope;
    dut_.page_slot_i = page.slot;
    for (const Write& write : writes_)
      if ((write.page - 1) % slots == page.slot) return false;
    return true;
  }
  void before_edge() override {
    dut_.table_write_i[16] = 0;
    if (writes_.empty()) return;
    put(writes_.front());
    writes_.pop_front();
  }
  void before_round() override {
    dut_.page_valid_i = dut_.valid_i = 0;
    for (uint32_t which = 0; which < 2; ++which) {
      thetas_[which] = any_theta(bench_.random());
      const std::vector<uint32_t> turns = turns_of(thetas_[which]);
      for (uint32_t beat = 0; beat < turns.size() / 16; ++beat) {
        Write write{which * turn_beats / 2 + beat, {}, 0};
        std::copy_n(&turns[beat * 16], 16, write.data.begin());
        put(write);
        bench_.settle();
        bench_.edge();
      }
    }
    dut_.table_write_i[16] = 0;
    bench_.progress();
  }
  // table_write_t: data, address, error, valid.
  void put(const Write& write) {
    for (size_t i = 0; i < 16; ++i) dut_.table_write_i[i] = write.data[i];
    dut_.table_write_i[16] = write.addr | 1u << 12;
  }

  // Channels that lie octaves apart; edge: as many as a grain may lift, or one more, lie just below
  // what five bits can say, the others are alike.
  void spread(Values& page, const PageShape& shape, bool edge) {
    auto& random = bench_.random();
    const bool bf16 = codec::is_bf16(shape.dtype);
    std::uniform_real_distribution<float> unit(-1, 1);
    std::vector<int> octaves(shape.head_dim, 0);
    for (int& octave : octaves) octave = edge ? 0 : int(random() % 14);
    if (edge) {
      std::fill_n(octaves.begin(), codec::chanq_lifted_max(shape.head_dim) + random() % 2, 4);
      std::shuffle(octaves.begin(), octaves.end(), random);
    }
    for (size_t c = 0; c < shape.head_dim; ++c) {
      float reach = std::ldexp(8.0F + float(random() % 8), -octaves[c]);
      if (edge) reach = octaves[c] == 0 ? 12.0F : 9.0F / 16;
      const float middle = !edge && random() % 3 == 0 ? unit(random) * 32 : unit(random) * reach;
      for (size_t t = 0; t < shape.tokens; ++t) {
        const float value = middle + reach * (t < 2 ? float(t) * 2 - 1 : unit(random));
        page[t * shape.head_dim + c] =
            codec::round_to_half(int64_t(std::ldexp(value, 24)), -24, bf16);
      }
    }
  }

  std::array<Theta, 2> thetas_{};
  std::deque<Write> writes_;
  uint64_t made_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  Bench<Vchanq_encode> bench("chanq_encode", argc, argv);
  bench.dut().table_write_i[16] = 0;
  ChanqEncode test(bench);
  return test.run_all(CodecId::chanq3_5);
}
