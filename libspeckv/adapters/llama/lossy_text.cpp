// SPDX-License-Identifier: Apache-2.0
// lossy_text.cpp - see lossy_text.hpp.
#include "lossy_text.hpp"

#include <algorithm>
#include <atomic>
#include <exception>
#include <fstream>
#include <iterator>
#include <mutex>
#include <stdexcept>
#include <thread>

#include "weights.hpp"

namespace speckv::llama {

std::string read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error(path + ": cannot be read");
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::vector<llama_token> tokenize(const llama_model* model, const std::string& text,
                                  bool specials) {
  std::vector<llama_token> tokens(text.size() + 2);
  const int count = llama_tokenize(llama_model_get_vocab(model), text.data(), int32_t(text.size()),
                                   tokens.data(), int32_t(tokens.size()), specials, false);
  tokens.resize(count > 0 ? size_t(count) : 0);
  return tokens;
}

codec::ChanWeights read_table(const std::string& path, const std::string& model_path) {
  const std::string file = read_text(path);
  codec::ChanWeights weights;
  std::string why;
  if (!codec::parse_chan_weights(std::as_bytes(std::span(file)), &weights, &why))
    throw std::runtime_error(path + ": " + why);
  uint8_t digest[SPECKV_DIGEST_BYTES];
  if (!weights_digest(model_path, digest, &why)) throw std::runtime_error(why);
  if (!std::equal(digest, digest + SPECKV_DIGEST_BYTES, weights.weights_digest))
    throw std::runtime_error(path + " was measured on other weights than " + model_path +
                             "; calibrate this model");
  return weights;
}

LossyText::LossyText(llama_model* model, std::vector<Variant> variants, uint32_t tokens,
                     uint32_t skipped, int threads)
    : model_(model),
      variants_(std::move(variants)),
      tokens_(tokens / step_tokens * step_tokens),
      skipped_(skipped),
      threads_(threads),
      reference_(model, Variant{.name = "fp16"}, tokens, 1),
      exact_(step_tokens),
      logits_(variants_.size()),
      losses_(variants_.size()) {
  for (const Variant& variant : variants_)
    contexts_.push_back(std::make_unique<LossyContext>(model, variant, tokens, 1));
}

uint32_t LossyText::vocabulary() const {
  return uint32_t(llama_vocab_n_tokens(llama_model_get_vocab(model_)));
}

double LossyText::ratio(size_t variant) const {
  const ggml_type type = variants_[variant].kv_type;
  if (variants_[variant].preset) return contexts_[variant]->ratio();
  return 2.0 * double(ggml_blck_size(type)) / double(ggml_type_size(type));
}

bool LossyText::add(const std::vector<llama_token>& tokens,
                    const std::function<void(uint32_t)>& progress) {
  if (tokens.size() < tokens_ + 1) return false;
  reference_.clear();
  for (auto& context : contexts_) context->clear();
  for (auto& documents : losses_) documents.emplace_back();
  for (uint32_t first = 0; first < tokens_; first += step_tokens) {
    page(tokens, first);
    if (progress) progress(first + step_tokens);
  }
  documents_++;
  return true;
}

std::span<const float> LossyText::row(std::span<const float> logits, uint32_t token) const {
  return logits.subspan(size_t(token) * vocabulary(), vocabulary());
}

void LossyText::set_exact(std::span<const float> logits, uint32_t t, uint32_t token) {
  if (!all_finite(logits))
    throw std::runtime_error("the model's own logits at token " + std::to_string(token) +
                             " are not finite (NaN or infinite), with fp16 KV and no preset: this "
                             "file or build computes nothing that could be compared");
  exact_[t].set(logits);
}

// All compute first, then all compare: one thread each, so none waits inside llama.cpp.
void LossyText::page(std::span<const llama_token> tokens, uint32_t first) {
  const bool counted = first >= skipped_;
  const auto newest = tokens.subspan(first, step_tokens);
  each_variant([&](size_t i) {
    if (i == 0) {
      const auto exact = reference_.step(newest, counted);
      for (uint32_t t = 0; counted && t < step_tokens; t++) set_exact(row(exact, t), t, first + t);
    } else {
      logits_[i - 1] = contexts_[i - 1]->step(newest, counted);
    }
  });
  if (!counted) return;
  each_variant([&](size_t i) {
    for (uint32_t t = 0; i > 0 && t < step_tokens; t++)
      losses_[i - 1].back().add(exact_[t], row(logits_[i - 1], t), tokens[first + t + 1]);
  });
}

// Calls work(0) for the reference and work(1 + i) for variant i. They share no state, so each
// worker takes the next one that nobody has.
void LossyText::each_variant(const std::function<void(size_t)>& work) {
  std::atomic<size_t> next{0};
  std::exception_ptr failure;
  std::mutex failing;
  const auto run = [&] {
    try {
      for (size_t i = next++; i <= contexts_.size(); i = next++) work(i);
    } catch (...) {
      const std::lock_guard lock(failing);
      failure = std::current_exception();
    }
  };
  std::vector<std::thread> workers;
  for (int i = 1; i < threads_; i++) workers.emplace_back(run);
  run();
  for (std::thread& worker : workers) worker.join();
  if (failure) std::rethrow_exception(failure);
}

}  // namespace speckv::llama
