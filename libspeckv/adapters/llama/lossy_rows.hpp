// SPDX-License-Identifier: Apache-2.0
// lossy_rows.hpp - which variants a table has, from words: "compact", "tight,table=F,pages=64",
// "compact,strict", "tight,blocks=64" (two pages are stored together), "q8,generations=10",
// "ggml=q4_0", "tight,layers=5-25/6:compact" (layers 5, 11, 17, 23 in compact: what a model with
// windows sees all of), "tight,k=raw" (V alone is coded), "tight,first=own" (no q8 for the first
// page), "exact,noise=64" (one bit of every 64th value). Called by
// speckv-calibrate --validate --row and tests/quality; speckv-calibrate(1) lists the words.
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "lossy_text.hpp"

namespace speckv::llama {

// Variants point into it, so it outlives them and does not move its tables.
class Rows {
 public:
  explicit Rows(std::string model_path) : model_path_(std::move(model_path)) {}
  // Throws std::runtime_error with one sentence.
  Variant parse(const std::string& word);

 private:
  const codec::ChanWeights* table(const std::string& path);

  struct Known {
    std::string path;
    codec::ChanWeights weights;
  };
  std::string model_path_;
  std::deque<Known> tables_;
};

}  // namespace speckv::llama
