// SPDX-License-Identifier: Apache-2.0
// codec_bench.hpp - how fast segments encode and decode, as a ratio to memcpy in the same run.
//
// One object is a segment of 1 MiB of raw values. Objects are taken in random order from a set of
// at least four times the last-level cache, outputs go round a ring of twice that cache. Every
// codec and memcpy take turns; the value is the median of the turns. Called by the bench's main, or
// stands alone (speckv-codec-bench).
#pragma once

#include <string>
#include <vector>

#include "codec/codec.hpp"

namespace speckv::bench {

struct CodecRow {
  std::string name;         // "decode/q8/v", "encode/compact"
  double gigabytes_second;  // of raw values
  double memcpy_ratio;      // to the faster of memcpy and a non-temporal copy, in the same turns
  int rounds;
};

struct CodecBenchOptions {
  uint32_t head_dim = 64;
  uint32_t page_tokens = 32;
  uint32_t kv_heads = 8;
  bool token_major = false;  // caller's rows of all heads token by token, else head by head
  bool bf16 = false;
  int rounds = 3;
  std::string only;  // a part of a row's name
};

std::vector<CodecRow> codec_rows(const CodecBenchOptions& options);

}  // namespace speckv::bench
