// SPDX-License-Identifier: Apache-2.0
// rowq_encode_bench - raw pages to rowq3 .. rowq8 through the encoder core, against the golden
// model.
#include "Vrowq_encode.h"
#include "Vrowq_encode_speckv_check_pkg.h"
#include "encode_core.hpp"

using namespace speckv::fpga;
using speckv::codec::CodecId;

int main(int argc, char** argv) {
  Bench<Vrowq_encode> bench("rowq_encode", argc, argv);
  return EncodeCore(bench, {CodecId::rowq4, CodecId::rowq3, CodecId::rowq5, CodecId::rowq6,
                            CodecId::rowq8})
      .run_all();
}
