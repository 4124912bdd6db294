// SPDX-License-Identifier: Apache-2.0
// fuzz codec_table: any bytes as a calibration table. What is accepted is written back byte for
// byte, and no table that is accepted can make widths that overrun a page.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "codec/chanq.hpp"
#include "codec/checksum.hpp"

using namespace speckv::codec;

namespace {

void check(std::span<const std::byte> file) {
  ChanWeights weights;
  std::string error;
  if (!parse_chan_weights(file, &weights, &error)) {
    if (error.empty()) std::abort();  // a refusal says why
    return;
  }
  const auto again = write_chan_weights(weights);
  if (again.size() != file.size() || std::memcmp(again.data(), file.data(), file.size()) != 0) {
    std::abort();
  }
  for (const size_t tokens : {16u, 32u, 64u}) {
    const size_t budget = chanq_budget(CodecId::chanq7, tokens, 2u * weights.pairs);
    uint8_t widths[chanq_pairs_max];
    share_bits(std::span(weights.weight).first(weights.pairs), budget,
               std::span(widths).first(weights.pairs));
    size_t sum = 0;
    for (size_t i = 0; i < weights.pairs; ++i) {
      if (widths[i] > chanq_width_max) std::abort();
      sum += widths[i];
    }
    if (sum > budget) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::vector<std::byte> file(size);
  if (size > 0) std::memcpy(file.data(), data, size);
  check(file);
  // A checksum is not guessed: put right, so that what lies behind it is reached too.
  if (size < 64) return 0;
  const uint32_t bytes = static_cast<uint32_t>(size);
  std::memcpy(&file[12], &bytes, 4);
  Checksum sum;
  checksum_update(sum, &file[24], size - 24);
  const uint64_t right = checksum_final(sum);
  std::memcpy(&file[16], &right, 8);
  check(file);
  return 0;
}
