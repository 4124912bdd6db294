// SPDX-License-Identifier: Apache-2.0
// workload.hpp - what the QA benchmark asks, frozen in tests/bench/qa.toml.
//
// What it is: the file read and checked, documents turned into tokens, turns in their shuffled
// order, the answers' length and the pool's size derived. Deterministic: the same file, model and
// texts give the same workload. Who calls it: main.cpp. Never: measures, or touches a store.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "engine.hpp"

namespace speckv::qa {

// The benchmark cannot go on; main prints the sentence and ends.
struct Failure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// The part of qa.toml that [quick] and [full] set apart.
struct Scale {
  uint32_t sessions = 0;
  uint32_t rounds = 0;
  uint32_t document_tokens = 0;
  uint32_t quality_documents = 0;
  uint32_t fresh_prompts = 0;  // asked once each, with nothing to reuse
};

struct Turn {
  uint32_t session;
  uint32_t round;
};

struct Workload {
  std::string name;  // "quick" or "full"
  Scale scale;
  EngineOptions engine;
  std::string model_file;
  double input_per_output = 0;
  double pool_share = 0;  // of what all sessions' KV takes uncompressed at the end
  uint32_t block_tokens = 0;
  uint32_t page_tokens = 0;
  std::string quality_model_file;    // the same weights where rounding does not hide the loss
  uint32_t quality_first_block = 0;  // windows of one block each, after this many blocks
  uint32_t quality_windows = 0;      // per document
  uint64_t seed = 0;

  std::vector<Tokens> documents;  // one a session; as many more as quality needs
  std::vector<Tokens> questions;  // one a round
  std::vector<Turn> turns;        // each round asks every session once, in shuffled order
  uint32_t answer_tokens = 0;     // of every answer, so that input:output is as asked

  // Tokens of a session's prompt in this round: all that was said before, and the question.
  uint32_t prompt_tokens(uint32_t round) const;
  uint32_t tokens_max() const { return prompt_tokens(scale.rounds - 1) + answer_tokens; }
  uint64_t input_tokens() const;
  uint64_t output_tokens() const { return turns.size() * uint64_t(answer_tokens); }
};

// Reads qa.toml and the texts. `scale` is "quick" or "full". Throws Failure with file and key.
// The model is loaded by the caller between the two calls: tokens need its vocabulary.
Workload read_workload(const std::string& file, const std::string& scale);
void load_texts(const std::string& file, const std::string& text_folder, const Model& model,
                Workload* workload);

}  // namespace speckv::qa
