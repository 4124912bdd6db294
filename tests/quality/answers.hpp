// SPDX-License-Identifier: Apache-2.0
// answers.hpp - what presets do to answers: where a greedy one first differs from the fp16-KV
// run's, and whether a key that stands somewhere in the text is still found. Called by main.cpp.
//
// Only the reference generates; a row is fed what the reference said and counts until its own most
// likely token differs, which is the same up to the first difference and computes whole pages.
#pragma once

#include <string>
#include <vector>

#include "llama/lossy_text.hpp"

namespace speckv::quality {

// Per text: a prompt of `tokens` tokens, then 128 greedy ones. Throws std::runtime_error.
void print_divergence(llama_model* model, const std::vector<llama::Variant>& rows,
                      const std::vector<std::string>& texts, uint32_t tokens, int threads);

// Prompts of 512, 1,024, ... up to `tokens` tokens of each text with a five-digit key at a quarter,
// a half and three quarters; only those count that the fp16-KV run answers. Throws
// std::runtime_error.
void print_passkeys(llama_model* model, const std::vector<llama::Variant>& rows,
                    const std::vector<std::string>& texts, uint32_t tokens, int threads);

}  // namespace speckv::quality
