// SPDX-License-Identifier: Apache-2.0
// engine_watch.cpp - see engine_watch.hpp.
#include "engine_watch.hpp"

#include <algorithm>

namespace speckv::llama_server {

EngineWatch& EngineWatch::get() {
  static EngineWatch watch;
  return watch;
}

void EngineWatch::loaded(const llama_model* model, const char* path,
                         const llama_model_params& params) {
  const std::lock_guard hold(lock_);
  Model& known = models_[model];
  known = {path ? path : "", params, {}};
  for (const auto* each = params.kv_overrides; each && each->key[0] != 0; ++each)
    known.overrides.push_back(*each);
  known.overrides.push_back({});  // the list's end
}

void EngineWatch::opened(const llama_context* context, const llama_model* model,
                         const llama_context_params& params) {
  const std::lock_guard hold(lock_);
  Opened& known = contexts_[context];
  known = {};
  known.number = ++openings_;
  const auto found = models_.find(model);
  if (found == models_.end() || found->second.path.empty()) {
    known.why = "the model was not loaded from a file by its name";
    return;
  }
  known.model_path = found->second.path;
  known.opening.model = found->second.params;
  known.opening.context = params;
  known.overrides = found->second.overrides;
}

void EngineWatch::loras(const llama_context* context, const float* scales, size_t count) {
  const bool active = std::any_of(scales, scales + count, [](float scale) { return scale != 0; });
  const std::lock_guard hold(lock_);
  const auto found = contexts_.find(context);
  // For good: slots keep KV of the adapter when it is switched off again.
  if (active && found != contexts_.end())
    found->second.why =
        "a LoRA adapter is active, and the server's prompt cache does not tell whose KV it holds";
}

void EngineWatch::control_vector(const llama_context* context, bool active) {
  const std::lock_guard hold(lock_);
  const auto found = contexts_.find(context);
  if (active && found != contexts_.end()) found->second.why = "a control vector is active";
}

void EngineWatch::sized(llama_context* context, llama_seq_id seq) {
  const std::lock_guard hold(lock_);
  sized_ = {context, seq};
}

void EngineWatch::moved(llama_memory_t memory, llama_seq_id seq, llama_pos first) {
  const std::lock_guard hold(lock_);
  ever_moved_ = true;
  const auto [known, added] = moved_.emplace(std::pair(memory, seq), first);
  if (!added) known->second = std::min(known->second, first);
}

void EngineWatch::removed(llama_memory_t memory, llama_seq_id seq, llama_pos first,
                          llama_pos last) {
  const std::lock_guard hold(lock_);
  const bool to_end = last < 0;
  for (auto known = moved_.begin(); known != moved_.end();) {
    const bool ours = known->first.first == memory && (seq < 0 || known->first.second == seq);
    known = ours && to_end && first <= known->second ? moved_.erase(known) : std::next(known);
  }
}

void EngineWatch::copied(llama_memory_t memory, llama_seq_id from, llama_seq_id to) {
  const std::lock_guard hold(lock_);
  const auto known = moved_.find({memory, from});
  if (known != moved_.end()) moved_[{memory, to}] = known->second;
}

void EngineWatch::state_set(const llama_context* context, llama_seq_id seq, bool of_file) {
  const std::lock_guard hold(lock_);
  ever_moved_ |= of_file;
  if (ever_moved_) moved_[{llama_get_memory(context), seq}] = 0;
}

void EngineWatch::cleared(llama_memory_t memory) { removed(memory, -1, -1, -1); }

Sized EngineWatch::last_sized() {
  const std::lock_guard hold(lock_);
  return sized_;
}

bool EngineWatch::find(const llama_context* context, Opened* ret_opened) {
  const std::lock_guard hold(lock_);
  const auto found = contexts_.find(context);
  if (found == contexts_.end()) return false;
  *ret_opened = found->second;
  ret_opened->opening.model.kv_overrides = ret_opened->overrides.data();
  return true;
}

llama_pos EngineWatch::unmoved(llama_memory_t memory, llama_seq_id seq) {
  const std::lock_guard hold(lock_);
  const auto known = moved_.find({memory, seq});
  return known == moved_.end() ? INT_MAX : known->second;
}

}  // namespace speckv::llama_server
