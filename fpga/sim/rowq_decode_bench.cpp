// SPDX-License-Identifier: Apache-2.0
// rowq_decode_bench - pages of rowq3 .. rowq8 through the decoder core, against the golden model.
#include "Vrowq_decode.h"
#include "Vrowq_decode_speckv_check_pkg.h"
#include "decode_core.hpp"

using namespace speckv::fpga;
using speckv::codec::CodecId;

int main(int argc, char** argv) {
  Bench<Vrowq_decode> bench("rowq_decode", argc, argv);
  return DecodeCore(bench, {CodecId::rowq4, CodecId::rowq3, CodecId::rowq5, CodecId::rowq6,
                            CodecId::rowq8})
      .run_all();
}
