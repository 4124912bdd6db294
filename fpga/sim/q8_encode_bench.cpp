// SPDX-License-Identifier: Apache-2.0
// q8_encode_bench - raw pages to q8 and q8sink through the encoder core, against the golden model.
#include "Vq8_encode.h"
#include "Vq8_encode_speckv_check_pkg.h"
#include "encode_core.hpp"

using namespace speckv::fpga;
using speckv::codec::CodecId;

int main(int argc, char** argv) {
  Bench<Vq8_encode> bench("q8_encode", argc, argv);
  return EncodeCore(bench, {CodecId::q8, CodecId::q8sink}).run_all();
}
