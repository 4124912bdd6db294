// SPDX-License-Identifier: Apache-2.0
// xpack_encode_bench - raw pages to xpack through the encoder core, against the golden model: any
// pages, and some whose lists are just full, or one entry too long.
#include <algorithm>
#include <numeric>

#include "Vxpack_encode.h"
#include "Vxpack_encode_speckv_check_pkg.h"
#include "codec/half.hpp"
#include "codec/xpack.hpp"
#include "encode_core.hpp"

using namespace speckv;
using namespace speckv::fpga;
using codec::CodecId;

namespace {

class XpackEncode : public EncodeCore<Vxpack_encode> {
 public:
  explicit XpackEncode(Bench<Vxpack_encode>& bench) : EncodeCore(bench, {CodecId::xpack}) {}

 private:
  void make(EncodePage& page, CodecId id, const codec::PageShape& shape) override {
    if (bench_.random()() % 8 == 0) fill_lists(page.values, shape);
    EncodeCore::make(page, id, shape);
  }

  // Every value at one exponent, but as many far below it as the lists take, give or take one.
  void fill_lists(Values& page, const codec::PageShape& shape) {
    auto& random = bench_.random();
    const codec::XpackMap map = codec::xpack_map(shape);
    const bool bf16 = codec::is_bf16(shape.dtype);
    const uint32_t top = 30, place = bf16 ? 7 : 10;
    const auto at = [&](uint32_t field) {
      return uint16_t(random() % 2 << 15 | field << place | random() % (1u << place));
    };
    for (uint16_t& value : page) value = at(top);
    std::vector<size_t> order(page.size());
    std::iota(order.begin(), order.end(), 0);
    std::shuffle(order.begin(), order.end(), random);
    const size_t full = random() % 2;
    const size_t entries = map.escapes_max() - full * (random() % 3) + random() % 2;
    const size_t far = map.units - full * (random() % 3) + random() % 2;
    const size_t edges = random() % 20;
    for (size_t i = 0; i < entries; ++i) {
      uint32_t below = 7 + uint32_t(random() % 14);
      if (i < far) below = 21 + uint32_t(random() % 9);
      else if (i < far + edges) below = 20;
      else if (random() % 9 == 0) below = top;  // a zero
      page[order[i]] = at(top - below);
    }
    // The page's largest exponent in its last beat only.
    if (random() % 4 == 0) page.back() = at(top + 1);
  }
};

}  // namespace

int main(int argc, char** argv) {
  Bench<Vxpack_encode> bench("xpack_encode", argc, argv);
  return XpackEncode(bench).run_all(CodecId::xpack);
}
