// SPDX-License-Identifier: Apache-2.0
// q8_decode_bench - pages of q8 and q8sink through the decoder core, against the golden model.
#include "Vq8_decode.h"
#include "Vq8_decode_speckv_check_pkg.h"
#include "decode_core.hpp"

using namespace speckv::fpga;
using speckv::codec::CodecId;

int main(int argc, char** argv) {
  Bench<Vq8_decode> bench("q8_decode", argc, argv);
  return DecodeCore(bench, {CodecId::q8, CodecId::q8sink}).run_all();
}
