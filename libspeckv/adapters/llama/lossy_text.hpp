// SPDX-License-Identifier: Apache-2.0
// lossy_text.hpp - what presets cost on a model and texts: every variant walks over each text
// beside the fp16-KV run of the same weights, teacher-forced, and is compared position by position.
//
// Who calls it: speckv-calibrate --validate and tests/quality; they print rows with print_row().
// Never: compares with another program's figures. Threading: starts `threads` threads of its own.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "lossy_context.hpp"
#include "lossy_row_text.hpp"
#include "lossy_statistics.hpp"

namespace speckv::llama {

// All of these throw std::runtime_error with one sentence.
std::string read_text(const std::string& path);
std::vector<llama_token> tokenize(const llama_model* model, const std::string& text,
                                  bool specials = true);
// Reads a table and checks that it was measured on the model file.
codec::ChanWeights read_table(const std::string& path, const std::string& model_path);

class LossyText {
 public:
  // Positions before `skipped` are not counted: too little past to tell presets apart.
  LossyText(llama_model* model, std::vector<Variant> variants, uint32_t tokens, uint32_t skipped,
            int threads);
  // Returns: false, and counts nothing, when the text is shorter than tokens + 1. Throws when the
  // model's own logits are not finite: beside them nothing can be judged. `progress` hears of each
  // step how many of the text's tokens are done.
  bool add(const std::vector<llama_token>& tokens,
           const std::function<void(uint32_t)>& progress = {});
  const std::vector<Variant>& variants() const { return variants_; }
  Summary summary(size_t variant) const { return summarise(losses_[variant]); }
  double ratio(size_t variant) const;
  uint32_t documents() const { return documents_; }

 private:
  void page(std::span<const llama_token> tokens, uint32_t first);
  void set_exact(std::span<const float> logits, uint32_t t, uint32_t token);
  void each_variant(const std::function<void(size_t)>& work);
  std::span<const float> row(std::span<const float> logits, uint32_t token) const;
  uint32_t vocabulary() const;

  llama_model* model_;
  std::vector<Variant> variants_;
  uint32_t tokens_, skipped_;
  int threads_;
  LossyContext reference_;
  std::vector<std::unique_ptr<LossyContext>> contexts_;
  std::vector<Distribution> exact_;  // one a position of the page
  std::vector<std::span<const float>> logits_;
  std::vector<std::vector<Loss>> losses_;
  uint32_t documents_ = 0;
};

}  // namespace speckv::llama
