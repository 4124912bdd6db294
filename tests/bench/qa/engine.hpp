// SPDX-License-Identifier: Apache-2.0
// engine.hpp - llama.cpp as the benchmark needs it: one model, contexts, compute some tokens, pick
// the likeliest.
//
// Who calls it: the arms, the checks and the quality measure. Never: decides what is reused.
// Threading: one thread; all contexts share one pool of compute threads.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "llama.h"
#include "llama/layout.hpp"

namespace speckv::qa {

using Tokens = std::vector<llama_token>;

struct EngineOptions {
  int threads = 0;  // 0: one per core, at most 4
  uint32_t ubatch = 512;
  bool flash_attention = true;
};

class Model {
 public:
  explicit Model(const std::string& file);  // throws Failure
  ~Model();
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  Tokens tokenize(const std::string& text, bool begin) const;
  uint32_t vocabulary() const;
  llama_model* get() const { return model_; }
  const llama_model_params& params() const { return params_; }

 private:
  llama_model_params params_;
  llama_model* model_ = nullptr;
};

// Compute threads, shared by the contexts that never run at the same time.
class ThreadPool {
 public:
  explicit ThreadPool(int threads);
  ~ThreadPool();
  int threads() const { return threads_; }
  struct ggml_threadpool* get() const {
    return pool_;
  }

 private:
  int threads_;
  struct ggml_threadpool* pool_;
};

class Context {
 public:
  // `sequences` streams of `tokens` each, or with `unified` one stream of `tokens` that they share.
  Context(const Model& model, const ThreadPool& pool, const EngineOptions& options,
          uint32_t sequences, uint32_t tokens, bool unified);
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  // Computes tokens at positions first, first + 1, ... of a sequence. Logits are kept for the last
  // one, or for all (then at most ubatch tokens). Throws Failure.
  void compute(llama_seq_id seq, uint32_t first, std::span<const llama_token> tokens,
               bool all_logits = false);

  // Logits of the i-th token of the last compute() with all_logits, or -1 for the last token.
  std::span<const float> logits(int32_t i) const;
  llama_token likeliest() const;

  // Forgets the sequence from position `first` on.
  void cut(llama_seq_id seq, uint32_t first);
  void clear();

  llama_context* get() const { return context_; }
  const Model& model() const { return model_; }
  // What the model was loaded and this context was opened with.
  const llama::Opening& opening() const { return opening_; }

 private:
  const Model& model_;
  llama::Opening opening_;
  uint32_t ubatch_;
  llama_context* context_ = nullptr;
  llama_batch batch_;
};

// Computes prompt[known..] and then greedily `count` tokens, calling `on_first` when the first is
// known. The last one is not computed any further: the KV then covers prompt and all answer tokens
// but the last.
template <typename OnFirst>
Tokens answer(Context& context, llama_seq_id seq, const Tokens& prompt, uint32_t known,
              uint32_t count, OnFirst on_first) {
  Tokens tokens;
  context.compute(seq, known, std::span(prompt).subspan(known));
  tokens.push_back(context.likeliest());
  on_first();
  while (tokens.size() < count) {
    const uint32_t position = uint32_t(prompt.size() + tokens.size() - 1);
    context.compute(seq, position, std::span(tokens).last(1));
    tokens.push_back(context.likeliest());
  }
  return tokens;
}

}  // namespace speckv::qa
