// SPDX-License-Identifier: Apache-2.0
// tiny_model.cpp - see tiny_model.hpp. Names of keys and tensors are GGUF's.
#include "tiny_model.hpp"

#include <cmath>
#include <cstring>
#include <memory>
#include <random>
#include <stdexcept>
#include <utility>

#include "ggml.h"
#include "gguf.h"

namespace speckv::quality {

namespace {

using Gguf = std::unique_ptr<gguf_context, decltype(&gguf_free)>;
using Ggml = std::unique_ptr<ggml_context, decltype(&ggml_free)>;

constexpr uint32_t context_tokens = 8192;

struct Named {
  const char* name;
  TinyModel model;
};

TinyModel gemma3(float linear_factor) {
  return {.family = "gemma3",
          .layers = 7,
          .head_dim = 256,
          .theta = 1e6F,
          .theta_windows = 1e4F,
          .window = 64,
          .pattern = 6,
          .linear_factor = linear_factor,
          .head_norms = true,
          .post_norms = true};
}

const std::vector<Named>& known() {
  static const std::vector<Named> all = {
      {"gemma3", gemma3(0)},
      {"gemma3-scaled", gemma3(8)},
      {"gemma2",
       {.family = "gemma2",
        .layers = 4,
        .heads = 4,
        .kv_heads = 2,
        .head_dim = 256,
        .theta = 0,
        .window = 64,
        .post_norms = true,
        .soft_caps = true}},
      {"qwen2",
       {.family = "qwen2", .width = 256, .head_dim = 128, .theta = 1e6F, .input_biases = true}},
      {"qwen3",
       {.family = "qwen3",
        .heads = 4,
        .kv_heads = 2,
        .head_dim = 128,
        .theta = 1e6F,
        .head_norms = true}},
      {"phi2",
       {.family = "phi2",
        .width = 160,
        .kv_heads = 2,
        .head_dim = 80,
        .rotated = 32,
        .theta = 0,
        .rms = false,
        .gated = false,
        .biases = true}},
      {"llama", {.family = "llama", .heads = 2, .kv_heads = 2, .rotated = 64, .theta = 5e5F}},
  };
  return all;
}

class Writer {
 public:
  Writer(const TinyModel& model, const std::string& tokenizer_gguf)
      : model_(model),
        file_(gguf_init_empty(), gguf_free),
        tensors_(
            ggml_init({.mem_size = size_t(256) << 20, .mem_buffer = nullptr, .no_alloc = false}),
            ggml_free) {
    const gguf_init_params params{.no_alloc = true, .ctx = nullptr};
    const Gguf tokenizer(gguf_init_from_file(tokenizer_gguf.c_str(), params), gguf_free);
    if (!tokenizer) throw std::runtime_error(tokenizer_gguf + ": not a GGUF file");
    gguf_set_kv(file_.get(), tokenizer.get());
    forget_model();
    const int64_t tokens = gguf_find_key(file_.get(), "tokenizer.ggml.tokens");
    if (tokens < 0) throw std::runtime_error(tokenizer_gguf + ": holds no tokenizer");
    vocabulary_ = int64_t(gguf_get_arr_n(file_.get(), tokens));
  }

  void write(const std::string& path) {
    keys();
    tensors();
    if (!gguf_write_to_file(file_.get(), path.c_str(), false))
      throw std::runtime_error(path + ": cannot be written");
  }

 private:
  // Everything but the tokenizer says what the other model is.
  void forget_model() {
    std::vector<std::string> others;
    for (int64_t i = 0; i < gguf_get_n_kv(file_.get()); i++) {
      const std::string key = gguf_get_key(file_.get(), i);
      if (key.rfind("tokenizer.", 0) != 0) others.push_back(key);
    }
    for (const std::string& key : others) gguf_remove_key(file_.get(), key.c_str());
  }

  void number(const char* key, uint32_t value) {
    if (value) gguf_set_val_u32(file_.get(), (model_.family + "." + key).c_str(), value);
  }
  void real(const char* key, float value) {
    if (value != 0) gguf_set_val_f32(file_.get(), (model_.family + "." + key).c_str(), value);
  }

  void keys() {
    gguf_set_val_str(file_.get(), "general.architecture", model_.family.c_str());
    number("context_length", context_tokens);
    number("embedding_length", model_.width);
    number("block_count", model_.layers);
    number("feed_forward_length", 2 * model_.width);
    number("attention.head_count", model_.heads);
    number("attention.head_count_kv", model_.kv_heads);
    number("attention.key_length", model_.head_dim);
    number("attention.value_length", model_.head_dim);
    number("attention.sliding_window", model_.window);
    number("attention.sliding_window_pattern", model_.pattern);
    real(model_.rms ? "attention.layer_norm_rms_epsilon" : "attention.layer_norm_epsilon", 1e-6F);
    number("rope.dimension_count", model_.rotated);
    real("rope.freq_base", model_.theta);
    real("rope.freq_base_swa", model_.theta_windows);
    real("rope.scaling.factor", model_.linear_factor);
    if (model_.linear_factor != 0)
      gguf_set_val_str(file_.get(), (model_.family + ".rope.scaling.type").c_str(), "linear");
    real("attn_logit_softcapping", model_.soft_caps ? 50 : 0);
    real("final_logit_softcapping", model_.soft_caps ? 30 : 0);
  }

  void add(ggml_tensor* tensor, const std::string& name) {
    ggml_set_name(tensor, name.c_str());
    gguf_add_tensor(file_.get(), tensor);
  }

  // A matrix whose outputs are `gain` times as large as its inputs.
  void matrix(const std::string& name, int64_t in, int64_t out, bool bias, float gain = 1) {
    ggml_tensor* tensor = ggml_new_tensor_2d(tensors_.get(), GGML_TYPE_F16, in, out);
    auto* data = static_cast<ggml_fp16_t*>(tensor->data);
    const float step = gain * std::sqrt(12.0F / float(in)) / 65536;  // evenly spread, variance 1/in
    for (int64_t i = 0; i < in * out; i++)
      data[i] = ggml_fp32_to_fp16(step * (float(random_() % 65536) - 32767.5F));
    add(tensor, name + ".weight");
    if (bias) vector(name + ".bias", out, 0, 0.5F);
  }

  void vector(const std::string& name, int64_t size, float middle, float spread) {
    ggml_tensor* tensor = ggml_new_tensor_1d(tensors_.get(), GGML_TYPE_F32, size);
    std::normal_distribution<float> values(middle, spread);
    for (int64_t i = 0; i < size; i++) static_cast<float*>(tensor->data)[i] = values(random_);
    add(tensor, name);
  }

  void norm(const std::string& name, int64_t size) {
    vector(name + ".weight", size, 1, 0.3F);
    if (!model_.rms) vector(name + ".bias", size, 0, 0.1F);
  }

  void tensors() {
    const int64_t width = model_.width;
    matrix("token_embd", width, vocabulary_, false, 2);  // small: layers speak, not the last token
    norm("output_norm", width);
    if (!model_.rms) matrix("output", width, vocabulary_, true);
    for (uint32_t i = 0; i < model_.layers; i++)
      layer(std::string("blk.").append(std::to_string(i)).append("."));
  }

  void layer(const std::string& at) {
    const int64_t width = model_.width;
    const int64_t queries = model_.heads * model_.head_dim;
    const int64_t keys = model_.kv_heads * model_.head_dim;
    const bool all = model_.biases, inputs = all || model_.input_biases;
    norm(at + "attn_norm", width);
    matrix(at + "attn_q", width, queries, inputs, 2);
    matrix(at + "attn_k", width, keys, inputs, 2);
    matrix(at + "attn_v", width, keys, inputs);
    matrix(at + "attn_output", queries, width, all);
    if (model_.head_norms) norm(at + "attn_q_norm", model_.head_dim);
    if (model_.head_norms) norm(at + "attn_k_norm", model_.head_dim);
    if (model_.post_norms) norm(at + "post_attention_norm", width);
    if (model_.rms) norm(at + "ffn_norm", width);  // phi2's has one norm for both
    if (model_.gated) matrix(at + "ffn_gate", width, 2 * width, all);
    matrix(at + "ffn_up", width, 2 * width, all);
    matrix(at + "ffn_down", 2 * width, width, all);
    if (model_.post_norms) norm(at + "post_ffw_norm", width);
  }

  TinyModel model_;
  Gguf file_;
  Ggml tensors_;
  int64_t vocabulary_ = 0;
  std::mt19937 random_{7};
};

}  // namespace

std::vector<std::string> tiny_model_names() {
  std::vector<std::string> names;
  for (const Named& each : known()) names.emplace_back(each.name);
  return names;
}

TinyModel tiny_model(const std::string& name) {
  std::string names;
  for (const Named& each : known()) {
    if (name == each.name) return each.model;
    names += " " + std::string(each.name);
  }
  throw std::runtime_error("no tiny model " + name + "; there are:" + names);
}

void write_tiny_model(const TinyModel& model, const std::string& tokenizer_gguf,
                      const std::string& path) {
  Writer(model, tokenizer_gguf).write(path);
}

}  // namespace speckv::quality
