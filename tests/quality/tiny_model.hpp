// SPDX-License-Identifier: Apache-2.0
// tiny_model.hpp - GGUF files of a few layers with random weights, in families that differ in how
// K is turned and kept: heads of 256 under sliding windows, half-split pairs, RoPE on a part of a
// head, neighbours as pairs. Tokenizer: another GGUF's, copied.
//
// What for: tests of every path that a real model of the family takes; their answers mean nothing.
// Called by tiny_model_test.cpp and speckv-tiny-model. Never: trained, shipped or measured.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace speckv::quality {

struct TinyModel {
  std::string family;  // llama.cpp's name of it
  uint32_t layers = 2, width = 128, heads = 2, kv_heads = 1, head_dim = 64;
  uint32_t rotated = 0;                    // channels that RoPE turns; 0: not written, all
  float theta = 10000, theta_windows = 0;  // base; of layers with a window. 0: not written
  uint32_t window = 0, pattern = 0;        // every pattern-th layer sees all; 0: not written
  float linear_factor = 0;                 // RoPE scaling "linear"
  bool rms = true;                         // RMS norms; false: layer norms with a bias
  bool gated = true;                       // gated feed-forward
  bool head_norms = false;                 // on Q and K
  bool post_norms = false;
  bool biases = false;        // of every matrix
  bool input_biases = false;  // of those that make Q, K and V
  bool soft_caps = false;
};

// Names: gemma3, gemma3-scaled, gemma2, qwen2, qwen3, phi2, llama.
std::vector<std::string> tiny_model_names();
// Both throw std::runtime_error with one sentence.
TinyModel tiny_model(const std::string& name);
void write_tiny_model(const TinyModel& model, const std::string& tokenizer_gguf,
                      const std::string& path);

}  // namespace speckv::quality
