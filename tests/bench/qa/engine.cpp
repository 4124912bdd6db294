// SPDX-License-Identifier: Apache-2.0
// engine.cpp - see engine.hpp.
#include "engine.hpp"

#include <algorithm>
#include <cstdio>
#include <thread>

#include "ggml-cpu.h"
#include "workload.hpp"

namespace speckv::qa {

namespace {

void only_errors(ggml_log_level level, const char* text, void*) {
  if (level == GGML_LOG_LEVEL_ERROR) std::fputs(text, stderr);
}

}  // namespace

Model::Model(const std::string& file) {
  llama_log_set(only_errors, nullptr);
  llama_backend_init();
  params_ = llama_model_default_params();
  model_ = llama_model_load_from_file(file.c_str(), params_);
  if (model_ == nullptr) {
    throw Failure("cannot load the model '" + file + "'; tests/bench/engine/setup makes it");
  }
}

Model::~Model() {
  llama_model_free(model_);
  llama_backend_free();
}

Tokens Model::tokenize(const std::string& text, bool begin) const {
  Tokens tokens(text.size() + 2);
  const int count = llama_tokenize(llama_model_get_vocab(model_), text.data(), int32_t(text.size()),
                                   tokens.data(), int32_t(tokens.size()), begin, false);
  if (count < 0) throw Failure("the model's tokenizer failed on a text");
  tokens.resize(size_t(count));
  return tokens;
}

uint32_t Model::vocabulary() const {
  return uint32_t(llama_vocab_n_tokens(llama_model_get_vocab(model_)));
}

ThreadPool::ThreadPool(int threads) {
  const int cores = int(std::thread::hardware_concurrency());
  threads_ = threads > 0 ? threads : std::clamp(cores, 1, 4);
  ggml_threadpool_params params = ggml_threadpool_params_default(threads_);
  pool_ = ggml_threadpool_new(&params);
}

ThreadPool::~ThreadPool() { ggml_threadpool_free(pool_); }

Context::Context(const Model& model, const ThreadPool& pool, const EngineOptions& options,
                 uint32_t sequences, uint32_t tokens, bool unified)
    : model_(model), ubatch_(options.ubatch) {
  llama_context_params params = llama_context_default_params();
  params.n_ctx = unified ? tokens : tokens * sequences;
  params.n_batch = options.ubatch;
  params.n_ubatch = options.ubatch;
  params.n_seq_max = sequences;
  params.kv_unified = unified;
  params.n_threads = params.n_threads_batch = pool.threads();
  params.flash_attn_type =
      options.flash_attention ? LLAMA_FLASH_ATTN_TYPE_ENABLED : LLAMA_FLASH_ATTN_TYPE_DISABLED;
  params.no_perf = true;
  opening_.model = model.params();
  opening_.context = params;
  context_ = llama_init_from_model(model.get(), params);
  if (context_ == nullptr) {
    throw Failure("llama.cpp gave no context of " + std::to_string(params.n_ctx) + " tokens");
  }
  llama_attach_threadpool(context_, pool.get(), pool.get());
  batch_ = llama_batch_init(int32_t(options.ubatch), 0, 1);
}

Context::~Context() {
  llama_batch_free(batch_);
  llama_free(context_);
}

void Context::compute(llama_seq_id seq, uint32_t first, std::span<const llama_token> tokens,
                      bool all_logits) {
  if (all_logits && tokens.size() > ubatch_) throw Failure("logits of more than one micro-batch");
  for (size_t at = 0; at < tokens.size(); at += ubatch_) {
    const size_t count = std::min<size_t>(ubatch_, tokens.size() - at);
    for (size_t i = 0; i < count; ++i) {
      batch_.token[i] = tokens[at + i];
      batch_.pos[i] = llama_pos(first + at + i);
      batch_.n_seq_id[i] = 1;
      batch_.seq_id[i][0] = seq;
      batch_.logits[i] = all_logits || at + i + 1 == tokens.size();
    }
    batch_.n_tokens = int32_t(count);
    if (const int error = llama_decode(context_, batch_); error != 0) {
      throw Failure("llama_decode of " + std::to_string(count) + " tokens at position " +
                    std::to_string(first + at) + " gave " + std::to_string(error));
    }
  }
}

std::span<const float> Context::logits(int32_t i) const {
  return {llama_get_logits_ith(context_, i), model_.vocabulary()};
}

llama_token Context::likeliest() const {
  const std::span<const float> all = logits(-1);
  return llama_token(std::max_element(all.begin(), all.end()) - all.begin());
}

void Context::cut(llama_seq_id seq, uint32_t first) {
  llama_memory_seq_rm(llama_get_memory(context_), seq, llama_pos(first), -1);
}

void Context::clear() { llama_memory_clear(llama_get_memory(context_), false); }

}  // namespace speckv::qa
